import { writeFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { readEvents } from '../../../src/providers/qemu/events.js';
import { temporaryDirectory } from '../../support/temporary-directory.js';

async function told(...lines: readonly string[]): ReturnType<typeof readEvents> {
  const file = path.join(await temporaryDirectory(), 'events');
  await writeFile(file, lines.join('\n'));
  return readEvents(file);
}

const shutdown = (reason: string): string => JSON.stringify({ event: 'SHUTDOWN', data: { guest: true, reason } });
const diskError = (nospace: boolean): string => JSON.stringify({ event: 'BLOCK_IO_ERROR', data: { nospace } });

describe('readEvents', () => {
  it.each([
    ['guest-shutdown', 'powered-off'],
    ['guest-reset', 'reset'],
    ['host-signal', undefined],
  ])('tells of %s that the guest ended it as %s', async (reason, ended) => {
    expect(await told('{"QMP": {}}', '{"return": {}}', shutdown(reason))).toEqual({ ended, diskError: undefined });
  });

  it('tells errors of disks, and the lack of space before others', async () => {
    expect(await told(diskError(false))).toMatchObject({ diskError: 'failed' });
    expect(await told(diskError(true), diskError(false))).toMatchObject({ diskError: 'no-space' });
  });

  it('bears halves of lines, zeros and what is no object', async () => {
    const zeros = '\0'.repeat(5000);
    expect(await told('": 1}', 'null', '[]', '7', `${zeros}${shutdown('guest-reset')}`, '{"ev')).toMatchObject({
      ended: 'reset',
    });
  });

  it('knows nothing of a VM that told nothing', async () => {
    expect(await readEvents('/no/such/file')).toEqual({ ended: undefined, diskError: undefined });
  });
});
