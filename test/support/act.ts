import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const ROOT = path.resolve(import.meta.dirname, '../..');
const MODULE = 'github.com/nektos/act@v0.2.89';
const TOOLS = path.join(ROOT, 'build/tools');
const INSTALL_TIMEOUT_MS = 300_000;
const RUN_TIMEOUT_MS = 280_000;

/** Where act is, or why there is none. */
export type FoundAct = { readonly path: string } | { readonly missing: string };

/** Finds `act` on PATH, or installs it by its Go module into build/tools/. */
export function findAct(): FoundAct {
  const installed = path.join(TOOLS, 'act');
  for (const candidate of ['act', installed]) {
    if (spawnSync(candidate, ['--version'], { stdio: 'ignore' }).status === 0) return { path: candidate };
  }
  const go = ['go', '/usr/local/go/bin/go'].find(
    (name) => spawnSync(name, ['version'], { stdio: 'ignore' }).status === 0,
  );
  if (go === undefined) return { missing: `neither act nor Go is installed, so that ${MODULE} cannot be built` };
  mkdirSync(TOOLS, { recursive: true });
  const { status, stderr } = spawnSync(go, ['install', MODULE], {
    env: { ...process.env, GOBIN: TOOLS },
    encoding: 'utf8',
    timeout: INSTALL_TIMEOUT_MS,
  });
  return status === 0 ? { path: installed } : { missing: `go install ${MODULE} failed: ${stderr.trim()}` };
}

/**
 * A git repository with what a user of the action gets, and one workflow: act copies the tracked files of a repository into
 * the workspace, which is where `uses: ./` looks for action.yml.
 */
export function makeActionRepository(directory: string, workflow: string): void {
  mkdirSync(path.join(directory, '.github/workflows'), { recursive: true });
  for (const name of ['action.yml', 'package.json', 'dist']) {
    cpSync(path.join(ROOT, name), path.join(directory, name), { recursive: true });
  }
  writeFileSync(path.join(directory, '.github/workflows/test.yml'), workflow);
  const identity = ['-c', 'user.name=test', '-c', 'user.email=test@example.org', '-c', 'commit.gpgsign=false'];
  for (const args of [
    ['init', '-q', '-b', 'main'],
    ['add', '-A'],
    [...identity, 'commit', '-q', '-m', 'test'],
  ]) {
    const { status, stderr } = spawnSync('git', args, { cwd: directory, encoding: 'utf8' });
    if (status !== 0) throw new Error(`git ${args.join(' ')}: ${stderr}`);
  }
}

export interface ActResult {
  readonly exitCode: number | null;
  readonly log: string;
  /** What the steps printed: the log without act's own lines and its prefix. */
  readonly printed: readonly string[];
}

/**
 * Runs one job of the repository's workflow on this machine: host mode, no containers.
 * @param options.home an empty directory for act; `options.node` is a directory with the `node` that actions run under
 */
export async function runAct(
  act: string,
  job: string,
  options: {
    readonly repository: string;
    readonly home: string;
    readonly node: string;
    readonly env: Readonly<Record<string, string>>;
  },
): Promise<ActResult> {
  const config = path.join(options.home, '.config/act/actrc');
  if (!existsSync(config)) {
    mkdirSync(path.dirname(config), { recursive: true });
    writeFileSync(config, '');
  }
  // Its two servers otherwise look for an address of this host, which fails where there is no network.
  const addresses = ['--artifact-server-addr', '127.0.0.1', '--cache-server-addr', '127.0.0.1'];
  const child = spawn(act, ['push', '-P', 'ubuntu-latest=-self-hosted', ...addresses, '-j', job], {
    cwd: options.repository,
    // act runs actions under whatever `node` is first on PATH.
    env: { HOME: options.home, PATH: `${options.node}:${process.env['PATH'] ?? ''}`, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: RUN_TIMEOUT_MS,
  });
  let log = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => (log += text));
  const [exitCode] = (await once(child, 'close')) as [number | null];
  const printed = log
    .split('\n')
    .map((line) => /^\[[^\]]*\]\s+\| (.*?)\r?$/.exec(line)?.[1])
    .filter((line) => line !== undefined);
  return { exitCode, log, printed };
}
