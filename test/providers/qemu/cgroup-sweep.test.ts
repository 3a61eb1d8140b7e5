import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { describe, expect, it, onTestFinished } from 'vitest';

import { makeCgroups, removeCgroups } from '../../../src/providers/qemu/cgroup.js';
import { cgroupsNamed, sweepCgroups } from '../../../src/providers/qemu/cgroup-sweep.js';

const LIMITS = { memoryBytes: 2 ** 28, tasks: 64 };
/** Of no store: what other programs make on this host is not looked at. */
const ENDING = `.test-${process.pid}`;
const LATER = 3_600_000;

function groups(name: string): readonly string[] {
  const made = makeCgroups(`${name}${ENDING}`, LIMITS);
  onTestFinished(() => removeCgroups(made));
  return made;
}

const probe = makeCgroups(`probe${ENDING}`, LIMITS);
await removeCgroups(probe);

// Not where others decide over the control groups of this host.
describe.runIf(probe.length > 0)('control groups that no record names', () => {
  const later = { dryRun: false, now: Date.now() + LATER };

  it('go when they are old, and only of the store that asks', () => {
    const left = groups('vm-left');
    const [named, foreign] = [groups('vm-named'), groups('vm-foreign.x')];
    expect(cgroupsNamed(`left${ENDING}`)).toEqual(left);
    const sweep = (how: typeof later): readonly string[] =>
      sweepCgroups(`vm-left${ENDING}`, new Set(named), how).map(({ name }) => name);
    expect(sweep({ dryRun: false, now: Date.now() })).toEqual([]);
    expect(sweep({ ...later, dryRun: true })).toEqual(left);
    expect(left.every((directory) => existsSync(directory))).toBe(true);
    expect(sweep(later)).toEqual(left);
    for (const directory of left) expect(existsSync(directory)).toBe(false);
    for (const directory of [...named, ...foreign]) expect(existsSync(directory)).toBe(true);
  });

  it('stay when a record names them', () => {
    const named = groups('vm-named');
    expect(sweepCgroups(ENDING, new Set(named), later)).toEqual([]);
    expect(named.every((directory) => existsSync(directory))).toBe(true);
  });

  it('stay while something runs in them', async () => {
    const used = groups('vm-used');
    const child = spawn('sleep', ['300'], { stdio: 'ignore' });
    await once(child, 'spawn');
    for (const directory of used) writeFileSync(path.join(directory, 'cgroup.procs'), String(child.pid));
    expect(sweepCgroups(ENDING, new Set(), later)).toEqual([]);
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(sweepCgroups(ENDING, new Set(), later).map(({ name }) => name)).toEqual(used);
  });
});
