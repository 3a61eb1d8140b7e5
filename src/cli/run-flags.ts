import { DEFAULT_IMAGE, NETWORK_POLICIES, PULL_POLICIES, TEMPLATE_POLICIES } from '../core/job.js';
import type { Flag } from './flags.js';

/** Everything of one heading in the help. */
function grouped(group: string, flags: readonly Flag[]): readonly Flag[] {
  return flags.map((flag) => ({ ...flag, group }));
}

/** Flags of what VM is made; whatever makes one shares them. */
export const VM_FLAGS: readonly Flag[] = grouped('VM', [
  {
    name: 'image',
    value: 'REF',
    words: 'image',
    doc: `Image: node:22, ghcr.io/o/x@sha256:…, oci:DIR, docker-archive:FILE, rootfs:FILE, local/NAME (default: ${DEFAULT_IMAGE})`,
  },
  {
    name: 'pull',
    value: 'POLICY',
    words: PULL_POLICIES,
    doc: 'Ask the registry for the image: always, if-not-present or never (default: if-not-present)',
  },
  {
    name: 'cpus',
    value: 'N',
    doc: 'Virtual processors (default: 1 under software emulation, 2 with hardware acceleration)',
  },
  { name: 'memory', value: 'SIZE', doc: 'Memory: MiB, or with K, M, G (default: 2G)' },
  { name: 'disk', value: 'SIZE', doc: "The most that the VM's own disk may take of this host's (default: 16G)" },
  {
    name: 'network',
    value: 'POLICY',
    words: NETWORK_POLICIES,
    doc: 'none, or open: all that this host can reach, and this host itself (default: open)',
  },
  {
    name: 'template',
    value: 'POLICY',
    words: TEMPLATE_POLICIES,
    doc: 'Start from a saved guest of the same size: auto, always or never (default: auto: boot when that fails)',
  },
  {
    name: 'wait',
    value: 'TIME',
    doc: 'How long to wait for room on this host; 0 is not at all (default: what the host file says, else 10m)',
  },
  { name: 'boot-timeout', value: 'TIME', doc: 'How long the guest may take to boot (default: 120s)' },
  {
    name: 'provider',
    value: 'NAME',
    words: ['qemu', 'fake'],
    doc: 'What makes the VM: qemu, or fake (no VM: a dry run of the stages on this host)',
  },
  { name: 'quiet', short: 'q', doc: 'Say nothing but warnings and errors' },
]);

/** Flags of what a program in the guest gets; `run` and `exec` share them. */
export const PROGRAM_FLAGS: readonly Flag[] = grouped('Program', [
  {
    name: 'env',
    short: 'e',
    value: 'K=V',
    repeatable: true,
    doc: 'Set a variable for the program; K alone takes our value',
  },
  {
    name: 'env-file',
    value: 'FILE',
    words: 'file',
    repeatable: true,
    doc: 'Set variables from a file with a K=V on each line; --env wins',
  },
  {
    name: 'workdir',
    short: 'w',
    value: 'DIR',
    doc: "Working directory in the guest (default: the image's own; in the default image the home of the user)",
  },
  {
    name: 'user',
    short: 'u',
    value: 'USER',
    doc: "User in the guest: name, uid, name:group or uid:gid (default: the image's own, else root)",
  },
  { name: 'interactive', short: 'i', doc: 'Give the program our standard input' },
  { name: 'tty', short: 't', doc: 'Give the program a terminal' },
  { name: 'timeout', value: 'TIME', doc: 'End the program after this time, with exit code 124 (default: never)' },
]);

export const RUN_FLAGS: readonly Flag[] = [
  ...VM_FLAGS,
  ...PROGRAM_FLAGS,
  ...grouped('Program', [
    {
      name: 'entrypoint',
      value: 'PROGRAM',
      doc: "Put this in front of the program instead of the image's ENTRYPOINT; an empty text puts nothing there",
    },
    {
      name: 'init',
      value: 'PROGRAM',
      doc: "Run the image's own init (/sbin/init) as process 1 of what the program sees (default: a small one of ours)",
    },
    {
      name: 'script',
      value: 'FILE',
      words: 'file',
      doc: 'Run this script (- is our standard input): by its #! line, else bash -e, else sh -e',
    },
  ]),
  ...grouped('Files', [
    { name: 'workspace', doc: 'Copy the current directory to the same path in the guest, and work there' },
    {
      name: 'put',
      value: 'SRC:DST',
      words: 'file',
      repeatable: true,
      doc: 'Copy a file or directory into the guest first; DST is the new name itself',
    },
    {
      name: 'get',
      value: 'GLOB[:DIR]',
      repeatable: true,
      doc: 'Bring what matches in the guest home afterwards, also when the program failed',
    },
  ]),
  ...grouped('Job', [
    { name: 'name', value: 'NAME', doc: 'Name of the VM (default: made up)' },
    { name: 'keep', doc: 'Leave the VM running afterwards, for a day at most unless the host file says another time' },
    { name: 'report', value: 'FILE', words: 'file', doc: 'Write what happened to a JSON file' },
  ]),
];
