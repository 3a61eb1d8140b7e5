import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, copyFile, mkdir } from 'node:fs/promises';
import path from 'node:path';

import { openHost } from '../../src/providers/host.js';
import type { Host } from '../../src/providers/provider.js';
import { AGENTS, SCRATCH } from './fake-host.js';
import { temporaryDirectory } from './temporary-directory.js';

/** What of a store is built once: files that nobody writes to, so that links to them are as good as copies. */
const BUILT = ['guests', 'images', 'layers', 'refs', 'templates'];

/** Only what templates are made of. */
export const WITHOUT_TEMPLATES = BUILT.filter((name) => name !== 'templates');

/** A store of its own that shares only what is built: images and templates, and what is known of acceleration. */
export async function homeWithImages(sharedHome: string, rooms = BUILT): Promise<{ directory: string; home: string }> {
  const directory = await temporaryDirectory();
  // The users of QEMUs must come through.
  await chmod(directory, 0o711);
  const home = path.join(directory, 'home');
  await mkdir(home, { mode: 0o700 });
  const built = rooms.map((name) => path.join(sharedHome, name)).filter((name) => existsSync(name));
  execFileSync('cp', ['-al', ...built, home]);
  // Without its version it would be taken for an old store, whose templates are made anew.
  await copyFile(path.join(sharedHome, 'version'), path.join(home, 'version'));
  // Not there on a host without the device that would be tried.
  await copyFile(path.join(sharedHome, 'acceleration.json'), path.join(home, 'acceleration.json')).catch(
    () => undefined,
  );
  return { directory, home };
}

/** That store, opened to make VMs with QEMU. */
export async function hostWithImages(sharedHome: string, qemuBinary?: string, rooms = BUILT): Promise<Host> {
  const { home } = await homeWithImages(sharedHome, rooms);
  return openHost({ home, provider: 'qemu', agentDirectory: AGENTS, scratch: SCRATCH, qemuBinary });
}

/** Command lines of QEMU processes that were started for this store. */
export function qemuProcesses(home: string): string[] {
  const all = execFileSync('ps', ['-eo', 'args', '-ww'], { encoding: 'utf8' }).split('\n');
  return all.filter((line) => line.startsWith('qemu-system') && line.includes(`${home}/`));
}
