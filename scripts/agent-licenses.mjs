// Writes dist/agent/licenses.txt: what is linked into the agent's binaries, with the licence texts of each crate.
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const root = path.dirname(import.meta.dirname);
const TARGETS = ['x86_64-unknown-linux-musl', 'aarch64-unknown-linux-musl'];

const packages = new Map();
for (const target of TARGETS) {
  const args = ['metadata', '--locked', '--format-version', '1', '--filter-platform', target];
  const { packages: all, resolve } = JSON.parse(
    execFileSync('cargo', args, {
      cwd: path.join(root, 'guest-agent'),
      encoding: 'utf8',
      maxBuffer: 256 * 2 ** 20,
      stdio: ['ignore', 'pipe', 'inherit'],
    }),
  );
  const agent = all.find((candidate) => candidate.name === 'vm-agent');
  const visit = (id) => {
    const node = resolve.nodes.find((candidate) => candidate.id === id);
    for (const { pkg, dep_kinds: kinds } of node.deps) {
      // Only what is linked: not what builds or tests it, nor macros, which run on the compiling machine.
      const found = all.find((candidate) => candidate.id === pkg);
      const isMacro = found.targets.every(
        (part) => part.kind.includes('proc-macro') || part.kind.includes('custom-build'),
      );
      if (isMacro || !kinds.some(({ kind }) => kind === null) || packages.has(`${found.name} ${found.version}`))
        continue;
      packages.set(`${found.name} ${found.version}`, found);
      visit(pkg);
    }
  };
  visit(agent.id);
}

const sections = [...packages.keys()].sort().map((name) => {
  const { license, manifest_path: manifest } = packages.get(name);
  const directory = path.dirname(manifest);
  const files = readdirSync(directory).filter((file) => /^(LICEN[CS]E|COPYING|COPYRIGHT|NOTICE)/i.test(file));
  const texts = files.sort().map((file) => readFileSync(path.join(directory, file), 'utf8').trim());
  return [name, license ?? 'see below', ...texts].join('\n\n');
});
const head = [
  'The binaries of vm-agent contain the Rust standard library (MIT OR Apache-2.0), musl libc (MIT) and these crates:',
  ...sections,
];
writeFileSync(path.join(root, 'dist/agent/licenses.txt'), `${head.join(`\n\n${'-'.repeat(80)}\n\n`)}\n`);
