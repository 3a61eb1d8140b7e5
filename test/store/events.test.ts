import { appendFile, readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { LinuxProcessTable } from '../../src/process/table.js';
import { readEvents } from '../../src/store/event-reader.js';
import { EventLog, parseEvent, type HostEvent } from '../../src/store/events.js';
import { openStore, type Store } from '../../src/store/store.js';
import { temporaryDirectory } from '../support/temporary-directory.js';

const processes = new LinuxProcessTable();

async function store(): Promise<Store> {
  return openStore(path.join(await temporaryDirectory(), 'home'), processes);
}

async function past({ paths }: Store): Promise<HostEvent[]> {
  const events: HostEvent[] = [];
  const options = { since: 0, until: Date.now(), signal: AbortSignal.timeout(20_000) };
  for await (const event of readEvents(paths, options)) events.push(event);
  return events;
}

describe('the log of events', () => {
  it('keeps whole lines when many write at once', async () => {
    const { paths, ...rest } = await store();
    const logs = Array.from({ length: 8 }, () => new EventLog(paths, processes));
    await Promise.all(logs.flatMap((log, at) => [1, 2, 3].map((n) => log.add('vm', 'ready', `vm-${at}`, { n }))));
    expect(await past({ paths, ...rest })).toHaveLength(24);
  });

  it('cleans and cuts what guests and registries may have written', async () => {
    const opened = await store();
    await opened.events.add('vm', 'died', 'box', { reason: `\x1b[31mred\n${'x'.repeat(5000)}`, none: undefined });
    const [event] = await past(opened);
    expect(event?.attributes['reason']).toMatch(/^red x{195}…$/);
    expect(Object.keys(event?.attributes ?? {})).toEqual(['reason']);
  });

  it('reads over a line that was written by half, and begins anew behind it', async () => {
    const opened = await store();
    await opened.events.add('vm', 'created', 'one');
    await appendFile(opened.paths.events, '{"time":1,"type":"vm","act');
    await opened.events.add('vm', 'created', 'two');
    expect((await past(opened)).map(({ name }) => name)).toEqual(['one', 'two']);
  });

  it('begins a new file when one is full, and keeps the one before', async () => {
    const opened = await store();
    const log = new EventLog(opened.paths, processes, { mostBytes: 300 });
    for (let n = 0; n < 20; n++) await log.add('vm', 'ready', `vm-${n}`);
    expect((await stat(opened.paths.events).catch(() => ({ size: 0 }))).size).toBeLessThan(600);
    expect((await readFile(opened.paths.eventsBefore, 'utf8')).length).toBeLessThan(600);
    const names = (await past(opened)).map(({ name }) => name);
    expect(names.at(-1)).toBe('vm-19');
    expect(names.length).toBeGreaterThan(2);
  });

  it('is followed over the change of files', async () => {
    const opened = await store();
    const log = new EventLog(opened.paths, processes, { mostBytes: 200 });
    const over = new AbortController();
    const reading = (async () => {
      const names: string[] = [];
      for await (const { name } of readEvents(opened.paths, { since: 0, until: undefined, signal: over.signal })) {
        names.push(name);
        if (name === 'vm-9') return names;
        await log.add('vm', 'ready', `vm-${names.length}`);
      }
      return names;
    })();
    await log.add('vm', 'ready', 'vm-0');
    expect(await reading).toEqual(Array.from({ length: 10 }, (_, n) => `vm-${n}`));
    over.abort();
  });

  it('warns once when it cannot be written', async () => {
    const opened = await store();
    const warnings: string[] = [];
    const log = new EventLog({ ...opened.paths, events: opened.paths.vms }, processes);
    for (let n = 0; n < 3; n++) await log.add('vm', 'ready', 'box', {}, { warn: (text) => void warnings.push(text) });
    expect(warnings).toEqual([expect.stringMatching(/^events are lost: cannot write an event: /) as string]);
  });

  it.each(['', 'null', '[]', '{"time":"now"}', '{"time":1,"type":"vm"}'])('takes %j for no event', async (line) => {
    expect(parseEvent(line)).toBeUndefined();
    const opened = await store();
    await writeFile(opened.paths.events, `${line}\n`);
    expect(await past(opened)).toEqual([]);
  });
});
