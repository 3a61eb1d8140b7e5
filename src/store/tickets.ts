import { readFile } from 'node:fs/promises';

import { fileError, systemCode } from '../core/errors.js';
import { parseProcessIdentity, type ProcessIdentity } from '../core/process-identity.js';
import { demandOf } from './holdings.js';
import type { Demand } from './room.js';
import { writeTransient } from './whole-file.js';

/** One that waits for room, or was given some and has no record yet. */
export interface Ticket {
  /** Lower ones come first. */
  readonly number: number;
  /** Of the VM that is to be. */
  readonly name: string;
  readonly incarnation: string;
  readonly demand: Demand;
  /** Who waits. When it is gone, so is the ticket. */
  readonly process: ProcessIdentity;
  readonly isAdmitted: boolean;
  /** When it came, in milliseconds since 1970. Shown to people; clocks decide nothing here. */
  readonly since: number;
  /** When its process last looked, in milliseconds since the host was started. */
  readonly seen: number;
}

/**
 * The tickets in a file, in their order. One that is missing or damaged is empty, so that it never keeps anybody from working:
 * who waits puts its ticket back, with its number.
 */
export async function readTickets(file: string): Promise<readonly Ticket[]> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (cause) {
    if (systemCode(cause) === 'ENOENT') return [];
    throw fileError('read who waits for room', file, cause);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return [];
  }
  const tickets = (value as { readonly tickets?: unknown } | null)?.tickets;
  if (!Array.isArray(tickets)) return [];
  return tickets
    .map(parseTicket)
    .filter((ticket) => ticket !== undefined)
    .sort((a, b) => a.number - b.number);
}

export async function writeTickets(file: string, tickets: readonly Ticket[]): Promise<void> {
  // A ticket is worth nothing once the host was started anew: all of their processes are gone then.
  await writeTransient(file, `${JSON.stringify({ version: 1, tickets }, undefined, 2)}\n`);
}

function parseTicket(value: unknown): Ticket | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { number, name, incarnation, demand, process, isAdmitted, since, seen } = value as Partial<
    Record<keyof Ticket, unknown>
  >;
  const identity = parseProcessIdentity(process);
  const wanted = typeof demand === 'object' && demand !== null ? demandOf({ ...demand }) : undefined;
  if (typeof number !== 'number' || typeof name !== 'string' || typeof incarnation !== 'string') return undefined;
  if (typeof since !== 'number' || typeof seen !== 'number') return undefined;
  if (identity === undefined || wanted === undefined) return undefined;
  return { number, name, incarnation, demand: wanted, process: identity, isAdmitted: isAdmitted === true, since, seen };
}
