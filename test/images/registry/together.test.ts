import { describe, expect, it } from 'vitest';

import { VmRunnerError } from '../../../src/core/errors.js';
import { together } from '../../../src/images/registry/together.js';

const untilStopped = (signal: AbortSignal, ended: () => void): Promise<void> =>
  new Promise((_, reject) => {
    signal.addEventListener('abort', () => {
      ended();
      reject(new Error('stopped'));
    });
  });

describe('tasks together', () => {
  it('end all when one fails, and tell what it was', async () => {
    let ended = 0;
    const tasks = [
      (signal: AbortSignal) => untilStopped(signal, () => (ended += 1)),
      () => Promise.reject(new Error('the reason')),
      (signal: AbortSignal) => untilStopped(signal, () => (ended += 1)),
    ];
    await expect(together(tasks, new AbortController().signal)).rejects.toThrow('the reason');
    expect(ended).toBe(2);
  });

  it('end with the reason of whoever stops them', async () => {
    const controller = new AbortController();
    const waiting = together([(signal) => untilStopped(signal, () => undefined)], controller.signal);
    controller.abort(new VmRunnerError('cancelled', 'no longer wanted'));
    await expect(waiting).rejects.toThrow('no longer wanted');
  });
});
