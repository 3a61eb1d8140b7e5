import { spawnSync } from 'node:child_process';
import path from 'node:path';

import type { TestProject } from 'vitest/node';

declare module 'vitest' {
  interface ProvidedContext {
    /** A store that has the default image: tests take it as their own home, or link its images into one. */
    sharedHome: string;
  }
}

const ROOT = path.resolve(import.meta.dirname, '../..');

/** Builds the default image once for all end-to-end tests, by booting it: a red build is told here and not twenty times. */
export default function setup(project: TestProject): void {
  const home = process.env['VM_RUNNER_TEST_HOME'] ?? path.join(ROOT, 'build', 'home');
  const result = spawnSync(
    process.execPath,
    [path.join(ROOT, 'dist/cli/index.js'), 'run', '--network', 'none', '--', 'true'],
    {
      env: { ...process.env, VM_RUNNER_HOME: home },
      stdio: ['ignore', 'inherit', 'inherit'],
    },
  );
  if (result.status !== 0)
    throw new Error(`the default image did not boot (exit code ${String(result.status)}); see above`);
  project.provide('sharedHome', home);
}
