import { randomBytes } from 'node:crypto';

import { describe, expect, it, onTestFinished } from 'vitest';

import { frame, FRAME, request, SmolvmConnection, type Reply } from '../support/smolvm-client.js';
import { connectAgent, peerDirectory, shell, type LazyPeer, type Traits } from './peer.js';

// What a host program for SmolVM's protocol v1 relies on, whatever the way to the agent.

const CHUNK = 64 * 1024;

/** Runs the suite against a peer. */
export function smolvmConformance(peer: LazyPeer, traits: Traits): void {
  const open = async (): Promise<SmolvmConnection> => {
    const connection = new SmolvmConnection(await peer().connectSmolvm());
    onTestFinished(() => void connection.socket.destroy());
    return connection;
  };
  /** One request with what follows it, on a connection of its own. */
  const ask = async (...bytes: readonly Buffer[]): Promise<Reply> => {
    const connection = await open();
    connection.socket.write(Buffer.concat(bytes));
    const reply = await connection.reply();
    connection.socket.destroy();
    return reply;
  };
  const run = (cmd: string, options: Record<string, unknown> = {}): Promise<Reply> =>
    ask(request({ op: 'run', v: 1, cmd, ...options }));
  const put = (path: string, body: Buffer, options: Record<string, unknown> = {}): Promise<Reply> => {
    const parts: Buffer[] = [];
    for (let at = 0; at < body.length; at += CHUNK) parts.push(frame(FRAME.data, body.subarray(at, at + CHUNK)));
    return ask(request({ op: 'put_file', v: 1, path, mode: 0o644, size: body.length, ...options }), ...parts);
  };
  const get = (path: string): Promise<Reply> => ask(request({ op: 'get_file', v: 1, path }));

  describe('requests', () => {
    it('answers a ping with its version and the revision of the protocol', async () => {
      for (const v of [{ v: 1 }, { v: null }, {}]) {
        const { json } = await ask(request({ op: 'ping', ...v }));
        expect(json).toEqual([{ ok: true, op: 'pong', agent_version: expect.any(String) as string, proto: 1 }]);
      }
    });

    it('refuses another revision and an operation that it does not know, in the words of the original', async () => {
      expect((await ask(request({ op: 'ping', v: 2 }))).json).toEqual([
        { ok: false, error: 'unsupported protocol version 2' },
      ]);
      expect((await ask(request({ op: 'frob', v: 1 }))).json).toEqual([{ ok: false, error: "unknown op 'frob'" }]);
      expect((await ask(request({ v: 1 }))).json).toEqual([{ ok: false, error: 'unknown op None' }]);
    });

    // Nobody can hang up on a virtio-serial port.
    if (!traits.smolvmIsPort)
      it('ends a connection that does not begin with an object, without a word', async () => {
        for (const first of [frame(FRAME.json, '[1]'), frame(FRAME.json, '{'), frame(FRAME.data, 'x'), frame(9, '')]) {
          expect(await ask(first)).toMatchObject({ json: [], stdout: '', eof: false });
        }
      });

    it('serves the next client after one that sent garbage', async () => {
      const connection = await open();
      connection.socket.write(randomBytes(3000));
      connection.socket.destroy();
      await expect.poll(async () => (await ask(request({ op: 'ping' }))).json.length, { timeout: 20_000 }).toBe(1);
    });
  });

  describe('run', () => {
    it('keeps the streams apart and tells the exit code', async () => {
      expect(await run('echo out; echo err >&2; exit 7', { shell: 'raw' })).toMatchObject({
        stdout: 'out\n',
        stderr: 'err\n',
        json: [{ ok: true, op: 'exit', exit_code: 7 }],
      });
    });

    it('tells a signal as a negative exit code', async () => {
      expect((await run('kill -9 $$')).json).toEqual([{ ok: true, op: 'exit', exit_code: -9 }]);
    });

    it('uses a login shell unless told otherwise, and gives it no input', async () => {
      expect((await run('cat; echo "${0##*/}"')).stdout).toMatch(/^-?\w*sh\n$/);
      expect((await run('cat; echo raw', { shell: 'raw' })).stdout).toBe('raw\n');
    });

    it('adds to the environment', async () => {
      const { stdout } = await run('echo "$ONE"; test -n "$PATH" && echo path', { env: { ONE: 'a b' } });
      expect(stdout).toBe('a b\npath\n');
    });

    it('says that there is no command', async () => {
      const expected = [{ ok: false, op: 'error', error: "missing 'cmd'" }];
      expect((await ask(request({ op: 'run', v: 1 }))).json).toEqual(expected);
      expect((await ask(request({ op: 'run', v: 1, cmd: '' }))).json).toEqual(expected);
    });

    it('ends a command whose time is over, also one that closed its outputs', async () => {
      const timedOut = [{ ok: true, op: 'timeout', timeout: 2.5 }];
      expect(await run('echo begun; sleep 1000', { shell: 'raw', timeout: 2.5 })).toMatchObject({
        stdout: 'begun\n',
        json: timedOut,
      });
      expect((await run('exec >&- 2>&-; sleep 1000', { shell: 'raw', timeout: 2.5 })).json).toEqual(timedOut);
      expect((await run('true', { timeout: 0 })).json).toEqual([{ ok: true, op: 'exit', exit_code: 0 }]);
    });

    it('does not wait for a daemon that keeps an output open', async () => {
      const { json, stdout } = await run('sleep 1000 & echo $!', { shell: 'raw', timeout: 60 });
      expect(json).toEqual([{ ok: true, op: 'exit', exit_code: 0 }]);
      await shell(await connectAgent(peer()), `kill ${stdout.trim()}`);
    });

    it('ends a silent command whose client has gone, with all that it started', async () => {
      const agent = await connectAgent(peer());
      const mark = randomBytes(8).toString('hex');
      const connection = await open();
      connection.socket.write(request({ op: 'run', v: 1, cmd: `sh -c 'sleep 1000; : ${mark}' & wait`, shell: 'raw' }));
      // The pattern must not find the one that looks.
      const look = `grep -lsa '[${mark[0] ?? ''}]${mark.slice(1)}' /proc/[0-9]*/cmdline | wc -l`;
      await expect.poll(async () => Number(await shell(agent, look)), { timeout: 20_000 }).toBeGreaterThan(0);
      connection.socket.destroy();
      await expect.poll(async () => Number(await shell(agent, look)), { timeout: 20_000 }).toBe(0);
    });

    it('carries large output whole', async () => {
      const { stdout } = await run('head -c 3000000 /dev/zero | tr "\\0" x', { shell: 'raw' });
      expect(stdout.length).toBe(3_000_000);
    });
  });

  describe('files', () => {
    it('go in and come out the same, with their mode', async () => {
      const directory = await peerDirectory(await connectAgent(peer()));
      const body = randomBytes(1_000_003);
      expect((await put(`${directory}/a`, body, { mode: 0o750 })).json).toEqual([{ ok: true }]);
      const { json, data, eof } = await get(`${directory}/a`);
      expect(json).toEqual([{ ok: true, mode: 0o750, size: body.length }]);
      expect({ same: data.equals(body), eof }).toEqual({ same: true, eof: true });
    });

    it('are private when no mode is given, and may be empty', async () => {
      const directory = await peerDirectory(await connectAgent(peer()));
      expect((await put(`${directory}/empty`, Buffer.alloc(0), { mode: null })).json).toEqual([{ ok: true }]);
      expect((await get(`${directory}/empty`)).json).toEqual([{ ok: true, mode: 0o600, size: 0 }]);
    });

    it('go into a directory by their name alone', async () => {
      const directory = await peerDirectory(await connectAgent(peer()));
      expect((await put(directory, Buffer.from('x'), { name: 'sub/file.txt' })).json).toEqual([{ ok: true }]);
      expect((await get(`${directory}/file.txt`)).data.toString()).toBe('x');
      expect((await put(directory, Buffer.from('x'))).json).toEqual([
        { ok: false, error: `destination is a directory and no filename was provided: ${directory}` },
      ]);
      expect((await put(directory, Buffer.from('x'), { name: '..' })).json).toEqual([
        { ok: false, error: "destination filename is invalid: .. (cannot be '.' or '..')" },
      ]);
    });

    it('keep their old content when an upload breaks off', async () => {
      const directory = await peerDirectory(await connectAgent(peer()));
      const file = `${directory}/a`;
      await put(file, Buffer.from('old'));
      const head = request({ op: 'put_file', v: 1, path: file, mode: 0o644, size: 10 });
      const short = await ask(head, frame(FRAME.data, 'new'), frame(FRAME.eof));
      expect(short.json).toMatchObject([{ ok: false }]);
      expect((await get(file)).data.toString()).toBe('old');
      expect((await shell(await connectAgent(peer()), `ls -A ${directory}`)).trim()).toBe('a');
    });

    it('may be followed by an end that nobody asked for', async () => {
      const directory = await peerDirectory(await connectAgent(peer()));
      const connection = await open();
      const head = request({ op: 'put_file', v: 1, path: `${directory}/a`, mode: null, size: 1 });
      connection.socket.write(Buffer.concat([head, frame(FRAME.data, 'x'), frame(FRAME.eof)]));
      expect((await connection.reply()).json).toEqual([{ ok: true }]);
    });

    it('that are none are refused in the words of the original', async () => {
      const directory = await peerDirectory(await connectAgent(peer()));
      expect((await ask(request({ op: 'get_file', v: 1 }))).json).toEqual([{ ok: false, error: "missing 'path'" }]);
      expect((await ask(request({ op: 'put_file', v: 1 }))).json).toEqual([{ ok: false, error: "missing 'path'" }]);
      expect((await get(directory)).json).toEqual([{ ok: false, error: 'not a regular file' }]);
      expect((await get(`${directory}/none`)).json).toMatchObject([
        { ok: false, error: expect.stringContaining('No such file or directory') as string },
      ]);
      const unexpected = await ask(
        request({ op: 'put_file', v: 1, path: `${directory}/b`, size: 4 }),
        frame(FRAME.stdout, 'what'),
      );
      expect(unexpected.json).toEqual([{ ok: false, error: 'unexpected frame type 2 during upload' }]);
    });

    it('that cannot be written are drained before they are refused', async () => {
      const body = randomBytes(600_000);
      const { json } = await put('/proc/no-such-folder/file', body);
      expect(json).toMatchObject([{ ok: false, error: expect.stringMatching(/^cannot create file: /) as string }]);
    });
  });
}
