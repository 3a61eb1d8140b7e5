import { VmRunnerError } from '../../core/errors.js';
import { confined, type Confinement } from '../../process/confine.js';
import { tryProgram } from '../../process/run.js';
import { baseArguments, KERNEL_LINE, type Acceleration } from './machine.js';
import { QEMU_INSTALL_HINT } from './version.js';

export interface ProbeOptions {
  readonly binary: string;
  /** A guest kernel. */
  readonly kernel: string;
  readonly acceleration: Acceleration;
  readonly searchPath: string;
  readonly confinement?: Confinement;
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
  const command = [
    // A guest that hangs must end also when we are killed in the meantime.
    ...['timeout', '--foreground', '--signal=KILL', String(timeoutSeconds)],
    binary,
    ...baseArguments(acceleration, PROBE_CPUS, PROBE_MEMORY_MIB),
    ...['-serial', 'stdio', '-kernel', kernel, '-append', KERNEL_LINE],
  ];
  const argv = options.confinement === undefined ? command : confined(command, options.confinement);
  try {
    const { exitCode, stdout, stderr } = await tryProgram(argv, {
      env: { PATH: searchPath },
      timeoutMs: (timeoutSeconds + 5) * 1000,
      signal,
      installHint: QEMU_INSTALL_HINT,
    });
    if (exitCode === 0 && stdout.includes(MARKER)) return undefined;
    return exitCode === KILLED ? `a test guest hung for ${timeoutSeconds} s` : failure(stderr);
  } catch (error) {
    // QEMU aborts where KVM refuses what it had promised, and `timeout` passes that on by dying of the same signal.
    if (error instanceof VmRunnerError && error.code === 'host-tool-failed') return failure(error.detail ?? '');
    throw error;
  }
}

function failure(output: string): string {
  const lines = output.trim().split('\n');
  const said = lines.findLast((line) => !line.startsWith('timeout: ')) ?? '';
  return said === '' ? 'a test guest did not come up' : `QEMU said: ${said}`;
}
