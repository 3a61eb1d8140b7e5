import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { onTestFinished } from 'vitest';

import { delay } from '../../src/core/deadline.js';
import { temporaryDirectory } from './temporary-directory.js';

const ROOT = path.resolve(import.meta.dirname, '../../build/vhost');
const BINARY = path.join(ROOT, 'bin/vhost-device-vsock');
const VERSION = '0.3.0';
const START_TIMEOUT_MS = 10_000;

/** Whether the device's program is here, or can be built. */
export const hasVhostVsock = existsSync(BINARY) || spawnSync('cargo', ['--version']).error === undefined;

/** A vsock device outside of QEMU, for one VM. It needs no support of this host's kernel. */
export interface VhostVsock {
  /** Leads to the guest's ports after `CONNECT port`; a guest that dials port N of the host comes out at `<socket>_N`. */
  readonly socket: string;
  /** A QEMU with this device in its VM. */
  readonly qemuBinary: string;
}

/** Builds the program at the first use, about a minute, and starts it; all of it ends with the test. */
export async function vhostVsock(memoryMiB: number): Promise<VhostVsock> {
  if (!existsSync(BINARY)) {
    const install = ['install', '--quiet', '--locked', '--root', ROOT, '--version', VERSION, 'vhost-device-vsock'];
    execFileSync('cargo', install, { stdio: ['ignore', 'inherit', 'inherit'] });
  }
  const directory = await temporaryDirectory();
  const [socket, control] = [path.join(directory, 'vsock'), path.join(directory, 'vhost')];
  const device = spawn(BINARY, ['--vm', `guest-cid=4,uds-path=${socket},socket=${control}`], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  onTestFinished(async () => {
    device.kill();
    if (device.exitCode === null && device.signalCode === null) await once(device, 'close');
  });
  const signal = AbortSignal.timeout(START_TIMEOUT_MS);
  while (!existsSync(control)) {
    if (signal.aborted || device.exitCode !== null) throw new Error('vhost-device-vsock did not start');
    await delay(20);
  }
  const qemuBinary = path.join(directory, 'qemu');
  const options = [
    // The device reads and writes the guest's memory.
    `-object memory-backend-memfd,id=shared,size=${memoryMiB}M,share=on -machine memory-backend=shared`,
    `-chardev socket,id=vhost,path=${control} -device vhost-user-vsock-pci,chardev=vhost`,
  ];
  await writeFile(qemuBinary, `#!/bin/sh\nexec qemu-system-x86_64 "$@" ${options.join(' ')}\n`);
  await chmod(qemuBinary, 0o755);
  return { socket, qemuBinary };
}
