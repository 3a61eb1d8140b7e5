import { existsSync } from 'node:fs';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it, onTestFinished } from 'vitest';

import type { TemplatePolicy } from '../../../src/core/job.js';
import { findByArgument } from '../../../src/process/end.js';
import { qmpArgument } from '../../../src/providers/qemu/machine.js';
import { QemuProvider } from '../../../src/providers/qemu/qemu.js';
import { TemplateStore } from '../../../src/providers/qemu/templates.js';
import { rejection, temporaryStore } from '../../images/support.js';
import { createContext, createRequest } from '../support.js';
import { writeBaseGuest } from './base-guest.js';
import { startedFile, writeFakeQemu } from './fake-qemu.js';

async function setUp({ isolateTemplates = false } = {}) {
  const host = await temporaryStore();
  const { store, processes } = host;
  const qemu = await writeFakeQemu(store.paths.home);
  const base = await writeBaseGuest(store);
  const provider = new QemuProvider({ ...host, binary: qemu.binary, isolateTemplates, ownUsers: false });
  const templates = new TemplateStore(host);
  onTestFinished(async () => {
    for (const name of await store.vms.names()) await provider.destroy(name);
  });
  const create = async (name: string, template: TemplatePolicy = 'auto', agentAnswers = () => Promise.resolve()) => {
    const context = createContext(agentAnswers);
    const request = createRequest({ name, template, memoryMiB: 128, boot: { base, image: undefined } });
    const record = await provider.create(request, context);
    const spans = context.timeline.spans.map((span) => span.name);
    const said = context.log.lines.filter((line) => !line.includes('no hardware acceleration'));
    return { record, spans, said };
  };
  /** What QEMU was started for since the last look. */
  const started = async (): Promise<string> => {
    const text = await readFile(startedFile(qemu.binary), 'utf8').catch(() => '');
    await rm(startedFile(qemu.binary), { force: true });
    return text.trim();
  };
  const only = async () => {
    const [template, ...others] = await templates.list();
    if (template === undefined || others.length > 0) throw new Error('not exactly one template');
    return { ...template, directory: path.join(store.paths.templates, template.key) };
  };
  return { store, processes, templates, qemu, create, started, only };
}

