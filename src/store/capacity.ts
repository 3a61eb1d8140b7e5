import path from 'node:path';

import type { HostMemory } from '../core/host-memory.js';
import type { ProcessTable } from '../core/process-identity.js';
import { freeBytes } from './disk-use.js';
import { readHoldings, type Holding } from './holdings.js';
import { acquireLock } from './lock.js';
import { requirePossible, shortageOf, unusedMemoryMiB } from './room.js';
import type { Demand, Held, Measured, RoomLimits, Shortage } from './room.js';
import type { Store } from './store.js';
import { readTickets, writeTickets, type Ticket } from './tickets.js';

export interface CapacityOptions {
  readonly store: Pick<Store, 'paths' | 'vms'>;
  readonly processes: ProcessTable;
  readonly memory: HostMemory;
  readonly limits: RoomLimits;
  /** Bytes that may still be written below a directory. */
  readonly freeDisk?: (directory: string) => Promise<number>;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
  /** Milliseconds since this host was started: the same clock in all processes, which nobody sets. */
  readonly uptime?: () => number;
}

/** Where a ticket stands. `place` counts from 1, among those that wait. */
export type Admission =
  { readonly isAdmitted: true } | { readonly isAdmitted: false; readonly place: number; readonly waiting: number };

/** A ticket after a look, for the next one. */
export interface Standing {
  readonly ticket: Ticket;
  readonly admission: Admission;
}

/** What there is and who has it, for people. */
export interface CapacitySnapshot {
  readonly limits: RoomLimits;
  readonly held: Held;
  readonly measured: Measured;
  /** Those that wait, first come first. */
  readonly queue: readonly Ticket[];
}

/** One that has not looked for so long is stopped, and must not keep the others. When it goes on it has its place back. */
const STALE_MS = 60_000;
const SEEN_EVERY_MS = 10_000;

/**
 * The room for VMs on this host, for all processes that share the store. What is held is what the records of VMs say, so it is
 * given back by whatever takes a VM away; until there is a record a ticket holds it, as long as its process lives.
 *
 * Who comes first is served first: one that needs much is not overtaken by those that need little, or it would wait for ever.
 * Two stores on one host do not know of each other; what is measured keeps them apart.
 */
export class Capacity {
  readonly limits: RoomLimits;
  readonly #options: CapacityOptions;
  readonly #now: () => number;
  readonly #uptime: () => number;

  constructor(options: CapacityOptions) {
    this.limits = options.limits;
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#uptime = options.uptime ?? ((): number => Number(process.hrtime.bigint() / 1_000_000n));
  }

