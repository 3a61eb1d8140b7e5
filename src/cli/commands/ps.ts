import { formatDuration, formatSize } from '../../core/units.js';
import { findOrphans } from '../../stages/reap.js';
import { JSON_FLAG, type Command } from '../command.js';
import { openCliHost } from '../host.js';
import { renderTable } from '../table.js';

export const ps: Command = {
  name: 'ps',
  summary: 'List the VMs of this store',
  description:
    "Lists every VM that the store knows of. One marked as orphan is nobody's any more and goes with the next run, or with gc.",
  flags: [JSON_FLAG, { name: 'quiet', short: 'q', doc: 'Print names only' }],
  operands: { usage: '', least: 0, most: 0 },
  run: async (flags, world) => {
    const host = await openCliHost(world);
    const { records, damaged } = await host.store.vms.list();
    const orphans = new Map((await findOrphans(host)).map((orphan) => [orphan.name, orphan.reason]));
    if (flags.has('json')) {
      const list = records.map((record) => ({ ...record, orphan: orphans.get(record.name) ?? null }));
      world.stdout.write(`${JSON.stringify(list, undefined, 2)}\n`);
      return 0;
    }
    if (flags.has('quiet')) {
      for (const record of records) world.stdout.write(`${record.name}\n`);
      return 0;
    }
    const now = Date.now();
    const rows = records.map((record) => {
      const state = orphans.get(record.name);
      return [
        record.name,
        record.image,
        String(record.cpus),
        formatSize(record.memoryMiB * 2 ** 20),
        record.network,
        formatDuration(now - record.createdAt),
        record.job === undefined ? record.frontEnd : `${record.frontEnd} ${record.job}`,
        state === undefined ? record.state : `orphan: ${state}`,
      ];
    });
    world.stdout.write(renderTable(['NAME', 'IMAGE', 'CPUS', 'MEMORY', 'NETWORK', 'AGE', 'FOR', 'STATE'], rows));
    for (const { error } of damaged) world.stderr.write(`vm-runner: warning: ${error.message}\n`);
    return 0;
  },
};