describe('startVm', () => {
  it('makes a template with the first VM of a size, and clones that one and all others of it', async () => {
    const { store, create, started, only } = await setUp();
    const first = await create('vm-1');
    expect(await started()).toBe('export boot clone');
    expect(first.spans).toEqual(['template', 'clone']);
    const { key } = await only();
    expect(first.record.template).toBe(key);

    const second = await create('vm-2');
    expect(await started()).toBe('clone');
    expect(second.spans).toEqual(['clone']);
    expect(second.said).toEqual([]);
    expect(second.record).toMatchObject({ template: key, imageDigest: 'sha256:1' });
    expect(await only()).toMatchObject({ memoryMiB: 128, cpus: 1, acceleration: 'tcg', base: 'sha256:0', vms: 2 });
    // Nothing is left of making it, neither files nor processes.
    expect(await readdir(store.paths.temporary)).toEqual([]);
    expect(await readdir(store.paths.templates)).toEqual([key]);
  });

  it('neither reads nor makes a template when it must not', async () => {
    const { templates, create, started } = await setUp();
    expect(await create('vm-1', 'never')).toMatchObject({ spans: ['start'], record: { template: undefined } });
    expect(await started()).toBe('boot');
    expect(await templates.list()).toEqual([]);
    await create('vm-2');
    await started();
    await create('vm-3', 'never');
    expect(await started()).toBe('boot');
  });

  it('makes a template once however many ask, and the others say what they wait for', async () => {
    const { create, started } = await setUp();
    const all = await Promise.all(['vm-1', 'vm-2', 'vm-3'].map((name) => create(name)));
    expect((await started()).split(' ').sort()).toEqual(['boot', 'clone', 'clone', 'clone', 'export']);
    expect(new Set(all.map(({ record }) => record.template)).size).toBe(1);
    const waited = all.flatMap(({ said }) => said).filter((line) => line.includes('the template'));
    expect(waited).toEqual(Array(2).fill(`info: waiting for process ${process.pid}, which is making the template`));
  });

  it('makes another template when QEMU is another one', async () => {
    const { templates, qemu, create, started } = await setUp();
    await create('vm-1');
    await writeFile(qemu.binary, `${await readFile(qemu.binary, 'utf8')}\n`);
    await started();
    await create('vm-2');
    expect(await started()).toBe('export boot clone');
    expect(await templates.list()).toHaveLength(2);
  });

  it.each([
    ['state', 'truncate', 'has 1 bytes instead of 5'],
    ['state', 'flip', 'was changed since it was saved'],
    ['state', 'lose', 'is missing'],
    ['ram', 'truncate', 'has 1 bytes instead of 134217728'],
    ['ram', 'flip', 'was changed since it was saved'],
    ['ram', 'lose', 'is missing'],
    ['scratch.qcow2', 'truncate', 'has 1 bytes instead of 262144'],
    ['scratch.qcow2', 'flip', 'was changed since it was saved'],
    ['scratch.qcow2', 'lose', 'is missing'],
    ['template.json', 'truncate', 'cannot be understood'],
    ['template.json', 'flip', 'cannot be understood'],
  ] as const)(
    'boots when the file %s of the template is damaged (%s), and makes it anew next time',
    async (name, how, why) => {
      const { create, started, only, templates } = await setUp();
      await create('vm-1');
      await damage(path.join((await only()).directory, name), how);
      await started();

      const booted = await create('vm-2');
      expect(await started()).toBe('boot');
      expect(booted.record.template).toBeUndefined();
      expect(booted.said).toHaveLength(1);
      expect(booted.said[0]).toMatch(/^warn: VM boots, since it cannot be cloned: file of a template /);
      expect(booted.said[0]).toContain(why);
      expect(await templates.list()).toEqual([]);

      expect((await create('vm-3')).record.template).toBe((await only()).key);
    },
  );

  it('boots when the template cannot be loaded, which is gone then', async () => {
    const { qemu, create, started, templates, store } = await setUp();
    await create('vm-1');
    await started();
    await qemu.trouble('load-fails');
    const { record, spans, said } = await create('vm-2');
    expect(await started()).toBe('clone boot');
    expect(spans).toEqual(['clone', 'start']);
    expect(said).toEqual([
      'warn: VM boots, since it cannot be cloned: QEMU ended as soon as it was started' +
        ' (qemu: error while loading state for instance 0x0)',
    ]);
    expect(record.template).toBeUndefined();
    expect(await store.vms.read('vm-2')).toEqual(record);
    expect(await templates.list()).toEqual([]);
  });

  it('boots when the guest of a template does not answer', async () => {
    const { create, started, templates, processes, store } = await setUp();
    let asked = 0;
    // The guest that is saved answers, its clone does not.
    const silent = (): Promise<void> => (++asked % 2 === 1 ? Promise.resolve() : Promise.reject(new Error('silence')));
    const { record, said } = await create('vm-1', 'auto', silent);
    expect(await started()).toBe('export boot clone boot');
    expect(said.at(-1)).toContain('VM boots, since it cannot be cloned: silence');
    expect(await templates.list()).toEqual([]);
    // Of the two only the one that booted is still there.
    expect(findByArgument(processes, qmpArgument(store.vms.paths('vm-1').qmp))).toEqual([record.vmm]);
    // It may have been an accident; made once more, it would be the same.
    expect((await create('vm-2', 'auto', silent)).said.at(-1)).toContain('silence');
    expect(await started()).toBe('export boot clone boot');
    expect((await create('vm-3')).said.at(-1)).toMatch(/no template could be made at .*: silence/);
    expect(await started()).toBe('boot');
  });

  it('asks whether a clone answers only once, and again after the host was started anew', async () => {
    const { create, only } = await setUp();
    let asked = 0;
    const answers = (): Promise<void> => {
      asked += 1;
      return Promise.resolve();
    };
    await create('vm-1', 'auto', answers);
    expect(asked).toBe(2);
    await create('vm-2', 'auto', answers);
    expect(asked).toBe(2);
    await writeFile(path.join((await only()).directory, 'used'), 'another boot');
    await create('vm-3', 'auto', answers);
    await create('vm-4', 'auto', answers);
    expect(asked).toBe(3);
  });

  it.each(['save-fails', 'dies-saving'] as const)(
    'boots when no template can be made (%s), and tries anew once, then only later',
    async (kind) => {
      const { qemu, create, started, store, templates } = await setUp();
      await qemu.trouble(kind);
      for (const name of ['vm-1', 'vm-2']) {
        const { said } = await create(name);
        expect(await started()).toBe('export boot boot');
        expect(said.at(-1)).toContain('warn: VM boots, since it cannot be cloned: QEMU ');
      }
      const third = await create('vm-3');
      expect(await started()).toBe('boot');
      expect(third.said.at(-1)).toMatch(/no template could be made at \d{4}-.*: QEMU /);

      await rm(`${qemu.binary}.${kind}`);
      // Whoever insists does not take an old answer.
      expect((await create('vm-4', 'always')).record.template).toBeDefined();
      expect((await create('vm-5')).record.template).toBeDefined();
      expect(await readdir(store.paths.temporary)).toEqual([]);
      expect(await templates.list()).toHaveLength(1);
    },
  );

  it('fails with a sentence instead of booting when it must be cloned and cannot', async () => {
    const { qemu, create, started } = await setUp();
    await qemu.trouble('load-fails');
    const error = await rejection(create('vm-1', 'always'));
    expect(await started()).toBe('export boot clone');
    expect(error.code).toBe('vm-start-failed');
    expect(error.message).toBe(
      'VM cannot be cloned from a template: QEMU ended as soon as it was started. With the template policy "auto" it boots then.',
    );
    expect(error.detail).toContain('error while loading state');
  });

  it('keeps a template when the VM could not boot either', async () => {
    const { qemu, create, only } = await setUp();
    await create('vm-1');
    const { key } = await only();
    await qemu.trouble('load-fails');
    await qemu.trouble('boot-fails');
    await rejection(create('vm-2'));
    expect((await only()).key).toBe(key);
  });

  it('gives a clone memory of its own when templates are isolated', async () => {
    const { create, store, only } = await setUp({ isolateTemplates: true });
    const { record } = await create('vm-1');
    const copy = store.vms.paths('vm-1').memory;
    const commandLine = await readFile(`/proc/${String(record.vmm?.pid)}/cmdline`, 'utf8');
    expect(commandLine).toContain(`mem-path=${copy},share=off`);
    expect(commandLine).not.toContain(path.join((await only()).directory, 'ram'));
    expect(existsSync(copy)).toBe(true);
  });
});

async function damage(file: string, how: 'truncate' | 'flip' | 'lose'): Promise<void> {
  if (how === 'lose') return rm(file);
  const bytes = await readFile(file);
  await rm(file);
  if (how === 'truncate') return writeFile(file, bytes.subarray(0, 1));
  bytes[0] = (bytes[0] ?? 0) ^ 0xff;
  return writeFile(file, bytes);
}
