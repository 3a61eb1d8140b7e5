import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { ContainerRegistry } from '../support/container-registry.js';
import { RegistryFront } from '../support/registry-front.js';
import { startTypeScript } from '../support/typescript-child.js';
import { pullHost } from './pull-host.js';

const MIB = 2 ** 20;
const CHILD = path.join(import.meta.dirname, 'pull-child.ts');

/** An image with one large layer, behind a slow line. */
async function slowImage(mebibytes: number, bytesPerSecond: number) {
  const registry = await ContainerRegistry.start();
  const pushed = await registry.pushImage('app', '1', [randomBytes(mebibytes * MIB)]);
  const front = await RegistryFront.start({ upstream: registry.port, bytesPerSecond });
  const host = await pullHost();
  const [layer] = pushed.layers;
  const name = `${front.host}/app:1`;
  const child = startTypeScript(CHILD, [host.store.paths.home, host.layers.directory, name]);
  const part = path.join(host.store.paths.blobs, `${(layer?.digest ?? '').replace(':', '-')}.part`);
  /** How many bytes a crash would leave. */
  const recorded = async (): Promise<number> => {
    const text = await readFile(`${part}.json`, 'utf8').catch(() => '{"present":[]}');
    const { present } = JSON.parse(text) as { present: [number, number][] };
    return present.reduce((sum, [from, to]) => sum + to - from, 0);
  };
  return { pushed, layer, front, host, name, child, part, recorded };
}

describe('a pull whose process was killed', () => {
  it('is gone on with by the next one', async () => {
    const { layer, front, host, name, child, recorded } = await slowImage(64, 6 * MIB);
    await expect.poll(recorded, { timeout: 30_000, interval: 20 }).toBeGreaterThan(20 * MIB);
    child.kill('SIGKILL');
    await once(child, 'exit');
    const kept = await recorded();
    front.requests.length = 0;
    await host.pull(name);
    const size = layer?.size ?? 0;
    expect(front.sentBytes('/blobs/sha256')).toBeLessThan(size - kept + MIB);
    expect((await host.layers.read(layer?.diffId ?? '')).length).toBe(64 * MIB);
  });

  it('is begun again when what it left is not what it says', async () => {
    const { layer, host, name, child, part, recorded } = await slowImage(40, 20 * MIB);
    await expect.poll(recorded, { timeout: 30_000, interval: 20 }).toBeGreaterThan(10 * MIB);
    child.kill('SIGKILL');
    await once(child, 'exit');
    const bytes = await readFile(part);
    await writeFile(part, Buffer.alloc(bytes.length));
    await host.pull(name);
    expect((await host.layers.read(layer?.diffId ?? '')).length).toBe(40 * MIB);
  });

  it.each([
    '',
    'no json',
    '{"version":1,"size":7,"present":[[0,7]]}',
    '{"version":1,"present":[[0,1e300]]}',
    '{"version":1,"size":SIZE,"present":[[0,SIZE]]}',
    '{"version":1,"size":SIZE,"present":[[-5,10]]}',
    '{"version":1,"size":SIZE,"present":[["a",10],null]}',
  ])('does not believe a record like %s', async (record) => {
    const registry = await ContainerRegistry.start();
    const pushed = await registry.pushImage('app', '1', [randomBytes(MIB)]);
    const host = await pullHost();
    const [layer] = pushed.layers;
    const part = path.join(host.store.paths.blobs, `${(layer?.digest ?? '').replace(':', '-')}.part`);
    await writeFile(part, Buffer.alloc(1000));
    await writeFile(`${part}.json`, record.replaceAll('SIZE', String(layer?.size)));
    await host.pull(`${registry.host}/app:1`);
  });
});

describe('two processes that pull the same', () => {
  it('download it once, and one says that it waits', async () => {
    const { layer, front, host, name, child, recorded } = await slowImage(40, 8 * MIB);
    await expect.poll(recorded, { timeout: 30_000, interval: 20 }).toBeGreaterThan(0);
    await host.pull(name);
    expect(host.log.lines.join('\n')).toContain(
      `waiting for process ${String(child.pid)}, which is pulling a layer of`,
    );
    const config = front.requestsTo('/blobs/').length;
    expect(config).toBeGreaterThan(0);
    expect(front.sentBytes(layer?.digest ?? '')).toBe(layer?.size);
  });
});
