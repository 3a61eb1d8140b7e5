import { createHash } from 'node:crypto';
import { access } from 'node:fs/promises';
import path from 'node:path';

import { cacheDir, find } from '@actions/tool-cache';

import type { Log } from '../core/log.js';
import type { Installation } from '../process/installation.js';
import { launcherText, writeLauncher } from './cli-on-path.js';
import type { Runner } from './runner.js';
import type { ActionWorld } from './world.js';

const TOOL = 'vm-runner';

/**
 * Puts `vm-runner` on the PATH of the later steps, which may work with the VM until the job ends. Without it the job can
 * go on: what goes wrong is a line in the log.
 * @param directory a place of this job for the launcher
 */
export async function publishCli(
  world: Pick<ActionWorld, 'node' | 'hasToolCache'>,
  runner: Runner,
  log: Log,
  installation: Installation,
  { home, directory }: { readonly home: string; readonly directory: string },
): Promise<void> {
  try {
    const launcher = { node: world.node, cli: path.join(installation.root, 'dist/cli/index.js'), home };
    await access(launcher.cli);
    const fresh = await writeLauncher({ ...launcher, directory });
    runner.addPath(world.hasToolCache ? await inToolCache(fresh, installation.version, launcherText(launcher)) : fresh);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    log.info(`The vm-runner command is not there for later steps: ${reason}`);
  }
}

/** Content decides the version, so that jobs that share a tool cache never replace each other's launcher. */
async function inToolCache(source: string, version: string, content: string): Promise<string> {
  const unique = `${version}-${createHash('sha256').update(content).digest('hex').slice(0, 12)}`;
  const found = find(TOOL, unique);
  return found === '' ? await cacheDir(source, TOOL, unique) : found;
}
