import { createReadStream } from 'node:fs';
import { lstat, readdir, readlink } from 'node:fs/promises';
import path from 'node:path';

import { pack as createPack, type Header, type Pack } from 'tar-stream';

import { fileError, VmRunnerError } from '../core/errors.js';

type EntryHeader = Partial<Header> & Pick<Header, 'name'>;

/**
 * A host directory as a tar stream: directories, files, symbolic links, modes and times; names are relative to it. Sockets,
 * pipes and devices have no meaning in another machine and are left out. Owners are the guest's affair.
 *
 * @param onSkipped told of each name that is not UTF-8 and was left out. Default: such a name is an error.
 */
export function packTree(directory: string, onSkipped: (name: string) => void = refuseName): AsyncIterable<Uint8Array> {
  const pack = createPack();
  addDirectory(pack, directory, '', onSkipped)
    .then(() => pack.finalize())
    .catch((error: unknown) => pack.destroy(error instanceof Error ? error : new Error(String(error))));
  return pack as AsyncIterable<Uint8Array>;
}

async function addDirectory(pack: Pack, root: string, name: string, onSkipped: (name: string) => void): Promise<void> {
  const directory = path.join(root, name);
  const entries = await onHost('list a directory', directory, () => readdir(directory, { encoding: 'buffer' }));
  const names: string[] = [];
  for (const entry of entries) {
    const text = entry.toString('utf8');
    if (Buffer.from(text).equals(entry)) names.push(text);
    else onSkipped(path.join(directory, text));
  }
  for (const entry of names.sort()) await addEntry(pack, root, name === '' ? entry : `${name}/${entry}`, onSkipped);
}

/** Whoever does not ask to be told gets no tree with holes. */
function refuseName(name: string): never {
  throw new VmRunnerError('invalid-input', 'name of a file is not UTF-8', { subject: name, hint: 'Rename it.' });
}

async function addEntry(pack: Pack, root: string, name: string, onSkipped: (name: string) => void): Promise<void> {
  const source = path.join(root, name);
  const stat = await onHost('read', source, () => lstat(source));
  const header: EntryHeader = { name, mode: stat.mode & 0o7777, mtime: stat.mtime };
  if (stat.isDirectory()) {
    await addEmpty(pack, { ...header, type: 'directory' });
    await addDirectory(pack, root, name, onSkipped);
  } else if (stat.isSymbolicLink()) {
    const linkname = await onHost('read a link', source, () => readlink(source));
    await addEmpty(pack, { ...header, type: 'symlink', linkname });
  } else if (stat.isFile()) {
    await addFile(pack, { ...header, type: 'file', size: stat.size }, source, stat.size);
  }
}

function addEmpty(pack: Pack, header: EntryHeader): Promise<void> {
  return new Promise((resolve, reject) => {
    // With a body, an empty one: without it a file would wait for its bytes.
    pack.entry(header, '', (error) => (error ? reject(error) : resolve()));
  });
}

async function addFile(pack: Pack, header: EntryHeader, source: string, size: number): Promise<void> {
  if (size === 0) {
    await addEmpty(pack, header);
    return;
  }
  await onHost('copy a file into the guest', source, async () => {
    const ended = new Promise<void>((resolve, reject) => {
      const entry = pack.entry(header, (error) => (error ? reject(error) : resolve()));
      // Exactly the size that was announced: a file that grows meanwhile is cut, one that shrinks fails the entry.
      writeAll(createReadStream(source, { end: size - 1, highWaterMark: 2 ** 18 }), entry).catch(reject);
    });
    await ended;
  });
}

/** By hand, since tar-stream's streams are streamx's, which Node's pipeline does not end well. */
async function writeAll(bytes: AsyncIterable<Uint8Array>, entry: ReturnType<Pack['entry']>): Promise<void> {
  try {
    for await (const chunk of bytes) {
      if (entry.destroyed) return;
      if (!entry.write(chunk)) {
        await new Promise<void>((resolve) => {
          const done = (): void => {
            entry.off('drain', done).off('close', done);
            resolve();
          };
          entry.once('drain', done).once('close', done);
        });
      }
    }
    entry.end(undefined);
  } catch (error) {
    entry.destroy();
    throw error;
  }
}

async function onHost<T>(action: string, subject: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (cause instanceof VmRunnerError) throw cause;
    throw fileError(action, subject, cause);
  }
}