  /** @throws not-allowed or invalid-input when there will never be room for that. */
  async requirePossible(demand: Demand): Promise<void> {
    requirePossible(this.limits, await this.#measure(), demand);
  }

  /** A ticket for one who asks now. It counts from the first {@link admit} on. */
  ticket(name: string, incarnation: string, demand: Demand): Ticket {
    const process = this.#options.processes.self;
    return { ...{ number: 0, name, incarnation, demand, process }, isAdmitted: false, since: this.#now(), seen: 0 };
  }

  /** One look whether it is the ticket's turn and there is room: then it holds it. */
  async admit(ticket: Ticket, signal: AbortSignal): Promise<Standing> {
    const unchanged = await this.#standing(ticket);
    if (unchanged !== undefined) return { ticket, admission: unchanged };
    return await this.#locked(signal, async (present) => {
      const others = present.filter(({ incarnation }) => incarnation !== ticket.incarnation);
      const number = ticket.number === 0 ? this.#nextNumber(others) : ticket.number;
      const current = { ...ticket, number, seen: this.#uptime() };
      const waiting = others.filter((other) => !other.isAdmitted);
      const place = 1 + waiting.filter((other) => other.number < number).length;
      const isAdmitted = place === 1 && (await this.#shortage(others, ticket.demand)) === undefined;
      const admitted = { ...current, isAdmitted };
      const admission: Admission = isAdmitted ? { isAdmitted } : { isAdmitted, place, waiting: waiting.length + 1 };
      return { tickets: [...others, admitted], result: { ticket: admitted, admission } };
    });
  }

  /**
   * As {@link admit} for one that does not queue: without room now, or while others wait, nothing is left of its ticket.
   * @returns whether it holds its room
   */
  async tryAdmit(ticket: Ticket, signal: AbortSignal): Promise<boolean> {
    return await this.#locked(signal, async (present) => {
      const isFree = present.every((other) => other.isAdmitted);
      const isAdmitted = isFree && (await this.#shortage(present, ticket.demand)) === undefined;
      const admitted = { ...ticket, number: this.#nextNumber(present), seen: this.#uptime(), isAdmitted };
      return { tickets: isAdmitted ? [...present, admitted] : present, result: isAdmitted };
    });
  }

  /** Those that wait, first come first. Costs one read. */
  async waiting(): Promise<readonly Ticket[]> {
    const tickets = this.#live(await readTickets(this.#options.store.paths.capacity));
    return tickets.filter(({ isAdmitted }) => !isAdmitted);
  }

  /** What the ticket waits for; `undefined` when it is only for those before it. */
  async shortage({ incarnation, demand }: Ticket): Promise<{ readonly shortage?: Shortage; readonly held: Held }> {
    const tickets = this.#live(await readTickets(this.#options.store.paths.capacity));
    const others = tickets.filter((other) => other.incarnation !== incarnation);
    const [held, measured] = await Promise.all([this.#held(others), this.#measure()]);
    const shortage = shortageOf(this.limits, held, measured, demand);
    return shortage === undefined ? { held } : { held, shortage };
  }

  /** Gives the ticket back: its VM has a record by now, or will never be. */
  async withdraw({ incarnation }: Ticket, signal?: AbortSignal): Promise<void> {
    await this.#locked(signal, (present) => {
      const tickets = present.filter((other) => other.incarnation !== incarnation);
      return Promise.resolve({ tickets, result: undefined });
    });
  }

  async snapshot(): Promise<CapacitySnapshot> {
    const tickets = this.#live(await readTickets(this.#options.store.paths.capacity));
    const [held, measured] = await Promise.all([this.#held(tickets), this.#measure()]);
    return { limits: this.limits, held, measured, queue: tickets.filter(({ isAdmitted }) => !isAdmitted) };
  }

  /** Where a ticket stands that is not the first: costs one read. `undefined` when a closer look is due. */
  async #standing({ number, incarnation }: Ticket): Promise<Admission | undefined> {
    if (number === 0) return undefined;
    const waiting = await this.waiting();
    const index = waiting.findIndex((other) => other.incarnation === incarnation);
    const own = waiting[index];
    if (own === undefined || index === 0 || this.#uptime() - own.seen > SEEN_EVERY_MS) return undefined;
    return { isAdmitted: false, place: index + 1, waiting: waiting.length };
  }

  async #locked<T>(
    signal: AbortSignal | undefined,
    change: (tickets: readonly Ticket[]) => Promise<{ readonly tickets: readonly Ticket[]; readonly result: T }>,
  ): Promise<T> {
    const { store, processes } = this.#options;
    const lock = await acquireLock(path.join(store.paths.locks, 'capacity'), { processes, signal });
    try {
      const { tickets, result } = await change(this.#live(await readTickets(store.paths.capacity)));
      await writeTickets(store.paths.capacity, tickets);
      return result;
    } finally {
      await lock.release();
    }
  }

  /** Later than all that wait; and, should the file be lost, later than those that put themselves back. */
  #nextNumber(others: readonly Ticket[]): number {
    return Math.max(this.#now(), ...others.map(({ number }) => number + 1));
  }

  #live(tickets: readonly Ticket[]): readonly Ticket[] {
    const oldest = this.#uptime() - STALE_MS;
    return tickets.filter(
      ({ process, isAdmitted, seen }) => this.#options.processes.isAlive(process) && (isAdmitted || seen >= oldest),
    );
  }

  async #shortage(others: readonly Ticket[], demand: Demand): Promise<Shortage | undefined> {
    const [held, measured] = await Promise.all([this.#held(others), this.#measure()]);
    return shortageOf(this.limits, held, measured, demand);
  }

  async #held(tickets: readonly Ticket[]): Promise<Held> {
    // Tickets were read before: one whose record comes now counts once, since then the record takes its place.
    const recorded = await readHoldings(this.#options.store.vms);
    const known = new Set(recorded.map(({ incarnation }) => incarnation));
    const promised: Holding[] = tickets
      .filter(({ isAdmitted, incarnation }) => isAdmitted && !known.has(incarnation))
      .map(({ name, incarnation, demand }) => ({ name, incarnation, demand, vmm: undefined }));
    return this.#sum([...recorded, ...promised]);
  }

  #sum(holdings: readonly Holding[]): Held {
    const held = { vms: holdings.length, cpus: 0, memoryMiB: 0, diskMiB: 0, unusedMemoryMiB: 0 };
    const unknown: string[] = [];
    for (const { name, demand, vmm } of holdings) {
      if (demand === undefined) {
        unknown.push(name);
        continue;
      }
      held.cpus += demand.cpus;
      held.memoryMiB += demand.memoryMiB;
      held.diskMiB += demand.diskMiB;
      const isRunning = vmm !== undefined && this.#options.processes.isAlive(vmm);
      const usedMiB = isRunning ? mebibytes(this.#options.memory.usedBy(vmm.pid)) : 0;
      held.unusedMemoryMiB += unusedMemoryMiB(this.limits, demand.memoryMiB, usedMiB);
    }
    return { ...held, unknown };
  }

  async #measure(): Promise<Measured> {
    const { store, memory, freeDisk = freeBytes } = this.#options;
    const { total, available } = memory.read();
    return {
      totalMemoryMiB: mebibytes(total),
      availableMemoryMiB: mebibytes(available),
      freeDiskMiB: mebibytes(await freeDisk(store.paths.home)),
    };
  }
}

function mebibytes(bytes: number): number {
  return bytes / 2 ** 20;
}
