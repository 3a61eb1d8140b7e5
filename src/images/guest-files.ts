import { readFile } from 'node:fs/promises';
import path from 'node:path';

import { fileError, systemCode, toVmRunnerError } from '../core/errors.js';
import { digestHex } from './digest.js';
import { JsonReader } from './json-reader.js';

/** Names of the files in the directory of a base guest. The description is written last: with it the guest is whole. */
export const GUEST_FILES = { kernel: 'vmlinuz', initramfs: 'initramfs.cpio', description: 'guest.json' } as const;

/** What a guest says of itself, as far as anybody asks. */
export interface GuestDescription {
  /** Over all that it is made of. */
  readonly digest: string;
  /** Digest of the image that is its base root. */
  readonly root: string;
}

/** `undefined` when there is none, or a damaged one: then the guest is made again, like one that is missing. */
export async function readGuestDescription(directory: string): Promise<GuestDescription | undefined> {
  const file = path.join(directory, GUEST_FILES.description);
  let bytes: Buffer;
  try {
    bytes = await readFile(file);
  } catch (cause) {
    if (systemCode(cause) === 'ENOENT') return undefined;
    throw fileError('read the description of a guest', file, cause);
  }
  try {
    const document = JsonReader.parse(bytes, 'description of the guest');
    const description = { digest: document.field('digest').text, root: document.field('root').text };
    digestHex(description.digest);
    digestHex(description.root);
    return description;
  } catch (error) {
    if (toVmRunnerError(error).code === 'image-invalid') return undefined;
    throw error;
  }
}
