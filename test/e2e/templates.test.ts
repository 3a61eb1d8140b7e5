import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createReadStream, existsSync } from 'node:fs';
import { chmod, readdir, readFile, readlink, stat, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import path from 'node:path';

import { describe, expect, inject, it, onTestFinished } from 'vitest';

import type { VmRequest } from '../../src/core/job.js';
import { Timeline } from '../../src/core/log.js';
import { GuestAgent } from '../../src/guest/agent.js';
import { endProcess, findByArgument } from '../../src/process/end.js';
import { qmpArgument } from '../../src/providers/qemu/machine.js';
import { openHost } from '../../src/providers/host.js';
import type { Host } from '../../src/providers/provider.js';
import { cleanup } from '../../src/stages/cleanup.js';
import { prepare } from '../../src/stages/prepare.js';
import { collectGarbage } from '../../src/stages/gc.js';
import { createContext, createRequest, until } from '../providers/support.js';
import { startVmRunner } from '../support/command-line.js';
import { homeWithImages, hostWithImages, qemuProcesses, WITHOUT_TEMPLATES } from '../support/e2e.js';
import { AGENTS, keptLog, SCRATCH } from '../support/fake-host.js';
import { shell } from '../support/guest.js';

// Real guests, saved and cloned. What goes wrong with templates in every other way: test/providers/qemu/start.test.ts.

const CLONES = Number(process.env['TEST_CLONES'] ?? 20);

interface Cloned {
  readonly agent: GuestAgent;
  readonly name: string;
  readonly template: string | undefined;
  readonly said: readonly string[];
  readonly spans: readonly string[];
  readonly output: (script: string) => Promise<string>;
}

/** Says which disks in slots took a write, if any did, and how many there are. */
const WRITE_TO_SLOTS = `
  dd if=/dev/urandom of=/root/junk bs=1M count=16 status=none; sync
  count=0
  for disk in /sys/block/vd*; do
    serial=$(cat $disk/serial) device=/dev/\${disk##*/}
    [ "$serial" = scratch ] && continue
    count=$((count + 1))
    blockdev --setrw $device
    dd if=/dev/urandom of=$device bs=64k count=4 oflag=direct && echo "wrote to $serial"
    blkdiscard -f $device && echo "discarded $serial"
  done 2>/dev/null
  echo "$count disks"`;

async function start(host: Host, name: string, vm: Partial<VmRequest> = {}): Promise<Cloned> {
  const log = keptLog();
  onTestFinished(async () => {
    await cleanup(host, name, { keepLogs: false, log });
  });
  const request = {
    vm: { image: 'default', cpus: 1, memoryMiB: 512, network: 'none' as const, ...vm },
    ...{ name, owner: host.processes.self, expiresAt: Date.now() + 3_600_000, bootTimeoutMs: 120_000 },
    ...{ frontEnd: 'test', job: undefined },
  };
  const signal = AbortSignal.timeout(280_000);
  const timeline = new Timeline();
  const record = await prepare(host, request, { log, timeline, signal });
  const agent = await GuestAgent.connect(record.endpoint, { processes: host.processes, signal });
  onTestFinished(() => agent.close());
  const output = async (script: string): Promise<string> => {
    let text = '';
    await shell(agent, script, signal, (part) => (text += part));
    return text.trim();
  };
  const said = log.lines.filter((line) => !line.includes('no hardware acceleration'));
  return { agent, name, template: record.template, said, spans: timeline.spans.map((span) => span.name), output };
}

describe('a clone', () => {
  it('is a guest of its own: clock, names and randomness are not those that were saved', async () => {
    const host = await hostWithImages(inject('sharedHome'), undefined, WITHOUT_TEMPLATES);
    const [one, two] = [await start(host, 'clone-one'), await start(host, 'clone-two')];
    expect(one.spans).toContain('template');
    expect(two.spans).not.toContain('template');
    expect(two.template).toBe(one.template);
    const seen = new Set<string>();
    for (const { name, output } of [one, two]) {
      expect(await output('hostname; cat /etc/hostname')).toBe(`${name}\n${name}`);
      expect(Math.abs(Number(await output('date +%s%3N')) - Date.now())).toBeLessThan(2000);
      seen.add(await output('cat /etc/machine-id'));
      seen.add(await output('head -c 16 /dev/urandom | od -An -tx1'));
      seen.add(await output('cat /proc/sys/kernel/random/uuid'));
    }
    expect(seen.size).toBe(6);
    // The clock runs as fast as ours.
    const [before, host_] = [Number(await one.output('date +%s%3N')), Date.now()];
    await new Promise((resolve) => setTimeout(resolve, 2000));
    const [after, hostAfter] = [Number(await one.output('date +%s%3N')), Date.now()];
    expect((after - before) / (hostAfter - host_)).toBeCloseTo(1, 1);
  });

  it('has the network that its job asked for, whatever the template had', async () => {
    const host = await hostWithImages(inject('sharedHome'), undefined, WITHOUT_TEMPLATES);
    const open = await start(host, 'net-open', { network: 'open' });
    const none = await start(host, 'net-none', { network: 'none' });
    expect(none.template).toBe(open.template);
    const server = createServer((socket) => socket.end('host was reached')).listen(0, '127.0.0.1');
    onTestFinished(() => void server.close());
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const reach = `bash -c 'exec 3<>/dev/tcp/10.0.2.2/${port} && cat <&3' 2>/dev/null || echo failed`;
    expect(await open.output(reach)).toBe('host was reached');
    expect(await none.output(reach)).toBe('failed');
    await expect(none.agent.resolveAddresses()).rejects.toThrow(/no address/);
  });

  it.each([
    { cpus: 2, memoryMiB: 512 },
    { cpus: 1, memoryMiB: 2048 },
  ])('has the size that its job asked for: $cpus processors, $memoryMiB MiB', async (size) => {
    const host = await hostWithImages(inject('sharedHome'), undefined, WITHOUT_TEMPLATES);
    const first = await start(host, 'size-one', size);
    const second = await start(host, 'size-two', size);
    expect([...first.said, ...second.said].filter((line) => line.startsWith('warn:'))).toEqual([]);
    expect(first.template).toBeDefined();
    expect(second.template).toBe(first.template);
    expect(Number(await second.output('nproc'))).toBe(size.cpus);
    const kib = Number(await second.output("awk '/MemTotal/ {print $2}' /proc/meminfo"));
    expect(kib / 1024).toBeGreaterThan(size.memoryMiB * 0.8);
    expect(await host.templates.list()).toMatchObject([size]);
  });

  it('finds the image of its job in slot 1, where its template had none', async () => {
    const host = await hostWithImages(inject('sharedHome'), undefined, WITHOUT_TEMPLATES);
    const { agent, template } = await start(host, 'slot-before');
    const base = await host.images.findBaseGuest();
    if (base === undefined) throw new Error('no base guest');
    const firstBytes = (of: GuestAgent): Promise<string> => {
      let text = '';
      const script =
        'for n in 0 1 8; do disk=$(grep -lx "slot$n" /sys/block/*/serial | cut -d/ -f4);' +
        ' dd if=/dev/$disk bs=1 skip=1024 count=4 status=none | od -An -tx1; done';
      return shell(of, script, AbortSignal.timeout(60_000), (part) => (text += part)).then(() =>
        text.replaceAll(/[ \n]/g, ''),
      );
    };
    // What an EROFS file system begins with, and nothing.
    expect(await firstBytes(agent)).toBe('e2e1f5e0' + '00000000' + '00000000');
    onTestFinished(() => host.provider.destroy('slot-image'));
    const request = createRequest({
      name: 'slot-image',
      cpus: 1,
      boot: { base, image: base.root },
      template: 'always',
    });
    const record = await host.provider.create(request, createContext());
    expect(record).toMatchObject({ template, imageDigest: base.root.digest });
    const signal = AbortSignal.timeout(60_000);
    const clone = await GuestAgent.connect(record.endpoint, { processes: host.processes, signal });
    onTestFinished(() => clone.close());
    expect(await firstBytes(clone)).toBe('e2e1f5e0' + 'e2e1f5e0' + '00000000');
  });

  it('runs on a copy of the memory when templates are isolated, and shares no descriptor of it', async () => {
    const { home } = await homeWithImages(inject('sharedHome'), WITHOUT_TEMPLATES);
    const host = await hostAt(home, { isolateTemplates: true });
    const { template, output } = await start(host, 'isolated');
    expect(template).toBeDefined();
    expect(await output('echo up')).toBe('up');
    const pid = (await host.store.vms.read('isolated'))?.vmm?.pid;
    const open = await readdir(`/proc/${String(pid)}/fd`);
    const targets = await Promise.all(open.map((fd) => readlink(`/proc/${String(pid)}/fd/${fd}`).catch(() => '')));
    expect(targets).toContain(host.store.vms.paths('isolated').memory);
    expect(targets.filter((target) => target.endsWith('/ram'))).toEqual([]);
    const { blocks, size } = await stat(host.store.vms.paths('isolated').memory);
    expect(blocks * 512).toBeLessThan(size / 2);
  });

  it(`is one of many that start at once: ${CLONES} of them all answer`, async () => {
    const host = await hostWithImages(inject('sharedHome'), undefined, WITHOUT_TEMPLATES);
    await start(host, 'many-first');
    const names = Array.from({ length: CLONES }, (_, index) => `many-${index}`);
    const all = await Promise.all(names.map((name) => start(host, name)));
    expect(all.flatMap(({ said }) => said)).toEqual([]);
    expect(new Set(all.map(({ template }) => template)).size).toBe(1);
    const answers = await Promise.all(
      all.map(({ output }) => output('hostname; head -c 8 /dev/urandom | od -An -tx1')),
    );
    expect(answers.map((answer) => answer.split('\n')[0])).toEqual(names);
    expect(new Set(answers).size).toBe(CLONES);
  });

  it('cannot change its template, nor what is below its disks, whatever root in it writes to', async () => {
    const sharedHome = inject('sharedHome');
    const host = await hostWithImages(sharedHome, undefined, WITHOUT_TEMPLATES);
    const first = await start(host, 'writer-one');
    const files = await sharedFiles(host, sharedHome);
    expect(files.length).toBeGreaterThan(5);
    const before = await digests(files);
    const second = await start(host, 'writer-two');
    for (const guest of [first, second]) {
      expect(await guest.output(WRITE_TO_SLOTS)).toBe('9 disks');
      // Its own disk it may spoil; that is the end of it.
      const spoil =
        'dd if=/dev/urandom of=/dev/vda bs=64k count=64 oflag=direct; sync; echo 3 >/proc/sys/vm/drop_caches';
      await shell(guest.agent, spoil, AbortSignal.timeout(10_000)).catch(() => undefined);
    }
    for (const { name } of [first, second]) await cleanup(host, name, { keepLogs: false, log: keptLog() });
    expect(await digests(files)).toEqual(before);
    expect((await start(host, 'writer-three')).template).toBe(first.template);
  });
});

describe('a template', () => {
  it('is not there when its maker was killed while it saved, and nothing of it runs on', async () => {
    const { home } = await homeWithImages(inject('sharedHome'), WITHOUT_TEMPLATES);
    const host = await hostAt(home);
    const run = startVmRunner(['run', '--name', 'killed', '--memory', '512', '--network', 'none', '--', 'true'], {
      home,
    });
    const paths = host.store.vms.paths('killed');
    await until(() => existsSync(paths.qmp));
    run.child.kill('SIGKILL');
    await once(run.child, 'exit');
    expect(qemuProcesses(home).length).toBeGreaterThan(0);
    await collectGarbage(host, {
      dryRun: false,
      now: Date.now(),
      log: keptLog(),
      signal: new AbortController().signal,
    });
    expect(qemuProcesses(home)).toEqual([]);
    expect(await readdir(host.store.paths.temporary)).toEqual([]);
    expect(await host.templates.list()).toEqual([]);
    expect((await start(host, 'after')).template).toBeDefined();
  });

  it('is not there when QEMU was killed while it was saved: the VM boots', async () => {
    const host = await hostWithImages(inject('sharedHome'), undefined, WITHOUT_TEMPLATES);
    const starting = start(host, 'qemu-killed');
    const argument = qmpArgument(host.store.vms.paths('qemu-killed').qmp);
    await until(() => findByArgument(host.processes, argument).length > 0);
    for (const process_ of findByArgument(host.processes, argument)) await endProcess(host.processes, process_, 0);
    const { template, said, output } = await starting;
    expect(template).toBeUndefined();
    expect(said.filter((line) => line.startsWith('warn:'))).toEqual([
      expect.stringMatching(/^warn: VM boots, since it cannot be cloned: /) as string,
    ]);
    expect(await output('echo up')).toBe('up');
    expect(await host.templates.list()).toEqual([]);
  });

  it('whose state does not fit is gone after the VM that could not be cloned has booted', async () => {
    const host = await hostWithImages(inject('sharedHome'), undefined, WITHOUT_TEMPLATES);
    const first = await start(host, 'fits');
    const [{ key } = { key: '' }] = await host.templates.list();
    expect(first.template).toBe(key);
    // The load itself fails: the description says that all is well.
    const directory = path.join(host.store.paths.templates, key);
    await spoilState(directory);
    const second = await start(host, 'fits-not');
    expect(second.template).toBeUndefined();
    expect(second.said).toHaveLength(1);
    expect(second.said[0]).toMatch(
      /^warn: VM boots, since it cannot be cloned: QEMU ended as soon as it was started \(.+\)/,
    );
    expect(await second.output('echo up')).toBe('up');
    expect(await host.templates.list()).toEqual([]);
    // Its clones go on.
    expect(await first.output('dd if=/dev/zero of=/root/file bs=1M count=20 status=none && cksum </root/file')).toMatch(
      /^\d/,
    );
    expect((await start(host, 'fits-again')).template).toBe(key);
  });
});

function hostAt(home: string, options: { readonly isolateTemplates?: boolean } = {}): Promise<Host> {
  return openHost({ ...options, home, provider: 'qemu', agentDirectory: AGENTS, scratch: SCRATCH });
}

/** Everything that VMs share: templates, the layers and images below them, the base guest. */
async function sharedFiles(host: Host, sharedHome: string): Promise<readonly string[]> {
  const { templates, emptySlot } = host.store.paths;
  const below = ['images', 'layers', 'guests'].map((name) => path.join(sharedHome, name));
  const files = [emptySlot];
  for (const directory of [templates, ...below]) {
    for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
      // The mark of its last use is not a part of a template.
      if (entry.isFile() && entry.name !== 'used') files.push(path.join(entry.parentPath, entry.name));
    }
  }
  return files;
}

