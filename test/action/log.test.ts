import { expect, it } from 'vitest';

import { inert } from '../../src/action/inert.js';
import { ActionLog } from '../../src/action/log.js';
import { CommandReader } from '../support/mini-runner/commands.js';
import { recordedRunner } from './recorded-runner.js';

it('takes the power out of what looks like a command', () => {
  const hostile = 'a\r::error::x\n  ::add-mask::y\u2028::z::\nsee std::vector\n##[error]q';
  const reader = new CommandReader();
  reader.write(`${inert(hostile)}\n`);
  expect(reader.commands).toEqual([]);
  expect(reader.isStopped).toBe(false);
  expect(reader.lines).toEqual(['a', ': :error::x', '  : :add-mask::y', ': :z::', 'see std::vector', '## [error]q']);
});

it('folds sections one level deep, since an inner group would end the outer one', async () => {
  const runner = recordedRunner();
  const log = new ActionLog(runner);
  await log.section('outer', () =>
    log.section('inner', () => {
      log.info('work');
      return Promise.resolve();
    }),
  );
  await expect(log.section('broken', () => Promise.reject(new Error('no')))).rejects.toThrow('no');
  expect(runner.said).toEqual(['group outer', 'inner', 'work', 'endgroup', 'group broken', 'endgroup']);
});

it('tells progress every ten seconds', () => {
  const runner = recordedRunner();
  let now = 0;
  const log = new ActionLog(runner, () => now);
  for (; now <= 25_000; now += 100) log.progress(`at ${now}`);
  expect(runner.said).toEqual(['at 0', 'at 10000', 'at 20000']);
});
