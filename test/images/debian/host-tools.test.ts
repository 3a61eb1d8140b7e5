import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { checkHostTools, type HostTool } from '../../../src/images/debian/host-tools.js';
import { temporaryDirectory } from '../../support/temporary-directory.js';
import { writeProgram } from '../support.js';

const TOOLS: readonly HostTool[] = [
  { program: 'mmdebstrap', versionArgument: '--version', package: 'mmdebstrap' },
  { program: 'mmtarfilter', versionArgument: '--help', package: 'mmdebstrap' },
  { program: 'tar', versionArgument: '--version', package: 'tar' },
  { program: 'mke2fs', versionArgument: '-V', package: 'e2fsprogs' },
];

describe('checkHostTools', () => {
  it('names all that is missing in one sentence, with the line that installs it', async () => {
    const directory = await temporaryDirectory();
    await writeProgram(directory, 'tar', '');
    const keyring = { file: path.join(directory, 'keyring.gpg'), package: 'debian-archive-keyring' };
    await expect(checkHostTools([...TOOLS, keyring], directory)).rejects.toMatchObject({
      code: 'host-tool-missing',
      message:
        `what the default image is built with is missing on this host: mmdebstrap, mmtarfilter, mke2fs, ${keyring.file}.` +
        ' Install it with: apt-get install mmdebstrap e2fsprogs debian-archive-keyring',
    });
  });

  it('does not mind how a tool ends that is there', async () => {
    const directory = await temporaryDirectory();
    for (const name of ['mmdebstrap', 'mmtarfilter', 'tar', 'mke2fs']) {
      await writeProgram(directory, name, 'process.exit(1)');
    }
    await checkHostTools(TOOLS, directory);
  });
});
