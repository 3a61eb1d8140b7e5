import { stat } from 'node:fs/promises';
import path from 'node:path';

import { VmRunnerError } from '../../core/errors.js';
import type { GuestAgent } from '../../guest/agent.js';
import { withAgent } from '../../stages/attach.js';
import type { Command } from '../command.js';
import { findRecord, openCliHost } from '../host.js';
import { terminalLog } from '../log.js';

/** One side of a copy. */
type Place = { readonly vm: string; readonly path: string } | { readonly vm: undefined; readonly path: string };

export const cp: Command = {
  name: 'cp',
  summary: 'Copy a file or directory into a VM or out of it',
  description:
    'Copies SRC to DST, one of which is NAME:PATH with an absolute path in that VM. DST is the new name itself, never a directory to copy into.',
  flags: [],
  operands: { usage: 'SRC DST', least: 2, most: 2, words: ['place'] },
  examples: [
    ['vm-runner cp box:/w/out ./out', 'Bring a directory home from a VM that was kept'],
    ['vm-runner cp patch.diff box:/tmp/patch.diff', 'Put a file into it'],
  ],
  run: async (flags, world) => {
    const [source, target] = flags.operands.map((operand) => parsePlace(operand, world.cwd));
    if (source === undefined || target === undefined || (source.vm === undefined) === (target.vm === undefined)) {
      throw new VmRunnerError('invalid-input', 'not one side in a VM and one on this host', {
        subject: flags.operands.join(' '),
        hint: 'Write NAME:/absolute/path for the side in the VM.',
      });
    }
    const host = await openCliHost(world);
    const record = await findRecord(host, source.vm ?? target.vm ?? '');
    await withAgent(
      host,
      record,
      { log: terminalLog(world.stderr, { quiet: false }), signal: world.signal },
      (agent, signal) =>
        source.vm === undefined
          ? copyIn(agent, source.path, target.path, signal)
          : copyOut(agent, source.path, target.path, signal),
    );
    return 0;
  },
};

function parsePlace(text: string, cwd: string): Place {
  const match = /^([a-z0-9-]+):(\/.*)$/.exec(text);
  if (match?.[1] !== undefined && match[2] !== undefined) return { vm: match[1], path: path.posix.normalize(match[2]) };
  return { vm: undefined, path: path.resolve(cwd, text) };
}

async function copyIn(agent: GuestAgent, source: string, target: string, signal: AbortSignal): Promise<void> {
  let isDirectory: boolean;
  try {
    isDirectory = (await stat(source)).isDirectory();
  } catch (cause) {
    throw new VmRunnerError('invalid-input', 'nothing to copy at that path', {
      subject: source,
      hint: 'Check the path.',
      cause,
    });
  }
  if (isDirectory) await agent.putTree(source, target, { signal });
  else await agent.putFile(source, target, { signal });
}

async function copyOut(agent: GuestAgent, source: string, target: string, signal: AbortSignal): Promise<void> {
  try {
    await agent.getFile(source, target, signal);
  } catch (error) {
    if (!(error instanceof VmRunnerError) || error.code !== 'guest-is-directory') throw error;
    await agent.getTree({ directory: source, include: [], exclude: [] }, target, signal);
  }
}
