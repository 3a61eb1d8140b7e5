import { renderError, toVmRunnerError } from '../../core/errors.js';
import type { Finding } from '../../core/finding.js';
import type { Host } from '../../providers/provider.js';
import { JSON_FLAG, type Command } from '../command.js';
import { lookAtClock } from '../doctor/clock.js';
import { lookAtLimits } from '../doctor/limits.js';
import { lookAtRoom } from '../doctor/room.js';
import { lookForStaleThings } from '../doctor/stale.js';
import { lookAtStore } from '../doctor/store.js';
import { openCliHost } from '../host.js';
import { terminalLog } from '../log.js';
import type { World } from '../world.js';

const SIGN = { ok: 'ok     ', warning: 'WARNING', problem: 'PROBLEM' } as const;
const PROBLEMS_FOUND = 1;

export const doctor: Command = {
  name: 'doctor',
  summary: 'Look at this host, and say what to mend',
  description:
    'Looks at everything that jobs need on this host, by trying it where that is possible. Exit code 1 when there is a problem.',
  flags: [
    JSON_FLAG,
    { name: 'deep', doc: 'Read all images and templates as well, and compare them with what was written' },
  ],
  operands: { usage: '', least: 0, most: 0 },
  exitCodes: [
    ['0', 'nothing that keeps jobs from running'],
    ['1', 'there is a problem'],
    ['125', 'it could not look; standard error says why'],
    ['130, 143, 129', 'ended by Ctrl-C, SIGTERM, SIGHUP'],
  ],
  examples: [
    ['vm-runner doctor', 'Can this host run jobs?'],
    ['vm-runner doctor --deep', 'And is everything in its store as it was written?'],
    ['vm-runner doctor --json | jq \'.[] | select(.level != "ok")\'', 'For programs'],
  ],
  run: async (flags, world) => {
    const host = await openCliHost(world);
    const context = { log: terminalLog(world.stderr, { quiet: flags.has('json') }), signal: world.signal };
    const now = Date.now();
    const looks: readonly (readonly [string, () => Promise<readonly Finding[]>])[] = [
      ['store', () => lookAtStore(host)],
      ['limits', () => lookAtLimits()],
      ['room', () => lookAtRoom(host)],
      ['clock', () => lookAtClock(host, now)],
      ['images', () => host.images.check()],
      [host.provider.name, () => host.provider.check(host.images, context)],
      ['VMs', () => lookAtVms(host)],
      ['stale things', () => lookForStaleThings(host, { ...context, now })],
      ...(flags.has('deep')
        ? ([
            ['images', () => host.images.verify(context)],
            ['templates', () => host.templates.verify()],
          ] as const)
        : []),
    ];
    const text = `${world.installation.version} with Node ${process.versions.node}`;
    const findings: Finding[] = [{ level: 'ok', subject: 'vm-runner', text }];
    for (const [subject, look] of looks) findings.push(...(await tried(subject, look, world.signal)));
    print(findings, flags.has('json'), world);
    return findings.some((finding) => finding.level === 'problem') ? PROBLEMS_FOUND : 0;
  },
};

/** A look that fails is a finding as well, and does not keep the others. */
async function tried(
  subject: string,
  look: () => Promise<readonly Finding[]>,
  signal: AbortSignal,
): Promise<readonly Finding[]> {
  try {
    return await look();
  } catch (error) {
    if (signal.aborted) throw error;
    return [{ level: 'problem', subject, text: renderError(toVmRunnerError(error)) }];
  }
}

async function lookAtVms({ store }: Host): Promise<readonly Finding[]> {
  const { records, damaged } = await store.vms.list();
  const damage = damaged.map(({ error }): Finding => ({ level: 'problem', subject: 'VMs', text: error.message }));
  return [...damage, { level: 'ok', subject: 'VMs', text: `${records.length} known` }];
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
