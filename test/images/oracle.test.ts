import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { HostImageLibrary } from '../../src/images/host-library.js';
import { ContainerRegistry } from '../support/container-registry.js';
import { SCRATCH } from '../support/fake-host.js';
import { writeLayout } from '../support/oci-layout.js';
import { oddLayers } from '../support/odd-layers.js';
import { temporaryDirectory } from '../support/temporary-directory.js';
import { IS_ROOT, listTree, mountedByKernel, unpackedByUmoci } from '../support/tree-listing.js';
import { recordingLog, temporaryStore } from './support.js';

async function setUp() {
  const { store, processes } = await temporaryStore();
  const library = new HostImageLibrary({ store: store.paths, processes, agentDirectory: '/nowhere', scratch: SCRATCH });
  return { library, context: { log: recordingLog(), signal: new AbortController().signal } };
}

/** Without what umoci does not set: times of directories that no layer describes, and of the root, which it changes last. */
function comparable(lines: readonly string[]): string[] {
  return lines.map((line) =>
    /^b'(\/implied(\/by)?)?' /.test(line) ? line.replace(/^(\S+( \S+){5}) \d+/, '$1 -') : line,
  );
}

// Mounting, giving files owners and making devices are root's. CI runs the unit tests as root once.
describe.skipIf(!IS_ROOT)('an image with all that layers can have, as this kernel mounts it (root only)', () => {
  it('is what umoci unpacks: names, modes, owners, devices, links, times, sizes, bytes and attributes', async () => {
    const { library, context } = await setUp();
    const layout = path.join(await temporaryDirectory(), 'layout');
    await writeLayout(layout, [{ tag: 'odd', layers: oddLayers() }]);
    const { disk } = await library.resolve(`oci:${layout}`, context);
    const ours = comparable(listTree(await mountedByKernel(disk)));
    expect(ours.length).toBeGreaterThan(550);
    expect(ours).toEqual(comparable(listTree(await unpackedByUmoci(layout, 'odd'))));
  });

  it('is the same when it came from a registry, and when it was exported and came back', async () => {
    const registry = await ContainerRegistry.start();
    const pushed = await registry.pushImage('odd', '1', oddLayers());
    const { library, context } = await setUp();
    const pulled = await library.resolve(`${registry.host}/odd:1`, context);
    expect(pulled.digest).toBe(pushed.digest);
    const layout = path.join(await temporaryDirectory(), 'layout');
    await library.exportTo(`${registry.host}/odd:1`, layout, context);
    const back = await library.resolve(`oci:${layout}:1`, context);
    const [a, b] = [listTree(await mountedByKernel(pulled.disk)), listTree(await mountedByKernel(back.disk))];
    expect(a.length).toBeGreaterThan(550);
    expect(a).toEqual(b);
  });
});
