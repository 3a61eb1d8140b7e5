import { EventEmitter, once } from 'node:events';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { VmRunnerError } from '../../src/core/errors.js';
import type { RootBuilder } from '../../src/images/build-root.js';
import { DebianLibrary, type DebianLibraryOptions } from '../../src/images/debian.js';
import type { RootDescription } from '../../src/images/image-directory.js';
import { DEFAULT_RECIPE, rootKey } from '../../src/images/recipe.js';
import { removeAbandoned } from '../../src/store/temporary.js';
import { temporaryDirectory } from '../support/temporary-directory.js';
import { deadProcess, recordingLog, rejection, temporaryStore, writeProgram } from './support.js';

const HOST = { platform: 'linux', architecture: 'x64', uid: 1000, osRelease: 'ID=debian\n' };
const DESCRIPTION: RootDescription = {
  version: 1,
  kind: 'root',
  suite: 'bookworm',
  architecture: 'amd64',
  kernelVersion: '6.1',
  modules: ['virtio.ko'],
  packages: { git: '1' },
  rootDiskBytes: 4,
  rootDiskVirtualBytes: 4,
  builtAt: '2024-01-01T00:00:00.000Z',
  buildSeconds: 1,
};

/** Builds something small at once, and counts. */
function countingBuilder(): RootBuilder & { builds: number } {
  const build = async (_recipe: unknown, directory: string): Promise<RootDescription> => {
    builder.builds += 1;
    await mkdir(path.join(directory, 'modules'));
    await writeFile(path.join(directory, 'modules/virtio.ko'), 'MODULE');
    await writeFile(path.join(directory, 'vmlinuz'), 'KERNEL');
    await writeFile(path.join(directory, 'root.ext4'), 'DISK');
    return DESCRIPTION;
  };
  const builder: RootBuilder & { builds: number } = Object.assign(build, { builds: 0 });
  return builder;
}

async function setUp(options: Partial<DebianLibraryOptions> = {}) {
  const { store, processes } = await temporaryStore();
  const agentDirectory = await temporaryDirectory();
  await mkdir(path.join(agentDirectory, 'amd64'));
  const agent = path.join(agentDirectory, 'amd64/vm-agent');
  await writeFile(agent, 'AGENT');
  const log = recordingLog();
  const context = { log, signal: new AbortController().signal };
  const library = (more: Partial<DebianLibraryOptions> = {}): DebianLibrary =>
    new DebianLibrary({ store: store.paths, processes, agentDirectory, host: HOST, ...options, ...more });
  return { store, processes, agent, log, context, library };
}

