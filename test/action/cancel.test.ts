import { EventEmitter } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';

import { describe, expect, it } from 'vitest';

import { cancelSignal, untilCancelled } from '../../src/action/cancel.js';

describe('untilCancelled', () => {
  it('is the work as long as nobody cancels', async () => {
    const { signal } = new AbortController();
    expect(await untilCancelled(Promise.resolve(5), signal, 10)).toBe(5);
    await expect(untilCancelled(Promise.reject(new Error('own')), signal, 10)).rejects.toThrow('own');
  });

  it('waits for work that lets go, and no longer than the grace for work that does not', async () => {
    const process = new EventEmitter();
    const signal = cancelSignal(process);
    const start = performance.now();
    let isDone = false;
    const stubborn = untilCancelled(new Promise(() => undefined), signal, 200);
    const obedient = untilCancelled(
      new Promise<void>((resolve) => {
        signal.addEventListener('abort', () => {
          isDone = true;
          resolve();
        });
      }),
      signal,
      10_000,
    );
    process.emit('SIGINT');
    process.emit('SIGTERM');
    await expect(obedient).rejects.toMatchObject({ code: 'cancelled', subject: 'SIGINT' });
    expect(isDone).toBe(true);
    await expect(stubborn).rejects.toMatchObject({ code: 'cancelled' });
    const took = performance.now() - start;
    expect(took).toBeGreaterThan(190);
    expect(took).toBeLessThan(3000);
  });

  it('swallows what abandoned work throws later', async () => {
    const signal = AbortSignal.abort();
    const late = sleep(20).then(() => Promise.reject(new Error('late')));
    await expect(untilCancelled(late, signal, 1)).rejects.toMatchObject({ code: 'cancelled' });
    await sleep(40);
  });
});
