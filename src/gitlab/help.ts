/** For operators who start a shim by hand. */
export const HELP = `vm-runner driver of GitLab Runner's custom executor. The Runner starts it; the shims in executors/gitlab are:

  config [--builds-dir DIR] [--cache-dir DIR] [--config FILE]
      Names a new VM and prints the settings of the job as JSON.
      --builds-dir DIR     where builds are in the guest (default: /builds)
      --cache-dir DIR      where local caches are in the guest (default: /cache)
      --config FILE        the host file, for all stages (default: VM_RUNNER_CONFIG, else /etc/vm-runner/vm-runner.toml)

  prepare [--image REF] [--pull POLICY] [--template POLICY] [--cpus N] [--memory SIZE] [--disk SIZE]
          [--network POLICY] [--config FILE] [--boot-timeout TIME] [--wait TIME] [--provider NAME]
      Starts the VM with the image that the job names.
      --image REF          for jobs that name none (default: default)
      --pull POLICY        for jobs that name none: always, if-not-present or never (default: always)
      --template POLICY    start from a saved guest of that size: auto, always or never (default: auto)
      --cpus N             virtual processors (default: 1 under software emulation, 2 with hardware acceleration)
      --memory SIZE        MiB, or with K, M, G (default: 2G)
      --disk SIZE          the most that the VM's own disk may take of this host's (default: 16G)
      --network POLICY     none, or open: all that this host can reach, and this host itself (default: open)
      --config FILE        the host file, for this stage alone; its limits win, its defaults stand behind these arguments
      --boot-timeout TIME  how long the guest may take to boot (default: 120s)
      --wait TIME          how long to wait for room on this host; 0 is not at all (default: what the host file says, else 10m)
      --provider NAME      qemu, or fake: no VM, the job runs on this host (default: qemu)

  run SCRIPT STAGE
      Runs a script of the Runner in the VM.

  cleanup
      Destroys the VM.

Arguments stand in config.toml as config_args and prepare_args. See executors/gitlab/README.md.
`;
