import { open } from 'node:fs/promises';

import { fileError, VmRunnerError } from '../../core/errors.js';
import { digestHex, digestOf } from '../digest.js';
import type { Descriptor } from '../manifest.js';

/** Bytes of a file on this host. */
export interface Piece {
  readonly file: string;
  readonly offset: number;
  readonly length: number;
}

/** What holds images beside each other: a directory or an archive. Names in it are never paths on this host. */
export interface ImageContent {
  /** For sentences. */
  readonly name: string;
  /** Where a file of it is; `undefined` when it has none of that name. */
  locate(name: string): Promise<Piece | undefined>;
}

const MOST_DOCUMENT_BYTES = 4 * 2 ** 20;

/** @throws image-invalid when it is not there, or longer than such a document is. */
export async function readDocument(content: ImageContent, name: string): Promise<Buffer> {
  const piece = await locateOrThrow(content, name);
  if (piece.length > MOST_DOCUMENT_BYTES)
    throw invalid(content, `has more than ${MOST_DOCUMENT_BYTES} bytes in ${name}`);
  return readPiece(piece);
}

/** A document that something else names by its digest. */
export async function readBlob(content: ImageContent, { digest }: Descriptor): Promise<Buffer> {
  const bytes = await readDocument(content, blobName(digest));
  if (digestOf(bytes) !== digest) throw invalid(content, `has other bytes than its name says in ${blobName(digest)}`);
  return bytes;
}

export async function locateOrThrow(content: ImageContent, name: string): Promise<Piece> {
  const piece = await content.locate(name);
  if (piece === undefined) throw invalid(content, `has no ${name}`);
  return piece;
}

export function blobName(digest: string): string {
  return `blobs/sha256/${digestHex(digest)}`;
}

export function invalid(content: ImageContent, what: string): VmRunnerError {
  return new VmRunnerError('image-invalid', `what should hold an image ${what}`, {
    subject: content.name,
    hint: 'Expected is what `skopeo copy` or `docker save` writes.',
  });
}

async function readPiece({ file, offset, length }: Piece): Promise<Buffer> {
  try {
    const handle = await open(file, 'r');
    try {
      const { buffer, bytesRead } = await handle.read({ buffer: Buffer.alloc(length), position: offset });
      return buffer.subarray(0, bytesRead);
    } finally {
      await handle.close();
    }
  } catch (cause) {
    throw fileError('read an image', file, cause);
  }
}
