import { randomBytes } from 'node:crypto';
import {
  chmod,
  link,
  lstat,
  mkdir,
  open,
  rename,
  rm,
  symlink,
  unlink,
  utimes,
  type FileHandle,
} from 'node:fs/promises';
import path from 'node:path';

import { fileError, systemCode, VmRunnerError } from '../core/errors.js';
import { PieceWriter } from './sparse-file.js';
import type { TarEntry } from './tar-reader.js';
import { untrusted } from './untrusted.js';

const PERMISSION_BITS = 0o777;
/** What the system takes as one path, less a temporary name and the zero behind it. */
const LONGEST_PATH_BYTES = 4096 - 32;
/** Years that file systems can store; other times are left as they come. */
const LATEST_SECONDS = 2 ** 40;

/**
 * Writes what an archive holds below one directory. Names come in checked for `..`; here nothing is ever written through a
 * link, neither one of the archive, since links are made last, nor one that was there before.
 */
export class TreeWriter {
  readonly #root: string;
  /** Directories of which it is known that they are real ones. */
  readonly #known = new Set<string>(['.']);
  /** Files of this archive, the only ones that hard links may name. */
  readonly #files = new Set<string>();
  readonly #directories = new Map<string, Pick<TarEntry, 'mode' | 'mtime'>>();

  constructor(root: string) {
    this.#root = root;
  }

  async directory(name: string, entry: Pick<TarEntry, 'mode' | 'mtime'>): Promise<void> {
    await this.#makeDirectories(name);
    if (name !== '.') this.#directories.set(name, entry);
  }

  /** @param onBytes told of each part of the file that was written */
  async file(name: string, entry: TarEntry, onBytes: (count: number) => void): Promise<void> {
    await this.#place(name, async (temporary) => {
      const file = await open(temporary, 'wx', 0o600);
      try {
        await writeBody(file, entry, onBytes);
      } finally {
        await file.close();
      }
      await setModeAndTime(temporary, entry);
    });
    this.#files.add(name);
  }

  /** @throws guest-untrusted-data when the other name is no file of this archive */
  async hardLink(name: string, target: string): Promise<void> {
    const source = this.#at(target);
    if (!this.#files.has(target) || (await lstatIfThere(source))?.isFile() !== true) {
      throw untrusted('a hard link to something else than a file of its own', name);
    }
    await this.#place(name, (temporary) => link(source, temporary));
    this.#files.add(name);
  }

  async symbolicLink(name: string, target: string): Promise<void> {
    await this.#makeDirectories(path.posix.dirname(name));
    const at = this.#at(name);
    const found = await lstatIfThere(at);
    if (found?.isDirectory() === true) throw untrusted('a link where a directory is', name);
    await onHost('make a link', at, async () => {
      if (found !== undefined) await unlink(at);
      await symlink(target, at);
    });
  }

  /** Deepest first: a directory's own times change when something is made in it, and its mode may forbid it. */
  async finishDirectories(): Promise<void> {
    for (const [name, entry] of [...this.#directories].sort(([left], [right]) => (left < right ? 1 : -1))) {
      const at = this.#at(name);
      await onHost('set the mode of a directory', at, () => setModeAndTime(at, entry));
    }
  }

  /** Makes something under another name first, so that it appears whole. */
  async #place(name: string, make: (temporary: string) => Promise<void>): Promise<void> {
    const parent = path.posix.dirname(name);
    await this.#makeDirectories(parent);
    const at = this.#at(name);
    const temporary = path.join(this.#at(parent), `.${randomBytes(6).toString('hex')}.tmp`);
    try {
      const found = await lstatIfThere(at);
      if (found?.isDirectory() === true) throw untrusted('a file where a directory is', name);
      if (found !== undefined && !found.isFile() && !found.isSymbolicLink()) throw inTheWay(at);
      await make(temporary);
      await rename(temporary, at);
      // Renaming one name of a file to another name of it does nothing.
      await rm(temporary, { force: true });
    } catch (cause) {
      // The first error is the reason.
      await rm(temporary, { force: true }).catch(() => undefined);
      throw cause instanceof VmRunnerError ? cause : fileError('write a file', at, cause);
    }
  }

  /** Makes each directory of the way, and refuses one that is a link. */
  async #makeDirectories(name: string): Promise<void> {
    if (this.#known.has(name)) return;
    await this.#makeDirectories(path.posix.dirname(name));
    const at = this.#at(name);
    const found = await lstatIfThere(at);
    if (found === undefined) await onHost('make a directory', at, () => mkdir(at));
    else if (!found.isDirectory()) throw untrusted('a directory where a file or link is', name);
    this.#known.add(name);
  }

  #at(name: string): string {
    const at = path.join(this.#root, name);
    if (Buffer.byteLength(at) > LONGEST_PATH_BYTES) throw untrusted('a name that is too long for this host', name);
    return at;
  }
}

async function writeBody(file: FileHandle, entry: TarEntry, onBytes: (count: number) => void): Promise<void> {
  const writer = new PieceWriter(file);
  const regions = entry.sparse?.regions ?? [{ offset: 0, length: entry.size }];
  const body = entry.body[Symbol.asyncIterator]();
  let held: Uint8Array = new Uint8Array();
  for (const { offset, length } of regions) {
    writer.skip(offset - writer.size);
    for (let missing = length; missing > 0;) {
      if (held.length === 0) {
        const next = await body.next();
        if (next.done === true) throw untrusted('a file that ends in its middle', entry.name);
        held = next.value;
      }
      const part = held.subarray(0, missing);
      held = held.subarray(part.length);
      await writer.write(part);
      onBytes(part.length);
      missing -= part.length;
    }
  }
  writer.skip(entry.realSize - writer.size);
  await writer.finish();
}

async function setModeAndTime(at: string, { mode, mtime }: Pick<TarEntry, 'mode' | 'mtime'>): Promise<void> {
  await chmod(at, mode & PERMISSION_BITS);
  if (mtime >= 0 && mtime < LATEST_SECONDS) await utimes(at, mtime, mtime);
}

async function lstatIfThere(at: string): Promise<Awaited<ReturnType<typeof lstat>> | undefined> {
  try {
    return await lstat(at);
  } catch (cause) {
    if (systemCode(cause) === 'ENOENT') return undefined;
    throw fileError('look at a path', at, cause);
  }
}

function inTheWay(at: string): VmRunnerError {
  return new VmRunnerError('invalid-input', 'something that is no file is in the way', {
    subject: at,
    hint: 'Remove it, or bring files home to another directory.',
  });
}

async function onHost<T>(action: string, subject: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    throw fileError(action, subject, cause);
  }
}
