import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { chooseAcceleration, type AccelerationOptions } from '../../../src/providers/qemu/acceleration.js';
import { recordingLog, temporaryStore } from '../../images/support.js';

async function setUp() {
  const { store, processes } = await temporaryStore();
  const device = path.join(store.paths.home, 'kvm');
  await writeFile(device, '');
  let probes = 0;
  const choose = (answer: string | undefined, more: Partial<AccelerationOptions> = {}) =>
    chooseAcceleration({
      ...{ store: store.paths, processes, device, qemuVersion: 'QEMU 7.2', log: recordingLog() },
      signal: new AbortController().signal,
      probe: () => {
        probes += 1;
        return Promise.resolve(answer);
      },
      ...more,
    });
  return { choose, probes: () => probes, store };
}

describe('chooseAcceleration', () => {
  it('is software emulation without a try where there is no device', async () => {
    const { choose, probes } = await setUp();
    expect(await choose(undefined, { device: '/nowhere/kvm' })).toEqual({
      acceleration: 'tcg',
      reason: 'this host has no /nowhere/kvm',
    });
    expect(probes()).toBe(0);
  });

  it('is the hardware when a guest ran, and remembers that', async () => {
    const { choose, probes } = await setUp();
    expect(await choose(undefined)).toEqual({ acceleration: 'kvm', reason: undefined });
    expect(await choose('would fail now')).toEqual({ acceleration: 'kvm', reason: undefined });
    expect(probes()).toBe(1);
  });

  it('remembers as well why it does not work', async () => {
    const { choose, probes } = await setUp();
    const expected = { acceleration: 'tcg', reason: 'a test guest hung for 10 s' };
    expect(await choose('a test guest hung for 10 s')).toEqual(expected);
    expect(await choose(undefined)).toEqual(expected);
    expect(probes()).toBe(1);
  });

  it('believes that it does not work for an hour: a loaded host may have been too slow', async () => {
    const { choose, probes } = await setUp();
    let time = 1_700_000_000_000;
    const now = (): number => time;
    await choose('hung', { now });
    time += 3_600_000;
    expect(await choose(undefined, { now })).toMatchObject({ reason: 'hung' });
    time += 1;
    expect(await choose(undefined, { now })).toMatchObject({ acceleration: 'kvm' });
    time += 1000 * 3_600_000;
    expect(await choose('hung', { now })).toMatchObject({ acceleration: 'kvm' });
    expect(probes()).toBe(2);
  });

  it('does not believe what was found at a time that is still to come, or at none', async () => {
    const { choose, probes, store } = await setUp();
    await choose('hung', { now: () => 2000 });
    await choose('hung', { now: () => 1000 });
    expect(probes()).toBe(2);
    const { triedAt, ...old } = JSON.parse(await readFile(store.paths.acceleration, 'utf8')) as { triedAt: number };
    expect(triedAt).toBe(1000);
    await writeFile(store.paths.acceleration, JSON.stringify(old));
    expect(await choose(undefined)).toMatchObject({ acceleration: 'kvm' });
  });

  it('tries anew for those who doubt, unless it works; once for all who doubt at the same time', async () => {
    const { choose, probes } = await setUp();
    let time = 1000;
    const now = (): number => (time += 1);
    await choose('hung', { now });
    const doubts = [1, 2].map(() => choose('hangs still', { now, doubtful: true }));
    expect((await Promise.all(doubts)).map(({ reason }) => reason)).toEqual(['hangs still', 'hangs still']);
    expect(probes()).toBe(2);
    expect(await choose(undefined, { now, doubtful: true })).toMatchObject({ acceleration: 'kvm' });
    expect(await choose('hung', { now, doubtful: true })).toMatchObject({ acceleration: 'kvm' });
    expect(probes()).toBe(3);
  });

  it('tries again with another QEMU, and when what it remembers is damaged', async () => {
    const { choose, probes, store } = await setUp();
    await choose('broken');
    expect(await choose(undefined, { qemuVersion: 'QEMU 8.0' })).toMatchObject({ acceleration: 'kvm' });
    await writeFile(store.paths.acceleration, '{"version": 1, "ke');
    expect(await choose(undefined, { qemuVersion: 'QEMU 8.0' })).toMatchObject({ acceleration: 'kvm' });
    expect(probes()).toBe(3);
  });

  it('tries once when two ask at the same time', async () => {
    const { choose, probes } = await setUp();
    const choices = await Promise.all([choose('hangs'), choose('hangs'), choose('hangs')]);
    expect(choices.map((choice) => choice.reason)).toEqual(['hangs', 'hangs', 'hangs']);
    expect(probes()).toBe(1);
  });

  it('remembers nothing of a try that was cancelled', async () => {
    const { choose, probes } = await setUp();
    await expect(choose(undefined, { probe: () => Promise.reject(new Error('cancelled')) })).rejects.toThrow(
      'cancelled',
    );
    expect(await choose(undefined)).toMatchObject({ acceleration: 'kvm' });
    expect(probes()).toBe(1);
  });
});
