import { readFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it, onTestFinished, vi } from 'vitest';

import { findByArgument } from '../../../src/process/end.js';
import { SYSTEM_PATH } from '../../../src/process/system-path.js';
import { LinuxProcessTable } from '../../../src/process/table.js';
import { probeAcceleration } from '../../../src/providers/qemu/acceleration-probe.js';
import { writeProgram } from '../../images/support.js';
import { temporaryDirectory } from '../../support/temporary-directory.js';

/** Probes with a stand-in for QEMU. */
async function probe(source: string): Promise<{ answer: string | undefined; directory: string; kernel: string }> {
  const directory = await temporaryDirectory();
  const binary = await writeProgram(directory, 'qemu', `const directory = ${JSON.stringify(directory)};\n${source}`);
  const kernel = path.join(directory, 'vmlinuz');
  const options = { binary, kernel, acceleration: 'kvm', searchPath: SYSTEM_PATH, timeoutSeconds: 1 } as const;
  return { answer: await probeAcceleration(options), directory, kernel };
}

describe('probeAcceleration', () => {
  it('is content when the kernel came to its end and QEMU ended by itself', async () => {
    const { answer, directory } = await probe(`
      require('node:fs').writeFileSync(directory + '/argv', process.argv.slice(2).join(' '));
      console.log('Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)');`);
    expect(answer).toBeUndefined();
    expect(await readFile(path.join(directory, 'argv'), 'utf8')).toMatch(/-accel kvm -cpu host -smp 2 .*-sandbox on,/);
  });

  it('ends a guest that hangs, whatever signals QEMU ignores', async () => {
    const { answer, kernel } = await probe(`process.on('SIGTERM', () => {}); setInterval(() => {}, 1000);`);
    expect(answer).toBe('a test guest hung for 1 s');
    expect(findByArgument(new LinuxProcessTable(), kernel)).toEqual([]);
  });

  it('gives the QEMU that boots a guest nothing of our environment', async () => {
    vi.stubEnv('INPUT_TOKEN', 'secret');
    onTestFinished(() => void vi.unstubAllEnvs());
    const { answer } = await probe(`console.error(JSON.stringify(process.env)); process.exit(1);`);
    expect(answer).toBe(`QEMU said: ${JSON.stringify({ PATH: SYSTEM_PATH })}`);
  });

  it("passes QEMU's reason on", async () => {
    const { answer } = await probe(`console.error('qemu: error: failed to set MSR 0x10a to 0x0'); process.exit(1);`);
    expect(answer).toBe('QEMU said: qemu: error: failed to set MSR 0x10a to 0x0');
  });

  it('takes a QEMU that aborts for one that cannot', async () => {
    const { answer } = await probe(
      `require('node:fs').writeSync(2, 'qemu: kvm.c: Assertion failed.\\n'); process.kill(process.pid, 'SIGABRT');`,
    );
    expect(answer).toBe('QEMU said: qemu: kvm.c: Assertion failed.');
  });

  it('does not take a quick end for a guest that ran', async () => {
    expect((await probe('')).answer).toBe('a test guest did not come up');
  });
});
