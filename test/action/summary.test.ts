import { summary } from '@actions/core';
import { expect, it } from 'vitest';

import { summaryRows } from '../../src/action/summary.js';

const FACTS = {
  image: 'default',
  size: '2 CPUs, 2.0 GiB',
  spans: [
    { name: 'create', startMs: 0, endMs: 12 },
    { name: 'boot', startMs: 12, endMs: 1912 },
  ],
  exitCode: '0',
  artifacts: undefined,
};

it('tells in a few rows what was booted and how it ended', () => {
  expect(summaryRows(FACTS)).toEqual([
    ['image', 'default'],
    ['size', '2 CPUs, 2.0 GiB'],
    ['timeline', 'create 12 ms, boot 1.9 s'],
    ['exit code', '0'],
  ]);
});

it('lets no name from the guest become HTML', async () => {
  const { writeSummary } = await import('../../src/action/summary.js');
  const spans = [{ name: '<img src=x>', startMs: 0, endMs: 1 }];
  let html = '';
  summary.write = () => {
    html = summary.stringify();
    return Promise.resolve(summary);
  };
  await writeSummary({ summary }, { ...FACTS, spans });
  expect(html).toContain('&lt;img src=x&gt;');
});
