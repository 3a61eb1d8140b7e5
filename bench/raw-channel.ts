import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

import type { GuestAgent } from '../src/guest/agent.js';
import { QmpClient } from '../src/providers/qemu/qmp.js';
import type { VmPaths } from '../src/store/paths.js';
import { shell } from '../test/support/guest.js';

const PORT_NAME = 'bench.raw';
const CHUNK = Buffer.alloc(256 * 2 ** 10);

/** One more virtio-serial port of the guest with nothing on it: what the channel itself carries. */
export interface RawChannel {
  /** Milliseconds from starting `dd` in the guest to the last byte here. */
  readonly out: (bytes: number) => Promise<number>;
  /** Milliseconds from the first byte here to the end of `dd` in the guest. */
  readonly in: (bytes: number) => Promise<number>;
}

/** Plugs the port in; it goes with the VM. */
export async function rawChannel(agent: GuestAgent, paths: VmPaths, signal: AbortSignal): Promise<RawChannel> {
  const path = `${paths.directory}/raw`;
  using monitor = await QmpClient.connect(paths.qmp);
  if (monitor === undefined) throw new Error('QEMU does not listen on its control socket');
  const backend = { addr: { type: 'unix', data: { path } }, server: true, wait: false };
  await monitor.execute('chardev-add', { id: 'raw', backend: { type: 'socket', data: backend } });
  await monitor.execute('device_add', {
    driver: 'virtserialport',
    ...{ bus: 'ports.0', chardev: 'raw', name: PORT_NAME, id: 'raw-port' },
  });
  const find = `for i in $(seq 100); do
    for port in /sys/class/virtio-ports/*; do
      if [ "$(cat $port/name)" = ${PORT_NAME} ]; then echo /dev/\${port##*/}; exit; fi
    done; sleep 0.05
  done; exit 1`;
  let device = '';
  await shell(agent, find, signal, (text) => (device += text));
  return {
    out: (bytes) => measureOut(agent, path, `dd if=/dev/zero of=${device.trim()} ${dd(bytes)}`, bytes, signal),
    in: (bytes) => measureIn(agent, path, `dd if=${device.trim()} of=/dev/null ${dd(bytes)}`, bytes, signal),
  };
}

const dd = (bytes: number): string => `bs=64k iflag=fullblock,count_bytes count=${bytes} status=none`;

async function measureOut(
  agent: GuestAgent,
  path: string,
  script: string,
  bytes: number,
  signal: AbortSignal,
): Promise<number> {
  const socket = await connected(path);
  let received = 0;
  const arrived = new Promise<number>((resolve) => {
    socket.on('data', (data) => {
      received += data.length;
      if (received >= bytes) resolve(performance.now());
    });
  });
  const start = performance.now();
  await shell(agent, script, signal);
  const end = await arrived;
  socket.destroy();
  return end - start;
}

async function measureIn(
  agent: GuestAgent,
  path: string,
  script: string,
  bytes: number,
  signal: AbortSignal,
): Promise<number> {
  const socket = await connected(path);
  const start = performance.now();
  const read = shell(agent, script, signal);
  for (let sent = 0; sent < bytes; sent += CHUNK.length) {
    if (!socket.write(CHUNK.subarray(0, Math.min(CHUNK.length, bytes - sent)))) await once(socket, 'drain', { signal });
  }
  await read;
  const end = performance.now();
  socket.destroy();
  return end - start;
}

async function connected(path: string): Promise<Socket> {
  const socket = connect(path);
  await once(socket, 'connect');
  return socket;
}
