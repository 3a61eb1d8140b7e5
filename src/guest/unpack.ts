import { fileError } from '../core/errors.js';
import { makeDirectories as makeTarget } from '../store/directories.js';
import { LONGEST_NAME_BYTES, safeName, staysInside } from './entry-name.js';
import { readTar } from './tar-reader.js';
import { TreeWriter } from './tree-writer.js';
import { untrusted } from './untrusted.js';

export interface UnpackLimits {
  readonly entries: number;
  /** Of files, holes included, and of names. */
  readonly bytes: number;
}

export interface Unpacked {
  readonly files: number;
  /** Of the files, without holes. */
  readonly bytes: number;
  /** Links that point out of the directory, by name: they were left out. */
  readonly skippedLinks: readonly string[];
  /** Names that are not UTF-8, as far as they can be shown: they were left out, since two of them may look the same. */
  readonly skippedNames: readonly string[];
}

/** What was unpacked so far. */
export interface UnpackProgress {
  readonly entries: number;
  /** Of files, without holes. */
  readonly bytes: number;
}

export const DEFAULT_UNPACK_LIMITS: UnpackLimits = { entries: 1_000_000, bytes: 64 * 2 ** 30 };

/** Names are kept until the end, so they have a limit of their own. */
const MOST_NAME_BYTES = 256 * 2 ** 20;
/** What bytes become that are no UTF-8. */
const UNDECODABLE = '\ufffd';

/**
 * Unpacks a tar stream that a hostile guest may have made below one directory, which nothing can leave: no absolute names,
 * no `..`, no writing through links, no hard links but to files of the archive, no devices, no more than the limits. Each
 * file appears when it is whole.
 *
 * Links that point out of the directory are left out, since whoever reads them later would read the host's files.
 * @throws guest-untrusted-data for what an honest guest never sends.
 */
export async function unpackTree(
  archive: AsyncIterable<Uint8Array>,
  directory: string,
  limits = DEFAULT_UNPACK_LIMITS,
  onProgress: (progress: UnpackProgress) => void = () => undefined,
): Promise<Unpacked> {
  await makeTarget(directory).catch((cause: unknown) => {
    throw fileError('make a directory', directory, cause);
  });
  const tree = new TreeWriter(directory);
  const links: { readonly name: string; readonly target: string }[] = [];
  const skippedLinks: string[] = [];
  const skippedNames: string[] = [];
  let entries = 0;
  let files = 0;
  let bytes = 0;
  let counted = 0;
  let nameBytes = 0;
  const written = (count: number): void => {
    bytes += count;
    onProgress({ entries, bytes });
  };

  for await (const entry of readTar(archive)) {
    entries += 1;
    nameBytes += entry.name.length + entry.linkname.length;
    counted += entry.realSize + entry.extraBytes + entry.name.length + entry.linkname.length;
    if (entries > limits.entries) throw untrusted(`more than ${limits.entries} entries`, entry.name);
    if (counted > limits.bytes) throw untrusted(`more than ${limits.bytes} bytes`, entry.name);
    if (nameBytes > MOST_NAME_BYTES) throw untrusted(`more than ${MOST_NAME_BYTES} bytes of names`, entry.name);
    if (entry.name.includes(UNDECODABLE)) {
      skippedNames.push(entry.name);
      continue;
    }
    const name = safeName(entry.name);
    switch (entry.flag) {
      case '5':
        await tree.directory(name, entry);
        break;
      case '2':
        if (entry.linkname.length > LONGEST_NAME_BYTES) throw untrusted('a link to an endless name', name);
        if (name === '.') throw untrusted('a link where a directory is', name);
        if (staysInside(name, entry.linkname)) links.push({ name, target: entry.linkname });
        else skippedLinks.push(name);
        break;
      case '0':
      case '7':
        if (name === '.') throw untrusted('a file where a directory is', name);
        await tree.file(name, entry, written);
        files += 1;
        break;
      case '1':
        await tree.hardLink(name, safeName(entry.linkname));
        files += 1;
        break;
      default:
        throw untrusted(`an entry of the kind ${JSON.stringify(entry.flag)}`, entry.name);
    }
    onProgress({ entries, bytes });
  }
  // Last, so that nothing above was written through them.
  for (const link of links) await tree.symbolicLink(link.name, link.target);
  await tree.finishDirectories();
  return { files, bytes, skippedLinks, skippedNames };
}
