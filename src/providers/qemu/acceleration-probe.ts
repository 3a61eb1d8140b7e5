import { tryProgram } from '../../process/run.js';
import { baseArguments, KERNEL_LINE, type Acceleration } from './machine.js';
import { QEMU_INSTALL_HINT } from './version.js';

export interface ProbeOptions {
  readonly binary: string;
  /** A guest kernel. */
  readonly kernel: string;
  readonly acceleration: Acceleration;
  readonly searchPath: string;
  readonly timeoutSeconds?: number;
  readonly signal?: AbortSignal | undefined;
}

/** As many as a VM gets by default: some hosts fail only with more than one. */
const PROBE_CPUS = 2;
const PROBE_MEMORY_MIB = 256;
/** What Linux says last, having no root file system: it came through all of its own start. */
const MARKER = 'Kernel panic - not syncing: VFS: Unable to mount root fs';
const KILLED = 128 + 9;

/**
 * Whether guests run with this acceleration, found out by doing: a kernel without a root file system starts, panics and
 * thereby ends QEMU. Where `/dev/kvm` only pretends, QEMU fails or the guest hangs for ever.
 *
 * @returns `undefined` when they do, else why not
 */
export async function probeAcceleration(options: ProbeOptions): Promise<string | undefined> {
  const { binary, kernel, acceleration, searchPath, timeoutSeconds = 10, signal } = options;
  const argv = [
    // A guest that hangs must end also when we are killed in the meantime.
    ...['timeout', '--foreground', '--signal=KILL', String(timeoutSeconds)],
    binary,
    ...baseArguments(acceleration, PROBE_CPUS, PROBE_MEMORY_MIB),
    ...['-serial', 'stdio', '-kernel', kernel, '-append', KERNEL_LINE],
  ];
  const result = await tryProgram(argv, {
    env: { PATH: searchPath },
    timeoutMs: (timeoutSeconds + 5) * 1000,
    signal,
    installHint: QEMU_INSTALL_HINT,
  });
  if (result.exitCode === 0 && result.stdout.includes(MARKER)) return undefined;
  if (result.exitCode === KILLED) return `a test guest hung for ${timeoutSeconds} s`;
  const said = result.stderr.trim().split('\n').at(-1) ?? '';
  return said === '' ? 'a test guest did not come up' : `QEMU said: ${said}`;
}
