import { keptLog } from '../support/fake-host.js';
import { cp, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { onTestFinished } from 'vitest';

import { openHost } from '../../src/providers/host.js';
import type { Host } from '../../src/providers/provider.js';
import { cleanup } from '../../src/stages/cleanup.js';
import type { RunnerSettings, SimulatedJob } from '../support/gitlab-simulator/job.js';
import { temporaryDirectory } from '../support/temporary-directory.js';

const ROOT = path.resolve(import.meta.dirname, '../..');

/** The programs that an operator names in config.toml. */
export function shim(name: 'config' | 'prepare' | 'run' | 'cleanup'): string {
  return path.join(ROOT, 'executors/gitlab', name);
}

export interface GitLabHost {
  readonly directory: string;
  readonly home: string;
  readonly settings: RunnerSettings;
  readonly host: Host;
  /** Names of VMs that are there. */
  readonly vms: () => Promise<string[]>;
  /** TMPDIRs of jobs that are there. */
  readonly attempts: () => Promise<string[]>;
}

/** A host with a Runner whose "VMs" are the real agent as a local process, in a store of its own. */
export async function gitLabHost(): Promise<GitLabHost> {
  const directory = await temporaryDirectory();
  const home = path.join(directory, 'home');
  const runnerDirectory = path.join(directory, 'runner');
  await mkdir(runnerDirectory);
  const host = await openHost({ home, provider: 'fake', agentDirectory: path.join(ROOT, 'dist/agent') });
  const vms = (): Promise<string[]> => host.store.vms.names();
  onTestFinished(async () => {
    for (const name of await vms()) await cleanup(host, name, { keepLogs: false, log: keptLog() });
  });
  const settings: RunnerSettings = {
    directory: runnerDirectory,
    env: { PATH: process.env['PATH'] ?? '', HOME: directory, VM_RUNNER_HOME: home },
    configExec: shim('config'),
    // The "guest" is this host: it must not write to /builds.
    configArgs: ['--builds-dir', path.join(directory, 'builds'), '--cache-dir', path.join(directory, 'cache')],
    prepareExec: shim('prepare'),
    prepareArgs: ['--provider', 'fake'],
    runExec: shim('run'),
    cleanupExec: shim('cleanup'),
    gracefulKillTimeoutMs: 30_000,
    retryIntervalMs: 50,
  };
  return { directory, home, settings, host, vms, attempts: () => readdir(runnerDirectory) };
}

export function aJob(job: Partial<SimulatedJob> & Pick<SimulatedJob, 'script'>): SimulatedJob {
  return { id: 4711, projectId: 42, projectPath: 'group/project', ...job };
}

/** Whether a process of this host lives; a zombie does not. */
export async function isRunning(pid: number): Promise<boolean> {
  try {
    const text = await readFile(`/proc/${pid}/stat`, 'utf8');
    return !/^[ZX]/.test(text.slice(text.lastIndexOf(')') + 2));
  } catch {
    return false;
  }
}

/** A copy of vm-runner as npm installs it for the whole host, with a program of the test in place of the agent. */
export async function installedCopy(prefix: string, agent?: string): Promise<string> {
  const root = path.join(prefix, 'lib/node_modules/vm-runner');
  for (const part of ['executors', 'dist/gitlab', 'dist/agent', 'package.json']) {
    await cp(path.join(ROOT, part), path.join(root, part), { recursive: true });
  }
  if (agent !== undefined) {
    for (const architecture of ['amd64', 'arm64']) {
      await writeFile(path.join(root, 'dist/agent', architecture, 'vm-agent'), agent, { mode: 0o755 });
    }
  }
  return path.join(root, 'executors/gitlab');
}

/** An agent that takes connections and never says a word on them. */
export const DEAF_AGENT = `#!${process.execPath}
import { createServer } from 'node:net';
process.stderr.write('deaf agent is up\\n');
createServer(() => undefined).listen(process.argv.at(-1).replace('unix:', ''));
`;
