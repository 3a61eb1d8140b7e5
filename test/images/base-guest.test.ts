import { EventEmitter, once } from 'node:events';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { VmRunnerError } from '../../src/core/errors.js';
import type { TarBuilder } from '../../src/images/debian/build-tar.js';
import { HostImageLibrary, type HostLibraryOptions } from '../../src/images/host-library.js';
import { SCRATCH } from '../support/fake-host.js';
import { temporaryDirectory } from '../support/temporary-directory.js';
import { smallDebian } from './small-debian.js';
import { deadProcess, recordingLog, rejection, temporaryStore, writeProgram } from './support.js';

const HOST = { platform: 'linux', architecture: 'x64', uid: 1000, osRelease: 'ID=debian\n' };

/** Builds something small at once, and counts. */
function countingBuilder(): TarBuilder & { builds: number } {
  const build: TarBuilder = async (_recipe, output) => {
    builder.builds += 1;
    await writeFile(output, smallDebian());
  };
  const builder: TarBuilder & { builds: number } = Object.assign(build, { builds: 0 });
  return builder;
}

async function setUp(options: Partial<HostLibraryOptions> = {}) {
  const { store, processes } = await temporaryStore();
  const agentDirectory = await temporaryDirectory();
  await mkdir(path.join(agentDirectory, 'amd64'));
  const agent = path.join(agentDirectory, 'amd64/vm-agent');
  await writeFile(agent, 'AGENT');
  const log = recordingLog();
  const context = { log, signal: new AbortController().signal };
  const library = (more: Partial<HostLibraryOptions> = {}): HostImageLibrary =>
    new HostImageLibrary({
      ...{ store: store.paths, processes, agentDirectory, scratch: SCRATCH, host: HOST },
      ...options,
      ...more,
    });
  return { store, processes, agent, log, context, library };
}

