import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';

import { describe, expect, inject, it, onTestFinished } from 'vitest';

import { delay } from '../../src/core/deadline.js';
import { findByArgument } from '../../src/process/end.js';
import { SYSTEM_PATH } from '../../src/process/system-path.js';
import { LinuxProcessTable } from '../../src/process/table.js';
import { createProviders } from '../../src/providers/registry.js';
import { probeAcceleration } from '../../src/providers/qemu/acceleration-probe.js';
import { qmpArgument } from '../../src/providers/qemu/machine.js';
import { openStore } from '../../src/store/store.js';
import { createContext, createRequest, NOTHING, remains } from '../providers/support.js';
import { AGENTS, SCRATCH } from '../support/fake-host.js';

async function openHost() {
  const processes = new LinuxProcessTable();
  const store = await openStore(inject('sharedHome'), processes);
  const { images, providerNamed } = createProviders({ store, processes, agentDirectory: AGENTS, scratch: SCRATCH });
  const base = await images.baseGuest(createContext());
  return { store, processes, base, provider: providerNamed('qemu') };
}

async function consoleShows(file: string, pattern: RegExp, withinMs: number): Promise<string> {
  const signal = AbortSignal.timeout(withinMs);
  for (;;) {
    const text = await readFile(file, 'utf8');
    if (pattern.test(text)) return text;
    if (signal.aborted) throw new Error(`no ${String(pattern)} on the console within ${withinMs} ms:\n${text}`);
    await delay(20);
  }
}

describe('a VM of the default image', () => {
  it.each(['open', 'none'] as const)(
    'boots to its agent with the network "%s" and leaves nothing when it is destroyed',
    async (network) => {
      const { store, processes, base, provider } = await openHost();
      const name = `boot-${network}-${process.pid}`;
      onTestFinished(() => provider.destroy(name));
      const request = createRequest({ name, boot: { base, image: undefined }, network, template: 'never' });
      const record = await provider.create(request, createContext());
      const paths = store.vms.paths(name);
      await consoleShows(paths.console, /^vm-agent: .*\bready\b/m, 120_000);
      expect(record.vmm !== undefined && processes.isAlive(record.vmm)).toBe(true);
      for (const socket of [...paths.agents, paths.smolvm]) expect(existsSync(socket)).toBe(true);

      await provider.destroy(name);
      expect(remains(name, record.vmm, { store, processes })).toEqual(NOTHING);
      expect(findByArgument(processes, qmpArgument(paths.qmp))).toEqual([]);
    },
  );

  it('comes through the probe of an acceleration that works', async () => {
    const { base } = await openHost();
    const probe = { binary: 'qemu-system-x86_64', kernel: base.kernel, searchPath: SYSTEM_PATH, timeoutSeconds: 60 };
    expect(await probeAcceleration({ ...probe, acceleration: 'tcg' })).toBeUndefined();
  });
});
