import type { HostConfig } from '../config/host-config.js';
import type { Installation } from '../process/installation.js';

/** What the command line sees of the outside: read once by index.ts, and by nobody else. */
export interface Outside {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly uid: number | undefined;
  readonly pid: number;
  readonly stdin: NodeJS.ReadStream;
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
  readonly installation: Installation;
  /** Aborts on Ctrl-C, SIGTERM and SIGHUP, with an error whose cause is a {@link Interruption}. */
  readonly signal: AbortSignal;
}

/** What a command works with. */
export interface World extends Outside {
  /** What is in force on this host; read at the first call. @throws host-config-invalid */
  readonly config: () => Promise<HostConfig>;
}

/** Why the user wants it to end, and the exit code that says so. */
export class Interruption extends Error {
  readonly exitCode: number;

  constructor(name: string, exitCode: number) {
    super(name);
    this.exitCode = exitCode;
  }
}
