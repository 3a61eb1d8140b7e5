import type { Writable } from 'node:stream';

import type { Installation } from '../process/installation.js';

/** What a driver call sees of the outside: read once by index.ts, and by nobody else. */
export interface World {
  /** Behind the name of the program: the stage, the operator's arguments, the Runner's arguments. */
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly uid: number | undefined;
  /** The Runner: the shims `exec`, so nothing stands between it and us. */
  readonly parentPid: number;
  readonly stdout: Writable;
  readonly stderr: Writable;
  readonly installation: Installation;
  /** Aborts when the Runner wants the call to end (SIGTERM), and when nobody reads our output any more. */
  readonly signal: AbortSignal;
}
