import { Deadline, delay } from '../core/deadline.js';
import { toVmRunnerError, VmRunnerError } from '../core/errors.js';
import type { Log } from '../core/log.js';
import { formatCount, formatDuration } from '../core/units.js';
import type { CreateContext, Host } from '../providers/provider.js';
import type { Capacity, Standing } from '../store/capacity.js';
import type { Demand } from '../store/room.js';
import type { Ticket } from '../store/tickets.js';
import { giveWay } from './give-way.js';
import { reapOrphans } from './reap.js';

export interface RoomRequest {
  readonly name: string;
  readonly incarnation: string;
  readonly demand: Demand;
  /** 0: it does not wait. */
  readonly waitMs: number;
}

type RoomContext = Pick<CreateContext, 'log' | 'timeline' | 'signal'>;

export interface Reservation {
  /** For when the VM has its record, or will never have one. */
  release(): Promise<void>;
}

/** The first in the queue looks that often; those behind it less, each by its place. */
const POLL_MS = 100;
const LONGEST_POLL_MS = 1000;
const TELL_EVERY_MS = 30_000;
/** What is waited for may be held by VMs that nobody wants any more. */
const REAP_EVERY_MS = 5000;
/** For giving a ticket back, which whoever cancels must not wait for. */
const WITHDRAW_TIMEOUT_MS = 5000;

/**
 * Holds room for a VM, and waits for it in the queue of this host while there is none.
 *
 * A template that is made for the VM first needs no room of its own: its QEMU ends before that of the VM starts, and is of the same
 * size.
 * @throws no-capacity when there is no room in time, disk-full when nobody could make any, not-allowed or invalid-input when
 * there will never be.
 */
export async function reserve(host: Host, request: RoomRequest, context: RoomContext): Promise<Reservation> {
  const { capacity } = host;
  await capacity.requirePossible(request.demand);
  const ticket = capacity.ticket(request.name, request.incarnation, request.demand);
  const release = (): Promise<void> => withdraw(capacity, ticket, context.log);
  try {
    const first = await capacity.admit(ticket, context.signal);
    if (!first.admission.isAdmitted) await waitForRoom(host, request, first, context);
    return { release };
  } catch (error) {
    await release();
    throw error;
  }
}

async function waitForRoom(
  host: Host,
  { name, waitMs }: RoomRequest,
  first: Standing,
  { log, timeline, signal }: RoomContext,
): Promise<void> {
  const { capacity } = host;
  const startMs = timeline.elapsedMs;
  let { ticket, admission } = first;
  let reason = '';
  let toldPlace = 0;
  let toldAt = startMs;
  let reapedAt = startMs;
  using deadline = new Deadline(waitMs, () => noRoom(waitMs, reason), signal);
  try {
    while (!admission.isAdmitted) {
      const { place, waiting } = admission;
      if (place === 1 && (await giveWay(host, ticket, log))) {
        // Also for one that does not wait: what it lacks may be there now.
        ({ ticket, admission } = await capacity.admit(ticket, signal));
        continue;
      }
      if (place !== toldPlace || timeline.elapsedMs - toldAt >= TELL_EVERY_MS) {
        reason = await whatFor(capacity, ticket);
        if (waitMs === 0) throw noRoom(waitMs, reason);
        if (toldPlace === 0) await host.store.events.add('vm', 'waiting', name, { place, reason }, log);
        log.info(`waiting for room: place ${place} of ${waiting}; ${reason}`);
        [toldPlace, toldAt] = [place, timeline.elapsedMs];
      }
      if (place === 1 && timeline.elapsedMs - reapedAt >= REAP_EVERY_MS) {
        await reapOrphans(host, log);
        reapedAt = timeline.elapsedMs;
      }
      await delay(Math.min(POLL_MS * place, LONGEST_POLL_MS), deadline.signal);
      ({ ticket, admission } = await capacity.admit(ticket, deadline.signal));
    }
    await host.store.events.add('vm', 'admitted', name, { ms: Math.round(timeline.elapsedMs - startMs) }, log);
  } finally {
    timeline.add({ name: 'room', startMs, endMs: timeline.elapsedMs });
  }
}

/** @throws disk-full when the disk has too little space and no VM is there whose end could make some. */
async function whatFor(capacity: Capacity, ticket: Ticket): Promise<string> {
  const { shortage, held } = await capacity.shortage(ticket);
  if (shortage === undefined) return 'those before it come first';
  if (shortage.of === 'disk' && held.vms === 0) {
    throw new VmRunnerError('disk-full', 'too little space on the disk of the store for a VM', {
      subject: shortage.text,
      hint: 'Free some space (vm-runner gc), or point VM_RUNNER_HOME to a larger disk.',
    });
  }
  const holders = formatCount(held.vms, 'VM');
  const unknown = held.unknown.length === 0 ? '' : `, of which ${held.unknown.join(', ')} cannot be read`;
  return `${shortage.text} (held by ${holders}${unknown})`;
}

function noRoom(waitMs: number, reason: string): VmRunnerError {
  const when = waitMs === 0 ? 'now' : `within ${formatDuration(waitMs)}`;
  return new VmRunnerError('no-capacity', `no room for a VM on this host ${when}`, {
    subject: reason,
    hint: 'See who has it with: vm-runner ps. Wait longer with wait, or let fewer jobs run at once.',
  });
}

export async function withdraw(capacity: Capacity, ticket: Ticket, log: Log): Promise<void> {
  try {
    await capacity.withdraw(ticket, AbortSignal.timeout(WITHDRAW_TIMEOUT_MS));
  } catch (error) {
    // Nothing is lost: it ends with this process, and until then it only keeps others waiting.
    log.warn(`room is given back late: ${toVmRunnerError(error).message}`);
  }
}
