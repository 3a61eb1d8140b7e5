import { randomBytes } from 'node:crypto';
import { closeSync, fchmodSync, futimesSync, lstatSync, openSync, renameSync, writeSync, type Stats } from 'node:fs';
import { chmod, link, mkdir, open, rm, symlink, unlink, utimes, type FileHandle } from 'node:fs/promises';
import path from 'node:path';

import { fileError, systemCode, VmRunnerError } from '../core/errors.js';
import { leadsThroughForeignLink } from './link-end.js';
import { PieceWriter } from './sparse-file.js';
import type { TarEntry } from './tar-reader.js';
import { untrusted } from './untrusted.js';

const PERMISSION_BITS = 0o777;
/** Files up to this are written without giving the turn away. */
const SMALL_BYTES = 64 * 2 ** 10;
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
    const isSmall = entry.sparse === undefined && entry.size <= SMALL_BYTES;
    const body = isSmall ? await wholeBody(entry) : undefined;
    await this.#place(name, async (temporary) => {
      if (body !== undefined) {
        writeSmall(temporary, body, entry);
        onBytes(body.length);
        return;
      }
      const file = await open(temporary, 'wx', 0o600);
      try {
        await writeBody(file, entry, onBytes);
        await file.chmod(entry.mode & PERMISSION_BITS);
        if (hasTime(entry)) await file.utimes(entry.mtime, entry.mtime);
      } finally {
        await file.close();
      }
    });
    this.#files.add(name);
  }

  /** @throws guest-untrusted-data when the other name is no file of this archive */
  async hardLink(name: string, target: string): Promise<void> {
    const source = this.#at(target);
    if (!this.#files.has(target) || lstatIfThere(source)?.isFile() !== true) {
      throw untrusted('a hard link to something else than a file of its own', name);
    }
    // Onto another name of the same file a rename would do nothing, and leave the temporary one.
    if (isSameFile(source, this.#at(name))) return;
    await this.#place(name, (temporary) => link(source, temporary));
    this.#files.add(name);
  }

  /**
   * @param links by name, with what they point to; none of them leads out by itself
   * @returns the names of those that were left out, because links that were there before may lead them anywhere
   */
  async symbolicLinks(links: ReadonlyMap<string, string>): Promise<readonly string[]> {
    for (const [name, target] of links) await this.#symbolicLink(name, target);
    const foreign: string[] = [];
    for (const name of links.keys()) {
      if (await leadsThroughForeignLink(this.#root, name, links)) foreign.push(name);
    }
    for (const name of foreign) await onHost('remove a link', this.#at(name), () => unlink(this.#at(name)));
    return foreign;
  }

  async #symbolicLink(name: string, target: string): Promise<void> {
    await this.#makeDirectories(path.posix.dirname(name));
    const at = this.#at(name);
    const found = lstatIfThere(at);
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
      await onHost('set the mode of a directory', at, async () => {
        await chmod(at, entry.mode & PERMISSION_BITS);
        if (hasTime(entry)) await utimes(at, entry.mtime, entry.mtime);
      });
    }
  }

  /** Makes something under another name first, so that it appears whole. */
  async #place(name: string, make: (temporary: string) => Promise<void>): Promise<void> {
    const parent = path.posix.dirname(name);
    await this.#makeDirectories(parent);
    const at = this.#at(name);
    const temporary = path.join(this.#at(parent), `.${randomBytes(6).toString('hex')}.tmp`);
    try {
      const found = lstatIfThere(at);
      if (found?.isDirectory() === true) throw untrusted('a file where a directory is', name);
      if (found !== undefined && !found.isFile() && !found.isSymbolicLink()) throw inTheWay(at);
      await make(temporary);
      renameSync(temporary, at);
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
    const found = lstatIfThere(at);
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

async function wholeBody(entry: TarEntry): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of entry.body) parts.push(part);
  return Buffer.concat(parts);
}

/** In one go: handing each of these calls to a thread and waiting for it costs ten times what they do. */
function writeSmall(at: string, body: Buffer, entry: TarEntry): void {
  const file = openSync(at, 'wx', 0o600);
  try {
    for (let done = 0; done < body.length;) done += writeSync(file, body, done);
    fchmodSync(file, entry.mode & PERMISSION_BITS);
    if (hasTime(entry)) futimesSync(file, entry.mtime, entry.mtime);
  } finally {
    closeSync(file);
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

function hasTime({ mtime }: Pick<TarEntry, 'mtime'>): boolean {
  return mtime >= 0 && mtime < LATEST_SECONDS;
}

function isSameFile(left: string, right: string): boolean {
  const [one, other] = [lstatIfThere(left), lstatIfThere(right)];
  return one !== undefined && one.ino === other?.ino && one.dev === other.dev;
}

function lstatIfThere(at: string): Stats | undefined {
  try {
    return lstatSync(at, { throwIfNoEntry: false });
  } catch (cause) {
    if (systemCode(cause) === 'ENOTDIR') return undefined;
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
