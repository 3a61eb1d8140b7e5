import { describe, expect, it } from 'vitest';

import { VmRunnerError } from '../../../src/core/errors.js';
import { Slots } from '../../../src/images/registry/slots.js';

/** Something to wait for that the test ends. */
function gate(): { readonly passed: Promise<void>; readonly open: () => void } {
  let open = (): void => undefined;
  const passed = new Promise<void>((resolve) => (open = resolve));
  return { passed, open };
}

describe('slots', () => {
  it('let in so many, in the order in which they came', async () => {
    const slots = new Slots(2);
    const { signal } = new AbortController();
    const gates = [gate(), gate(), gate(), gate()];
    const begun: number[] = [];
    const done = gates.map(({ passed }, at) =>
      slots.run(signal, () => {
        begun.push(at);
        return passed;
      }),
    );
    await expect.poll(() => begun).toEqual([0, 1]);
    gates[1]?.open();
    await expect.poll(() => begun).toEqual([0, 1, 2]);
    for (const { open } of gates) open();
    await Promise.all(done);
    expect(begun).toEqual([0, 1, 2, 3]);
  });

  it('are free again after a failure, and after somebody who stopped waiting', async () => {
    const slots = new Slots(1);
    const { signal } = new AbortController();
    const first = gate();
    const failing = slots.run(signal, async () => {
      await first.passed;
      throw new Error('broken');
    });
    const impatient = new AbortController();
    const leaving = slots.run(impatient.signal, () => Promise.resolve());
    const last = slots.run(signal, () => Promise.resolve('in'));
    impatient.abort(new VmRunnerError('cancelled', 'enough'));
    await expect(leaving).rejects.toThrow('enough');
    first.open();
    await expect(failing).rejects.toThrow('broken');
    expect(await last).toBe('in');
  });
});
