import { readdir, readFile, rm } from 'node:fs/promises';
import path from 'node:path';

import { fileError, systemCode, VmRunnerError } from '../core/errors.js';
import type { StorePaths } from '../store/paths.js';
import { writeWhole } from '../store/whole-file.js';
import { digestHex, sha256 } from './digest.js';
import { JsonReader } from './json-reader.js';

/** A name of an image in this store. */
export interface Ref {
  /** The whole name, so that everyone who means the same image says the same: `docker.io/library/node:22`. */
  readonly reference: string;
  /** Of the image's manifest. */
  readonly digest: string;
  /** What the registry's tag points to, that digest or an index. */
  readonly pinned?: string | undefined;
  /** When the name was found to mean that image: milliseconds since 1970. */
  readonly pulledAt: number;
  /** What the image was made from, for images made here: while it is the same, the image is what would be made. */
  readonly key?: string | undefined;
  /** For people. */
  readonly comment?: string | undefined;
}

const SUFFIX = '.json';
const LONGEST_NAME = 200;

/** The names of images in this store, one file each. */
export class Refs {
  readonly #directory: string;

  constructor(store: StorePaths) {
    this.#directory = store.refs;
  }

  /** @throws store-damaged when there is one that cannot be understood. */
  async read(reference: string): Promise<Ref | undefined> {
    const ref = await this.#readFile(fileName(reference));
    return ref?.reference === reference ? ref : undefined;
  }

  /** Gives an image a name; another one loses it. */
  async write(ref: Ref): Promise<void> {
    const file = path.join(this.#directory, fileName(ref.reference));
    await writeWhole(file, `${JSON.stringify({ version: 1, ...ref }, undefined, 2)}\n`);
  }

  /** In the order of their names. */
  async list(): Promise<readonly Ref[]> {
    let names: string[];
    try {
      names = await readdir(this.#directory);
    } catch (cause) {
      throw fileError('list the images', this.#directory, cause);
    }
    const refs = await Promise.all(names.filter((name) => name.endsWith(SUFFIX)).map((name) => this.#readFile(name)));
    return refs.filter((ref) => ref !== undefined).sort((a, b) => (a.reference < b.reference ? -1 : 1));
  }

  /** @returns whether there was one */
  async remove(reference: string): Promise<boolean> {
    const file = path.join(this.#directory, fileName(reference));
    try {
      await rm(file);
      return true;
    } catch (cause) {
      if (systemCode(cause) === 'ENOENT') return false;
      throw fileError('remove the name of an image', file, cause);
    }
  }

  async #readFile(name: string): Promise<Ref | undefined> {
    const file = path.join(this.#directory, name);
    let bytes: Buffer;
    try {
      bytes = await readFile(file);
    } catch (cause) {
      if (systemCode(cause) === 'ENOENT') return undefined;
      throw fileError('read the name of an image', file, cause);
    }
    try {
      const document = JsonReader.parse(bytes, 'name');
      const digest = document.field('digest').text;
      digestHex(digest);
      return {
        reference: document.field('reference').text,
        digest,
        pinned: document.field('pinned').text || undefined,
        pulledAt: document.field('pulledAt').wholeNumber,
        key: document.field('key').text || undefined,
        comment: document.field('comment').text || undefined,
      };
    } catch (cause) {
      throw new VmRunnerError('store-damaged', 'name of an image cannot be understood', {
        subject: file,
        hint: 'Remove that file: the name is looked up again at the next use.',
        cause,
      });
    }
  }
}

/** Safe whatever the name is, and readable unless that is very long. */
function fileName(reference: string): string {
  const readable = encodeURIComponent(reference).replaceAll('*', '%2A');
  return `${readable.length <= LONGEST_NAME ? readable : `sha256-${sha256(reference)}`}${SUFFIX}`;
}
