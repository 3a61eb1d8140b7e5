import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import path from 'node:path';

import { fileError, systemCode, VmRunnerError } from '../../core/errors.js';
import { syncPath, writeWhole } from '../../store/whole-file.js';

/** Where the files of a template are. */
export interface TemplatePaths {
  readonly directory: string;
  /** The guest's memory, as long as that and mostly holes. */
  readonly memory: string;
  /** The state of its devices and processors. */
  readonly state: string;
  /** What it wrote to its disk, over the base guest's. */
  readonly scratch: string;
  /** Written last: a template that has it is whole. */
  readonly description: string;
  /** Touched with each use; holds the boot of the host in which a clone was seen to answer. */
  readonly used: string;
}

export function templatePaths(directory: string): TemplatePaths {
  const at = (file: string): string => path.join(directory, file);
  return {
    directory,
    memory: at('ram'),
    state: at('state'),
    scratch: at('scratch.qcow2'),
    description: at('template.json'),
    used: at('used'),
  };
}

/** What a template is, and how its files look as long as nobody changed them. */
export interface TemplateDescription {
  readonly version: 1;
  readonly key: string;
  /** Milliseconds since 1970. */
  readonly madeAt: number;
  readonly acceleration: string;
  readonly cpus: number;
  readonly memoryMiB: number;
  /** Version line of QEMU, for people. */
  readonly qemu: string;
  /** Digest of the base guest. */
  readonly base: string;
  readonly files: Readonly<Record<CheckedFile, FileFacts>>;
}

type CheckedFile = 'memory' | 'state' | 'scratch';

interface FileFacts {
  readonly bytes: number;
  /** Of 512 bytes; a file that lost data in a power cut has fewer. */
  readonly blocks: number;
  /** Nanoseconds, as text: any write changes it. */
  readonly modified: string;
  /** Not of the memory: to read it would take longer than a boot. */
  readonly sha256: string | undefined;
}

/** Brings the files of a template to the disk and writes down what they are. They must be closed by whoever wrote them. */
export async function describeTemplate(
  paths: TemplatePaths,
  about: Omit<TemplateDescription, 'version' | 'files'>,
): Promise<TemplateDescription> {
  const [memory, state, scratch] = await Promise.all([seal(paths.memory), seal(paths.state), seal(paths.scratch)]);
  const files = {
    memory,
    state: { ...state, sha256: await sha256(paths.state) },
    scratch: { ...scratch, sha256: await sha256(paths.scratch) },
  };
  const description: TemplateDescription = { version: 1, ...about, files };
  await writeWhole(paths.description, `${JSON.stringify(description, undefined, 2)}\n`, 0o400);
  return description;
}

/** The description of a template; `undefined` when there is none. @throws store-damaged */
export async function readTemplate(paths: TemplatePaths): Promise<TemplateDescription | undefined> {
  let text: string;
  try {
    text = await readFile(paths.description, 'utf8');
  } catch (cause) {
    if (systemCode(cause) === 'ENOENT') return undefined;
    throw fileError('read the description of a template', paths.description, cause);
  }
  try {
    const value = JSON.parse(text) as Partial<TemplateDescription> | null;
    const { memory, state, scratch } = value?.files ?? {};
    if (value?.version === 1 && memory && state && scratch) return value as TemplateDescription;
  } catch {
    // Not JSON: damaged like one with other fields.
  }
  throw damaged(paths.description, 'cannot be understood');
}

/**
 * Looks whether the files of a template are as they were saved: the small ones by what is in them, the memory by its size, its
 * blocks and its time, which every write changes.
 * @throws store-damaged
 */
export async function checkTemplate(paths: TemplatePaths, { files }: TemplateDescription): Promise<void> {
  for (const name of ['memory', 'state', 'scratch'] as const) {
    const [file, wanted] = [paths[name], files[name]];
    const found = await facts(file);
    if (found.bytes !== wanted.bytes) throw damaged(file, `has ${found.bytes} bytes instead of ${wanted.bytes}`);
    if (found.modified !== wanted.modified) throw damaged(file, 'was changed since it was saved');
    if (found.blocks < wanted.blocks) throw damaged(file, 'lost a part of its data');
    if (wanted.sha256 !== undefined && (await sha256(file)) !== wanted.sha256) {
      throw damaged(file, 'holds something else than was saved');
    }
  }
}

async function seal(file: string): Promise<FileFacts> {
  await syncPath(file, 'finish a file of a template');
  return facts(file);
}

async function facts(file: string): Promise<FileFacts> {
  try {
    const { size, blocks, mtimeNs } = await stat(file, { bigint: true });
    return { bytes: Number(size), blocks: Number(blocks), modified: String(mtimeNs), sha256: undefined };
  } catch (cause) {
    if (systemCode(cause) === 'ENOENT') throw damaged(file, 'is missing');
    throw fileError('look at a file of a template', file, cause);
  }
}

async function sha256(file: string): Promise<string> {
  try {
    return createHash('sha256')
      .update(await readFile(file))
      .digest('hex');
  } catch (cause) {
    throw fileError('read a file of a template', file, cause);
  }
}

function damaged(file: string, what: string): VmRunnerError {
  return new VmRunnerError('store-damaged', `file of a template ${what}`, { subject: file });
}
