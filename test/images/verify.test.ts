import { chmod, open, readdir, rm } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { HostImageLibrary } from '../../src/images/host-library.js';
import { imageDirectory, IMAGE_FILES } from '../../src/images/image-files.js';
import { LAYER_FILES } from '../../src/images/layer/files.js';
import { SCRATCH } from '../support/fake-host.js';
import { writeLayer } from '../support/layer-writer.js';
import { writeLayout } from '../support/oci-layout.js';
import { temporaryDirectory } from '../support/temporary-directory.js';
import { recordingLog, temporaryStore } from './support.js';

async function setUp() {
  const { store, processes } = await temporaryStore();
  const options = { store: store.paths, processes, agentDirectory: '/nowhere', scratch: SCRATCH };
  const library = new HostImageLibrary(options);
  const context = { log: recordingLog(), signal: new AbortController().signal };
  const layout = path.join(await temporaryDirectory(), 'layout');
  await writeLayout(layout, [{ tag: 'a', layers: [writeLayer([{ name: 'file', data: Buffer.from('content') }])] }]);
  const { digest } = await library.resolve(`oci:${layout}`, context);
  const [hex = ''] = await readdir(store.paths.layers);
  return {
    verify: () => library.verify(context),
    layer: path.join(store.paths.layers, hex),
    image: imageDirectory(store.paths, digest),
  };
}

/** As a disk does that loses a bit. */
async function flipBit(file: string): Promise<void> {
  await chmod(file, 0o600);
  const handle = await open(file, 'r+');
  try {
    const { buffer } = await handle.read(Buffer.alloc(1), 0, 1, 0);
    buffer[0] = (buffer[0] ?? 0) ^ 4;
    await handle.write(buffer, 0, 1, 0);
  } finally {
    await handle.close();
  }
}

describe('images that are read as a whole', () => {
  it('are sound as they were made', async () => {
    const { verify } = await setUp();
    expect(await verify()).toEqual([{ level: 'ok', subject: 'images', text: '1 layers and 1 images are sound' }]);
  });

  it.each([LAYER_FILES.data, LAYER_FILES.index])('show a bit that changed in the %s of a layer', async (name) => {
    const { verify, layer } = await setUp();
    await flipBit(path.join(layer, name));
    const text = expect.stringContaining(`${path.join(layer, name)} is not what was written there`) as string;
    expect(await verify()).toContainEqual({ level: 'problem', subject: 'layer', text });
  });

  it('show a bit that changed in what lies over the layers', async () => {
    const { verify, image } = await setUp();
    await flipBit(path.join(image, IMAGE_FILES.metadata));
    expect(await verify()).toMatchObject([{ level: 'problem', subject: 'image' }]);
  });

  it('show a layer that is gone, and read layers that were made before there were sums', async () => {
    const { verify, layer } = await setUp();
    await rm(path.join(layer, LAYER_FILES.sums));
    expect(await verify()).toMatchObject([{ level: 'ok' }]);
    await rm(layer, { recursive: true });
    expect(await verify()).toMatchObject([{ level: 'problem', subject: 'image' }]);
  });
});
