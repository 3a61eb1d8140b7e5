import path from 'node:path';

import type { ProcessIdentity, ProcessTable } from '../../src/core/process-identity.js';
import { Capacity, type Admission } from '../../src/store/capacity.js';
import type { Demand, RoomLimits } from '../../src/store/room.js';
import { openStore, type Store } from '../../src/store/store.js';
import type { Ticket } from '../../src/store/tickets.js';
import { temporaryDirectory } from '../support/temporary-directory.js';
import { processes } from './vm-record.js';

export const LIMITS: RoomLimits = { keepFreeMemoryMiB: 512, keepFreeDiskMiB: 1024 };

/** A host of 8 GiB of which everything can be set. */
export class World {
  readonly store: Store;
  limits: RoomLimits = LIMITS;
  totalMiB = 8192;
  availableMiB = 8192;
  freeDiskMiB = 100_000;
  now = 1_000_000;
  uptime = 50_000;
  readonly used = new Map<number, number>();
  readonly dead = new Set<number>();

  private constructor(store: Store) {
    this.store = store;
  }

  static async open(change: Partial<World> = {}): Promise<World> {
    const world = new World(await openStore(path.join(await temporaryDirectory(), 'home'), processes));
    return Object.assign(world, change);
  }

  /** The capacity as a process sees it. */
  capacity(pid = process.pid): Capacity {
    const memory = {
      read: () => ({ total: this.totalMiB * 2 ** 20, available: this.availableMiB * 2 ** 20 }),
      usedBy: (of: number) => (this.used.get(of) ?? 0) * 2 ** 20,
    };
    return new Capacity({
      store: this.store,
      processes: this.processes(pid),
      memory,
      limits: this.limits,
      freeDisk: () => Promise.resolve(this.freeDiskMiB * 2 ** 20),
      now: () => this.now,
      uptime: () => this.uptime,
    });
  }

  processes(pid: number): ProcessTable {
    return {
      self: identity(pid),
      identify: (other) => (this.dead.has(other) ? undefined : identity(other)),
      isAlive: (other) => !this.dead.has(other.pid),
    };
  }

  /** One that asks, as a process of its own. */
  asker(pid: number, demand: Partial<Demand> = {}): Asker {
    return new Asker(this.capacity(pid), pid, { cpus: 1, memoryMiB: 1024, diskMiB: 1024, ...demand });
  }
}

export class Asker {
  readonly #capacity: Capacity;
  #ticket: Ticket;

  constructor(capacity: Capacity, pid: number, demand: Demand) {
    this.#capacity = capacity;
    this.#ticket = capacity.ticket(`vm-${pid}`, `incarnation-${pid}`, demand);
  }

  async look(): Promise<Admission> {
    const { ticket, admission } = await this.#capacity.admit(this.#ticket, new AbortController().signal);
    this.#ticket = ticket;
    return admission;
  }

  async shortage(): Promise<string | undefined> {
    return (await this.#capacity.shortage(this.#ticket)).shortage?.text;
  }

  async withdraw(): Promise<void> {
    await this.#capacity.withdraw(this.#ticket);
  }
}

export function identity(pid: number): ProcessIdentity {
  return { pid, startTime: '1', bootId: 'boot' };
}
