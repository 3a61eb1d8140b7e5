import { randomBytes } from 'node:crypto';
import { gzipSync } from 'node:zlib';

import { describe, expect, it } from 'vitest';

import {
  ContainerRegistry,
  OCI_CONFIG,
  OCI_INDEX,
  OCI_LAYER,
  OCI_MANIFEST,
  sha256,
} from '../support/container-registry.js';
import { answer, RegistryFront } from '../support/registry-front.js';
import { pullHost } from './pull-host.js';
import { rejection } from './support.js';

const LINUX = { os: 'linux', architecture: 'amd64' };
const SCHEMA_1 = 'application/vnd.docker.distribution.manifest.v1+prettyjws';

/** The error of pulling what says it is of this type. */
async function refusalOf(document: unknown, type = OCI_MANIFEST) {
  const misbehave: RegistryFront['misbehave'] = (_request, response) =>
    answer(response, 200, document, { 'content-type': type });
  const front = await RegistryFront.start({ upstream: 0, misbehave });
  return rejection((await pullHost()).pull(`${front.host}/app:1`));
}

const pointer = (mediaType: string, size: unknown = 10, digest: unknown = `sha256:${'0'.repeat(64)}`): unknown => ({
  mediaType,
  size,
  digest,
});

describe('what is no container image', () => {
  it.each([
    ['a text', 'no JSON', 'text/plain', 'no JSON object'],
    ['schema 1', { schemaVersion: 1, fsLayers: [] }, SCHEMA_1, 'schema 1'],
    ['schema 1 by its type', { schemaVersion: 2 }, SCHEMA_1, 'schema 1'],
    [
      'a Helm chart',
      { mediaType: OCI_MANIFEST, config: pointer('application/vnd.cncf.helm.config.v1+json'), layers: [] },
      OCI_MANIFEST,
      'not a container image but application/vnd.cncf.helm.config.v1+json',
    ],
    [
      'an artifact with a type of its own',
      { artifactType: 'text/spdx', config: pointer('application/vnd.oci.empty.v1+json'), layers: [] },
      OCI_MANIFEST,
      'not a container image but text/spdx',
    ],
    ['a page', { a: 1 }, 'text/html', 'not a container image but text/html'],
    [
      'an encrypted image',
      { config: pointer(OCI_CONFIG), layers: [pointer(`${OCI_LAYER}+encrypted`)] },
      OCI_MANIFEST,
      'image is encrypted',
    ],
    [
      'an image with unknown layers',
      { config: pointer(OCI_CONFIG), layers: [pointer('application/vnd.in-toto+json')] },
      OCI_MANIFEST,
      'a layer of an unknown kind, application/vnd.in-toto+json',
    ],
    ['two things at once', { manifests: [], layers: [] }, OCI_MANIFEST, 'index and an image at once'],
    ['an image without layers', { config: pointer(OCI_CONFIG) }, OCI_MANIFEST, 'no list of layers'],
    ['an image without configuration', { layers: [] }, OCI_MANIFEST, 'without a media type'],
    ['a negative size', { config: pointer(OCI_CONFIG, -1), layers: [] }, OCI_MANIFEST, 'without a size'],
    ['a size as text', { config: pointer(OCI_CONFIG, '10'), layers: [] }, OCI_MANIFEST, 'without a size'],
    [
      'a path for a digest',
      { config: pointer(OCI_CONFIG, 10, 'sha256:../../etc'), layers: [] },
      OCI_MANIFEST,
      'without a sha256 digest',
    ],
    [
      'a huge configuration',
      { config: pointer(OCI_CONFIG, 2 ** 30), layers: [] },
      OCI_MANIFEST,
      'configuration is larger than 4194304 bytes',
    ],
    [
      'too many layers',
      { config: pointer(OCI_CONFIG), layers: Array.from({ length: 1025 }, () => pointer(OCI_LAYER)) },
      OCI_MANIFEST,
      'more than 1024 layers',
    ],
  ])('%s is refused with its name', async (_what, document, type, reason) => {
    const error = await refusalOf(document, type);
    expect(error).toMatchObject({ code: 'image-invalid', blame: 'user' });
    expect(error.message).toContain(reason);
  });

  it('has a configuration that tells of its layers', async () => {
    const registry = await ContainerRegistry.start();
    const layer = await registry.pushBlob('app', randomBytes(10), OCI_LAYER);
    const push = async (tag: string, facts: unknown): Promise<void> => {
      const config = await registry.pushBlob('app', Buffer.from(JSON.stringify(facts)), OCI_CONFIG);
      const manifest = { schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers: [layer] };
      await registry.pushManifest('app', tag, manifest, OCI_MANIFEST);
    };
    await push('none', { ...LINUX });
    await push('fewer', { ...LINUX, rootfs: { diff_ids: [] } });
    await push('bad', { ...LINUX, rootfs: { diff_ids: ['sha256:../../x'] } });
    const reasons = {
      none: 'names no layers',
      fewer: 'has 1 layers, but its configuration tells of 0',
      bad: 'without a sha256',
    };
    for (const [tag, reason] of Object.entries(reasons)) {
      const error = await rejection((await pullHost()).pull(`${registry.host}/app:${tag}`));
      expect(error.code).toBe('image-invalid');
      expect(error.message).toContain(reason);
    }
  });
});

