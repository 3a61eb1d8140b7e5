import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { crc32 } from 'node:zlib';

import { create } from '@bufbuild/protobuf';
import { status } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';

import {
  ExecResponseSchema,
  SignalResponseSchema,
  type ExecRequest,
} from '../../src/guest/gen/vmrunner/agent/v1/exec_pb.js';
import {
  FileType,
  ListResponseSchema,
  MakeDirResponseSchema,
  RemoveResponseSchema,
  StatResponseSchema,
} from '../../src/guest/gen/vmrunner/agent/v1/files_pb.js';
import { Root } from '../../src/guest/gen/vmrunner/agent/v1/root_pb.js';
import {
  GrowDiskResponseSchema,
  ResolveIPResponseSchema,
  UsageResponseSchema,
} from '../../src/guest/gen/vmrunner/agent/v1/system_pb.js';
import { GetTreeResponseSchema } from '../../src/guest/gen/vmrunner/agent/v1/trees_pb.js';
import { packTree } from '../../src/guest/pack.js';
import type { TreeProgress } from '../../src/guest/tree.js';
import { answering, playedAgent, Refusal, telling, type Handler } from '../support/rpc-server.js';
import { temporaryDirectory } from '../support/temporary-directory.js';

// What the client makes of an agent that speaks the contract, and of one that lies. The agent is played.

const signal = AbortSignal.timeout(50_000);
const nowhere = (): void => undefined;

describe('exec', () => {
  it('asks for time, root and environment, and tells time and usage', async () => {
    const requests: ExecRequest[] = [];
    const exec: Handler = async function* (incoming) {
      for await (const request of incoming as AsyncIterable<ExecRequest>) {
        requests.push(request);
        const usage = { userMicros: 1n, systemMicros: 2n, peakMemoryBytes: 3n };
        yield create(ExecResponseSchema, {
          response: { case: 'exit', value: { code: 0, signal: 15, timedOut: true, usage } },
        });
        return;
      }
    };
    const { agent } = await playedAgent({ exec });
    const end = await agent.exec({
      program: { kind: 'argv', argv: ['x'] },
      timeoutMs: 1500,
      root: 'base',
      env: { A: 'b' },
      clearEnv: true,
      signal,
      onStdout: nowhere,
      onStderr: nowhere,
    });
    expect(end).toEqual({
      code: 0,
      signal: 15,
      timedOut: true,
      usage: { userMicros: 1, systemMicros: 2, peakMemoryBytes: 3 },
    });
    expect(requests[0]?.request.value).toMatchObject({
      timeoutMs: 1500n,
      root: Root.BASE,
      env: { A: 'b' },
      clearEnv: true,
      detach: false,
    });
  });

  it('that ends without an exit is an error', async () => {
    const { agent } = await playedAgent({ exec: telling([]) });
    await expect(
      agent.exec({ program: { kind: 'argv', argv: ['x'] }, signal, onStdout: nowhere, onStderr: nowhere }),
    ).rejects.toMatchObject({ code: 'agent-protocol' });
  });

  it('tells the process id of a program that goes on, and insists on it', async () => {
    const started = create(ExecResponseSchema, { response: { case: 'started', value: { pid: 77 } } });
    const program = { kind: 'argv', argv: ['x'] } as const;
    const { agent } = await playedAgent({ exec: telling([started]) });
    expect(await agent.detach({ program })).toBe(77);
    const { agent: silent } = await playedAgent({ exec: telling([]) });
    await expect(silent.detach({ program })).rejects.toMatchObject({ code: 'agent-protocol' });
  });

  it('sends signals by process id', async () => {
    const { handler, requests } = answering([create(SignalResponseSchema)]);
    const { agent } = await playedAgent({ signal: handler });
    await agent.signal(77, 10);
    expect(requests[0]).toMatchObject({ pid: 77, number: 10 });
  });
});

