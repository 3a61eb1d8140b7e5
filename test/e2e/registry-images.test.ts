import { execFileSync } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import path from 'node:path';

import { expect, it } from 'vitest';

import { ContainerRegistry } from '../support/container-registry.js';
import { qemuProcesses } from '../support/e2e.js';
import { imageCommands, type ImageCommands } from '../support/image-commands.js';

/** What a test runs in an image of each family, and what it says. */
const PROGRAMS = {
  busybox: { argv: ['sh', '-c', 'echo $0 busybox'], says: 'sh busybox\n' },
  musl: { argv: ['hello'], says: 'hello from musl\n' },
  glibc: { argv: ['/bin/dash', '-c', 'echo glibc'], says: 'glibc\n' },
  user: { argv: ['id', '-un'], says: 'node\n' },
  entrypoint: { argv: ['echo', 'x'], says: 'entry: echo x\nx\n' },
  many: { argv: ['cat', '/top'], says: '124\n' },
} as const;
const FAMILIES = Object.keys(PROGRAMS) as (keyof typeof PROGRAMS)[];

/** Puts images of these families into the registry. */
async function push(families: readonly string[], registry: ContainerRegistry, commands: ImageCommands): Promise<void> {
  for (const family of families) {
    const source = await commands.layout(family);
    const target = `docker://${registry.host}/test/${family}:1`;
    execFileSync('skopeo', ['copy', '-q', '--dest-tls-verify=false', source, target], { cwd: commands.directory });
  }
}

it('images of a registry are pulled once, whatever they are made of, and run', async () => {
  const registry = await ContainerRegistry.start();
  const commands = await imageCommands();
  await push(FAMILIES, registry, commands);
  for (const family of FAMILIES) {
    const { argv, says } = PROGRAMS[family];
    const args = ['run', '--network', 'none', '--memory', '512M', '--image', `${registry.host}/test/${family}:1`];
    const first = await commands.vm(...args, '--', ...argv);
    expect(first, first.stderr).toMatchObject({ exitCode: 0, stdout: says });
    expect(first.stderr).toContain(`pulled ${registry.host}/test/${family}:1@sha256:`);
    const again = await commands.vm(...args, '--pull', 'always', '--', ...argv);
    expect(again, again.stderr).toMatchObject({ exitCode: 0, stdout: says });
    expect(again.stderr).not.toContain('pulled');
  }
  const none = await commands.run(`${registry.host}/test/none:1`, '--', 'true');
  expect(none).toMatchObject({ exitCode: 125, stdout: '' });
  expect(none.stderr).toContain(`${registry.host}/test/none:1`);
});

it('twenty jobs of four images that start at once pull each of them once, and each ends as its own program did', async () => {
  const registry = await ContainerRegistry.start();
  const commands = await imageCommands();
  const families = ['busybox', 'musl', 'user', 'many'] as const;
  await push(families, registry, commands);
  const jobs = Array.from({ length: 20 }, (_, job) => families[job % families.length] ?? 'busybox');
  const results = await Promise.all(
    jobs.map((family, job) => {
      const flags = ['--memory', '512M', '--boot-timeout', '280s', '--network', 'none'];
      const image = `${registry.host}/test/${family}:1`;
      return commands.vm('run', ...flags, '--image', image, '--', 'sh', '-c', `exit ${job}`);
    }),
  );
  expect(results.map(({ exitCode }) => exitCode)).toEqual(jobs.map((_, job) => job));
  const pulls = results.flatMap(({ stderr }) => [...stderr.matchAll(/pulled \S+\/test\/(\w+):1@/g)]);
  expect(pulls.map(([, family]) => family).sort()).toEqual([...families].sort());
  for (const room of ['vms', 'tmp', 'locks', 'blobs']) {
    expect(await readdir(path.join(commands.home, room)), room).toEqual([]);
  }
  expect(qemuProcesses(commands.home)).toEqual([]);
});
