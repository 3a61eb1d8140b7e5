import { mkdir, rename, stat, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { checkTemplate, describeTemplate, templatePaths } from '../../../src/providers/qemu/template-files.js';
import { TemplateStore } from '../../../src/providers/qemu/templates.js';
import { rejection, temporaryStore } from '../../images/support.js';
import { temporaryDirectory } from '../../support/temporary-directory.js';

const KEY = '0123456789abcdef0123456789abcdef';
const ABOUT = { acceleration: 'tcg', cpus: 1, memoryMiB: 512, qemu: 'QEMU', base: 'sha256:0', madeAt: 1000 };
const DAY_MS = 86_400_000;

async function setUp() {
  const host = await temporaryStore();
  const templates = new TemplateStore(host);
  const add = async (key = KEY) => {
    const made = await templates.temporary();
    await Promise.all([made.memory, made.state, made.scratch].map((file) => writeFile(file, 'x'.repeat(9000))));
    return templates.add(made, await describeTemplate(made, { key, ...ABOUT }));
  };
  return { ...host, templates, add };
}

describe('TemplateStore', () => {
  it('finds what was added, as it was described', async () => {
    const { templates, add } = await setUp();
    expect(await templates.find(KEY)).toBeUndefined();
    const added = await add();
    expect(await templates.find(KEY)).toEqual(added);
    expect(added.description).toMatchObject({ version: 1, key: KEY, ...ABOUT });
  });

  it('lists them with their size and their last use, the latest first, and leaves out what is none', async () => {
    const { store, templates, add } = await setUp();
    const [first, second] = [await add(), await add('f'.repeat(32))];
    await templates.markProven(first);
    await templates.markProven(second);
    await utimes(first.paths.used, 5, 5);
    await writeFile(path.join(store.paths.templates, `${KEY}.refused`), '');
    await mkdir(path.join(store.paths.templates, 'a'.repeat(32)));
    const listed = await templates.list();
    expect(listed.map(({ key }) => key)).toEqual([second.description.key, KEY]);
    expect(listed[1]).toMatchObject({ memoryMiB: 512, cpus: 1, base: 'sha256:0', madeAt: 1000, usedAt: 5000, vms: 0 });
    expect(listed[1]?.bytes).toBeGreaterThanOrEqual(27_000);
    await templates.markUsed(first);
    expect((await templates.list())[0]?.key).toBe(KEY);
  });

  it('removes one, and says when there was none', async () => {
    const { templates, add } = await setUp();
    const { paths } = await add();
    expect(await templates.remove(KEY)).toBe(true);
    expect(await templates.find(KEY)).toBeUndefined();
    await expect(stat(paths.directory)).rejects.toThrow('ENOENT');
    for (const key of [KEY, '..', 'x/../../vms', '']) expect(await templates.remove(key)).toBe(false);
  });

  it('prunes those that were not used for so long', async () => {
    const { templates, add } = await setUp();
    const [old, fresh] = [await add(), await add('f'.repeat(32))];
    for (const template of [old, fresh]) await templates.markProven(template);
    const twoDaysAgo = new Date(Date.now() - 2 * DAY_MS);
    await utimes(old.paths.used, twoDaysAgo, twoDaysAgo);
    const how = { dryRun: true, now: Date.now() };
    const gone = [
      { kind: 'template', name: KEY, reason: 'no VM was cloned from it for long', bytes: expect.any(Number) as number },
    ];
    expect(await templates.prune({ unusedMs: DAY_MS }, how)).toEqual(gone);
    expect(await templates.list()).toHaveLength(2);
    expect(await templates.prune({ unusedMs: DAY_MS }, { ...how, dryRun: false })).toEqual(gone);
    expect((await templates.list()).map(({ key }) => key)).toEqual([fresh.description.key]);
  });

  it('prunes the least recently used over a budget', async () => {
    const { templates, add } = await setUp();
    const [old, fresh] = [await add(), await add('f'.repeat(32))];
    for (const template of [old, fresh]) await templates.markProven(template);
    await utimes(old.paths.used, 5, 5);
    const how = { dryRun: false, now: 10_000 };
    const total = (await templates.list()).reduce((sum, { bytes }) => sum + bytes, 0);
    expect(await templates.prune({ unusedMs: DAY_MS, budgetBytes: total }, how)).toEqual([]);
    const pruned = await templates.prune({ unusedMs: DAY_MS, budgetBytes: total - 1 }, how);
    expect(pruned).toMatchObject([{ name: KEY, reason: 'over the budget for templates' }]);
  });

  it('does not miss a template that goes while it is used', async () => {
    const { templates, add } = await setUp();
    const template = await add();
    await templates.remove(KEY);
    await templates.markUsed(template);
    await templates.markProven(template);
    expect(await templates.isProven(template)).toBe(false);
  });
});

describe('checkTemplate', () => {
  it('finds a file that lost data of which its size tells nothing', async () => {
    const paths = templatePaths(await temporaryDirectory());
    await Promise.all([paths.memory, paths.state, paths.scratch].map((file) => writeFile(file, 'x'.repeat(9000))));
    const description = await describeTemplate(paths, { key: KEY, ...ABOUT });
    await checkTemplate(paths, description);
    const { files } = description;
    const more = { ...description, files: { ...files, memory: { ...files.memory, blocks: files.memory.blocks + 8 } } };
    expect((await rejection(checkTemplate(paths, more))).message).toContain('lost a part of its data');
  });

  it('finds a small file with other content and the same time', async () => {
    const paths = templatePaths(await temporaryDirectory());
    await Promise.all([paths.memory, paths.state, paths.scratch].map((file) => writeFile(file, 'x'.repeat(9000))));
    const description = await describeTemplate(paths, { key: KEY, ...ABOUT });
    await writeFile(`${paths.state}.new`, 'y'.repeat(9000));
    await rename(`${paths.state}.new`, paths.state);
    const { mtimeNs } = await stat(paths.state, { bigint: true });
    const { files } = description;
    const same = { ...description, files: { ...files, state: { ...files.state, modified: String(mtimeNs) } } };
    const error = await rejection(checkTemplate(paths, same));
    expect(error.code).toBe('store-damaged');
    expect(error.message).toContain('holds something else than was saved');
  });
});
