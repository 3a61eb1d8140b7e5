import { combineInputErrors, type VmRunnerError } from '../../core/errors.js';
import { Timeline } from '../../core/log.js';
import { jobImage } from '../../stages/job-image.js';
import { keepPool } from '../../stages/pool.js';
import type { Command } from '../command.js';
import { openCliHost } from '../host.js';
import { terminalLog } from '../log.js';
import { VM_FLAGS } from '../run-flags.js';
import { readVmSettings } from '../run-settings.js';
import { POOL_SIZE, Values } from '../values.js';

const NOT_FOR_POOLS = ['template', 'wait', 'boot-timeout'];

export const pool: Command = {
  name: 'pool',
  summary: 'Keep VMs launched that jobs then start in',
  description:
    'Keeps some VMs launched and waiting, until it is ended with Ctrl-C or SIGTERM. A job that asks for the same image, size and network takes one instead of launching its own, and the pool launches another. VMs that wait hold their room on this host; when a job waits for room, they give it up.',
  flags: [
    { name: 'size', value: 'N', doc: 'How many VMs wait (default: 1)' },
    ...VM_FLAGS.filter(({ name }) => !NOT_FOR_POOLS.includes(name)),
  ],
  operands: { usage: '', least: 0, most: 0 },
  examples: [
    ['vm-runner pool --size 4', 'For jobs that say nothing'],
    ['vm-runner pool --size 2 --image node:22 --memory 4G', 'For jobs with that image and size'],
  ],
  run: async (flags, world) => {
    const mistakes: VmRunnerError[] = [];
    const values = new Values(flags, mistakes);
    const place = { cwd: world.cwd, config: await world.config() };
    const { order, provider, quiet } = readVmSettings(flags, values, place, mistakes);
    const size = values.read(POOL_SIZE, 'size') ?? 1;
    const error = combineInputErrors(mistakes);
    if (error !== undefined) throw error;
    const context = { log: terminalLog(world.stderr, { quiet }), timeline: new Timeline(), signal: world.signal };
    const host = await openCliHost(world, provider);
    const vm = await jobImage(host, order, { ...context, frontEnd: 'pool' });
    return keepPool(host, { vm, size }, context);
  },
};
