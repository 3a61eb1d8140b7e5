// What `npm test` runs: everything that must hold before a change lands, each step with its counts.
// The last line reads `N passed, N failed, N skipped`. With CI=true a skipped step is a failure: there everything must run.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';

const root = path.dirname(import.meta.dirname);
/** What no package registry has, and what an ordinary user of a hosted runner cannot do. */
const MAY_BE_SKIPPED = /GITLAB_RUNNER|needs root/;
const isCi = process.env.CI === 'true';
const total = { passed: 0, failed: 0, skipped: 0 };

const env = {
  ...process.env,
  PATH: [path.join(root, 'node_modules/.bin'), process.env.PATH, '/usr/sbin', '/sbin'].join(':'),
  FORCE_COLOR: '0',
};

function run(program, args, options = {}) {
  const result = spawnSync(program, args, { cwd: root, env, stdio: ['ignore', 'inherit', 'inherit'], ...options });
  if (result.error) throw result.error;
  return result;
}

function add(counts) {
  for (const key of Object.keys(total)) total[key] += counts[key] ?? 0;
}

/** A step that passes or fails as a whole. */
function check(title, program, ...args) {
  console.log(`\n=== ${title}`);
  const { status } = run(program, args);
  add(status === 0 ? { passed: 1 } : { failed: 1 });
  if (status !== 0) console.log(`=== FAILED: ${title}`);
  return status === 0;
}

function skip(title, reason) {
  console.log(`\n=== ${isCi ? 'FAILED' : 'SKIPPED'}: ${title}: ${reason}`);
  add(isCi ? { failed: 1 } : { skipped: 1 });
}

function has(program) {
  return spawnSync(program, ['--version'], { env, stdio: 'ignore' }).error === undefined;
}

function vitest(project) {
  console.log(`\n=== tests: ${project}`);
  const report = path.join(root, 'build', `vitest-${project}.json`);
  const { status } = run('vitest', [
    'run',
    '--project',
    project,
    '--reporter=verbose',
    '--reporter=json',
    `--outputFile.json=${report}`,
  ]);
  if (!existsSync(report)) {
    add({ failed: 1 });
    return;
  }
  const results = JSON.parse(readFileSync(report, 'utf8'));
  const { numPassedTests: passed, numFailedTests: failed, numFailedTestSuites } = results;
  const skipped = results.testResults
    .flatMap((file) => file.assertionResults)
    .filter(({ status }) => status !== 'passed' && status !== 'failed');
  const missed = isCi ? skipped.filter(({ fullName }) => !MAY_BE_SKIPPED.test(fullName)) : [];
  for (const { fullName } of missed) console.log(`=== FAILED: skipped where everything must run: ${fullName}`);
  add({ passed, failed: failed + missed.length, skipped: skipped.length - missed.length });
  // A file that cannot even be loaded has no tests that could fail.
  if (status !== 0 && failed === 0) add({ failed: Math.max(1, numFailedTestSuites) });
}

function rust() {
  if (!has('rustup')) {
    skip('the agent', 'rustup is not installed, so the agent is neither checked nor rebuilt');
    return false;
  }
  check('the agent: toolchain', 'rustup', 'toolchain', 'install', '--no-self-update');
  console.log('\n=== the agent: format, lints, generated code, tests');
  const { status, stdout } = run('sh', ['scripts/check-agent.sh'], {
    stdio: ['ignore', 'pipe', 'inherit'],
    encoding: 'utf8',
    maxBuffer: 64 * 2 ** 20,
  });
  process.stdout.write(stdout);
  for (const [, passed, failed, ignored] of stdout.matchAll(
    /^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored/gm,
  )) {
    add({ passed: Number(passed), failed: Number(failed), skipped: Number(ignored) });
  }
  add(status === 0 ? { passed: 1 } : { failed: 1 });
  return true;
}

/** Rebuilds what is generated and committed, and sees whether anything differs, new files included. */
function generated(withAgent) {
  const before = changes();
  if (!check('rebuild what is generated', 'node', 'scripts/build.mjs', ...(withAgent ? [] : ['bundles']))) return;
  console.log('\n=== what is committed is what the sources give');
  const different = changes();
  const same = different === before;
  add(same ? { passed: 1 } : { failed: 1 });
  if (!same) console.log(`=== FAILED: rebuilt files differ. Commit what npm run build makes:\n${different}`);
}

function changes() {
  const paths = ['dist', 'src/guest/gen', 'guest-agent/src/gen'];
  const { stdout } = run('git', ['status', '--porcelain', '--untracked-files=all', '--', ...paths], {
    stdio: ['ignore', 'pipe', 'inherit'],
    encoding: 'utf8',
  });
  // Files that were changed before the rebuild count by their content.
  return (
    stdout +
    run('git', ['diff', '--binary', '--', ...paths], { stdio: ['ignore', 'pipe', 'inherit'], encoding: 'utf8' }).stdout
  );
}

const started = performance.now();
mkdirSync(path.join(root, 'build'), { recursive: true });
const setUp =
  check('host packages', 'sh', 'scripts/setup-host.sh', '--tests') &&
  (isCurrent(path.join(root, 'node_modules/.package-lock.json')) ||
    check('npm packages', 'npm', 'ci', '--no-audit', '--no-fund'));
if (setUp) {
  check('proto lint', 'buf', 'lint');
  check('types', 'tsc', '--noEmit', '-p', '.');
  check('lint', 'eslint', '.');
  check('format', 'prettier', '--check', '.');
  const withAgent = rust();
  generated(withAgent);
  vitest('unit');
  vitest('e2e');
}
console.log(`\nafter ${Math.round((performance.now() - started) / 1000)} s`);
console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exitCode = total.failed === 0 ? 0 : 1;

function isCurrent(installed) {
  return existsSync(installed) && statSync(installed).mtimeMs >= statSync(path.join(root, 'package-lock.json')).mtimeMs;
}
