import { randomBytes } from 'node:crypto';
import { chmod, lstat, mkdir, open, rename, rm, symlink, unlink, utimes } from 'node:fs/promises';
import path from 'node:path';

import { extract, type Extract, type Header } from 'tar-stream';

import { fileError, systemCode, VmRunnerError } from '../core/errors.js';
import { makeDirectories as makeTarget } from '../store/directories.js';

export interface UnpackLimits {
  readonly entries: number;
  readonly bytes: number;
}

export interface Unpacked {
  readonly files: number;
  readonly bytes: number;
  /** Links that point out of the directory, by name: they were left out. */
  readonly skippedLinks: readonly string[];
  /** Names that are not UTF-8, as far as they can be shown: they were left out, since two of them may look the same. */
  readonly skippedNames: readonly string[];
}

const DEFAULT_UNPACK_LIMITS: UnpackLimits = { entries: 1_000_000, bytes: 64 * 2 ** 30 };

type Entry = Extract extends AsyncIterable<infer E> ? E : never;

const LONGEST_NAME = 4096;
/** What bytes become that are no UTF-8. */
const UNDECODABLE = '\ufffd';
const PERMISSION_BITS = 0o777;

/**
 * Unpacks a tar stream that a hostile guest may have made below one directory, which nothing can leave: no absolute names,
 * no `..`, no writing through links, no devices, no more than the limits. Each file appears when it is whole.
 *
 * Links that point out of the directory are left out, since whoever reads them later would read the host's files.
 * @throws guest-untrusted-data for what an honest guest never sends.
 */
export async function unpackTree(
  archive: AsyncIterable<Uint8Array>,
  directory: string,
  limits = DEFAULT_UNPACK_LIMITS,
): Promise<Unpacked> {
  await onHost('make a directory', directory, () => makeTarget(directory));
  const directories: { readonly at: string; readonly mode: number; readonly mtime: Date }[] = [];
  const links: { readonly name: string; readonly target: string }[] = [];
  const skippedLinks: string[] = [];
  const skippedNames: string[] = [];
  let entries = 0;
  let files = 0;
  let bytes = 0;

  const tar = extract();
  const feeding = feed(archive, tar);
  // Awaited at the end; an early failure comes out of the iteration as well.
  feeding.catch(() => undefined);
  try {
    for await (const entry of tar) {
      const { header } = entry;
      entries += 1;
      // What stands only in a header counts as well: it is kept until the end.
      bytes += header.size + header.name.length + (header.linkname ?? '').length;
      if (entries > limits.entries) throw untrusted(`more than ${limits.entries} entries`, header.name);
      if (bytes > limits.bytes) throw untrusted(`more than ${limits.bytes} bytes`, header.name);
      if (header.name.includes(UNDECODABLE)) {
        skippedNames.push(header.name);
        entry.resume();
        continue;
      }
      const name = safeName(header.name);
      const at = path.join(directory, name);
      switch (header.type) {
        case 'directory':
          await makeDirectories(directory, name);
          if (name !== '.') directories.push({ at, mode: modeOf(header), mtime: header.mtime });
          entry.resume();
          break;
        case 'symlink':
          if (header.linkname.length > LONGEST_NAME) throw untrusted('a link to an endless name', name);
          if (staysInside(name, header.linkname)) links.push({ name, target: header.linkname });
          else skippedLinks.push(name);
          entry.resume();
          break;
        case 'file':
        case 'contiguous-file':
          await makeDirectories(directory, path.dirname(name));
          await writeEntry(entry, at);
          files += 1;
          break;
        default:
          throw untrusted(`an entry of the kind ${header.type}`, header.name);
      }
    }
    // Last, so that nothing above was written through them.
    for (const link of links) await makeLink(directory, link.name, link.target);
    // Deepest first: a directory's own times change when something is made in it, and its mode may forbid it.
    for (const { at, mode, mtime } of directories.reverse()) {
      await onHost('set the mode of a directory', at, async () => {
        await chmod(at, mode);
        await utimes(at, mtime, mtime);
      });
    }
    await feeding;
  } finally {
    tar.destroy();
  }
  return { files, bytes, skippedLinks, skippedNames };
}

/**
 * Hands the bytes over as fast as entries are written. By hand, since tar-stream's streams are streamx's: Node's pipeline
 * takes them, and then waits for ever when one of them breaks.
 */
