import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { faultyHost, steps, SWEEP } from '../support/faults/faulty-host.js';
import { STORE_VERSION } from '../../src/store/version.js';

/** What bringing a store up to date touches. */
const MIGRATION = / home\/(version|templates|qemu\.json|acceleration\.json|tmp|locks\/version)/;
const KEYS = ['0'.repeat(32), '1'.repeat(32)];

/** A store as the version before left it, with a VM that runs. */
async function oldHost() {
  const host = await faultyHost();
  const kept = ['run', '-q', '--provider', 'fake', '--keep', '--name', 'vm-kept', '--', 'true'];
  expect(await host.run(kept)).toMatchObject({ exitCode: 0 });
  const at = (...names: readonly string[]): string => path.join(host.home, ...names);
  const age = async (): Promise<void> => {
    for (const key of KEYS) {
      await mkdir(at('templates', key), { recursive: true });
      await writeFile(at('templates', key, 'ram'), 'x');
    }
    for (const file of ['templates/2.refused', 'qemu.json', 'acceleration.json']) await writeFile(at(file), '{}');
    await writeFile(at('version'), `${STORE_VERSION - 1}\n`);
  };
  const expectNew = async (about: string): Promise<void> => {
    const { exitCode, stdout, stderr } = await host.run(['exec', 'vm-kept', '--', 'echo', 'alive']);
    expect({ exitCode, stdout }, `${about}\n${stderr}`).toEqual({ exitCode: 0, stdout: 'alive\n' });
    expect(await readFile(at('version'), 'utf8'), about).toBe(`${STORE_VERSION}\n`);
    expect(await readdir(at('templates')), about).toEqual([]);
    const names = await readdir(host.home);
    for (const gone of ['qemu.json', 'acceleration.json']) expect(names, about).not.toContain(gone);
    // What the killed one had in its hands goes with the garbage.
    expect(await host.run(['gc']), about).toMatchObject({ exitCode: 0 });
    for (const room of ['tmp', 'locks']) expect(await readdir(at(room)), about).toEqual([]);
  };
  return { ...host, age, expectNew };
}

describe('kill -9 of the program while it brings a store up to date', () => {
  it.each(['kill', 'torn'] as const)('lets the next one finish, and a VM goes on (%s)', SWEEP, async (act) => {
    const { run, operations, age, expectNew, expectNextJob, expectNoLeak } = await oldHost();
    await age();
    const all = await operations(['ps'], MIGRATION);
    expect(all.length).toBeGreaterThan(20);
    for (const at of steps(all.length, 5)) {
      const about = `${act} at ${at}: ${all[at - 1] ?? ''}`;
      await age();
      const { killed, stderr } = await run(['ps'], { act, match: MIGRATION, at });
      expect(killed, `${about}\n${stderr}`).toBe(true);
      await expectNew(about);
    }
    await expectNextJob();
    await expectNoLeak();
  });
});
