import { mkdir, readdir, readFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it, onTestFinished, vi } from 'vitest';

import { buildDebianTar, type BuildContext } from '../../../src/images/debian/build-tar.js';
import { DEFAULT_RECIPE } from '../../../src/images/debian/recipe.js';
import { temporaryDirectory } from '../../support/temporary-directory.js';
import { recordingLog, rejection, writeProgram } from '../support.js';

/** Stand-ins for all tools; mmdebstrap answers its probes and then does what the test says. */
async function build(
  mmdebstrap: string,
  { uid = 1000, unshares = true }: { readonly uid?: number; readonly unshares?: boolean } = {},
): Promise<{ building: Promise<unknown>; directory: string; tools: string; lines: string[] }> {
  const root = await temporaryDirectory();
  const [tools, directory] = [path.join(root, 'bin'), path.join(root, 'build')];
  await mkdir(tools);
  await mkdir(directory);
  for (const name of ['mmtarfilter', 'apt-config', 'newuidmap']) {
    await writeProgram(tools, name, '');
  }
  const probes = `
    if (process.argv[2] === '--version') process.exit(0);
    if (process.argv[2] === '--unshare-helper') process.exit(${unshares ? 0 : 1});`;
  await writeProgram(tools, 'mmdebstrap', `${probes}\n${mmdebstrap}`);
  const log = recordingLog();
  const host = { platform: 'linux', architecture: 'x64', uid, osRelease: 'ID=debian\n' };
  const context: BuildContext = { host, searchPath: tools, log, signal: new AbortController().signal };
  return {
    building: buildDebianTar(DEFAULT_RECIPE, path.join(directory, 'root.tar'), context),
    directory,
    tools,
    lines: log.lines,
  };
}

describe('buildDebianTar', () => {
  it.each([
    { title: 'without root, whose user enters no private directory', uid: 1000, unshares: true, inStore: false },
    { title: 'as root in a namespace of its own', uid: 0, unshares: true, inStore: true },
    { title: 'as root that mounts on the host', uid: 0, unshares: false, inStore: false },
  ])("gives mmdebstrap a place and nothing of a job's environment: $title", async ({ uid, unshares, inStore }) => {
    vi.stubEnv('CUSTOM_ENV_TOKEN', 'secret');
    onTestFinished(() => void vi.unstubAllEnvs());
    const source = `require('node:fs').writeFileSync(__dirname + '/env', JSON.stringify(process.env)); process.exit(1);`;
    const { building, directory, tools } = await build(source, { uid, unshares });
    // mmdebstrap itself is started later than this.
    vi.stubEnv('TMPDIR', '/private/of/a/job');
    await rejection(building);
    expect(JSON.parse(await readFile(path.join(tools, 'env'), 'utf8'))).toEqual({
      PATH: tools,
      LC_ALL: 'C.UTF-8',
      TMPDIR: inStore ? directory : '/tmp',
    });
  });

  it('says that the disk is full when a tool of the build does', async () => {
    const { building } = await build(`
      console.error('dpkg: error: failed to write (No space left on device)');
      for (let i = 0; i < 50; i += 1) console.error('I: cleaning up');
      process.exit(1);`);
    const error = await rejection(building);
    expect(error.code).toBe('disk-full');
    expect(error.detail).toBe('dpkg: error: failed to write (No space left on device)');
    expect(error.reason).toBe('no space left on the disk to build the default image');
  });

  it('shows the last lines of a build that failed for another reason', async () => {
    const { building, lines, directory } = await build(`
      console.error('I: running apt-get update...');
      console.error('E: Temporary failure resolving the mirror');
      process.exit(7);`);
    const error = await rejection(building);
    expect(error.code).toBe('image-build-failed');
    expect(error.reason).toBe('cannot build the default image: mmdebstrap ended with exit code 7');
    expect(error.detail).toContain('E: Temporary failure resolving the mirror');
    expect(lines).toContain('progress: reading the package lists');
    expect(await readdir(directory)).toEqual([]);
  });
});