async function feed(archive: AsyncIterable<Uint8Array>, tar: Extract): Promise<void> {
  try {
    for await (const bytes of archive) {
      if (tar.destroyed) return;
      if (!tar.write(bytes)) await drained(tar);
    }
    tar.end(undefined);
  } catch (error) {
    tar.destroy(error instanceof Error ? error : new Error(String(error)));
    throw error;
  }
}

/** There is room again, or nobody will ever want more. */
function drained(tar: Extract): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      tar.off('drain', done).off('close', done);
      resolve();
    };
    tar.once('drain', done).once('close', done);
  });
}

/** @throws guest-untrusted-data when the name is not a plain path below the directory. */
function safeName(name: string): string {
  const parts = name.split('/').filter((part) => part !== '' && part !== '.');
  if (name.startsWith('/') || name.includes('\0') || name.length > LONGEST_NAME || parts.includes('..')) {
    throw untrusted('a name that leads out of the directory', name);
  }
  return parts.length === 0 ? '.' : parts.join('/');
}

/**
 * Whether a link leads to a place below the directory, whatever other links are on its way: all its `..` stand at the front,
 * where the parents of the link are real directories, and there are no more of them than it has parents.
 */
function staysInside(name: string, target: string): boolean {
  if (target === '' || target.startsWith('/') || target.includes('\0')) return false;
  const parts = target.split('/').filter((part) => part !== '' && part !== '.');
  const climbs = parts.findIndex((part) => part !== '..');
  const up = climbs === -1 ? parts.length : climbs;
  const depth = name.split('/').length - 1;
  return up <= depth && !parts.slice(up).includes('..');
}

/** Makes each directory of the way, and refuses one that is a link. */
async function makeDirectories(root: string, name: string): Promise<void> {
  let at = root;
  for (const part of name.split('/')) {
    if (part === '.') continue;
    at = path.join(at, part);
    const found = await lstatIfThere(at);
    if (found === undefined) await onHost('make a directory', at, () => mkdir(at));
    else if (!found.isDirectory()) throw untrusted('a directory where a file or link is', at);
  }
}

async function writeEntry(entry: Entry, at: string): Promise<void> {
  const { header } = entry;
  const temporary = path.join(path.dirname(at), `.${randomBytes(6).toString('hex')}.tmp`);
  try {
    const found = await lstatIfThere(at);
    if (found?.isDirectory() === true) throw untrusted('a file where a directory is', at);
    if (found !== undefined && !found.isFile() && !found.isSymbolicLink()) throw inTheWay(at);
    const file = await open(temporary, 'wx', 0o600);
    try {
      for await (const chunk of entry as AsyncIterable<Uint8Array>) await file.writeFile(chunk);
    } finally {
      await file.close();
    }
    await chmod(temporary, modeOf(header));
    const mtime = header.mtime;
    await utimes(temporary, mtime, mtime);
    await rename(temporary, at);
  } catch (cause) {
    // The first error is the reason.
    await rm(temporary, { force: true }).catch(() => undefined);
    throw cause instanceof VmRunnerError ? cause : fileError('write a file', at, cause);
  }
}

async function makeLink(root: string, name: string, target: string): Promise<void> {
  await makeDirectories(root, path.dirname(name));
  const at = path.join(root, name);
  const found = await lstatIfThere(at);
  if (found?.isDirectory() === true) throw untrusted('a link where a directory is', at);
  await onHost('make a link', at, async () => {
    if (found !== undefined) await unlink(at);
    await symlink(target, at);
  });
}

async function lstatIfThere(at: string): Promise<Awaited<ReturnType<typeof lstat>> | undefined> {
  try {
    return await lstat(at);
  } catch (cause) {
    if (systemCode(cause) === 'ENOENT') return undefined;
    throw fileError('look at a path', at, cause);
  }
}

function modeOf(header: Header): number {
  return header.mode & PERMISSION_BITS;
}

function inTheWay(at: string): VmRunnerError {
  return new VmRunnerError('invalid-input', 'something that is no file is in the way', {
    subject: at,
    hint: 'Remove it, or bring files home to another directory.',
  });
}

function untrusted(what: string, name: string): VmRunnerError {
  return new VmRunnerError('guest-untrusted-data', `guest sent ${what}`, {
    subject: JSON.stringify(name.slice(0, 200)),
    hint: 'Nothing after it was unpacked. Do not trust what this guest sent.',
  });
}

async function onHost<T>(action: string, subject: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    throw fileError(action, subject, cause);
  }
}
