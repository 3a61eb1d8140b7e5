import { appendFile } from 'node:fs/promises';

import { delay } from '../../src/core/deadline.js';
import { LinuxHostMemory } from '../../src/process/host-memory.js';
import { LinuxProcessTable } from '../../src/process/table.js';
import { Capacity, type Standing } from '../../src/store/capacity.js';
import { openStore } from '../../src/store/store.js';
import { recordNamed } from './vm-record.js';

const DEMAND = { cpus: 1, memoryMiB: 16, diskMiB: 16 };
const never = new AbortController().signal;

async function open(home: string, vms: number) {
  const processes = new LinuxProcessTable();
  const store = await openStore(home, processes);
  const limits = { vms, keepFreeMemoryMiB: 0, keepFreeDiskMiB: 0 };
  return { store, capacity: new Capacity({ store, processes, memory: new LinuxHostMemory(), limits }) };
}

async function admitted(capacity: Capacity, name: string, onWait?: () => void): Promise<Standing> {
  let standing = await capacity.admit(capacity.ticket(name, name, DEMAND), never);
  while (!standing.admission.isAdmitted) {
    onWait?.();
    await delay(5);
    standing = await capacity.admit(standing.ticket, never);
  }
  return standing;
}

/** Many jobs of one process: each writes its number and how many VMs there were into a file while it has its room. */
async function jobs(home: string, prefix: string, vms: number, file: string): Promise<void> {
  const { store, capacity } = await open(home, vms);
  const job = async (index: number): Promise<void> => {
    const name = `${prefix}-${index}`;
    const { ticket } = await admitted(capacity, name);
    await store.vms.create(recordNamed(name, { incarnation: name }));
    await capacity.withdraw(ticket);
    const { held } = await capacity.snapshot();
    await appendFile(file, `${JSON.stringify({ number: ticket.number, vms: held.vms })}\n`);
    await delay(index % 5);
    await store.vms.remove(name);
  };
  await Promise.all(Array.from({ length: 6 }, (_, index) => job(index)));
}

/** Gets room, or waits for it, and says so; then stays until it is killed. */
async function stay(home: string, name: string): Promise<void> {
  const { capacity } = await open(home, 1);
  let told = false;
  const onWait = (): void => {
    if (!told) process.stdout.write('waiting\n');
    told = true;
  };
  await admitted(capacity, name, onWait);
  process.stdout.write('admitted\n');
  await delay(600_000);
}

export async function run(task: 'jobs' | 'stay', home: string, name: string, vms = '1', file = ''): Promise<void> {
  await (task === 'jobs' ? jobs(home, name, Number(vms), file) : stay(home, name));
}
