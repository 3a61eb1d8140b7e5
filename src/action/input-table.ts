export interface InputDefinition {
  /** Short enough for a table. */
  readonly description: string;
  readonly required: boolean;
  /** As it stands in action.yml; `undefined`: none. */
  readonly default: string | undefined;
}

function optional(description: string, defaultText?: string): InputDefinition {
  return { description, required: false, default: defaultText };
}

/** Every input of the action: action.yml and docs/GITHUB.md are compared with this table by a test. */
export const INPUTS = {
  run: { description: 'Script that runs in the VM.', required: true, default: undefined },
  image: optional(
    'Image that the script runs in: `node:22`, `ghcr.io/o/x@sha256:…`, `oci:DIR`, `docker-archive:FILE`, `rootfs:FILE`, `local/NAME`. Paths start at the workspace. Default: what the host file says, else `default`.',
  ),
  pull: optional(
    'Whether the registry is asked for the image: `always`, `if-not-present` or `never`. Default: what the host file says, else `if-not-present`.',
  ),
  template: optional(
    'Whether the VM starts from a saved guest of its size: `auto`, `always` or `never`. Default: `auto`, and `never` on runners of GitHub, which are thrown away.',
  ),
  shell: optional(
    'What runs the script: `bash`, `sh`, `python3`, or a command line with `{0}` for the path of the script. Default: the `#!` line of the script, else `bash -e`.',
  ),
  env: optional('Environment of the script: one `NAME=value` a line.'),
  cpus: optional('Virtual processors. Default: 2 with hardware acceleration, 1 without.'),
  memory: optional(
    'Memory, such as `512M` or `4G`; a bare number is MiB. Default: what the host file says, else `2G`.',
  ),
  disk: optional(
    'The most that the disk of the VM may take of that of the host, such as `8G`. Default: what the host file says, else `16G`.',
  ),
  network: optional(
    'What the VM can reach: `none`, or `open` for all that the host can reach, the host included. Default: what the host file says, else `open`.',
  ),
  workspace: optional(
    'Whether the workspace is copied to the same path in the VM and is the working directory of the script: `true` or `false`.',
    'true',
  ),
  artifacts: optional(
    'What comes home after the script, also when it failed: one glob a line, evaluated in the VM; a line that starts with `!` leaves out.',
  ),
  'artifacts-path': optional(
    'Directory for the artifacts. Default: a fresh one below the temporary directory of the runner.',
  ),
  'boot-timeout': optional(
    'How long the VM may take to boot, such as `90s` or `5m`; a bare number is seconds. Default: what the host file says, else `120s`.',
  ),
  wait: optional(
    'How long the job waits for room on the host, such as `10m`; `0` is not at all. Default: what the host file says, else `10m`.',
  ),
  timeout: optional('How long the script may run, such as `30m`. Default: as long as the job.'),
  provider: optional(
    'What makes the VM: `qemu`, or `fake` for a dry run without a VM, directly on the runner.',
    'qemu',
  ),
} as const satisfies Readonly<Record<string, InputDefinition>>;

export type InputName = keyof typeof INPUTS;
export const INPUT_NAMES = Object.keys(INPUTS) as readonly InputName[];

/** The text of each input as the runner gave it; an absent one is empty. */
export type RawInputs = Readonly<Record<InputName, string>>;

/** Every output of the action. */
export const OUTPUTS = {
  'exit-code': 'Exit code of the script: 128+n when signal n ended it, 124 after its timeout, empty when it never ran.',
  'vm-name': 'Name of the VM, which stays up until the job ends: `vm-runner exec NAME -- COMMAND` in later steps.',
  'boot-ms': 'Milliseconds from the start of the VM until it was ready for the script.',
  'artifacts-path': 'Absolute path of the directory with the artifacts; empty when none were asked for.',
} as const;

export type OutputName = keyof typeof OUTPUTS;
