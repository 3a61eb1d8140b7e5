import { readFile, stat } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { shim } from './support.js';

const STAGES = ['config', 'prepare', 'run', 'cleanup'] as const;

describe('what an operator copies', () => {
  it('names every shim in config.toml, at the place where npm puts it', async () => {
    const text = await readFile(path.join(path.dirname(shim('config')), 'config.toml'), 'utf8');
    for (const stage of STAGES) {
      expect(text).toMatch(
        new RegExp(`^ *${stage}_exec = "/usr/lib/node_modules/vm-runner/executors/gitlab/${stage}"$`, 'm'),
      );
    }
  });

  it('has shims that can be started, and differ in nothing but their stage', async () => {
    const texts = await Promise.all(STAGES.map((stage) => readFile(shim(stage), 'utf8')));
    expect(new Set(texts.map((text, at) => text.replaceAll(STAGES[at] ?? '', 'STAGE'))).size).toBe(1);
    for (const stage of STAGES) expect((await stat(shim(stage))).mode & 0o777).toBe(0o755);
  });
});
