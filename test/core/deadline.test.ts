import { describe, expect, it } from 'vitest';

import { abortReason, Deadline, delay } from '../../src/core/deadline.js';
import { VmRunnerError } from '../../src/core/errors.js';

const expired = (): VmRunnerError => new VmRunnerError('boot-timeout', 'too late');

describe('Deadline', () => {
  it('aborts with its own error when the time is over', async () => {
    using deadline = new Deadline(1, expired);
    await expect(delay(60_000, deadline.signal)).rejects.toThrow('too late');
  });

  it('aborts with the reason of its parent when that comes first', async () => {
    const parent = new AbortController();
    using deadline = new Deadline(60_000, expired, parent.signal);
    parent.abort(new VmRunnerError('cancelled', 'interrupted by SIGINT'));
    await expect(delay(60_000, deadline.signal)).rejects.toThrow('interrupted by SIGINT');
  });

  it('never aborts once it is disposed', async () => {
    const deadline = new Deadline(1, expired);
    deadline[Symbol.dispose]();
    await delay(20);
    expect(deadline.signal.aborted).toBe(false);
  });

  it('takes a bare abort for a cancel', () => {
    const controller = new AbortController();
    controller.abort();
    expect(abortReason(controller.signal)).toMatchObject({ code: 'cancelled', message: 'cancelled' });
  });
});
