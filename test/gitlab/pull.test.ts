import { describe, expect, it } from 'vitest';

import { VmRunnerError } from '../../src/core/errors.js';
import type { PullPolicy, VmRequest } from '../../src/core/job.js';
import { pullInOrder } from '../../src/gitlab/pull.js';
import { HostImageLibrary } from '../../src/images/host-library.js';
import { imageOfConfig } from '../../src/images/made-image.js';
import type { PullFunction } from '../../src/images/pull-function.js';
import { keptLog, SCRATCH } from '../support/fake-host.js';
import { writeLayer } from '../support/layer-writer.js';
import { digest } from '../support/oci-layout.js';
import { temporaryStore } from '../images/support.js';

const LAYER = writeLayer([{ name: 'f', data: 'x' }]);
const IMAGE = 'group/tool:1';

/** A host with a registry that has one image, until it is down. */
async function hostWithRegistry() {
  const { store, processes } = await temporaryStore();
  const registry = { isUp: true };
  const bring: PullFunction = async (_reference, options) => {
    if (!registry.isUp) throw new VmRunnerError('image-unavailable', 'registry does not answer');
    const diffIds = [digest(LAYER)];
    await options.layers.add({ stream: [LAYER] as never }, digest(LAYER), options);
    const config = Buffer.from(JSON.stringify({ os: 'linux', architecture: 'amd64', rootfs: { diff_ids: diffIds } }));
    const image = await imageOfConfig(config, undefined, diffIds, options);
    return { digest: image, pinned: image };
  };
  const options = { store: store.paths, processes, agentDirectory: '/nowhere', scratch: SCRATCH };
  const images = new HostImageLibrary({ ...options, pull: bring });
  const log = keptLog();
  const pull = (policies: readonly PullPolicy[], how: PullHow = {}): Promise<VmRequest> => {
    const { image = IMAGE, signal = new AbortController().signal, bootsImages = true } = how;
    const request = { image, cpus: 1, memoryMiB: 512, network: 'none' as const };
    return pullInOrder({ images, provider: { bootsImages } }, request, policies, { log, signal });
  };
  const isHere = async (): Promise<boolean> => (await images.find(IMAGE)) !== undefined;
  return { log, registry, pull, isHere };
}

interface PullHow {
  readonly image?: string;
  readonly signal?: AbortSignal;
  readonly bootsImages?: boolean;
}

const warnings = ({ lines }: { readonly lines: readonly string[] }): string[] =>
  lines.filter((line) => line.startsWith('warn: '));

describe('the pull policies of a job', () => {
  it('are tried one after the other until one brings the image, which then is here', async () => {
    const { log, pull, isHere } = await hostWithRegistry();
    expect(await pull(['never', 'always'])).toMatchObject({ pull: 'if-not-present', memoryMiB: 512 });
    expect(warnings(log)).toEqual([expect.stringMatching(/^warn: pull policy never failed, trying always: /)]);
    expect(await isHere()).toBe(true);
  });

  it('fall back to what is here when it cannot be brought anew', async () => {
    const { log, registry, pull } = await hostWithRegistry();
    await pull(['always', 'never']);
    expect(warnings(log)).toEqual([]);
    registry.isUp = false;
    expect(await pull(['always', 'if-not-present'])).toMatchObject({ pull: 'if-not-present' });
    expect(warnings(log)).toEqual(['warn: pull policy always failed, trying if-not-present: registry does not answer']);
  });

  it('fail with what the last of them failed with', async () => {
    const { log, registry, pull } = await hostWithRegistry();
    registry.isUp = false;
    await expect(pull(['never', 'always'])).rejects.toThrow('registry does not answer');
    expect(warnings(log)).toHaveLength(1);
  });

  it('are not gone on with when the job is cancelled', async () => {
    const { log, pull } = await hostWithRegistry();
    const signal = AbortSignal.abort(new VmRunnerError('cancelled', 'ended by the Runner'));
    await expect(pull(['never', 'always'], { signal })).rejects.toThrow();
    expect(warnings(log)).toEqual([]);
  });

  it('are left to prepare when there is only one, and where no image is brought', async () => {
    const { pull, isHere } = await hostWithRegistry();
    expect(await pull(['always'])).toMatchObject({ pull: 'always' });
    expect(await pull(['never', 'always'], { image: 'default' })).toMatchObject({ pull: 'never' });
    expect(await pull(['always', 'never'], { bootsImages: false })).toMatchObject({ pull: 'always' });
    expect(await isHere()).toBe(false);
  });
});
