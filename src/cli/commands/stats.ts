import { delay } from '../../core/deadline.js';
import { combineInputErrors, type VmRunnerError } from '../../core/errors.js';
import { formatCount, formatSize } from '../../core/units.js';
import type { Host } from '../../providers/provider.js';
import type { CapacitySnapshot } from '../../store/capacity.js';
import type { VmRecord } from '../../store/record.js';
import { JSON_FLAG, type Command } from '../command.js';
import { LIVE_EXIT_CODES } from '../exit-code.js';
import { findRecord, openCliHost } from '../host.js';
import { untilInterrupted } from '../live-view.js';
import { renderTable, terminalWidth } from '../table.js';
import { INTERVAL, Values } from '../values.js';
import { measureVms, type VmUsage } from '../vm-usage.js';
import type { World } from '../world.js';

const DEFAULT_INTERVAL_MS = 2000;
/** Between the two looks that processor time needs, when only one sample is wanted. */
const SAMPLE_MS = 500;
const HEADER = ['NAME', 'CPU', 'MEMORY', 'OF HOST', 'DISK', 'NET IN', 'NET OUT', 'TASKS'];
const HOME_AND_CLEAR = '\u001b[H\u001b[J';

export const stats: Command = {
  name: 'stats',
  summary: 'Show what VMs use, live',
  description:
    'Shows processor, memory, disk and network of VMs, anew every two seconds until Ctrl-C. CPU is the time that processors of this host work for the VM: 100 % is one of them. MEMORY is what the guest uses of what it has; OF HOST is what the VM really takes of this host, shared pages counted in part. DISK is what its own disk takes and may take. NET and TASKS are as the guest tells them; what it does not tell is shown as a dash.',
  flags: [
    { name: 'no-stream', doc: 'Print one sample and end' },
    { name: 'interval', value: 'TIME', doc: 'Time between samples, 200ms at least (default: 2s)' },
    { ...JSON_FLAG, doc: 'Print one JSON object a line for each sample' },
  ],
  operands: { usage: '[NAME…]', least: 0, most: Infinity, words: ['vm'] },
  exitCodes: LIVE_EXIT_CODES,
  examples: [
    ['vm-runner stats', 'All VMs of this host, live'],
    ['vm-runner stats --no-stream box', 'One of them, once'],
    ["vm-runner stats --json --interval 10s | jq '.vms[] | [.name, .cpuPercent]'", 'For programs'],
  ],
  run: async (flags, world) => {
    const mistakes: VmRunnerError[] = [];
    const intervalMs = new Values(flags, mistakes).read(INTERVAL, 'interval') ?? DEFAULT_INTERVAL_MS;
    const error = combineInputErrors(mistakes);
    if (error !== undefined) throw error;
    const host = await openCliHost(world);
    for (const name of flags.operands) await findRecord(host, name);
    const look = async (): Promise<readonly VmUsage[]> =>
      measureVms(host, await wanted(host, flags.operands), world.signal);
    const show = async (rows: readonly Row[], isLive: boolean): Promise<void> => {
      if (flags.has('json')) showJson(world, rows);
      else showTable(world, rows, await host.capacity.snapshot(), isLive);
    };
    let before = await look();
    if (flags.has('no-stream')) {
      await delay(SAMPLE_MS, world.signal);
      await show(rowsOf(before, await look()), false);
      return 0;
    }
    return untilInterrupted(world, async () => {
      let rows = rowsOf([], before);
      // Whoever named VMs has seen all of it when they are gone.
      while (flags.operands.length === 0 || rows.length > 0) {
        await show(rows, true);
        await delay(intervalMs, world.signal);
        const now = await look();
        rows = rowsOf(before, now);
        before = now;
      }
    });
  },
};

interface Row extends VmUsage {
  /** Of one processor of the host; `undefined` until there are two samples. */
  readonly cpuPercent: number | undefined;
}

async function wanted({ store }: Host, names: readonly string[]): Promise<readonly VmRecord[]> {
  const { records } = await store.vms.list();
  return names.length === 0 ? records : records.filter(({ name }) => names.includes(name));
}

function rowsOf(before: readonly VmUsage[], now: readonly VmUsage[]): readonly Row[] {
  const earlier = new Map(before.map((usage) => [usage.record.incarnation, usage]));
  return now.map((usage) => ({ ...usage, cpuPercent: cpuPercent(earlier.get(usage.record.incarnation), usage) }));
}

function cpuPercent(before: VmUsage | undefined, now: VmUsage): number | undefined {
  if (before?.vmm === undefined || now.vmm === undefined) return undefined;
  return Math.max(0, ((now.vmm.cpuMs - before.vmm.cpuMs) / (now.at - before.at)) * 100);
}

function showJson({ stdout }: World, rows: readonly Row[]): void {
  const vms = rows.map(({ record, cpuPercent: percent, vmm, diskBytes, guest }) => ({
    name: record.name,
    cpuPercent: percent === undefined ? null : Math.round(percent * 10) / 10,
    vmm: vmm ?? null,
    disk: diskBytes === undefined ? null : { usedBytes: diskBytes, mostBytes: record.diskMiB * 2 ** 20 },
    guest: guest ?? null,
  }));
  stdout.write(`${JSON.stringify({ time: Date.now(), vms })}\n`);
}

function showTable({ stdout }: World, rows: readonly Row[], room: CapacitySnapshot, isLive: boolean): void {
  const table = renderTable(HEADER, rows.map(cellsOf), terminalWidth(stdout));
  const footer = footerOf(room);
  stdout.write(`${isLive && stdout.isTTY ? HOME_AND_CLEAR : ''}${table}${footer}\n`);
}

function cellsOf({ record, cpuPercent: percent, vmm, diskBytes, guest }: Row): readonly string[] {
  const size = (bytes: number | undefined): string => (bytes === undefined ? '-' : formatSize(bytes));
  const used = guest === undefined ? undefined : guest.memoryBytes - guest.memoryAvailableBytes;
  return [
    record.name,
    percent === undefined ? '-' : `${percent.toFixed(0)} %`,
    `${size(used)} / ${formatSize(record.memoryMiB * 2 ** 20)}`,
    size(vmm?.memoryBytes),
    diskBytes === undefined ? '-' : `${size(diskBytes)} / ${formatSize(record.diskMiB * 2 ** 20)}`,
    size(guest?.receivedBytes),
    size(guest?.sentBytes),
    guest === undefined ? '-' : String(guest.tasks),
  ];
}

/** `2 VMs with 4 processors and 4.0 GiB; 1 job waits for room; of this host 12 GiB of memory and 50 GiB of disk are free`. */
function footerOf({ held, measured, queue }: CapacitySnapshot): string {
  const vms = `${formatCount(held.vms, 'VM')} with ${formatCount(held.cpus, 'processor')} and ${formatSize(held.memoryMiB * 2 ** 20)}`;
  const waiting = queue.length === 0 ? '' : `; ${formatCount(queue.length, 'job waits', 'jobs wait')} for room`;
  const free = `${formatSize(measured.availableMemoryMiB * 2 ** 20)} of memory and ${formatSize(measured.freeDiskMiB * 2 ** 20)} of disk`;
  return `${vms}${waiting}; of this host ${free} are free`;
}
