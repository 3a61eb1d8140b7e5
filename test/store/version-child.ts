import { LinuxProcessTable } from '../../src/process/table.js';
import { openStore } from '../../src/store/store.js';

export async function run(home: string): Promise<void> {
  await openStore(home, new LinuxProcessTable());
}
