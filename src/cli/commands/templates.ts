import { VmRunnerError } from '../../core/errors.js';
import { formatDuration, formatSize } from '../../core/units.js';
import type { TemplateInfo } from '../../providers/provider.js';
import { JSON_FLAG, type Command } from '../command.js';
import { openCliHost } from '../host.js';
import { renderTable } from '../table.js';

/** Enough of a key to tell templates apart. */
const SHORT_KEY = 12;

export const templates: Command = {
  name: 'templates',
  summary: 'List the saved guests that VMs start from',
  description:
    'Lists the templates of this host, one for each size of VM. They are made by themselves, and anew when something that they are made of changes.',
  flags: [JSON_FLAG],
  operands: { usage: '', least: 0, most: 0 },
  examples: [['vm-runner templates', 'Which sizes start fast, and what that takes']],
  run: async (flags, world) => {
    const host = await openCliHost(world);
    const list = await host.templates.list();
    world.stdout.write(flags.has('json') ? `${JSON.stringify(list, undefined, 2)}\n` : table(list));
    return 0;
  },
};

export const templatesRm: Command = {
  name: 'templates rm',
  summary: 'Remove saved guests',
  description:
    'Removes templates by the first characters of their keys. VMs that started from them go on; the next VM of that size makes a new one.',
  flags: [],
  operands: { usage: 'KEY…', least: 1, most: Infinity, words: ['template'] },
  examples: [['vm-runner templates rm 3f2a', 'By the first characters of its key']],
  run: async (flags, world) => {
    const host = await openCliHost(world);
    const list = await host.templates.list();
    for (const operand of flags.operands) {
      const { key } = only(list, operand);
      await host.templates.remove(key);
      world.stdout.write(`${key}\n`);
    }
    return 0;
  },
};

/** The one template that is meant. @throws invalid-input */
function only(list: readonly TemplateInfo[], start: string): TemplateInfo {
  const [first, ...others] = list.filter(({ key }) => key.startsWith(start));
  if (first !== undefined && others.length === 0) return first;
  throw new VmRunnerError('invalid-input', first === undefined ? 'no such template' : 'more than one template', {
    subject: start,
    hint: 'See what there is with: vm-runner templates',
  });
}

function table(list: readonly TemplateInfo[]): string {
  const now = Date.now();
  const ago = (time: number): string => `${formatDuration(Math.max(0, now - time))} ago`;
  const rows = list.map(({ key, cpus, memoryMiB, acceleration, bytes, vms, madeAt, usedAt }) => [
    key.slice(0, SHORT_KEY),
    String(cpus),
    formatSize(memoryMiB * 2 ** 20),
    acceleration,
    formatSize(bytes),
    String(vms),
    ago(madeAt),
    ago(usedAt),
  ]);
  return renderTable(['KEY', 'CPUS', 'MEMORY', 'ACCEL', 'DISK', 'VMS', 'MADE', 'USED'], rows);
}
