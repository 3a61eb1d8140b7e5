import { writeFile } from 'node:fs/promises';
import path from 'node:path';

import { expect, it } from 'vitest';

import { decodeIndex, encodeIndex } from '../../../src/images/layer/index-file.js';
import { convertLayer } from '../../../src/images/layer/pass.js';
import { writeTar } from '../../../src/images/layer/tar-writer.js';
import { oddLayers } from '../../support/odd-layers.js';
import { temporaryDirectory } from '../../support/temporary-directory.js';
import { readFile } from 'node:fs/promises';
import { parseLayer } from './parse-layer.js';

it('makes a tar that says what the one said that came, through an index that keeps all of it', async () => {
  for (const tar of oddLayers()) {
    const directory = await temporaryDirectory();
    const file = path.join(directory, 'layer.tar');
    await writeFile(file, tar);
    await convertLayer({ file }, directory, new AbortController().signal);
    const index = decodeIndex(await readFile(path.join(directory, 'index')), 'index');
    expect(decodeIndex(encodeIndex(index), 'index')).toEqual(index);
    const pieces: Buffer[] = [];
    for await (const piece of writeTar(index, path.join(directory, 'data'))) pieces.push(piece);
    expect(parseLayer(Buffer.concat(pieces))).toEqual(parseLayer(tar));
  }
});
