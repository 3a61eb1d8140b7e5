import { copyFile, mkdir } from 'node:fs/promises';
import path from 'node:path';

import { DEFAULT_RECIPE } from '../../src/images/debian/recipe.js';
import { openHost } from '../../src/providers/host.js';
import type { Host } from '../../src/providers/provider.js';
import { AGENTS, SCRATCH } from './fake-host.js';

const ROOT = path.resolve(import.meta.dirname, '../..');

/**
 * A host whose default image has these packages besides its own. Its store is in `build/` and stays, so the image is built once
 * for all runs, by the first VM.
 */
export async function hostWithPackages(sharedHome: string, packages: readonly string[]): Promise<Host> {
  const home = path.join(ROOT, 'build', `home-${packages.join('-')}`);
  await mkdir(home, { recursive: true, mode: 0o700 });
  // Not there on a host without the device that would be tried.
  await copyFile(path.join(sharedHome, 'acceleration.json'), path.join(home, 'acceleration.json')).catch(
    () => undefined,
  );
  const recipe = { ...DEFAULT_RECIPE, packages: [...DEFAULT_RECIPE.packages, ...packages] };
  return openHost({ home, provider: 'qemu', agentDirectory: AGENTS, scratch: SCRATCH, recipe });
}
