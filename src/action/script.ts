import { randomBytes } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { fileError } from '../core/errors.js';
import type { ExitStatus, Program } from '../core/job.js';
import type { GuestAgent } from '../guest/agent.js';
import { run, type RunRequest } from '../stages/run.js';
import { shellArguments, type Shell } from './shell.js';
import { makeDirectories } from '../store/directories.js';

export interface ScriptRequest extends Omit<RunRequest, 'program'> {
  readonly script: string;
  readonly shell: Shell | undefined;
  /** A directory of this job on the host, for the script on its way to a shell. */
  readonly directory: string;
}

/** Runs the script of the job: by its own `#!` line, or as a file that the chosen shell is given. */
export async function runScript(agent: GuestAgent, request: ScriptRequest): Promise<ExitStatus> {
  const { script, shell, directory, ...rest } = request;
  if (shell === undefined) {
    const program: Program = { kind: 'script', content: Buffer.from(script), args: [] };
    return await run(agent, { ...rest, program });
  }
  const place = `/tmp/vm-runner-${randomBytes(6).toString('hex')}`;
  const file = `${place}/script`;
  await putScript(agent, script, { directory, file, signal: rest.signal });
  try {
    return await run(agent, { ...rest, program: { kind: 'argv', argv: shellArguments(shell, file) } });
  } finally {
    if (!rest.signal.aborted) await removeQuietly(agent, place, rest.signal);
  }
}

async function putScript(
  agent: GuestAgent,
  script: string,
  { directory, file, signal }: { readonly directory: string; readonly file: string; readonly signal: AbortSignal },
): Promise<void> {
  const source = path.join(directory, 'script');
  try {
    await makeDirectories(directory);
    // The image says who runs it.
    await writeFile(source, script, { mode: 0o755 });
  } catch (cause) {
    throw fileError('write the script', source, cause);
  }
  await agent.putFile(source, file, { signal });
  await rm(source, { force: true });
}

/** Later steps may look into the VM, and with the fake provider it is the host itself: leave no litter. */
async function removeQuietly(agent: GuestAgent, place: string, signal: AbortSignal): Promise<void> {
  try {
    const nowhere = (): void => undefined;
    await agent.exec({
      program: { kind: 'argv', argv: ['rm', '-rf', place] },
      onStdout: nowhere,
      onStderr: nowhere,
      signal,
    });
  } catch {
    // The script's own end is what counts; the file goes with the VM.
  }
}
