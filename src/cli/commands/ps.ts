import { formatDuration, formatSize } from '../../core/units.js';
import { JSON_FLAG, type Command } from '../command.js';
import { filterFlag, matches, readFilter } from '../filter.js';
import { openCliHost } from '../host.js';
import { renderTable, terminalWidth } from '../table.js';
import { listEndedVms, listVms, listWaiting, vmJson, type ListedVm } from '../vm-list.js';

const KEYS = ['name', 'state', 'image', 'for'];
const HEADER = ['NAME', 'IMAGE', 'CPUS', 'MEMORY', 'NETWORK', 'AGE', 'FOR', 'STATE'];

export const ps: Command = {
  name: 'ps',
  summary: 'List the VMs of this store',
  description:
    "Lists every VM that the store knows of. One marked as orphan is nobody's any more and goes with the next run, or with gc; one marked as damaged has a record that cannot be read. Jobs that wait for room come behind the VMs. A terminal gets a table that fits it; a pipe gets everything.",
  flags: [
    { name: 'all', short: 'a', doc: 'Also VMs that have ended and whose logs are kept' },
    { name: 'quiet', short: 'q', doc: 'Print names only' },
    filterFlag(KEYS),
    JSON_FLAG,
  ],
  operands: { usage: '', least: 0, most: 0 },
  examples: [
    ['vm-runner ps', 'What runs now'],
    ['vm-runner ps --all', 'And what has failed lately'],
    ['vm-runner rm $(vm-runner ps -q --filter state=kept)', 'Destroy all VMs that were kept'],
    ["vm-runner ps --json | jq '.[].name'", 'For programs'],
  ],
  run: async (flags, world) => {
    const filter = readFilter(flags, KEYS);
    const host = await openCliHost(world);
    const ended = flags.has('all') ? await listEndedVms(host) : [];
    const now = Date.now();
    const listed = [...(await listVms(host)), ...(await listWaiting(host)), ...ended]
      .map((vm) => ({ vm, cells: cellsOf(vm, now) }))
      .filter(({ cells: [name, image, , , , , job, state] }) => matches(filter, { name, image, state, for: job }));
    if (flags.has('json')) {
      const list = listed.map(({ vm }) => vmJson(vm));
      world.stdout.write(`${JSON.stringify(list, undefined, 2)}\n`);
    } else if (flags.has('quiet')) {
      for (const { vm } of listed) world.stdout.write(`${vm.name}\n`);
    } else {
      const rows = listed.map(({ cells }) => cells);
      world.stdout.write(renderTable(HEADER, rows, terminalWidth(world.stdout)));
    }
    return 0;
  },
};

function cellsOf(vm: ListedVm, now: number): readonly string[] {
  const { record, waiting } = vm;
  const state = stateCell(vm, now);
  if (waiting !== undefined) {
    const { cpus, memoryMiB } = waiting.demand;
    const age = formatDuration(Math.max(0, now - waiting.since));
    return [vm.name, '-', String(cpus), formatSize(memoryMiB * 2 ** 20), '-', age, '-', state];
  }
  if (record === undefined) return [vm.name, '-', '-', '-', '-', '-', '-', state];
  return [
    record.name,
    record.image,
    String(record.cpus),
    formatSize(record.memoryMiB * 2 ** 20),
    record.network,
    formatDuration(Math.max(0, (vm.endedAt ?? now) - record.createdAt)),
    record.job === undefined ? record.frontEnd : `${record.frontEnd} ${record.job}`,
    state,
  ];
}

function stateCell({ state, record, orphan, error, endedAt = 0, waiting }: ListedVm, now: number): string {
  switch (state) {
    case 'orphan':
      return `orphan: ${orphan ?? ''}`;
    case 'damaged':
      return error?.code === 'store-newer' ? 'of a newer vm-runner' : `damaged: ${error?.reason ?? ''}`;
    case 'unfinished':
      return orphan === undefined ? 'beginning' : `orphan: ${orphan}`;
    case 'waiting':
      return `waiting for room: place ${waiting?.place ?? 0}`;
    case 'ended':
      return `ended ${formatDuration(Math.max(0, now - endedAt))} ago`;
    case 'kept':
      return `kept, goes in ${formatDuration(Math.max(0, (record?.expiresAt ?? now) - now))}`;
    default:
      return state;
  }
}