describe('an image for several platforms', () => {
  it('is the one for this platform, past attestations and through indexes in indexes', async () => {
    const registry = await ContainerRegistry.start();
    const amd64 = await registry.pushImage('app', 'amd64', [randomBytes(10)]);
    const v3 = await registry.pushImage('app', 'v3', [randomBytes(10)]);
    const arm64 = await registry.pushImage('app', 'arm64', [randomBytes(10)], { architecture: 'arm64' });
    const entry = (digest: string, platform?: unknown): unknown => ({
      mediaType: OCI_MANIFEST,
      digest,
      size: 500,
      ...(platform === undefined ? {} : { platform }),
    });
    const inner = await registry.pushManifest(
      'app',
      'inner',
      {
        schemaVersion: 2,
        mediaType: OCI_INDEX,
        manifests: [
          entry(v3.digest, { os: 'unknown', architecture: 'unknown' }),
          entry(arm64.digest, { os: 'linux', architecture: 'arm64', variant: 'v8' }),
          entry(v3.digest, { ...LINUX, variant: 'v3' }),
          entry(amd64.digest, LINUX),
        ],
      },
      OCI_INDEX,
    );
    const outer = { schemaVersion: 2, mediaType: OCI_INDEX, manifests: [{ ...inner, mediaType: OCI_INDEX }] };
    const { digest } = await registry.pushManifest('app', '1', outer, OCI_INDEX);
    const host = await pullHost();
    expect(await host.pull(`${registry.host}/app:1`)).toEqual({ digest: amd64.digest, pinned: digest });
    const arm = await (await pullHost()).pull(`${registry.host}/app:1`, { architecture: 'arm64' });
    expect(arm.digest).toBe(arm64.digest);
    const error = await rejection((await pullHost()).pull(`${registry.host}/app:1`, { architecture: 'riscv64' }));
    expect(error).toMatchObject({ code: 'image-unavailable', blame: 'user' });
    expect(error.message).toContain('no image for linux/riscv64');
    expect(error.message).toContain('It has: linux/arm64/v8, linux/amd64/v3, linux/amd64.');
  });

  it('is refused when it has no index and is for another platform', async () => {
    const registry = await ContainerRegistry.start();
    await registry.pushImage('app', '1', [randomBytes(10)], { architecture: 's390x' });
    const error = await rejection((await pullHost()).pull(`${registry.host}/app:1`));
    expect(error.code).toBe('image-unavailable');
    expect(error.message).toContain('no image for linux/amd64');
    expect(error.message).toContain('It has: linux/s390x.');
  });

  it('is refused when its indexes branch without end', async () => {
    const digests = new Map<string, Buffer>();
    const add = (document: unknown): unknown => {
      const bytes = Buffer.from(JSON.stringify(document));
      const digest = sha256(bytes);
      digests.set(digest, bytes);
      return { mediaType: OCI_INDEX, digest, size: bytes.length };
    };
    const index = (manifests: unknown[], mark: string): unknown => ({ mediaType: OCI_INDEX, manifests, mark });
    const leaves = Array.from({ length: 40 }, (_, at) => add(index([], String(at))));
    const misbehave: RegistryFront['misbehave'] = ({ url }, response) => {
      const body = digests.get(url.pathname.split('/').at(-1) ?? '') ?? index(leaves, 'top');
      return answer(response, 200, body, { 'content-type': OCI_INDEX });
    };
    const front = await RegistryFront.start({ upstream: 0, misbehave });
    const error = await rejection((await pullHost()).pull(`${front.host}/app:1`));
    expect(error.message).toContain('index leads to more than 32 manifests');
    expect(front.requests.length).toBe(32);
  });

  it('is refused when its indexes have no end', async () => {
    const registry = await ContainerRegistry.start();
    let { digest, size } = await registry.pushManifest(
      'app',
      '0',
      { schemaVersion: 2, mediaType: OCI_INDEX, manifests: [] },
      OCI_INDEX,
    );
    for (let depth = 1; depth < 8; depth += 1) {
      const index = { schemaVersion: 2, mediaType: OCI_INDEX, manifests: [{ mediaType: OCI_INDEX, digest, size }] };
      ({ digest, size } = await registry.pushManifest('app', String(depth), index, OCI_INDEX));
    }
    expect((await rejection((await pullHost()).pull(`${registry.host}/app:7`))).code).toBe('image-invalid');
    expect((await rejection((await pullHost()).pull(`${registry.host}/app:2`))).code).toBe('image-unavailable');
  });
});

