import { access, constants, readFile, stat } from 'node:fs/promises';
import path from 'node:path';

import { fileError, systemCode, VmRunnerError } from '../../core/errors.js';
import type { StorePaths } from '../../store/paths.js';
import { writeWhole } from '../../store/whole-file.js';
import { QEMU_INSTALL_HINT, qemuVersion } from './version.js';

/** The QEMU that VMs are made with. */
export interface Qemu {
  /** As it is started. */
  readonly binary: string;
  /** Its version line. */
  readonly version: string;
  /** Differs from that of every other QEMU, also of another build of the same version. */
  readonly identity: string;
}

interface Remembered {
  readonly version: 1;
  readonly identity: string;
  readonly line: string;
}

/**
 * Finds out which QEMU this is. Asking a program for its version takes a good part of what a VM may take, so the answer is
 * remembered for as long as the file is the same.
 * @param binary name or path
 * @throws host-tool-missing when it is not installed, host-unsupported when it is too old.
 */
export async function identifyQemu(binary: string, searchPath: string, store: StorePaths): Promise<Qemu> {
  const identity = await fileIdentity(await findProgram(binary, searchPath));
  const known = await recall(store.qemu);
  if (known?.identity === identity) return { binary, version: known.line, identity };
  const line = await qemuVersion(binary, searchPath);
  const remembered: Remembered = { version: 1, identity, line };
  await writeWhole(store.qemu, `${JSON.stringify(remembered, undefined, 2)}\n`);
  return { binary, version: line, identity };
}

/** The path of a program that is named or found on the search path. @throws host-tool-missing */
export async function findProgram(binary: string, searchPath: string): Promise<string> {
  const candidates = binary.includes('/')
    ? [binary]
    : searchPath.split(':').map((directory) => path.join(directory, binary));
  for (const candidate of candidates) {
    try {
      await access(candidate, constants.X_OK);
      return candidate;
    } catch {
      // Not there, or not to be run: the next one may be.
    }
  }
  throw new VmRunnerError('host-tool-missing', 'program not found on this host', {
    subject: binary,
    hint: QEMU_INSTALL_HINT,
  });
}

async function fileIdentity(file: string): Promise<string> {
  try {
    const { dev, ino, size, mtimeNs } = await stat(file, { bigint: true });
    return [file, dev, ino, size, mtimeNs].join(' ');
  } catch (cause) {
    throw fileError('look at a program', file, cause);
  }
}

async function recall(file: string): Promise<Remembered | undefined> {
  try {
    const value = JSON.parse(await readFile(file, 'utf8')) as Partial<Remembered> | null;
    const isOurs = value?.version === 1 && typeof value.identity === 'string' && typeof value.line === 'string';
    return isOurs ? (value as Remembered) : undefined;
  } catch (cause) {
    // Only a memory: what is not there or not JSON is found out again.
    if (systemCode(cause) === 'ENOENT' || cause instanceof SyntaxError) return undefined;
    throw fileError('read a file of the store', file, cause);
  }
}