/** What is in each file, and when that last changed. Of one that is nearly all holes, only the latter. */
async function digests(files: readonly string[]): Promise<Readonly<Record<string, string>>> {
  const found: Record<string, string> = {};
  for (const file of files) {
    const { size, blocks, mtimeNs, ctimeNs } = await stat(file, { bigint: true });
    const hash = createHash('sha256');
    if (size < 2n ** 31n) for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer);
    found[file] = [size, blocks, mtimeNs, ctimeNs, hash.digest('hex')].join(' ');
  }
  return found;
}

/** Another device state, of which the description knows. */
async function spoilState(directory: string): Promise<void> {
  const [state, description] = [path.join(directory, 'state'), path.join(directory, 'template.json')];
  const bytes = await readFile(state);
  bytes.fill(0x5a, 4096, bytes.length);
  await chmod(state, 0o600);
  await writeFile(state, bytes);
  const value = JSON.parse(await readFile(description, 'utf8')) as { files: { state: Record<string, unknown> } };
  const { mtimeNs } = await stat(state, { bigint: true });
  value.files.state = {
    ...value.files.state,
    modified: String(mtimeNs),
    sha256: createHash('sha256').update(bytes).digest('hex'),
  };
  await chmod(description, 0o600);
  await writeFile(description, JSON.stringify(value));
}
