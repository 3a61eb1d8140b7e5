import { readFile, writeFile } from 'node:fs/promises';

import { describe, expect, it } from 'vitest';

import { identity, LIMITS, World } from './capacity-world.js';
import { recordNamed } from './vm-record.js';

const ADMITTED = { isAdmitted: true };

describe('room for VMs', () => {
  it('is there on a host that does nothing else', async () => {
    const world = await World.open();
    expect(await world.asker(1).look()).toEqual(ADMITTED);
  });

  it('is held by a ticket until there is a record, then by the record, and counts once while there are both', async () => {
    const world = await World.open();
    const first = world.asker(1);
    await first.look();
    const held = async () => (await world.capacity().snapshot()).held;
    expect(await held()).toMatchObject({ vms: 1, cpus: 1, memoryMiB: 1024, diskMiB: 1024 });
    await world.store.vms.create(recordNamed('vm-1', { incarnation: 'incarnation-1', cpus: 1, memoryMiB: 1024 }));
    expect(await held()).toMatchObject({ vms: 1, cpus: 1, memoryMiB: 1024, diskMiB: 1024 });
    await first.withdraw();
    expect(await held()).toMatchObject({ vms: 1, memoryMiB: 1024 });
    await world.store.vms.remove('vm-1');
    expect(await held()).toMatchObject({ vms: 0, cpus: 0, memoryMiB: 0, diskMiB: 0 });
  });

  it.each([
    ['VMs', { vms: 2 }, 'needs one more VM, 2 of 2 are there'],
    ['processors', { cpus: 2 }, 'needs 1 processor, 0 of 2 are free'],
    ['memory', { memoryMiB: 3000 }, 'needs 1.0 GiB of memory, 952 MiB of 2.9 GiB are free'],
    ['disk', { diskMiB: 2048 }, 'needs 1.0 GiB of disk, 0 B of 2.0 GiB are free'],
  ])('is limited in %s by its operator', async (_what, limits, text) => {
    const world = await World.open({ limits: { ...LIMITS, ...limits } });
    await world.asker(1).look();
    await world.asker(2).look();
    const third = world.asker(3);
    expect(await third.look()).toEqual({ isAdmitted: false, place: 1, waiting: 1 });
    expect(await third.shortage()).toBe(text);
  });

  it('is all memory less what stays free when nobody limits it', async () => {
    const world = await World.open({ totalMiB: 2560 });
    expect(await world.asker(1).look()).toEqual(ADMITTED);
    expect(await world.asker(2).look()).toEqual(ADMITTED);
    const third = world.asker(3);
    expect(await third.look()).toMatchObject({ isAdmitted: false });
    expect(await third.shortage()).toBe('needs 1.0 GiB of memory, 0 B of 2.0 GiB are free');
  });

  it('is not given twice on one measurement: what VMs were promised and have not used counts as gone', async () => {
    const world = await World.open({ availableMiB: 512 + 3 * 1024 });
    const admitted = [];
    for (let pid = 1; pid <= 20; pid += 1) admitted.push((await world.asker(pid).look()).isAdmitted);
    expect(admitted.filter(Boolean).length).toBe(3);
    expect(await world.asker(21).shortage()).toBe(
      'needs 1.0 GiB of memory that is really free, and there are 0 B besides the 512 MiB that stay free',
    );
  });

  it('counts what a VM has used in the measured memory only', async () => {
    const world = await World.open({ availableMiB: 512 + 1024 });
    await world.store.vms.create(recordNamed('vm-full', { memoryMiB: 4096, vmm: identity(70) }));
    world.used.set(70, 4096);
    expect(await world.asker(1).look()).toEqual(ADMITTED);
  });

  it('may be promised beyond what the host has when its operator says so, and what is measured still holds', async () => {
    const world = await World.open({ limits: { ...LIMITS, memoryMiB: 65_536 }, availableMiB: 512 + 2048 });
    const looks = [];
    for (let pid = 1; pid <= 6; pid += 1) looks.push(await world.asker(pid, { memoryMiB: 4096 }).look());
    expect(looks.map(({ isAdmitted }) => isAdmitted)).toEqual([true, true, true, true, false, false]);
  });

  it('is not there when the disk of the store is nearly full', async () => {
    const world = await World.open({ freeDiskMiB: 2000 });
    const asker = world.asker(1);
    expect(await asker.look()).toMatchObject({ isAdmitted: false });
    expect(await asker.shortage()).toBe('needs 1.0 GiB of disk besides the 1.0 GiB that stay free, 1.9 GiB are free');
    world.freeDiskMiB = 2048;
    expect(await asker.look()).toEqual(ADMITTED);
  });

  it('is counted for records of a newer version, and for damaged ones as far as they can be read', async () => {
    const world = await World.open();
    await world.store.vms.create(recordNamed('vm-new'));
    const { record } = world.store.vms.paths('vm-new');
    await writeFile(record, JSON.stringify({ version: 2, memoryMiB: 2048, cpus: 4, sockets: 'of another kind' }));
    await world.store.vms.create(recordNamed('vm-bad'));
    await writeFile(world.store.vms.paths('vm-bad').record, '{"version":1,"memo');
    expect((await world.capacity().snapshot()).held).toMatchObject({
      vms: 2,
      cpus: 4,
      memoryMiB: 2048,
      unknown: ['vm-bad'],
    });
  });

  it.each([
    [{ cpus: 4 }, { cpus: 8 }, 'not-allowed', 'more processors than all VMs of this host may have together: 8.'],
    [{ memoryMiB: 512 }, {}, 'not-allowed', 'more memory than all VMs of this host may have together: 1.0 GiB.'],
    [{ diskMiB: 512 }, {}, 'not-allowed', 'more disk than all VMs of this host may have together: 1.0 GiB.'],
    [{ vms: 0 }, {}, 'not-allowed', 'more VMs than all VMs of this host may have together: 1.'],
    [
      {},
      { memoryMiB: 9000 },
      'invalid-input',
      'more memory than this host has for VMs: 8.8 GiB. It has 8.0 GiB, of which 512 MiB stay free. Ask for at most 7680M.',
    ],
  ])('that will never be there is refused at once: %j for %j', async (limits, demand, code, sentence) => {
    const world = await World.open({ limits: { ...LIMITS, ...limits } });
    const asked = world.capacity().requirePossible({ cpus: 1, memoryMiB: 1024, diskMiB: 1024, ...demand });
    await expect(asked).rejects.toMatchObject({ code });
    await expect(asked).rejects.toThrow(sentence);
  });
});

