import { realpath, stat } from 'node:fs/promises';
import path from 'node:path';

import { fileError, systemCode, VmRunnerError } from '../../core/errors.js';
import { invalid, type ImageContent, type Piece } from './content.js';

/** A directory in OCI's image layout. Links in it that lead out are refused: whoever made it must not choose what we read. */
export class LayoutDirectory implements ImageContent {
  readonly name: string;
  readonly #root: string;

  private constructor(name: string, root: string) {
    this.name = name;
    this.#root = root;
  }

  static async open(directory: string): Promise<LayoutDirectory> {
    try {
      return new LayoutDirectory(directory, await realpath(directory));
    } catch (cause) {
      throw noSuchPlace(directory, cause);
    }
  }

  async locate(name: string): Promise<Piece | undefined> {
    const inside = path.join(this.#root, name);
    try {
      const file = await realpath(inside);
      if (!file.startsWith(`${this.#root}/`)) throw invalid(this, `has a link that leads out of it: ${name}`);
      const status = await stat(file);
      if (!status.isFile()) throw invalid(this, `has no regular file in ${name}`);
      return { file, offset: 0, length: status.size };
    } catch (cause) {
      if (cause instanceof VmRunnerError) throw cause;
      if (systemCode(cause) === 'ENOENT' || systemCode(cause) === 'ENOTDIR') return undefined;
      throw fileError('read an image', inside, cause);
    }
  }
}

/** The user named a place where nothing is. */
export function noSuchPlace(place: string, cause: unknown): VmRunnerError {
  if (systemCode(cause) !== 'ENOENT') return fileError('read an image', place, cause);
  return new VmRunnerError('image-unavailable', 'no such image', {
    subject: place,
    hint: 'Nothing of that name is on this host.',
    cause,
  });
}
