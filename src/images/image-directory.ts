import { chmod, open, readFile } from 'node:fs/promises';
import path from 'node:path';

import { fileError, systemCode, VmRunnerError } from '../core/errors.js';
import { writeWhole } from '../store/whole-file.js';

/** Names of the files in `images/<key>/` of a root disk. */
export const ROOT_FILES = { rootDisk: 'root.ext4', kernel: 'vmlinuz', modules: 'modules' } as const;
/** Name of the one file in `images/<key>/` of an image besides its description. */
export const INITRAMFS_FILE = 'initramfs.cpio';
/** Written last: a directory that has it is whole. */
const DESCRIPTION_FILE = 'image.json';

/** What a root disk was built from, for people and for the initramfs. */
export interface RootDescription {
  readonly version: 1;
  readonly kind: 'root';
  readonly suite: string;
  readonly architecture: string;
  readonly kernelVersion: string;
  /** Names of the files in `modules/`, in the order of loading. */
  readonly modules: readonly string[];
  /** Debian packages with their versions. */
  readonly packages: Readonly<Record<string, string>>;
  /** Bytes on disk, and as the guest sees it. */
  readonly rootDiskBytes: number;
  readonly rootDiskVirtualBytes: number;
  readonly builtAt: string;
  readonly buildSeconds: number;
}

/** Which root disk and which agent an image is made of. */
export interface ImageDescription {
  readonly version: 1;
  readonly kind: 'image';
  readonly root: string;
  readonly agentDigest: string;
  readonly initramfsBytes: number;
  readonly builtAt: string;
}

/** The description of a finished root disk; `undefined` when there is none. */
export async function readRootDescription(directory: string): Promise<RootDescription | undefined> {
  const value = await readJson(directory);
  if (value === undefined) return undefined;
  const { version, kind, modules } = (value ?? {}) as Partial<Record<keyof RootDescription, unknown>>;
  const isOurs = version === 1 && kind === 'root' && Array.isArray(modules) && modules.every(isFileName);
  if (!isOurs) throw damaged(directory);
  return value as RootDescription;
}

/** Whether a finished image is there. */
export async function hasImage(directory: string): Promise<boolean> {
  const value = await readJson(directory);
  if (value === undefined) return false;
  const { version, kind } = (value ?? {}) as Partial<Record<keyof ImageDescription, unknown>>;
  if (version !== 1 || kind !== 'image') throw damaged(directory);
  return true;
}

async function readJson(directory: string): Promise<unknown> {
  const file = path.join(directory, DESCRIPTION_FILE);
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (cause) {
    if (systemCode(cause) === 'ENOENT') return undefined;
    throw fileError('read the description of an image', file, cause);
  }
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw damaged(directory, cause);
  }
}

function isFileName(value: unknown): boolean {
  return typeof value === 'string' && /^[\w.-]+$/.test(value);
}

function damaged(directory: string, cause?: unknown): VmRunnerError {
  return new VmRunnerError('store-damaged', 'description of an image cannot be understood', {
    subject: path.join(directory, DESCRIPTION_FILE),
    hint: `Remove ${directory}: it is made again at the next use.`,
    cause,
  });
}

/** Writes the description of a directory whose other files are finished. */
export async function writeDescription(directory: string, value: RootDescription | ImageDescription): Promise<void> {
  await writeWhole(path.join(directory, DESCRIPTION_FILE), `${JSON.stringify(value, undefined, 2)}\n`, 0o444);
}

/** Makes a finished file read-only and brings it to the disk: the description must not survive a power cut that it did not. */
export async function sealFile(file: string): Promise<void> {
  try {
    await chmod(file, 0o444);
    const handle = await open(file, 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch (cause) {
    throw fileError('finish a file of an image', file, cause);
  }
}
