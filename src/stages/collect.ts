import { VmRunnerError } from '../core/errors.js';
import { splitGlob } from '../core/glob.js';
import type { Log } from '../core/log.js';
import { formatCount, formatSize } from '../core/units.js';
import type { GuestAgent } from '../guest/agent.js';
import type { Unpacked } from '../guest/unpack.js';

/** Files that shall come home: globs in the guest and the host directory that they go below. */
export interface Selection {
  /** Absolute, or relative to the working directory. Its literal leading directories are stripped from the names. */
  readonly glob: string;
  /** Globs relative to the same place of what is left out. */
  readonly exclude: readonly string[];
  readonly target: string;
}

export interface CollectResult {
  readonly files: number;
  readonly bytes: number;
  /** Globs that nothing in the guest matches. */
  readonly unmatched: readonly string[];
}

/** Brings files of the guest home, each selection below its own directory, which nothing can leave. */
export async function collect(
  agent: GuestAgent,
  selections: readonly Selection[],
  workingDirectory: string,
  context: { readonly log: Log; readonly signal: AbortSignal },
): Promise<CollectResult> {
  let files = 0;
  let bytes = 0;
  const unmatched: string[] = [];
  for (const selection of selections) {
    const { glob, target } = selection;
    const result = await collectOne(agent, selection, workingDirectory, context.signal);
    files += result.files;
    bytes += result.bytes;
    if (result.files === 0) unmatched.push(glob);
    else
      context.log.info(`${formatCount(result.files, 'file')} (${formatSize(result.bytes)}) from ${glob} to ${target}`);
    for (const name of result.skippedNames) context.log.warn(`left out ${name}: its name is not UTF-8`);
    for (const link of result.skippedLinks) context.log.warn(`left out the link ${link}: it points out of ${target}`);
  }
  return { files, bytes, unmatched };
}

async function collectOne(
  agent: GuestAgent,
  selection: Selection,
  workingDirectory: string,
  signal: AbortSignal,
): Promise<Unpacked> {
  const { directory, pattern } = splitGlob(selection.glob, workingDirectory);
  try {
    return await agent.getTree({ directory, include: [pattern], exclude: selection.exclude }, selection.target, signal);
  } catch (error) {
    // A directory that is not there has nothing that matches.
    if (error instanceof VmRunnerError && error.code === 'guest-file-missing')
      return { files: 0, bytes: 0, skippedLinks: [], skippedNames: [] };
    throw error;
  }
}