describe('errors', () => {
  it.each([
    [status.NOT_FOUND, 'command-not-found', 'command-not-found', 'user'],
    [status.PERMISSION_DENIED, 'not-executable', 'command-not-executable', 'user'],
    [status.NOT_FOUND, 'no-such-file', 'guest-file-missing', 'user'],
    [status.FAILED_PRECONDITION, 'is-a-directory', 'guest-is-directory', 'user'],
    [status.RESOURCE_EXHAUSTED, 'disk-full', 'guest-disk-full', 'user'],
    [status.FAILED_PRECONDITION, 'not-empty', 'guest-request-refused', 'user'],
    [status.DATA_LOSS, 'file-changed', 'guest-request-refused', 'user'],
    [status.INVALID_ARGUMENT, 'bad-archive', 'agent-protocol', 'infra'],
    [status.DATA_LOSS, 'checksum', 'agent-protocol', 'infra'],
    [status.INTERNAL, 'worker-failed', 'agent-protocol', 'infra'],
    [status.FAILED_PRECONDITION, 'no-root', 'vm-start-failed', 'infra'],
    [status.UNAVAILABLE, undefined, 'agent-unreachable', 'infra'],
    [status.UNIMPLEMENTED, undefined, 'agent-protocol', 'infra'],
    [status.INVALID_ARGUMENT, 'a-word-of-tomorrow', 'guest-request-refused', 'user'],
    [status.UNKNOWN, undefined, 'guest-request-refused', 'user'],
  ])('with status %i and reason %s are %s', async (code, reason, expected, blame) => {
    const refuse: Handler = async function* () {
      await Promise.resolve();
      throw new Refusal(code, 'a sentence of the agent', reason);
    };
    const { agent } = await playedAgent({ stat: refuse });
    await expect(agent.stat('/x')).rejects.toMatchObject({ code: expected, blame });
  });

  it('come in time when the agent says nothing at all', async () => {
    const { agent } = await playedAgent({
      stat: async function* () {
        await new Promise(() => undefined);
      },
    });
    await expect(agent.stat('/x')).rejects.toMatchObject({ code: 'agent-unreachable' });
  });
});

describe('paths', () => {
  const info = { name: Buffer.from('x'), type: FileType.SYMLINK, size: 3n, mode: 0o120777, mtime: -1n, mtimeNanos: 5 };

  it('are told with all that is known of them', async () => {
    const { handler, requests } = answering([
      create(StatResponseSchema, { info: { ...info, linkTarget: Buffer.from('to') } }),
    ]);
    const { agent } = await playedAgent({ stat: handler });
    expect(await agent.stat('/x', { follow: true, root: 'base' })).toMatchObject({
      name: 'x',
      type: 'symlink',
      mode: 0o777,
      mtimeNanos: -999_999_995n,
      linkTarget: 'to',
    });
    expect(requests[0]).toMatchObject({ path: '/x', follow: true, root: Root.BASE });
  });

  it('of types from tomorrow are unknown, and no answer is an error', async () => {
    const odd = create(StatResponseSchema, { info: { ...info, type: 99 as unknown as FileType } });
    const { agent } = await playedAgent({ stat: telling([odd]) });
    expect(await agent.stat('/x')).toMatchObject({ type: 'unknown' });
    const { agent: empty } = await playedAgent({ stat: telling([create(StatResponseSchema)]) });
    await expect(empty.stat('/x')).rejects.toMatchObject({ code: 'agent-protocol' });
  });

  it.each([['..'], ['a/b'], [''], ['a\0'], ['x'.repeat(256)]])('in a listing may not be called %j', async (name) => {
    const list = telling([create(ListResponseSchema, { entries: [{ ...info, name: Buffer.from(name) }] })]);
    const { agent } = await playedAgent({ list });
    await expect(namesOf(agent.list('/x'))).rejects.toMatchObject({ code: 'guest-untrusted-data' });
  });

  it('in a listing come as they are sent, have a limit, and end with the reader', async () => {
    const page = create(ListResponseSchema, { entries: Array.from({ length: 500 }, () => info) });
    const { agent } = await playedAgent({
      list: async function* () {
        await Promise.resolve();
        for (;;) yield page;
      },
    });
    await expect(namesOf(agent.list('/x', { mostEntries: 10_000 }))).rejects.toMatchObject({
      code: 'guest-untrusted-data',
    });
    let seen = 0;
    for await (const entry of agent.list('/x')) {
      seen += entry.links;
      if (++seen > 700) break;
    }
  });

  it('are made and removed as asked', async () => {
    const made = answering([create(MakeDirResponseSchema, { made: true })]);
    const removed = answering([create(RemoveResponseSchema, { removed: 4n })]);
    const { agent } = await playedAgent({ makeDir: made.handler, remove: removed.handler });
    expect(await agent.makeDirectory('/d', { mode: 0o700, parents: true, owner: 'me' })).toBe(true);
    expect(await agent.remove('/d', { recursive: true, ignoreMissing: true })).toBe(4);
    expect(made.requests[0]).toMatchObject({ path: '/d', mode: 0o700, parents: true, owner: 'me', root: Root.IMAGE });
    expect(removed.requests[0]).toMatchObject({ path: '/d', recursive: true, ignoreMissing: true });
  });
});

