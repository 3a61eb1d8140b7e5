import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';

import { fileError, systemCode } from '../core/errors.js';
import type { CollectOptions, Garbage } from '../core/garbage.js';
import { removeTree } from './directories.js';
import { bytesBelow } from './disk-use.js';
import type { StorePaths } from './paths.js';

/** How long the logs of VMs that are gone stay. */
export interface LogRules {
  readonly logsMs: number;
  /** Of so many VMs. */
  readonly logsOf: number;
  /** Of all of them together. */
  readonly logsBytes: number;
}

/** The logs that the rules are against, the oldest first. */
export async function oldLogs(
  { logs }: Pick<StorePaths, 'logs'>,
  rules: LogRules,
  { dryRun, now }: CollectOptions,
): Promise<readonly Garbage[]> {
  const all = (await keptLogs(logs)).sort((a, b) => b.writtenAt - a.writtenAt);
  const garbage: Garbage[] = [];
  let bytes = 0;
  for (const [index, log] of all.entries()) {
    bytes += log.bytes;
    const reason = against(rules, { index, bytes, ageMs: now - log.writtenAt });
    if (reason === undefined) continue;
    const directory = path.join(logs, log.name);
    if (!dryRun) await removeTree(directory, 'remove old logs');
    garbage.push({ kind: 'logs', name: log.name, reason, bytes: log.bytes });
  }
  return garbage;
}

function against(
  { logsMs, logsOf, logsBytes }: LogRules,
  { index, bytes, ageMs }: { readonly index: number; readonly bytes: number; readonly ageMs: number },
): string | undefined {
  if (ageMs > logsMs) return 'old';
  if (index >= logsOf) return `older than those of ${logsOf} other VMs`;
  return bytes > logsBytes ? 'over the budget for logs' : undefined;
}

async function keptLogs(
  directory: string,
): Promise<{ readonly name: string; readonly bytes: number; readonly writtenAt: number }[]> {
  let names: string[];
  try {
    names = await readdir(directory);
  } catch (cause) {
    throw fileError('list the logs', directory, cause);
  }
  return Promise.all(
    names.map(async (name) => {
      const file = path.join(directory, name);
      return { name, bytes: await bytesBelow(file), writtenAt: await modifiedAt(file) };
    }),
  );
}

async function modifiedAt(file: string): Promise<number> {
  try {
    return (await stat(file)).mtimeMs;
  } catch (cause) {
    // Somebody else was faster.
    if (systemCode(cause) === 'ENOENT') return 0;
    throw fileError('look at a log', file, cause);
  }
}
