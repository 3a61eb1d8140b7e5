import path from 'node:path';

import { VmRunnerError } from '../../core/errors.js';
import { printable } from '../../core/printable.js';
import { readTail } from '../../store/logs.js';
import { isVmName, noSuchVm } from '../../store/vms.js';
import type { Command } from '../command.js';
import { openCliHost } from '../host.js';

const MOST_BYTES = 16 * 2 ** 20;

export const logs: Command = {
  name: 'logs',
  summary: 'Show the console of a VM, also of one that failed and is gone',
  description:
    'Prints what the console of a VM said: firmware, kernel and agent. The logs of failed VMs are kept, those of the last fifty.',
  flags: [{ name: 'vmm', doc: 'Show what the program that runs the VM said instead (QEMU)' }],
  operands: { usage: 'NAME', least: 1, most: 1 },
  run: async (flags, world) => {
    const [name = ''] = flags.operands;
    const host = await openCliHost(world);
    if (!isVmName(name)) throw noSuchVm(name);
    const live = host.store.vms.paths(name);
    const file = flags.has('vmm') ? live.vmmLog : live.console;
    const text =
      (await readTail(file, MOST_BYTES)) ||
      (await readTail(path.join(host.store.paths.logs, name, path.basename(file)), MOST_BYTES));
    if (text === '' && (await host.store.vms.read(name)) === undefined) {
      throw new VmRunnerError('no-such-vm', 'no such VM, and no logs of it are kept', {
        subject: name,
        hint: 'See what is there with: vm-runner ps',
      });
    }
    // A file gets the bytes as they were; a terminal must not do what a guest tells it.
    world.stdout.write(world.stdout.isTTY ? printable(text) : text);
    return 0;
  },
};
