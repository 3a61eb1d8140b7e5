// Builds everything that is generated and committed: messages, bundles, licences, the agent's binaries and the scratch disk.
//   node scripts/build.mjs            all of it
//   node scripts/build.mjs bundles    only what Node needs (no Rust)
import { spawnSync } from 'node:child_process';
import { readdirSync, rmSync } from 'node:fs';
import path from 'node:path';

const BUNDLES = {
  cli: 'cli/index.ts',
  gitlab: 'gitlab/index.ts',
  main: 'action/index.ts',
  post: 'action/post-index.ts',
};

const root = path.dirname(import.meta.dirname);

function run(program, ...args) {
  const { status, error } = spawnSync(program, args, {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, PATH: `${path.join(root, 'node_modules/.bin')}:${process.env.PATH}` },
  });
  if (error) throw error;
  if (status !== 0) process.exit(status ?? 1);
}

function bundle(name, entry) {
  const target = path.join('dist', name);
  rmSync(path.join(root, target), { recursive: true, force: true });
  run('ncc', 'build', path.join('src', entry), '--minify', '--license', 'licenses.txt', '--out', target, '--quiet');
  // grpc-js carries these for services of its own that nothing here starts.
  for (const file of readdirSync(path.join(root, target), { recursive: true, withFileTypes: true })) {
    if (file.name.endsWith('.proto')) rmSync(path.join(file.parentPath, file.name));
  }
  for (const directory of ['proto', 'protoc-gen-validate', 'xds']) {
    rmSync(path.join(root, target, directory), { recursive: true, force: true });
  }
}

run('buf', 'generate');
for (const [name, entry] of Object.entries(BUNDLES)) bundle(name, entry);
if (process.argv[2] !== 'bundles') {
  run('sh', 'scripts/build-agent.sh');
  run('node', 'scripts/agent-licenses.mjs');
  run('node', 'scripts/build-scratch.mjs');
}
