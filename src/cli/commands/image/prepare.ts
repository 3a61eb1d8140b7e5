import { readFile } from 'node:fs/promises';
import path from 'node:path';

import { combineInputErrors, VmRunnerError } from '../../../core/errors.js';
import { Timeline } from '../../../core/log.js';
import { formatDuration } from '../../../core/units.js';
import { DURATION } from '../../../core/values.js';
import { writeThrough } from '../../../core/write-through.js';
import { bake } from '../../../stages/bake.js';
import { randomVmName } from '../../../stages/name.js';
import { NEVER } from '../../../store/record.js';
import type { Command } from '../../command.js';
import { readEnvironment } from '../../environment.js';
import { openCliHost } from '../../host.js';
import { localReference } from '../../image-reference.js';
import { terminalLog } from '../../log.js';
import { VM_FLAGS } from '../../run-flags.js';
import { readVmSettings } from '../../run-settings.js';
import { Values } from '../../values.js';
import type { World } from '../../world.js';

export const imagePrepare: Command = {
  name: 'image prepare',
  summary: 'Run a script once, and keep what it changed as an image',
  description:
    'Runs a script as root in a fresh VM of an image and keeps what it changed as one more layer: local/NAME. Made of the same image, script and variables it is there already, and nothing runs.',
  flags: [
    { name: 'from', value: 'REF', doc: 'Image to begin with (default: default)' },
    { name: 'script', value: 'FILE', doc: 'What runs: by its #! line, else bash -e, else sh -e' },
    { name: 'name', value: 'NAME', doc: 'What the image is called: local/NAME' },
    {
      name: 'env',
      short: 'e',
      value: 'K=V',
      repeatable: true,
      doc: 'Set a variable for the script; K alone takes our value',
    },
    { name: 'timeout', value: 'TIME', doc: 'End the script after this time (default: never)' },
    ...VM_FLAGS.filter(({ name }) => name !== 'image'),
  ],
  operands: { usage: '', least: 0, most: 0 },
  examples: [
    ['vm-runner image prepare --from debian:12 --script tools.sh --name tools', 'Install tools once'],
    ['vm-runner run --image local/tools -- make', 'Have them in every job'],
  ],
  run: async (flags, world) => {
    const mistakes: VmRunnerError[] = [];
    const values = new Values(flags, mistakes);
    const place = { cwd: world.cwd, config: await world.config() };
    const { order, waitMs, provider, quiet } = readVmSettings(flags, values, place, mistakes, 'from');
    const timeoutMs = values.read(DURATION, 'timeout');
    const env = await readEnvironment([], flags.all('env'), world.env, mistakes);
    const script = await readScript(flags.value('script'), world, mistakes);
    const name = flags.value('name') ?? '';
    if (name === '') mistakes.push(missing('--name', 'Say what the image shall be called.'));
    const error = combineInputErrors(mistakes);
    if (error !== undefined) throw error;

    const log = terminalLog(world.stderr, { quiet });
    const timeline = new Timeline();
    const host = await openCliHost(world, provider);
    const request = {
      reference: localReference(name),
      prepare: {
        vm: order.vm,
        name: randomVmName(),
        owner: host.processes.self,
        expiresAt: NEVER,
        bootTimeoutMs: order.bootTimeoutMs,
        waitMs,
        frontEnd: 'cli',
        job: `image prepare ${name}`,
      },
      script,
      env,
      timeoutMs,
      onOutput: (bytes: Uint8Array) => writeThrough(world.stderr, bytes),
    };
    const { image: prepared, made } = await bake(host, request, { log, timeline, signal: world.signal });
    const total = formatDuration(timeline.elapsedMs);
    log.info(made ? `made ${request.reference} in ${total}` : `${request.reference} is there already`);
    world.stdout.write(`${prepared.digest}\n`);
    return 0;
  },
};

async function readScript(file: string | undefined, world: World, mistakes: VmRunnerError[]): Promise<Uint8Array> {
  if (file === undefined) {
    mistakes.push(missing('--script', 'Name the file of the script that prepares the image.'));
    return new Uint8Array();
  }
  try {
    return await readFile(path.resolve(world.cwd, file));
  } catch (cause) {
    const hint = 'Check that the file exists and is readable.';
    mistakes.push(new VmRunnerError('invalid-input', 'cannot read the script', { subject: file, hint, cause }));
    return new Uint8Array();
  }
}

function missing(flag: string, hint: string): VmRunnerError {
  return new VmRunnerError('invalid-input', 'flag missing', { subject: flag, hint });
}