describe('the queue for room', () => {
  const ONE = { limits: { ...LIMITS, vms: 1 } };

  it('is served in the order of coming, and nobody overtakes', async () => {
    const world = await World.open({ totalMiB: 4608 });
    const holder = world.asker(1, { memoryMiB: 3072 });
    await holder.look();
    const large = world.asker(2, { memoryMiB: 2048 });
    const small = world.asker(3, { memoryMiB: 512 });
    expect(await large.look()).toEqual({ isAdmitted: false, place: 1, waiting: 1 });
    expect(await small.look()).toEqual({ isAdmitted: false, place: 2, waiting: 2 });
    expect(await small.shortage()).toBeUndefined();
    await holder.withdraw();
    expect(await small.look()).toEqual({ isAdmitted: false, place: 2, waiting: 2 });
    expect(await large.look()).toEqual(ADMITTED);
    expect(await small.look()).toEqual(ADMITTED);
  });

  it('forgets who was killed, waiting or admitted', async () => {
    const world = await World.open(ONE);
    await world.asker(1).look();
    await world.asker(2).look();
    const third = world.asker(3);
    expect(await third.look()).toEqual({ isAdmitted: false, place: 2, waiting: 2 });
    world.dead.add(2);
    expect(await third.look()).toEqual({ isAdmitted: false, place: 1, waiting: 1 });
    world.dead.add(1);
    expect(await third.look()).toEqual(ADMITTED);
  });

  it('passes by who is stopped, and gives it its place back when it goes on', async () => {
    const world = await World.open(ONE);
    const holder = world.asker(1);
    await holder.look();
    const stopped = world.asker(2);
    await stopped.look();
    const third = world.asker(3);
    await third.look();
    world.uptime += 61_000;
    expect(await third.look()).toEqual({ isAdmitted: false, place: 1, waiting: 1 });
    expect(await stopped.look()).toEqual({ isAdmitted: false, place: 1, waiting: 2 });
    expect(await third.look()).toEqual({ isAdmitted: false, place: 2, waiting: 2 });
    expect((await world.capacity().snapshot()).held.vms).toBe(1);
  });

  it('keeps its order when the clock jumps', async () => {
    const world = await World.open(ONE);
    const holder = world.asker(1);
    await holder.look();
    const waiting = [2, 3, 4].map((pid) => world.asker(pid));
    for (const asker of waiting) {
      await asker.look();
      world.now -= 3_600_000;
    }
    world.now += 86_400_000;
    await holder.withdraw();
    const places = [];
    for (const asker of waiting.toReversed()) places.push(await asker.look());
    expect(places).toEqual([
      { isAdmitted: false, place: 3, waiting: 3 },
      { isAdmitted: false, place: 2, waiting: 3 },
      ADMITTED,
    ]);
  });

  it.each(['', 'no json', '{"tickets":[{"number":1}]}', 'null', '{"tickets":7}', '\0'.repeat(100)])(
    'is made anew when its file is damaged, in the order that it had: %j',
    async (damage) => {
      const world = await World.open(ONE);
      await world.store.vms.create(recordNamed('vm-there'));
      const [first, second, third] = [world.asker(2), world.asker(3), world.asker(4)];
      await first.look();
      await second.look();
      await writeFile(world.store.paths.capacity, damage);
      // The later ones look before the first one has put itself back.
      world.now += 5;
      await third.look();
      await second.look();
      expect(await first.look()).toEqual({ isAdmitted: false, place: 1, waiting: 3 });
      expect(await second.look()).toEqual({ isAdmitted: false, place: 2, waiting: 3 });
      expect(await third.look()).toEqual({ isAdmitted: false, place: 3, waiting: 3 });
    },
  );

  it('is stood in by nobody who would only take what is free: that one has room now, or leaves no ticket', async () => {
    const world = await World.open({ limits: { ...LIMITS, vms: 2 } });
    const capacity = world.capacity(9);
    const { signal } = new AbortController();
    const demand = { cpus: 1, memoryMiB: 1024, diskMiB: 1024 };
    const one = capacity.ticket('pool-1', 'pool-1', demand);
    expect(await capacity.tryAdmit(one, signal)).toBe(true);
    expect((await capacity.snapshot()).held).toMatchObject({ vms: 1, memoryMiB: 1024 });
    expect(await world.asker(1).look()).toEqual(ADMITTED);
    // No room.
    expect(await capacity.tryAdmit(capacity.ticket('pool-2', 'pool-2', demand), signal)).toBe(false);
    expect(await capacity.waiting()).toEqual([]);
    // Room, but for somebody who waits.
    expect(await world.asker(2).look()).toMatchObject({ isAdmitted: false, place: 1, waiting: 1 });
    await capacity.withdraw(one);
    expect(await capacity.tryAdmit(one, signal)).toBe(false);
    expect(await capacity.waiting()).toEqual([expect.objectContaining({ name: 'vm-2' })]);
  });

  it('is shown with who waits for what, and since when', async () => {
    const world = await World.open(ONE);
    await world.asker(1).look();
    await world.asker(2, { memoryMiB: 2048 }).look();
    const { queue } = await world.capacity().snapshot();
    expect(queue).toEqual([
      expect.objectContaining({
        name: 'vm-2',
        demand: { cpus: 1, memoryMiB: 2048, diskMiB: 1024 },
        since: 1_000_000,
        process: identity(2),
      }),
    ]);
    expect(JSON.parse(await readFile(world.store.paths.capacity, 'utf8'))).toMatchObject({ version: 1 });
  });
});
