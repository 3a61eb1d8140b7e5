import { LinuxProcessTable } from '../../src/process/table.js';
import { pullImage } from '../../src/images/pull.js';
import { registryOptions } from '../../src/images/registry/options.js';
import { openStore } from '../../src/store/store.js';
import { IMPATIENT, LayerFiles, registryReference } from './pull-host.js';

/** Pulls in a process of its own, and prints each line of its log. */
export async function run(home: string, layers: string, reference: string): Promise<void> {
  const processes = new LinuxProcessTable();
  const store = await openStore(home, processes);
  const say = (text: string): void => void process.stdout.write(`${text}\n`);
  await pullImage(registryReference(reference), {
    store: store.paths,
    processes,
    registries: registryOptions(),
    architecture: 'amd64',
    layers: new LayerFiles(layers),
    assemble: () => Promise.resolve(),
    isAssembled: () => Promise.resolve(false),
    log: { info: say, warn: say, progress: say, section: (_title, work) => work() },
    signal: new AbortController().signal,
    patience: IMPATIENT,
  });
}