describe('the base guest', () => {
  it('is built at its first use, and at its second nothing is', async () => {
    const buildTar = countingBuilder();
    const { library, context, store } = await setUp({ buildTar });
    const guest = await library().baseGuest(context);
    expect(await readFile(guest.kernel, 'utf8')).toBe('KERNEL');
    expect(await readFile(guest.initramfs, 'latin1')).toMatch(/AGENT.*virtio\.ko\n.*VIRTIO/s);
    expect(guest.digest).toMatch(/^sha256:[0-9a-f]{64}$/);
    expect(guest.root).toMatchObject({ reference: 'default', config: { command: ['/bin/bash'] } });
    expect((await stat(guest.scratch)).size).toBe(64 * 2 ** 30);
    expect((await stat(guest.scratch)).blocks * 512).toBeLessThan(2 ** 20);
    for (const file of [guest.kernel, guest.initramfs, guest.scratch, guest.root.disk]) {
      expect((await stat(file)).mode & 0o777).toBe(0o444);
    }

    // Without tools, with a builder that would fail: nothing is started.
    const fails: TarBuilder = () => Promise.reject(new Error('built again'));
    const again = library({ buildTar: fails, searchPath: '/nowhere' });
    expect(await again.baseGuest(context)).toEqual(guest);
    expect(await again.findBaseGuest()).toEqual(guest);
    expect(await again.resolve('default', context)).toEqual(guest.root);
    expect(await readdir(store.paths.temporary)).toEqual([]);
    expect(await readdir(store.paths.locks)).toEqual([]);
  });

  it('is built once when two ask at the same time, and the second is told what it waits for', async () => {
    const buildTar = countingBuilder();
    const [begun, released] = [new EventEmitter(), new EventEmitter()];
    const slow: TarBuilder = async (...args) => {
      begun.emit('now');
      await once(released, 'now');
      return buildTar(...args);
    };
    const { library, context, log } = await setUp();
    const info = (text: string): void => {
      log.info(text);
      released.emit('now');
    };
    const building = once(begun, 'now');
    const first = library({ buildTar: slow }).baseGuest({ ...context, log: recordingLog() });
    await building;
    const second = library({ buildTar: slow }).baseGuest({ ...context, log: { ...log, info } });
    const guests = await Promise.all([first, second]);
    expect(guests[0]).toEqual(guests[1]);
    expect(buildTar.builds).toBe(1);
    expect(log.lines).toEqual([`info: waiting for process ${process.pid}, which is building the default image`]);
  });

  it('has only a new initramfs for a new agent', async () => {
    const buildTar = countingBuilder();
    const { library, context, agent } = await setUp({ buildTar });
    const before = await library().baseGuest(context);
    await writeFile(agent, 'OTHER AGENT');
    const after = await library().baseGuest(context);
    expect(buildTar.builds).toBe(1);
    expect(after.root).toEqual(before.root);
    expect(after.digest).not.toBe(before.digest);
    expect(after.initramfs).not.toBe(before.initramfs);
  });

  it('leaves nothing of a build that failed, and is built at the next use', async () => {
    const { library, context, store } = await setUp();
    const fails: TarBuilder = async (_recipe, output) => {
      await writeFile(output, 'half');
      throw new VmRunnerError('image-build-failed', 'no mirror');
    };
    expect(await rejection(library({ buildTar: fails }).baseGuest(context))).toMatchObject({ reason: 'no mirror' });
    for (const room of [store.paths.images, store.paths.layers, store.paths.guests, store.paths.temporary]) {
      expect(await readdir(room)).toEqual([]);
    }
    const buildTar = countingBuilder();
    await library({ buildTar }).baseGuest(context);
    expect(buildTar.builds).toBe(1);
  });

  it('is taken over from a builder that was killed', async () => {
    const buildTar = countingBuilder();
    const { library, context, store, processes } = await setUp({ buildTar });
    const dead = await deadProcess(processes);
    await writeFile(path.join(store.paths.locks, 'default-image'), JSON.stringify(dead));
    await library().baseGuest(context);
    expect(buildTar.builds).toBe(1);
  });

  it('stops waiting for another builder when it is cancelled', async () => {
    const { library, store, processes } = await setUp({ buildTar: countingBuilder() });
    await writeFile(path.join(store.paths.locks, 'default-image'), JSON.stringify(processes.self));
    const cancel = new AbortController();
    const log = { ...recordingLog(), info: () => cancel.abort() };
    await expect(library().baseGuest({ log, signal: cancel.signal })).rejects.toMatchObject({ code: 'cancelled' });
  });

  it('says where the agent and the scratch disk should be when they are missing', async () => {
    const { library, context } = await setUp();
    const agent = await rejection(library({ agentDirectory: '/nowhere' }).baseGuest(context));
    expect(agent.code).toBe('host-file-failed');
    expect(agent.message).toMatch(/^guest agent missing: \/nowhere\/amd64\/vm-agent\. /);
    const scratch = await rejection(library({ scratch: '/nowhere/scratch.gz' }).baseGuest(context));
    expect(scratch.message).toMatch(/^scratch disk missing: \/nowhere\/scratch\.gz\. /);
  });

  it.each([
    { platform: 'linux', architecture: 'arm64' },
    { platform: 'darwin', architecture: 'x64' },
  ])('says that $platform on $architecture is not tested yet', async (host) => {
    const { library, context } = await setUp({ host: { ...HOST, ...host } });
    const error = await rejection(library().resolve('default', context));
    expect(error.code).toBe('host-unsupported');
    expect(error.subject).toBe(`${host.platform} on ${host.architecture}`);
  });

  it('tells the doctor what is missing: a problem before the image is built, a warning after', async () => {
    const { library, context } = await setUp({ buildTar: countingBuilder(), searchPath: '/nowhere' });
    const before = await library().check();
    expect(before.map(({ level }) => level)).toEqual(['ok', 'problem']);
    expect(before[1]?.text).toContain('apt-get install mmdebstrap uidmap');
    await library().baseGuest(context);
    expect((await library().check()).map(({ level }) => level)).toEqual(['ok', 'warning']);
  });

  it('tells the doctor when all tools are there but this user cannot build with them', async () => {
    const searchPath = await temporaryDirectory();
    const { library } = await setUp({ buildTar: countingBuilder(), searchPath });
    for (const name of ['mmtarfilter', 'newuidmap']) await writeProgram(searchPath, name, '');
    await writeProgram(searchPath, 'mmdebstrap', `process.exit(process.argv[2] === '--unshare-helper' ? 25 : 0)`);
    const [, problem] = await library().check();
    expect(problem).toMatchObject({ level: 'problem', subject: 'images' });
    expect(problem?.text).toMatch(
      /^the default image cannot be built as this user\. .* \/etc\/subuid and \/etc\/subgid/,
    );
    expect(await library({ host: { ...HOST, uid: 0 } }).check()).toHaveLength(1);
  });
});
