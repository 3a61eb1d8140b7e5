import { createHash } from 'node:crypto';
import { open, readFile, rename } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';

import { fileError, systemCode, VmRunnerError } from '../core/errors.js';
import type { ProcessTable } from '../core/process-identity.js';
import type { StorePaths } from '../store/paths.js';
import { discardTemporary, makeTemporaryDirectory } from '../store/temporary.js';
import { isThere, sealFile, syncDirectory } from './finished.js';
import { fileStep } from './file-step.js';

/** The scratch disk as it is shipped: gzip of a header and of the blocks that are not zero, which scripts/build-scratch.mjs packs. */
export interface PackedScratch {
  readonly file: string;
  readonly bytes: Buffer;
  /** SHA-256 of it, as hexadecimal digits. */
  readonly digest: string;
}

const MAGIC = 'VMRSPARS';
const HEADER_BYTES = 16;
const NUMBER_BYTES = 4;
const BLOCK_BYTES = 4096;
const MOST_PACKED_BYTES = 64 * 2 ** 20;

export async function readPackedScratch(file: string): Promise<PackedScratch> {
  try {
    const bytes = await readFile(file);
    return { file, bytes, digest: createHash('sha256').update(bytes).digest('hex') };
  } catch (cause) {
    if (systemCode(cause) !== 'ENOENT') throw fileError('read the scratch disk', file, cause);
    throw new VmRunnerError('host-file-failed', 'scratch disk missing', {
      subject: file,
      hint: 'It is part of the vm-runner package; in a source tree build it first (scripts/build-scratch.mjs).',
      cause,
    });
  }
}

/** Where the disk that comes of it is, or will be. */
export function scratchFile(store: StorePaths, packed: PackedScratch): string {
  return path.join(store.guests, `scratch-${packed.digest}.ext4`);
}

/** Unpacks it to a sparse file, which appears whole or not at all. Two who do so at once do it twice, to the same end. */
export async function unpackScratch(
  { store, processes }: { readonly store: StorePaths; readonly processes: ProcessTable },
  packed: PackedScratch,
): Promise<string> {
  const file = scratchFile(store, packed);
  if (await isThere(file)) return file;
  const plain = await promisify(gunzip)(packed.bytes, { maxOutputLength: MOST_PACKED_BYTES }).catch(
    (cause: unknown) => {
      throw unknownFormat(packed.file, cause);
    },
  );
  const temporary = await makeTemporaryDirectory(store, processes);
  try {
    const half = path.join(temporary, 'scratch.ext4');
    if (plain.toString('latin1', 0, 8) !== MAGIC) throw unknownFormat(packed.file);
    await fileStep('unpack the scratch disk', half, writeBlocks(plain, half));
    await sealFile(half);
    await fileStep('move the scratch disk into its place', file, rename(half, file));
    await syncDirectory(store.guests);
    return file;
  } finally {
    await discardTemporary(temporary);
  }
}

async function writeBlocks(plain: Buffer, file: string): Promise<void> {
  const handle = await open(file, 'wx', 0o600);
  try {
    await handle.truncate(Number(plain.readBigUInt64LE(8)));
    for (let at = HEADER_BYTES; at < plain.length; at += NUMBER_BYTES + BLOCK_BYTES) {
      const block = plain.readUInt32LE(at);
      await handle.write(plain, at + NUMBER_BYTES, BLOCK_BYTES, block * BLOCK_BYTES);
    }
  } finally {
    await handle.close();
  }
}

function unknownFormat(file: string, cause?: unknown): VmRunnerError {
  return new VmRunnerError('host-file-failed', 'scratch disk of an unknown format', {
    subject: file,
    hint: 'It is part of the vm-runner package: install that again.',
    cause,
  });
}