describe('getTree', () => {
  it('tells how far it is, with totals', async () => {
    const source = await temporaryDirectory();
    await writeFile(path.join(source, 'a'), 'x'.repeat(1000));
    await writeFile(path.join(source, 'b'), 'y'.repeat(500));
    const bytes = Buffer.concat(await all(packTree(source)));
    const { agent, directory } = await playedAgent({
      getTree: telling([
        create(GetTreeResponseSchema, { response: { case: 'totals', value: { entries: 2n, bytes: 1500n } } }),
        create(GetTreeResponseSchema, { response: { case: 'data', value: bytes } }),
        create(GetTreeResponseSchema, {
          response: {
            case: 'trailer',
            value: { stream: { size: BigInt(bytes.length), crc32: crc32(bytes) }, entries: 2n },
          },
        }),
      ]),
    });
    const seen: TreeProgress[] = [];
    const onProgress = (progress: TreeProgress): void => void seen.push(progress);
    const selection = { directory: '/x', include: [], exclude: [] };
    await agent.getTree(selection, path.join(directory, 'home'), signal, { onProgress });
    expect(seen.at(-1)).toEqual({ entries: 2, bytes: 1500, totalEntries: 2, totalBytes: 1500 });
  });

  it('is no success without its trailer', async () => {
    const bytes = Buffer.alloc(1024);
    const { agent, directory } = await playedAgent({
      getTree: telling([create(GetTreeResponseSchema, { response: { case: 'data', value: bytes } })]),
    });
    const selection = { directory: '/x', include: [], exclude: [] };
    await expect(agent.getTree(selection, path.join(directory, 'home'), signal)).rejects.toMatchObject({
      code: 'agent-protocol',
    });
  });
});

describe('the system', () => {
  it('grows disks and tells addresses', async () => {
    const grown = { device: '/dev/vda1', filesystem: 'ext4', bytesBefore: 1n, bytesAfter: 2n, partitionGrown: true };
    const { agent } = await playedAgent({
      growDisk: telling([create(GrowDiskResponseSchema, grown)]),
      resolveIP: telling([create(ResolveIPResponseSchema, { addresses: ['10.0.2.15', 'fd00::1'] })]),
    });
    expect(await agent.growDisk()).toEqual({ ...grown, bytesBefore: 1, bytesAfter: 2 });
    expect(await agent.resolveAddresses()).toEqual(['10.0.2.15', 'fd00::1']);
    expect(agent.capabilities).toEqual(['played']);
  });

  it('tells what it uses, unless its agent is older than that', async () => {
    const used = create(UsageResponseSchema, { oomKills: 2n, tasks: 70 });
    const { agent } = await playedAgent({ usage: telling([used]) });
    expect(await agent.usage()).toMatchObject({ oomKills: 2n, tasks: 70, uptimeMs: 0n });
    const older = await playedAgent({});
    await expect(older.agent.usage()).rejects.toMatchObject({ code: 'agent-protocol' });
  });
});

async function namesOf(entries: AsyncIterable<{ readonly name: string }>): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of entries) names.push(name);
  return names;
}

async function all(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array[]> {
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks) parts.push(chunk);
  return parts;
}
