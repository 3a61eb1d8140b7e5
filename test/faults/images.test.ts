import { writeFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { ContainerRegistry } from '../support/container-registry.js';
import { errorsIn, faultyHost, steps, SWEEP } from '../support/faults/faulty-host.js';
import type { Fault } from '../support/faults/program.js';
import { layerTar, writeLayout, type MadeImage } from '../support/made-images.js';

const LAYERS = [
  [{ path: 'etc/' }, { path: 'etc/one', content: 'one\n'.repeat(5000) }],
  [{ path: 'etc/two', content: Buffer.alloc(300_000, 7) }],
];

/** A store that an image is brought into, again and again. */
async function imageHost() {
  const host = await faultyHost();
  const image: MadeImage = { layers: LAYERS, config: {} };
  await writeLayout(path.join(host.directory, 'layout'), image);
  const importing = ['image', 'import', `oci:${path.join(host.directory, 'layout')}`, 'made'];
  const remove = async (): Promise<void> => {
    await host.run(['image', 'rm', 'local/made']);
    await host.expectNoLeak();
  };
  return { ...host, importing, remove };
}

async function registryImage(): Promise<string> {
  const registry = await ContainerRegistry.start();
  await registry.pushImage('app', '1', await Promise.all(LAYERS.map((entries) => layerTar(entries))));
  return `${registry.host}/app:1`;
}

/** Steps that only read are as good as the ones before them for a kill. */
const CHANGES = /^(mkdir|open|writeFile|write|writev|sync|rename|link|unlink|rmdir|rm|truncate|utimes|chmod) /;
const KILLS: readonly Fault['act'][] = ['kill', 'torn'];

describe('kill -9 of the program', () => {
  it.each(KILLS)('while it converts an image leaves no part of one (%s)', SWEEP, async (act) => {
    const { run, operations, importing, expectNoLeak, remove } = await imageHost();
    const all = await operations(importing, CHANGES);
    expect(all.length).toBeGreaterThan(40);
    for (const at of steps(all.length, 8)) {
      const about = `${act} at ${at}: ${all[at - 1] ?? ''}`;
      await remove();
      // What it finds there already, it does not do again: one that was not killed has worked.
      const { killed, exitCode } = await run(importing, { act, match: CHANGES, at });
      expect(killed || exitCode === 0, about).toBe(true);
      await expectNoLeak(about);
      expect(await run(importing), about).toMatchObject({ exitCode: 0 });
    }
  });

  it.each(KILLS)('while it pulls an image lets the next pull go on (%s)', SWEEP, async (act) => {
    const name = await registryImage();
    const { run, operations, expectNoLeak } = await faultyHost();
    const pull = ['image', 'pull', name];
    const all = await operations(pull, CHANGES);
    expect(all.length).toBeGreaterThan(40);
    for (const at of steps(all.length, 8)) {
      const about = `${act} at ${at}: ${all[at - 1] ?? ''}`;
      expect(await run(['image', 'rm', name]), about).toMatchObject({ exitCode: 0 });
      await expectNoLeak(about);
      // How far it is at that step differs from pull to pull.
      await run(pull, { act, match: CHANGES, at });
      const again = await run(pull);
      expect(again, `${about}\n${again.stderr}`).toMatchObject({ exitCode: 0 });
      await expectNoLeak(about);
    }
  });

  it('while it collects garbage lets the next collection finish', SWEEP, async () => {
    const { run, operations, importing, expectNoLeak } = await imageHost();
    const garbage = async (): Promise<void> => {
      const job = ['run', '-q', '--provider', 'fake', '--keep', '--name', 'vm-kept', '--', 'true'];
      expect(await run(job)).toMatchObject({ exitCode: 0 });
      expect(await run(importing)).toMatchObject({ exitCode: 0 });
      // Its image goes only after a while, with the collection of a week later.
      expect(await run(['image', 'rm', 'local/made'])).toMatchObject({ exitCode: 0 });
    };
    const later: Fault = { act: `clock:${8 * 86_400_000}` };
    await garbage();
    const all = await operations(['gc'], CHANGES);
    for (const at of steps(Math.max(all.length, 30), 7)) {
      await run(['gc'], { act: 'kill', match: CHANGES, at });
      await run(['gc'], later);
      await expectNoLeak(`kill at ${at}`);
      await garbage();
    }
    await run(['gc'], later);
    await expectNoLeak();
  });
});

describe('an image that cannot be written', () => {
  it.each([
    ['ENOSPC', 'disk-full'],
    ['EIO', 'host-file-failed'],
    ['EROFS', 'host-file-failed'],
  ] as const)('is one error at each step of its conversion (%s)', SWEEP, async (act, code) => {
    const { run, operations, importing, expectNoLeak, remove } = await imageHost();
    const match = /^(mkdir|open|writeFile|write|writev|sync|rename|link|truncate|chmod) /;
    const all = await operations(importing, match);
    await remove();
    for (const at of steps(all.length, 8)) {
      const about = `${act} at ${at}: ${all[at - 1] ?? ''}`;
      const { exitCode, stderr } = await run(importing, { act, match, at });
      if (exitCode === 0) await remove();
      else
        expect({ exitCode, errors: errorsIn(stderr) }, `${about}\n${stderr}`).toEqual({
          exitCode: 125,
          errors: [code],
        });
      await expectNoLeak(about);
    }
    expect(await run(importing)).toMatchObject({ exitCode: 0 });
  });

  it.each([
    ['ENOSPC', 'disk-full'],
    ['EIO', 'host-file-failed'],
    ['EROFS', 'host-file-failed'],
  ] as const)('is one error at each step of its pull (%s)', SWEEP, async (act, code) => {
    const name = await registryImage();
    const { run, operations, expectNoLeak } = await faultyHost();
    const match = /^(mkdir|open|writeFile|write|writev|sync|rename|link|truncate|chmod) /;
    const pull = ['image', 'pull', name];
    const all = await operations(pull, match);
    for (const at of steps(all.length, 6)) {
      const about = `${act} at ${at}: ${all[at - 1] ?? ''}`;
      await run(['image', 'rm', name]);
      await expectNoLeak(about);
      const { exitCode, stderr } = await run(pull, { act, match, at });
      if (exitCode !== 0)
        expect({ exitCode, errors: errorsIn(stderr) }, `${about}\n${stderr}`).toEqual({
          exitCode: 125,
          errors: [code],
        });
      const again = await run(pull);
      expect(again, `${about}\n${again.stderr}`).toMatchObject({ exitCode: 0 });
      await expectNoLeak(about);
    }
  });

  it('comes from an archive that ends too early: its author is told', async () => {
    const { run, directory, expectNoLeak } = await imageHost();
    const file = path.join(directory, 'root.tar');
    await writeFile(file, (await layerTar(LAYERS[1] ?? [])).subarray(0, 100_000));
    const { exitCode, stderr } = await run(['image', 'import', `rootfs:${file}`, 'cut']);
    expect({ exitCode, errors: errorsIn(stderr) }, stderr).toEqual({ exitCode: 125, errors: ['image-invalid'] });
    await expectNoLeak();
  });
});
