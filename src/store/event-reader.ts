import { parseEvent, type HostEvent } from './events.js';
import { follow, lengthOf } from './follow.js';
import type { StorePaths } from './paths.js';

export interface ReadEvents {
  /** Milliseconds since 1970. Absent: only what happens from now on. */
  readonly since: number | undefined;
  /** Where it ends. Absent: never. */
  readonly until: number | undefined;
  readonly signal: AbortSignal;
  readonly now?: () => number;
}

/** A longer line is no event. */
const MOST_LINE = 64 * 1024;

/** Events of this host in the order in which they were written down: those since a time, and on as they happen. */
export async function* readEvents(
  { events, eventsBefore }: Pick<StorePaths, 'events' | 'eventsBefore'>,
  { since, until = Infinity, signal, now = Date.now }: ReadEvents,
): AsyncGenerator<HostEvent, void, void> {
  const from = since === undefined ? await lengthOf(events) : 0;
  const isWanted = (event: HostEvent): boolean => event.time >= (since ?? 0) && event.time <= until;
  if (since !== undefined) {
    const past = follow(eventsBefore, { goesOn: () => Promise.resolve(false), signal });
    for await (const line of linesOf(past)) {
      const event = parseEvent(line);
      if (event !== undefined && isWanted(event)) yield event;
    }
  }
  const goesOn = (): Promise<boolean> => Promise.resolve(now() < until);
  for await (const line of linesOf(follow(events, { from, goesOn, signal }))) {
    const event = parseEvent(line);
    if (event !== undefined && isWanted(event)) yield event;
  }
}

async function* linesOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string, void, void> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of chunks) {
    rest = Buffer.concat([rest, chunk]);
    for (let end = rest.indexOf('\n'); end !== -1; end = rest.indexOf('\n')) {
      yield rest.toString('utf8', 0, end);
      rest = rest.subarray(end + 1);
    }
    if (rest.length > MOST_LINE) rest = Buffer.alloc(0);
  }
}
