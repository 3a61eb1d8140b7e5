import { describe, expect, it } from 'vitest';

import { createProviders } from '../../src/providers/registry.js';
import { temporaryStore } from '../images/support.js';

describe('createProviders', () => {
  it('knows its providers by the names that records carry', async () => {
    const { providerNamed } = createProviders({ ...(await temporaryStore()), agentDirectory: '/agents' });
    expect(providerNamed('qemu')).toMatchObject({ name: 'qemu', bootsImages: true });
    expect(providerNamed('fake')).toMatchObject({ name: 'fake', bootsImages: false });
  });

  it('lists what it knows when it does not know one', async () => {
    const { providerNamed } = createProviders({ ...(await temporaryStore()), agentDirectory: '/agents' });
    expect(() => providerNamed('qmu')).toThrow('no such provider: qmu. Known are: qemu, fake.');
  });
});
