import { open, readFile, stat, truncate, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { crc32 } from 'node:zlib';

import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';

import {
  GetFileResponseSchema,
  PutFileResponseSchema,
  type PutFileRequest,
} from '../../src/guest/gen/vmrunner/agent/v1/files_pb.js';
import { Root } from '../../src/guest/gen/vmrunner/agent/v1/root_pb.js';
import { answering, playedAgent, telling } from '../support/rpc-server.js';

// Single files with an agent that speaks the contract, and with one that lies. The agent is played.

const signal = AbortSignal.timeout(50_000);

type FileAnswer = MessageInitShape<typeof GetFileResponseSchema>['response'];
const part = (response: FileAnswer): unknown =>
  create(GetFileResponseSchema, { response } as MessageInitShape<typeof GetFileResponseSchema>);
const header = (size: number, more = {}): unknown =>
  part({ case: 'header', value: { size: BigInt(size), mode: 0o644, ...more } });
const data = (text: string): unknown => part({ case: 'data', value: Buffer.from(text) });
const hole = (size: bigint): unknown => part({ case: 'hole', value: size });
const trailer = (size: number, text: string): unknown =>
  part({ case: 'trailer', value: { size: BigInt(size), crc32: crc32(text) } });

describe('getFile', () => {
  it('writes holes by leaving them out, and sets nanoseconds as far as the host can', async () => {
    const big = 2 ** 30;
    const { agent, directory } = await playedAgent({
      getFile: telling([
        header(2 * big + 6, { mode: 0o4755, mtime: 1_700_000_000n, mtimeNanos: 123_456_789 }),
        data('abc'),
        hole(BigInt(big)),
        data('def'),
        hole(BigInt(big)),
        trailer(2 * big + 6, 'abcdef'),
      ]),
    });
    const target = path.join(directory, 'target');
    await agent.getFile('/x', target, signal);
    const found = await stat(target, { bigint: true });
    expect([found.size, found.mode & 0o7777n]).toEqual([BigInt(2 * big + 6), 0o755n]);
    expect(found.blocks * 512n).toBeLessThan(2n ** 20n);
    expect(Number(found.mtimeNs - 1_700_000_000_123_456_789n)).toBeCloseTo(0, -3);
    const file = await open(target);
    const { buffer } = await file.read(Buffer.alloc(5), 0, 5, big + 2);
    await file.close();
    expect(buffer).toEqual(Buffer.from('\0def\0'));
  });

  it.each([
    ['bytes before a header', [data('x'), header(1), trailer(1, 'x')], 'guest-untrusted-data'],
    ['two headers', [header(1), header(1), data('x'), trailer(1, 'x')], 'guest-untrusted-data'],
    ['more than it announced', [header(1), data('xy'), trailer(2, 'xy')], 'guest-untrusted-data'],
    ['less than it announced', [header(3), data('xy'), trailer(2, 'xy')], 'guest-untrusted-data'],
    ['a hole beyond the end', [header(5), data('x'), hole(2n ** 63n), trailer(5, 'x')], 'guest-untrusted-data'],
    ['a file without end', [header(2 ** 50)], 'guest-untrusted-data'],
    ['no header', [trailer(0, '')], 'agent-protocol'],
    ['no trailer', [header(1), data('x')], 'agent-protocol'],
    ['another checksum', [header(1), data('x'), trailer(1, 'y')], 'agent-protocol'],
    ['nothing', [], 'agent-protocol'],
  ])('refuses a guest that sends %s, and keeps the old file', async (_what, answers, code) => {
    const { agent, directory } = await playedAgent({ getFile: telling(answers) });
    const target = path.join(directory, 'target');
    await writeFile(target, 'old');
    await expect(agent.getFile('/x', target, signal)).rejects.toMatchObject({ code });
    expect(await readFile(target, 'utf8')).toBe('old');
  });

  it('takes no more than the caller allows', async () => {
    const { agent, directory } = await playedAgent({ getFile: telling([header(11)]) });
    await expect(agent.getFile('/x', path.join(directory, 'target'), signal, { mostBytes: 10 })).rejects.toMatchObject({
      code: 'guest-untrusted-data',
    });
  });
});

describe('putFile', () => {
  it('sends zeros as holes and the time in full, and checks what the guest wrote', async () => {
    const size = 5 * 2 ** 20;
    const { handler, requests } = answering([create(PutFileResponseSchema, { size: BigInt(size) })]);
    const { agent, directory } = await playedAgent({ putFile: handler });
    const source = path.join(directory, 'source');
    await writeFile(source, 'start');
    await truncate(source, size);
    await utimes(source, 1_700_000_000.5, 1_700_000_000.5);
    await agent.putFile(source, '/target', { signal, root: 'base' });
    const [first, ...rest] = requests as PutFileRequest[];
    expect(first?.request.value).toMatchObject({
      root: Root.BASE,
      file: { size: BigInt(size), mtime: 1_700_000_000n, mtimeNanos: 500_000_000 },
    });
    expect(rest.map(({ request }) => request.case)).toEqual(['data', 'hole', 'trailer']);
    expect(rest[1]?.request.value).toBe(BigInt(size - 2 ** 16));
    const written = Buffer.alloc(2 ** 16);
    written.write('start');
    expect(rest[2]?.request.value).toMatchObject({ size: BigInt(size), crc32: crc32(written) });
  });

  it('is an error when the guest wrote another size', async () => {
    const { handler } = answering([create(PutFileResponseSchema, { size: 1n })]);
    const { agent, directory } = await playedAgent({ putFile: handler });
    await writeFile(path.join(directory, 'a'), 'content');
    await expect(agent.putFile(path.join(directory, 'a'), '/x', { signal })).rejects.toMatchObject({
      code: 'agent-protocol',
    });
  });
});