describe('a layer that is not for registries', () => {
  /** An image whose only layer is nowhere but at an address of its own. */
  async function foreignImage(location: (storage: RegistryFront) => string) {
    const content = randomBytes(1000);
    const layer = gzipSync(content);
    const config = Buffer.from(JSON.stringify({ ...LINUX, rootfs: { diff_ids: [sha256(content)] } }));
    const storage = await RegistryFront.start({
      upstream: 0,
      misbehave: ({ headers }, response) => answer(response, headers.authorization === undefined ? 200 : 400, layer),
    });
    const manifest = {
      mediaType: OCI_MANIFEST,
      config: { mediaType: OCI_CONFIG, digest: sha256(config), size: config.length },
      layers: [
        {
          mediaType: 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip',
          digest: sha256(layer),
          size: layer.length,
          urls: [location(storage)],
        },
      ],
    };
    const misbehave: RegistryFront['misbehave'] = ({ url }, response) => {
      if (url.pathname.includes('/manifests/'))
        return answer(response, 200, manifest, { 'content-type': OCI_MANIFEST });
      return url.pathname.endsWith(sha256(config)) ? answer(response, 200, config) : answer(response, 404);
    };
    const front = await RegistryFront.start({ upstream: 0, misbehave });
    return { name: `${front.host}/app:1`, diffId: sha256(content), content };
  }

  it('is fetched from where its manifest says', async () => {
    const { name, diffId, content } = await foreignImage((storage) => `http://${storage.host}/layer`);
    const host = await pullHost();
    await host.pull(name);
    expect((await host.layers.read(diffId)).equals(content)).toBe(true);
  });

  it('is not read from this host or by other ways', async () => {
    const { name } = await foreignImage(() => 'file:///etc/passwd');
    expect((await rejection((await pullHost()).pull(name))).message).toContain('not safe');
  });
});
