import { execFileSync } from 'node:child_process';
import { mkdir, symlink, copyFile } from 'node:fs/promises';
import path from 'node:path';

import { openHost } from '../../src/providers/host.js';
import type { Host } from '../../src/providers/provider.js';
import { AGENTS, SCRATCH } from './fake-host.js';
import { temporaryDirectory } from './temporary-directory.js';

/** A store of its own that shares only what is built: the images, and what is known of acceleration. */
export async function homeWithImages(sharedHome: string): Promise<{ directory: string; home: string }> {
  const directory = await temporaryDirectory();
  const home = path.join(directory, 'home');
  await mkdir(home, { mode: 0o700 });
  for (const room of ['layers', 'images', 'guests', 'refs']) {
    await symlink(path.join(sharedHome, room), path.join(home, room));
  }
  // Not there on a host without the device that would be tried.
  await copyFile(path.join(sharedHome, 'acceleration.json'), path.join(home, 'acceleration.json')).catch(
    () => undefined,
  );
  return { directory, home };
}

/** That store, opened to make VMs with QEMU. */
export async function hostWithImages(sharedHome: string, qemuBinary?: string): Promise<Host> {
  const { home } = await homeWithImages(sharedHome);
  return openHost({ home, provider: 'qemu', agentDirectory: AGENTS, scratch: SCRATCH, qemuBinary });
}

/** Command lines of QEMU processes that were started for this store. */
export function qemuProcesses(home: string): string[] {
  const all = execFileSync('ps', ['-eo', 'args', '-ww'], { encoding: 'utf8' }).split('\n');
  return all.filter((line) => line.startsWith('qemu-system') && line.includes(`${home}/`));
}
