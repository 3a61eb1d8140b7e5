import { statfs } from 'node:fs/promises';

import { fileError, toVmRunnerError } from '../../core/errors.js';
import type { Finding } from '../../core/finding.js';
import { formatSize } from '../../core/units.js';
import type { Host } from '../../providers/provider.js';
import { findOrphans } from '../../stages/reap.js';
import { JSON_FLAG, type Command } from '../command.js';
import { openCliHost } from '../host.js';
import { terminalLog } from '../log.js';
import type { World } from '../world.js';

const SPARSE_BYTES = 10 * 2 ** 30;
const NEEDED_BYTES = 2 ** 30;
const SIGN = { ok: 'ok     ', warning: 'WARNING', problem: 'PROBLEM' } as const;
const PROBLEMS_FOUND = 1;

export const doctor: Command = {
  name: 'doctor',
  summary: 'Look at this host, and say what to mend',
  description:
    'Looks at everything that jobs need on this host, by trying it where that is possible. Exit code 1 when there is a problem.',
  flags: [JSON_FLAG],
  operands: { usage: '', least: 0, most: 0 },
  run: async (flags, world) => {
    const host = await openCliHost(world);
    const context = { log: terminalLog(world.stderr, { quiet: flags.has('json') }), signal: world.signal };
    const findings = [
      {
        level: 'ok' as const,
        subject: 'vm-runner',
        text: `${world.installation.version} with Node ${process.versions.node}`,
      },
      ...(await look('store', () => lookAtStore(host))),
      ...(await look('images', () => host.images.check())),
      ...(await look(host.provider.name, () => host.provider.check(host.images, context))),
      ...(await look('VMs', () => lookAtVms(host))),
    ];
    print(findings, flags.has('json'), world);
    return findings.some((finding) => finding.level === 'problem') ? PROBLEMS_FOUND : 0;
  },
};

/** A look that fails is a finding as well, and does not keep the others. */
async function look(subject: string, work: () => Promise<readonly Finding[]>): Promise<readonly Finding[]> {
  try {
    return await work();
  } catch (error) {
    return [{ level: 'problem', subject, text: toVmRunnerError(error).message }];
  }
}

async function lookAtStore(host: Host): Promise<readonly Finding[]> {
  const { home } = host.store.paths;
  let free: number;
  try {
    const { bavail, bsize } = await statfs(home);
    free = bavail * bsize;
  } catch (cause) {
    throw fileError('look at the free space', home, cause);
  }
  // Throws its sentence when sockets would not fit.
  host.store.vms.paths('x'.repeat(40));
  const space = `${home} has ${formatSize(free)} free`;
  if (free < NEEDED_BYTES)
    return [{ level: 'problem', subject: 'store', text: `${space}: VMs are refused. Free some space.` }];
  if (free < SPARSE_BYTES)
    return [{ level: 'warning', subject: 'store', text: `${space}: jobs may fill it. Free some space.` }];
  return [{ level: 'ok', subject: 'store', text: space }];
}

async function lookAtVms(host: Host): Promise<readonly Finding[]> {
  const { records, damaged } = await host.store.vms.list();
  const orphans = await findOrphans(host);
  const count = `${records.length + damaged.length} known`;
  if (orphans.length === 0) return [{ level: 'ok', subject: 'VMs', text: count }];
  return [
    {
      level: 'warning',
      subject: 'VMs',
      text: `${count}, ${orphans.length} of them nobody's. Remove those with: vm-runner gc`,
    },
  ];
}

function print(findings: readonly Finding[], json: boolean, world: World): void {
  if (json) {
    world.stdout.write(`${JSON.stringify(findings, undefined, 2)}\n`);
    return;
  }
  const width = Math.max(...findings.map((finding) => finding.subject.length));
  for (const { level, subject, text } of findings)
    world.stdout.write(`${SIGN[level]} ${subject.padEnd(width)}  ${text}\n`);
}
