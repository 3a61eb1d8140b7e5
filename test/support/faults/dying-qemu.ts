import { existsSync } from 'node:fs';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';

/** When a QEMU kills itself. */
export interface Moment {
  readonly title: string;
  /** Which QEMU does: one whose arguments hold this text. */
  readonly argument: string;
  /** Commands of a shell, which succeed one after the other; `V` is the directory of the VM. */
  readonly after: readonly string[];
  /** Whether the VM boots then. */
  readonly boots: boolean;
}

const SAVING = { argument: 'share=on', boots: true } as const;
const LOADING = { argument: '-incoming', boots: true } as const;
/** The descriptor by which QEMU gets the state: whoever has it sees how much was read. */
const HAS_READ = `grep -q '^pos:.*[1-9]' /proc/self/fdinfo/3`;

/** Opened while the directory is its own: it is taken back as soon as the guest runs. */
export const RUNS: Moment = {
  ...{ ...LOADING, title: 'when the guest that it loaded runs' },
  after: ['exec 8<$V/events.out', 'grep -q RESUME <&8'],
};

export const MOMENTS: readonly Moment[] = [
  { ...SAVING, title: 'when it begins to boot the guest that is to be saved', after: ['[ -S $V/qmp ]'] },
  // It was saved then.
  { ...SAVING, title: 'when it has saved its guest', after: ['[ -S $V/save ]', '[ ! -S $V/save ]'], boots: false },
  RUNS,
  { ...SAVING, title: 'while it saves its guest', after: ['[ -S $V/save ]'] },
  { ...LOADING, title: 'when it was started for a clone', after: ['true'] },
  { ...LOADING, title: 'before it loads a template', after: ['[ -S $V/qmp ]'] },
  { ...LOADING, title: 'while it loads a template', after: [HAS_READ] },
];

/** A QEMU that kills itself at a moment, once it is told to. */
export interface DyingQemu {
  /** Its path. */
  readonly program: string;
  /** The next one of that kind dies. */
  readonly arm: () => Promise<void>;
  /** Whether one is still to die. */
  readonly isArmed: () => boolean;
}

export async function dyingQemu(directory: string, vm: string, { argument, after }: Moment): Promise<DyingQemu> {
  const program = path.join(directory, 'qemu-dying');
  const told = path.join(directory, 'told');
  await mkdir(told);
  // QEMU is a user of its own.
  await chmod(told, 0o777);
  const armed = path.join(told, 'armed');
  const lines = [
    '#!/bin/sh',
    'Q=/usr/bin/qemu-system-x86_64',
    `V=${vm}`,
    `case "$*" in *${argument}*) ;; *) exec $Q "$@" ;; esac`,
    `mv ${armed} ${told}/struck 2>/dev/null || exec $Q "$@"`,
    // It must not outlive what it waits for: it has the same arguments and control groups.
    '(',
    ...after.map((command) => `  until ${command}; do kill -0 $$ || exit; sleep 0.01; done`),
    '  kill -9 $$',
    ') >/dev/null 2>&1 &',
    'exec $Q "$@"',
    '',
  ];
  await writeFile(program, lines.join('\n'), { mode: 0o755 });
  return { program, arm: () => writeFile(armed, ''), isArmed: () => existsSync(armed) };
}
