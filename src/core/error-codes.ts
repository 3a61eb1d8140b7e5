/** Whose fault an error is: the person who wrote the job, the machine and its operator, or vm-runner itself. */
export type Blame = 'user' | 'infra' | 'bug';

/** What is known of all errors of a code; docs/ERRORS.md and `vm-runner explain` are made of it. */
export interface ErrorKind {
  readonly blame: Blame;
  /** One sentence. */
  readonly meaning: string;
  /** What usually is behind it. */
  readonly causes: readonly string[];
  /** What to do about it. */
  readonly remedy: string;
}

/**
 * The closed set of what can go wrong. A code fixes the blame, so that no call site can get it wrong.
 * Programs match on the code; the sentences are for people and may change.
 */
export const ERROR_KINDS = {
  'invalid-input': {
    blame: 'user',
    meaning: 'Something that was given makes no sense.',
    causes: [
      'a misspelt flag, input or key',
      'a value out of its range',
      'a relative path where a whole one is needed',
    ],
    remedy: 'Each mistake is told with what was expected. Mend them all and start again.',
  },
  'not-allowed': {
    blame: 'user',
    meaning: 'The operator of this host does not allow what the job asks for.',
    causes: [
      'more processors, memory or disk than a limit of the host file',
      'an image or a network that is not listed there',
    ],
    remedy:
      'Ask for less, or have the operator raise the limit; `vm-runner config` shows all of them and where they stand.',
  },
  'image-unavailable': {
    blame: 'user',
    meaning: 'There is no such image, or it may not be read.',
    causes: [
      'a misspelt name or tag',
      'no login for a private registry',
      'pull policy `never` and an image that is not on this host',
    ],
    remedy:
      'Try `vm-runner image pull REF`. Log in as for docker: `DOCKER_CONFIG` and its credential helpers are read.',
  },
  'image-invalid': {
    blame: 'user',
    meaning: 'The image was found, but it is none that can be run here.',
    causes: [
      'another processor architecture',
      'layers that break the format, or its limits',
      'no image, but some other artifact',
    ],
    remedy: 'Build the image for this host’s architecture; look at it with another tool, such as `skopeo inspect`.',
  },
  'command-not-found': {
    blame: 'user',
    meaning: 'The program is not in the image.',
    causes: [
      'a misspelt program',
      'an image without a shell',
      'a script whose `#!` line names something that is not there',
    ],
    remedy: 'Use an image that has it, or give its whole path.',
  },
  'command-not-executable': {
    blame: 'user',
    meaning: 'The program is in the image, but cannot be started.',
    causes: ['no execute permission', 'a directory', 'a program for another architecture'],
    remedy: 'Set its mode, or start it by its interpreter.',
  },
  'guest-request-refused': {
    blame: 'user',
    meaning: 'The agent in the guest refused a request.',
    causes: [
      'a user that the image does not know',
      'a working directory that is not there',
      'no permission for a path',
    ],
    remedy: 'The sentence says what was refused. Check user, directory and paths against the image.',
  },
  'guest-file-missing': {
    blame: 'user',
    meaning: 'A file is not in the guest, or nothing matches a glob.',
    causes: ['the job did not make it', 'a relative path that starts elsewhere than thought'],
    remedy: 'Relative paths start at the working directory. Let the job list what it made.',
  },
  'guest-is-directory': {
    blame: 'user',
    meaning: 'A file was asked for, and a directory is there.',
    causes: ['a path that stops too early'],
    remedy: 'Name the file, or copy the directory.',
  },
  'guest-disk-full': {
    blame: 'user',
    meaning: 'The disk in the guest has no room left.',
    causes: ['the job writes more than its disk holds', 'a small file system of the image, such as a tmpfs'],
    remedy: 'Clean up between steps, or ask for more with `disk`.',
  },
  'no-such-vm': {
    blame: 'user',
    meaning: 'No VM has that name.',
    causes: [
      'a misspelt name',
      'it ended, and was removed',
      'another store: `VM_RUNNER_HOME` differs, or another user asks',
    ],
    remedy: 'See what is there with `vm-runner ps`.',
  },
  'timed-out': {
    blame: 'user',
    meaning: 'The program did not end within its time, and was ended.',
    causes: ['a program that hangs', 'a limit that is too tight for an emulated guest'],
    remedy:
      'Give it more time with `timeout`, or find out where it hangs: `vm-runner exec NAME` works beside a running job.',
  },
  'disk-limit': {
    blame: 'user',
    meaning: 'The job wrote as much as its VM may take of the host’s disk, and was ended.',
    causes: ['builds and caches that are larger than thought', 'files that are written and deleted again and again'],
    remedy: 'Clean up in the job, or ask for more with `disk`.',
  },
  'guest-out-of-memory': {
    blame: 'user',
    meaning: 'The guest ended because its memory was used up.',
    causes: ['a job that needs more memory than its VM has'],
    remedy: 'Ask for more with `memory`, or let the job do less at the same time.',
  },
  'guest-ended': {
    blame: 'user',
    meaning: 'The guest was powered off, or its kernel crashed, while the job ran.',
    causes: ['a job that powers the machine off', 'a kernel panic, which the end of the console shows'],
    remedy: 'Leave the power to vm-runner. `vm-runner logs --console NAME` has the console of the VM.',
  },
  'host-config-invalid': {
    blame: 'infra',
    meaning: 'The host file of vm-runner cannot be used.',
    causes: [
      'a misspelt setting or a value that makes no sense',
      'a file that was named and is not there',
      'a file that others may write, read by root',
    ],
    remedy:
      'Each mistake is told with its line. Mend them all and try with `vm-runner config`; docs/HOST.md has every setting.',
  },
  'host-unsupported': {
    blame: 'infra',
    meaning: 'This host cannot do what is needed.',
    causes: [
      'another operating system',
      'QEMU that is too old',
      'a store that lies so deep that sockets in it have too long names',
    ],
    remedy: '`vm-runner doctor` says what is missing.',
  },
  'host-tool-missing': {
    blame: 'infra',
    meaning: 'A program is not installed on this host.',
    causes: ['QEMU or mmdebstrap was never installed, or is not in the search path'],
    remedy: 'Install it; the message names the package. `VM_RUNNER_QEMU` names a QEMU elsewhere.',
  },
  'host-tool-failed': {
    blame: 'infra',
    meaning: 'A program of this host failed.',
    causes: ['what it printed last stands below the message'],
    remedy: 'Read what it says, and try the same by hand.',
  },
  'host-file-failed': {
    blame: 'infra',
    meaning: 'A file of this host could not be read or written.',
    causes: ['no permission: another user made the store', 'a read-only file system', 'a broken disk'],
    remedy: 'Check owner and mode of the path that is named.',
  },
  'disk-full': {
    blame: 'infra',
    meaning: 'The disk of this host has too little room.',
    causes: ['images and logs that nobody needs', 'VMs that write much', 'other users of the same disk'],
    remedy: 'Run `vm-runner gc`, set budgets in the host file, or move the store with `VM_RUNNER_HOME`.',
  },
  'no-capacity': {
    blame: 'infra',
    meaning: 'No room became free on this host while the job waited for it.',
    causes: ['more jobs than the host holds', 'kept VMs that nobody needs', 'limits of `[capacity]` that are too low'],
    remedy:
      '`vm-runner ps` shows who has the room and who waits. Remove VMs, lower the number of jobs, or wait longer.',
  },
  'store-busy': {
    blame: 'infra',
    meaning: 'Something in the store is in use by another process.',
    causes: ['another vm-runner makes or removes the same thing'],
    remedy: 'The message names the process that holds it. Look whether that still works, then try again.',
  },
  'store-damaged': {
    blame: 'infra',
    meaning: 'A file of the store is not what was written there.',
    causes: ['a crash of the host', 'a broken disk', 'somebody changed files of the store'],
    remedy:
      '`vm-runner gc` removes damaged records; `vm-runner doctor --deep` finds damaged images. What is missing is made again.',
  },
  'store-newer': {
    blame: 'infra',
    meaning: 'A newer vm-runner made this store, or this record, and this one does not understand it.',
    causes: ['two versions of vm-runner on one host'],
    remedy: 'Use the newer one, or give the older one a store of its own with `VM_RUNNER_HOME`.',
  },
  'image-build-failed': {
    blame: 'infra',
    meaning: 'The default image could not be built.',
    causes: ['no package mirror can be reached', 'user namespaces are forbidden to this user'],
    remedy: 'What the build said last stands below. Try it as root, or with another mirror.',
  },
  'registry-failed': {
    blame: 'infra',
    meaning: 'A container registry did not answer, or not as it should.',
    causes: ['no network, or a proxy in between', 'rate limits', 'a certificate that nobody here trusts'],
    remedy: 'Try later, log in, or set mirrors and CA files in the host file.',
  },
  'vm-start-failed': {
    blame: 'infra',
    meaning: 'QEMU did not start, or the VM did not come up.',
    causes: ['a broken or unusual QEMU', 'too little memory on the host', 'no permission for /dev/kvm'],
    remedy: 'QEMU’s own words stand below. `vm-runner doctor` tries everything.',
  },
  'vm-died': {
    blame: 'infra',
    meaning: 'The process that ran the VM is gone.',
    causes: ['the host’s kernel killed it for memory', 'somebody killed it', 'QEMU crashed'],
    remedy: 'Look at the end of its log below, and at the kernel’s log of the host.',
  },
  'boot-timeout': {
    blame: 'infra',
    meaning: 'The guest did not come up in time.',
    causes: ['an overloaded host', 'software emulation', 'a guest that hangs; the console below shows where'],
    remedy: 'Give it more time with `boot-timeout`, or run fewer VMs at once.',
  },
  'agent-unreachable': {
    blame: 'infra',
    meaning: 'The agent in the guest does not answer.',
    causes: ['a guest that hangs or is starved', 'all four ports of the VM are taken by others'],
    remedy: '`vm-runner logs --console NAME` has the console.',
  },
  'agent-protocol': {
    blame: 'infra',
    meaning: 'The agent in the guest said something that is not in the contract.',
    causes: ['an agent of another version', 'an agent of another project'],
    remedy: 'Use one version of vm-runner for a VM from its beginning to its end; start it again.',
  },
  'guest-untrusted-data': {
    blame: 'infra',
    meaning: 'What came from the guest broke the rules for such data, and was thrown away.',
    causes: ['a job that tries to write outside of its directory', 'archives with endless or odd entries'],
    remedy: 'Nothing was written. Look at what the job makes before you trust it.',
  },
  cancelled: {
    blame: 'infra',
    meaning: 'Somebody ended it: Ctrl-C, a signal, or the CI system.',
    causes: ['a person', 'a newer run of the same pipeline', 'a timeout of the CI system'],
    remedy: 'Nothing to mend. Everything of the job was taken away.',
  },
  internal: {
    blame: 'bug',
    meaning: 'A defect of vm-runner.',
    causes: ['an error that nobody thought of'],
    remedy: 'Please report it with all that was printed.',
  },
} as const satisfies Record<string, ErrorKind>;

export type ErrorCode = keyof typeof ERROR_KINDS;

export const ERROR_CODES = Object.keys(ERROR_KINDS) as readonly ErrorCode[];
