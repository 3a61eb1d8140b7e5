import { VmRunnerError } from '../../core/errors.js';
import { runProgram } from '../../process/run.js';

/** The oldest QEMU that has all we use and that anyone tried. */
const OLDEST: readonly [number, number] = [6, 2];

export const QEMU_INSTALL_HINT = 'Install it with: apt-get install qemu-system-x86';

/**
 * The version line of a QEMU binary, which tells builds apart: `QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)`.
 * @throws host-tool-missing when it is not installed, host-unsupported when it is too old.
 */
export async function qemuVersion(binary: string, searchPath: string): Promise<string> {
  const { stdout } = await runProgram([binary, '--version'], {
    env: { PATH: searchPath },
    timeoutMs: 20_000,
    installHint: QEMU_INSTALL_HINT,
  });
  return checkQemuVersion(stdout);
}

/** Whether guests can have memory from a file that QEMU does not open to write: since 8.2. */
export function opensMemoryReadOnly(version: string): boolean {
  const [major, minor] = versionNumbers(version);
  return major > 8 || (major === 8 && minor >= 2);
}

/** @param output what `--version` prints */
export function checkQemuVersion(output: string): string {
  const line = output.split('\n')[0]?.trim() ?? '';
  const [oldestMajor, oldestMinor] = OLDEST;
  const [major, minor] = versionNumbers(line);
  if (major > oldestMajor || (major === oldestMajor && minor >= oldestMinor)) return line;
  throw new VmRunnerError('host-unsupported', `QEMU ${OLDEST.join('.')} or newer is needed`, {
    subject: line === '' ? 'a program that tells no version' : line,
  });
}

function versionNumbers(line: string): readonly [number, number] {
  const match = /version (\d+)\.(\d+)/.exec(line);
  return [Number(match?.[1]), Number(match?.[2])];
}
