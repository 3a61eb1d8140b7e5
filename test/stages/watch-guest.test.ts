import { create } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';

import { UsageResponseSchema } from '../../src/guest/gen/vmrunner/agent/v1/system_pb.js';
import { GuestWatch, type GuestWatchTimes } from '../../src/stages/watch-guest.js';
import { keptLog } from '../support/fake-host.js';

const TIMES: GuestWatchTimes = { usageMs: 1, silentMs: 25, unreachableMs: 600_000 };

/** A guest whose kernel has killed so many programs each time it is asked; `undefined`: it says nothing any more. */
function guest(...kills: readonly (bigint | undefined)[]) {
  let asked = 0;
  let heardAt = performance.now();
  let isPrinting = false;
  const speak = (): void => void (heardAt = performance.now());
  const agent = {
    get heardAt() {
      return isPrinting ? performance.now() : heardAt;
    },
    usage: (signal?: AbortSignal) => {
      const oomKills = kills[Math.min(asked, kills.length - 1)];
      asked += 1;
      if (oomKills !== undefined) {
        speak();
        return Promise.resolve(create(UsageResponseSchema, { oomKills, memoryBytes: 2n ** 29n }));
      }
      return new Promise<never>((_, reject) => {
        signal?.addEventListener('abort', () => reject(new Error('no answer')));
      });
    },
  };
  /** Its program prints without a pause, until it does not. */
  const prints = (does: boolean): void => {
    isPrinting = does;
    speak();
  };
  return { agent, prints, asked: () => asked };
}

function watch({ agent }: ReturnType<typeof guest>, times: Partial<GuestWatchTimes> = {}) {
  const log = keptLog();
  const over = new AbortController();
  const watched = new GuestWatch(agent, log, { ...TIMES, ...times });
  return { log, watched, running: watched.run(over.signal), end: () => over.abort() };
}

describe('a guest that is asked how it is', () => {
  it('is told of when its kernel killed programs since it was asked first, once for each time', async () => {
    const asked = guest(5n, 5n, 6n, 6n, 9n, 9n);
    const { log, running, end } = watch(asked, { silentMs: 600_000 });
    await expect.poll(asked.asked).toBeGreaterThan(6);
    end();
    expect(await running).toBeUndefined();
    const rest = 'its memory is used up (512 MiB); ask for more with memory';
    expect(log.lines).toEqual([
      `warn: the guest's kernel killed 1 program: ${rest}`,
      `warn: the guest's kernel killed 3 programs: ${rest}`,
    ]);
  });

  it('is told of when it is silent, once each time, and the job goes on when it speaks again', async () => {
    const silent = guest(undefined);
    const { log, running, end } = watch(silent);
    await expect.poll(() => log.lines).toHaveLength(1);
    const before = silent.asked();
    await expect.poll(silent.asked).toBeGreaterThan(before + 2);
    expect(log.lines).toEqual([
      expect.stringMatching(/^warn: the guest has not answered for .*ended when it stays silent for 10 m/),
    ]);
    silent.prints(true);
    const answered = silent.asked();
    await expect.poll(silent.asked).toBeGreaterThan(answered + 2);
    silent.prints(false);
    await expect.poll(() => log.lines).toHaveLength(2);
    end();
    expect(await running).toBeUndefined();
  });

  it('is given up when it is silent for too long', async () => {
    const { log, running } = watch(guest(1n, undefined), { silentMs: 10, unreachableMs: 500 });
    expect(await running).toMatchObject({ code: 'agent-unreachable', blame: 'infra' });
    expect(log.lines).toHaveLength(1);
  });

  it('is not asked at the end of a program that was short', async () => {
    const asked = guest(1n);
    await new GuestWatch(asked.agent, keptLog(), TIMES).askLast();
    expect(asked.asked()).toBe(0);
  });
});