describe('DebianLibrary', () => {
  it('knows no other image than the default one', async () => {
    const { library, context } = await setUp();
    await expect(library().resolve('alpine:3', context)).rejects.toMatchObject({
      code: 'image-unavailable',
      message: 'no such image: alpine:3. Only `default` exists in this version of vm-runner.',
    });
  });

  it('builds the image at its first use and nothing at its second', async () => {
    const buildRoot = countingBuilder();
    const { library, context, store } = await setUp({ buildRoot });
    const image = await library().resolve('default', context);
    expect(await readFile(image.kernel, 'utf8')).toBe('KERNEL');
    expect(await readFile(image.rootDisk, 'utf8')).toBe('DISK');
    expect(await readFile(image.initramfs, 'latin1')).toMatch(/AGENT.*virtio\.ko\n.*MODULE/s);
    expect(image.digest).toMatch(/^sha256:[0-9a-f]{64}$/);
    for (const file of [image.kernel, image.rootDisk, image.initramfs]) {
      expect((await stat(file)).mode & 0o777).toBe(0o444);
    }
    expect(JSON.parse(await readFile(path.join(store.paths.refs, 'default'), 'utf8'))).toMatchObject({
      reference: 'default',
      digest: image.digest,
    });

    // Without tools, with a builder that would fail: nothing is started.
    const fails: RootBuilder = () => Promise.reject(new Error('built again'));
    expect(await library({ buildRoot: fails, searchPath: '/nowhere' }).resolve('default', context)).toEqual(image);
    expect(await readdir(store.paths.temporary)).toEqual([]);
    expect(await readdir(store.paths.locks)).toEqual([]);
  });

  it('builds once when two ask at the same time, and tells the second what it waits for', async () => {
    const buildRoot = countingBuilder();
    const [begun, released] = [new EventEmitter(), new EventEmitter()];
    const slow: RootBuilder = async (...args) => {
      begun.emit('now');
      await once(released, 'now');
      return buildRoot(...args);
    };
    const { library, context, log } = await setUp();
    const info = (text: string): void => {
      log.info(text);
      released.emit('now');
    };
    const building = once(begun, 'now');
    const first = library({ buildRoot: slow }).resolve('default', { ...context, log: recordingLog() });
    await building;
    const second = library({ buildRoot: slow }).resolve('default', { ...context, log: { ...log, info } });
    const images = await Promise.all([first, second]);
    expect(images[0]).toEqual(images[1]);
    expect(buildRoot.builds).toBe(1);
    expect(log.lines).toEqual([`info: waiting for process ${process.pid}, which is building the default image`]);
  });

  it('makes only a new initramfs for a new agent', async () => {
    const buildRoot = countingBuilder();
    const { library, context, agent } = await setUp({ buildRoot });
    const before = await library().resolve('default', context);
    await writeFile(agent, 'OTHER AGENT');
    const after = await library().resolve('default', context);
    expect(buildRoot.builds).toBe(1);
    expect(after.rootDisk).toBe(before.rootDisk);
    expect(after.digest).not.toBe(before.digest);
    expect(after.initramfs).not.toBe(before.initramfs);
  });

  it('leaves nothing of a build that failed, and builds at the next use', async () => {
    const { library, context, store } = await setUp();
    const fails: RootBuilder = async (_recipe, directory) => {
      await writeFile(path.join(directory, 'root.tar'), 'half');
      throw new VmRunnerError('image-build-failed', 'no mirror');
    };
    expect(await rejection(library({ buildRoot: fails }).resolve('default', context))).toMatchObject({
      reason: 'no mirror',
    });
    expect(await readdir(store.paths.images)).toEqual([]);
    expect(await readdir(store.paths.temporary)).toEqual([]);
    const buildRoot = countingBuilder();
    await library({ buildRoot }).resolve('default', context);
    expect(buildRoot.builds).toBe(1);
  });

  it('takes over from a builder that was killed, whose half-made directory anyone can remove', async () => {
    const buildRoot = countingBuilder();
    const { library, context, store, processes } = await setUp({ buildRoot });
    const dead = await deadProcess(processes);
    await writeFile(path.join(store.paths.locks, `image-${rootKey(DEFAULT_RECIPE)}`), JSON.stringify(dead));
    const left = path.join(store.paths.temporary, [dead.pid, dead.startTime, dead.bootId, 'abcd'].join('_'));
    await mkdir(left);
    await writeFile(path.join(left, 'root.tar'), 'half');
    await library().resolve('default', context);
    expect(buildRoot.builds).toBe(1);
    expect(await removeAbandoned(store.paths, processes)).toEqual([left]);
  });

  it('replaces a directory that lost its description', async () => {
    const buildRoot = countingBuilder();
    const { library, context, store } = await setUp({ buildRoot });
    await mkdir(path.join(store.paths.images, rootKey(DEFAULT_RECIPE)));
    const image = await library().resolve('default', context);
    expect(await readFile(image.rootDisk, 'utf8')).toBe('DISK');
  });

  it('stops waiting for another builder when it is cancelled', async () => {
    const { library, store, processes } = await setUp({ buildRoot: countingBuilder() });
    await writeFile(path.join(store.paths.locks, `image-${rootKey(DEFAULT_RECIPE)}`), JSON.stringify(processes.self));
    const cancel = new AbortController();
    const log = { ...recordingLog(), info: () => cancel.abort() };
    await expect(library().resolve('default', { log, signal: cancel.signal })).rejects.toMatchObject({
      code: 'cancelled',
    });
  });

  it('says where the agent should be when it is missing', async () => {
    const { library, context } = await setUp();
    const error = await rejection(library({ agentDirectory: '/nowhere' }).resolve('default', context));
    expect(error.code).toBe('host-file-failed');
    expect(error.message).toMatch(/^guest agent missing: \/nowhere\/amd64\/vm-agent\. /);
  });

  it.each([
    { platform: 'linux', architecture: 'arm64' },
    { platform: 'darwin', architecture: 'x64' },
  ])('says that $platform on $architecture is not tested yet', async (host) => {
    const { library, context } = await setUp({ host: { ...HOST, ...host } });
    const error = await rejection(library().resolve('default', context));
    expect(error.code).toBe('host-unsupported');
    expect(error.subject).toBe(`${host.platform} on ${host.architecture}`);
    expect(error.reason).toContain('not tested yet');
  });

  it('finds an image only when it is built', async () => {
    const { library, context } = await setUp({ buildRoot: countingBuilder() });
    expect(await library().find('default')).toBeUndefined();
    const image = await library().resolve('default', context);
    expect(await library().find('default')).toEqual(image);
    expect(await library().find('other')).toBeUndefined();
  });

  it('tells the doctor what is missing: a problem before the image is built, a warning after', async () => {
    const { library, context } = await setUp({ buildRoot: countingBuilder(), searchPath: '/nowhere' });
    const before = await library().check();
    expect(before.map(({ level }) => level)).toEqual(['ok', 'problem']);
    expect(before[1]?.text).toContain('apt-get install mmdebstrap tar fakeroot e2fsprogs uidmap');
    await library().resolve('default', context);
    expect((await library().check()).map(({ level }) => level)).toEqual(['ok', 'warning']);
  });

  it('tells the doctor when all tools are there but this user cannot build with them', async () => {
    const searchPath = await temporaryDirectory();
    const { library, context } = await setUp({ buildRoot: countingBuilder(), searchPath });
    for (const name of ['mmtarfilter', 'tar', 'fakeroot', 'mke2fs', 'newuidmap']) {
      await writeProgram(searchPath, name, '');
    }
    await writeProgram(searchPath, 'mmdebstrap', `process.exit(process.argv[2] === '--unshare-helper' ? 25 : 0)`);
    const [, problem] = await library().check();
    expect(problem).toMatchObject({ level: 'problem', subject: 'images' });
    expect(problem?.text).toMatch(
      /^the default image cannot be built as this user\. .* \/etc\/subuid and \/etc\/subgid/,
    );
    expect(await library({ host: { ...HOST, uid: 0 } }).check()).toHaveLength(1);
    await library().resolve('default', context);
    expect((await library().check()).map(({ level }) => level)).toEqual(['ok', 'warning']);
  });
});
