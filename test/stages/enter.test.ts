import { describe, expect, it } from 'vitest';

import type { RootRequest } from '../../src/core/job.js';
import type { GuestAgent } from '../../src/guest/agent.js';
import type { EnterOptions } from '../../src/guest/enter.js';
import { EMPTY_CONFIG, type ImageConfig, type LocalImage } from '../../src/images/image.js';
import { enterImage, programDefaults } from '../../src/stages/enter.js';

function image(reference: string, config: Partial<ImageConfig> = {}): LocalImage {
  const files = { digest: `sha256:${'0'.repeat(64)}`, disk: '/x/root.vmdk', diskBytes: 4096 };
  return { reference, ...files, config: { ...EMPTY_CONFIG, ...config } };
}

/** What an agent is asked for. */
async function entered(of: LocalImage, request: RootRequest = {}): Promise<EnterOptions> {
  const asked: EnterOptions[] = [];
  const agent = { enter: (options: EnterOptions) => Promise.resolve(void asked.push(options)) };
  await enterImage(agent as unknown as GuestAgent, of, request);
  const [only] = asked;
  if (only === undefined) throw new Error('nobody was asked');
  return only;
}

describe('enterImage', () => {
  it('makes the base root the root of jobs in the default image, and looks for others in slot 1', async () => {
    expect(await entered(image('default'))).toMatchObject({ slot: 0, defaults: { workingDirectory: '' } });
    expect(await entered(image('node:22'))).toMatchObject({ slot: 1, defaults: { workingDirectory: '/' } });
  });

  it('drops the command of the image with its entrypoint, and takes one empty word for none', async () => {
    const node = image('node:22', { entrypoint: ['entry.sh'], command: ['node'] });
    expect((await entered(node)).defaults).toMatchObject({ entrypoint: ['entry.sh'], command: ['node'] });
    expect((await entered(node, { entrypoint: ['sh'] })).defaults).toMatchObject({ entrypoint: ['sh'], command: [] });
    expect((await entered(node, { entrypoint: [''] })).defaults).toMatchObject({ entrypoint: [], command: [] });
  });

  it('keeps volumes and the directories of container engines off the overlay, whatever an image claims', async () => {
    const volumes = [
      '/data',
      'relative',
      '/a/../../etc',
      '/var/lib/docker',
      ...Array.from({ length: 500 }, () => '/many'),
    ];
    const { scratchDirectories } = await entered(image('x', { volumes }));
    expect(scratchDirectories).toEqual(['/data', '/many', '/var/lib/containers', '/var/lib/docker']);
  });
});

describe('programDefaults', () => {
  it('are what the image says, and the job over it', () => {
    const node = image('node:22', { user: 'node', workingDirectory: '/app' });
    expect(programDefaults(node, {})).toEqual({ workingDirectory: '/app', user: 'node' });
    expect(programDefaults(node, { user: 'root' })).toEqual({ workingDirectory: '/app', user: 'root' });
    expect(programDefaults(image('default'), {})).toEqual({ workingDirectory: '/root', user: undefined });
    expect(programDefaults(image('x', { workingDirectory: 'app' }), {})).toEqual({
      workingDirectory: '/app',
      user: undefined,
    });
  });
});
