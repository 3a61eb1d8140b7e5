import { StringDecoder } from 'node:string_decoder';

import { combineInputErrors, VmRunnerError } from '../../core/errors.js';
import { printable } from '../../core/printable.js';
import type { Host } from '../../providers/provider.js';
import { endedPaths, findEnded, type LogPaths } from '../../store/ended-vms.js';
import { follow, lengthOf } from '../../store/follow.js';
import { readTail } from '../../store/logs.js';
import { isVmName, noSuchVm } from '../../store/vms.js';
import type { Command } from '../command.js';
import { LIVE_EXIT_CODES } from '../exit-code.js';
import type { ParsedFlags } from '../flags.js';
import { openCliHost } from '../host.js';
import { untilInterrupted } from '../live-view.js';
import { LINES, Values } from '../values.js';
import type { World } from '../world.js';

const MOST_BYTES = 16 * 2 ** 20;

export const logs: Command = {
  name: 'logs',
  summary: 'Show what the job in a VM printed, or its console; also of one that failed and is gone',
  description:
    'Prints what the programs of the job in a VM printed, the last megabyte of it at least. The logs of VMs that failed are kept when they are gone, those of the last fifty. What a CI system masks in its own log is not masked here: only whom the store belongs to can read it.',
  flags: [
    { name: 'job', doc: "Show the output of the job's programs (the default)" },
    { name: 'console', doc: 'Show the console of the guest instead: firmware, kernel and agent' },
    { name: 'vmm', doc: 'Show what the program that runs the VM said instead (QEMU)' },
    { name: 'follow', short: 'f', doc: 'Go on with what comes, until the VM is gone' },
    { name: 'tail', short: 'n', value: 'N', doc: 'Begin with the last N lines (default: all)' },
  ],
  operands: { usage: 'NAME', least: 1, most: 1, words: ['vm-or-ended'] },
  exitCodes: LIVE_EXIT_CODES,
  examples: [
    ['vm-runner logs -f vm-0123456789', 'Look at a job while it runs'],
    ['vm-runner logs --console box', 'Why does the guest not come up?'],
    ['vm-runner logs -n 20 --vmm box', 'The last that QEMU said'],
  ],
  run: async (flags, world) => {
    const kind = chosenKind(flags);
    const mistakes: VmRunnerError[] = [];
    const lines = new Values(flags, mistakes).read(LINES, 'tail') ?? Infinity;
    const error = combineInputErrors(mistakes);
    if (error !== undefined) throw error;
    const [name = ''] = flags.operands;
    const host = await openCliHost(world);
    const { files, isThere } = await logsOf(host, name);
    const { before, file } = filesOf(files, kind);
    const size = await lengthOf(file);
    const text = (before === undefined ? '' : await readTail(before, MOST_BYTES)) + (await readTail(file, MOST_BYTES));
    show(world, lastLines(text, lines));
    if (!isThere || !flags.has('follow')) return 0;
    return untilInterrupted(world, async () => {
      const decoder = new StringDecoder();
      const goesOn = (): Promise<boolean> => isUp(host, name);
      for await (const bytes of follow(file, { from: size, goesOn, signal: world.signal })) {
        show(world, decoder.write(Buffer.from(bytes)));
      }
    });
  },
};

type Kind = 'job' | 'console' | 'vmm';

/** @throws invalid-input when more than one is asked for. */
function chosenKind(flags: ParsedFlags): Kind {
  const chosen = (['job', 'console', 'vmm'] as const).filter((kind) => flags.has(kind));
  if (chosen.length <= 1) return chosen[0] ?? 'job';
  throw new VmRunnerError('invalid-input', 'more than one log', {
    subject: chosen.map((kind) => `--${kind}`).join(' '),
    hint: 'Ask for one of them.',
  });
}

function filesOf(paths: LogPaths, kind: Kind): { readonly before: string | undefined; readonly file: string } {
  if (kind === 'job') return { before: paths.jobLogBefore, file: paths.jobLog };
  return { before: undefined, file: kind === 'console' ? paths.console : paths.vmmLog };
}

/** @throws no-such-vm */
async function logsOf(host: Host, name: string): Promise<{ readonly files: LogPaths; readonly isThere: boolean }> {
  if (!isVmName(name)) throw noSuchVm(name);
  const paths = host.store.vms.paths(name);
  if ((await host.store.vms.names()).includes(name)) return { files: paths, isThere: true };
  if ((await findEnded(host.store.paths, name)) !== undefined) {
    return { files: endedPaths(host.store.paths, name, paths), isThere: false };
  }
  throw new VmRunnerError('no-such-vm', 'no such VM, and no logs of it are kept', {
    subject: name,
    hint: 'See what is there with: vm-runner ps --all',
  });
}

async function isUp({ store, processes }: Host, name: string): Promise<boolean> {
  const record = await store.vms.read(name);
  return record !== undefined && (record.vmm === undefined || processes.isAlive(record.vmm));
}

function lastLines(text: string, lines: number): string {
  if (lines === Infinity) return text;
  const all = text.replace(/\n$/, '').split('\n');
  return lines === 0 || text === '' ? '' : `${all.slice(-lines).join('\n')}${text.endsWith('\n') ? '\n' : ''}`;
}

/** A file gets the bytes as they were; a terminal must not do what a guest tells it. */
function show({ stdout }: World, text: string): void {
  stdout.write(stdout.isTTY ? printable(text) : text);
}
