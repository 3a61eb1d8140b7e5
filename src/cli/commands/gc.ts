import { renderError } from '../../core/errors.js';
import { formatCount, formatSize } from '../../core/units.js';
import { collectGarbage, type Collected } from '../../stages/gc.js';
import { JSON_FLAG, type Command } from '../command.js';
import { OWN_FAILURE } from '../exit-code.js';
import { openCliHost } from '../host.js';
import { terminalLog } from '../log.js';
import { renderTable } from '../table.js';
import type { World } from '../world.js';

export const gc: Command = {
  name: 'gc',
  summary: 'Remove VMs that nobody owns any more, half-made things, and files that nothing needs',
  description:
    'Removes VMs whose owner is gone or whose time is over, what interrupted builds and pulls left, images and layers that nothing needs, the least recently used images and templates over the budgets of the host file, and old logs. Never touches what is in use; safe at any time, also several at once.',
  flags: [JSON_FLAG, { name: 'dry-run', short: 'n', doc: 'Only tell what would go, and why' }],
  operands: { usage: '', least: 0, most: 0 },
  examples: [
    ['vm-runner gc --dry-run', 'What would go, and why'],
    ['vm-runner gc', 'What the timer of executors/systemd runs'],
    ['vm-runner gc --json | jq .freedBytes', 'For programs'],
  ],
  run: async (flags, world) => {
    const host = await openCliHost(world);
    const dryRun = flags.has('dry-run');
    const log = terminalLog(world.stderr, { quiet: true });
    const collected = await collectGarbage(host, { dryRun, now: Date.now(), log, signal: world.signal });
    if (flags.has('json')) printJson(collected, dryRun, world);
    else print(collected, dryRun, world);
    return collected.failures.length === 0 ? 0 : OWN_FAILURE;
  },
};

function printJson({ garbage, failures }: Collected, dryRun: boolean, world: World): void {
  const story = {
    dryRun,
    garbage,
    freedBytes: bytesOf(garbage),
    failures: failures.map(({ code, message }) => ({ code, message })),
  };
  world.stdout.write(`${JSON.stringify(story, undefined, 2)}\n`);
}

function print({ garbage, failures }: Collected, dryRun: boolean, world: World): void {
  const rows = garbage.map(({ kind, name, reason, bytes }) => [kind, formatSize(bytes), name, reason]);
  if (rows.length > 0) world.stdout.write(renderTable(['KIND', 'SIZE', 'NAME', 'REASON'], rows));
  const things = `${formatCount(garbage.length, 'thing')}, ${formatSize(bytesOf(garbage))}`;
  world.stdout.write(`${dryRun ? 'would remove' : 'removed'} ${things}\n`);
  for (const failure of failures) world.stderr.write(`vm-runner: ${renderError(failure)}\n`);
}

function bytesOf(garbage: Collected['garbage']): number {
  return garbage.reduce((sum, { bytes }) => sum + bytes, 0);
}
