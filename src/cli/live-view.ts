import type { World } from './world.js';
import { Interruption } from './world.js';

/**
 * Runs something that is looked at until the reader has enough: Ctrl-C is how it ends well. Whatever else ends it, a SIGTERM
 * too, is what it is everywhere.
 */
export async function untilInterrupted(world: World, work: () => Promise<void>): Promise<number> {
  try {
    await work();
  } catch (error) {
    if (!isEnough(world.signal)) throw error;
  }
  return 0;
}

function isEnough(signal: AbortSignal): boolean {
  if (!signal.aborted) return false;
  const cause: unknown = signal.reason instanceof Error ? signal.reason.cause : undefined;
  return cause instanceof Interruption && cause.message === 'SIGINT';
}
