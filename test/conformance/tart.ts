import { create, type MessageInitShape, type MessageShape } from '@bufbuild/protobuf';
import { status, type ClientDuplexStream, type ServiceError } from '@grpc/grpc-js';
import { describe, expect, it, onTestFinished } from 'vitest';

import { callDuplex, callUnary, messagesOf } from '../../src/guest/call.js';
import { dialAgent } from '../../src/guest/dial.js';
import {
  Agent,
  ExecRequestSchema,
  type ExecRequest_CommandSchema,
  type ExecResponse,
} from '../../src/guest/gen/tart_pb.js';
import { LinuxProcessTable } from '../../src/process/table.js';
import { connectAgent, isRunning, peerDirectory, shell, type LazyPeer } from './peer.js';

// What `tart exec` and `tart ip` rely on, one request after the other as they come over the wire.

type Request = MessageInitShape<typeof ExecRequestSchema>['type'];
type Command = MessageInitShape<typeof ExecRequest_CommandSchema>;

class Call {
  readonly #call: ClientDuplexStream<MessageShape<typeof ExecRequestSchema>, ExecResponse>;
  readonly #messages: AsyncIterator<ExecResponse>;
  stdout = Buffer.alloc(0);
  stderr = Buffer.alloc(0);
  exit: number | undefined;

  constructor(call: ClientDuplexStream<MessageShape<typeof ExecRequestSchema>, ExecResponse>) {
    this.#call = call;
    this.#messages = messagesOf<ExecResponse>(call)[Symbol.asyncIterator]();
  }

  send(type: Request): void {
    this.#call.write(create(ExecRequestSchema, { type } as MessageInitShape<typeof ExecRequestSchema>));
  }

  input(data: Uint8Array | string): void {
    this.send({ case: 'standardInput', value: { data: Buffer.from(data as string) } });
  }

  halfClose(): void {
    this.#call.end();
  }

  cancel(): void {
    this.#call.cancel();
  }

  /** Takes the next message; false at the end of the call, whose status is thrown when it is no success. */
  async next(): Promise<boolean> {
    const next = await this.#messages.next();
    if (next.done === true) return false;
    const { type } = next.value;
    if (type.case === 'standardOutput') this.stdout = Buffer.concat([this.stdout, type.value.data]);
    if (type.case === 'standardError') this.stderr = Buffer.concat([this.stderr, type.value.data]);
    if (type.case === 'exit') this.exit = type.value.code;
    return true;
  }

  async stdoutUntil(text: string): Promise<void> {
    while (!this.stdout.includes(text)) if (!(await this.next())) throw new Error(`ended without ${text}`);
  }

  async end(): Promise<{ stdout: string; stderr: string; exit: number | undefined }> {
    while (await this.next()) continue;
    return { stdout: this.stdout.toString(), stderr: this.stderr.toString(), exit: this.exit };
  }

  /** The status of a call that fails, and that no exit came before it. */
  async failure(): Promise<{ code: number; exit: number | undefined }> {
    try {
      await this.end();
    } catch (error) {
      return { code: (error as ServiceError).code, exit: this.exit };
    }
    throw new Error('the call ended well');
  }
}

/** Runs the suite against a peer. */
export function tartConformance(peer: LazyPeer): void {
  const dial = async () => {
    const connection = await dialAgent(peer().endpoint, {
      processes: new LinuxProcessTable(),
      signal: AbortSignal.timeout(20_000),
    });
    onTestFinished(connection.close);
    return connection;
  };
  const open = async (): Promise<Call> => new Call(callDuplex((await dial()).client, Agent.method.exec));
  const start = async (command: Command): Promise<Call> => {
    const call = await open();
    call.send({ case: 'command', value: command });
    return call;
  };
  const sh = (script: string, options: Command = {}): Promise<Call> =>
    start({ name: 'sh', args: ['-c', script], ...options });
  const run = async (script: string, options: Command = {}) => (await sh(script, options)).end();
  describe('the beginning', () => {
    it('must be a command', async () => {
      const call = await open();
      call.input('too early');
      expect(await call.failure()).toEqual({ code: status.UNKNOWN, exit: undefined });
    });

    it.each([
      ['a program that is not there', { name: 'no-such-program-here' }],
      ['a directory that is not there', { name: 'true', workdir: '/no/such' }],
      ['a detached program with input', { name: 'cat', detach: true, interactive: true }],
      ['a detached program with a terminal', { name: 'cat', detach: true, tty: true }],
    ])('that names %s is a status of its own and no exit', async (_what, command) => {
      expect(await (await start(command)).failure()).toEqual({ code: status.UNKNOWN, exit: undefined });
    });

    it('may set environment and directory', async () => {
      expect(await run('pwd; echo "$ONE $TWO"', { workdir: '/usr', env: { ONE: 'a b', TWO: '=' } })).toEqual({
        stdout: '/usr\na b =\n',
        stderr: '',
        exit: 0,
      });
    });
  });

  describe('the end', () => {
    it('is the exit code, and the streams stay apart', async () => {
      expect(await run('echo out; echo err >&2; exit 7')).toEqual({ stdout: 'out\n', stderr: 'err\n', exit: 7 });
    });

    it('is -1 after a signal', async () => {
      expect(await run('kill -9 $$')).toMatchObject({ exit: -1 });
    });

    it('does not wait for a background process that holds the output open', async () => {
      const { stdout, exit } = await run('sleep 1000 & echo $!');
      expect(exit).toBe(0);
      await shell(await connectAgent(peer()), `kill ${stdout.trim()}`);
    });

    it('comes after all output, however much of it is on both streams', async () => {
      const { stdout, stderr, exit } = await run(
        'for i in 1 2 3 4 5 6 7 8; do head -c 100000 /dev/zero; head -c 100000 /dev/zero >&2; done; printf end',
      );
      expect([stdout.length, stdout.endsWith('end'), stderr.length, exit]).toEqual([800_003, true, 800_000, 0]);
    });

    it('keeps bytes as they are', async () => {
      const call = await sh("printf '\\000\\377\\200\\n'");
      await call.end();
      expect([...call.stdout]).toEqual([0, 255, 128, 10]);
    });

    it('of the client is the end of the program and of what it started', async () => {
      const call = await sh('sleep 1000 & echo $!; echo $$; wait');
      await call.stdoutUntil('\n');
      while (call.stdout.toString().split('\n').length < 3) await call.next();
      const pids = call.stdout.toString().trim().split('\n');
      call.cancel();
      const agent = await connectAgent(peer());
      for (const pid of pids) await expect.poll(() => isRunning(agent, pid), { timeout: 20_000 }).toBe(false);
    });
  });

  describe('standard input', () => {
    it('is empty unless it was asked for, whatever is sent', async () => {
      const call = await sh('cat; echo read');
      call.input('ignored');
      expect(await call.end()).toMatchObject({ stdout: 'read\n', exit: 0 });
    });

    it('ends with an empty chunk, and a second one changes nothing', async () => {
      const call = await sh('cat; echo; sleep 0.2; echo still', { interactive: true });
      call.input('one ');
      call.input('two');
      call.input('');
      call.input('');
      expect(await call.end()).toMatchObject({ stdout: 'one two\nstill\n', exit: 0 });
    });

    it("ends with the client's half-close too", async () => {
      const call = await sh('wc -c', { interactive: true });
      call.input('12345');
      call.halfClose();
      expect((await call.end()).stdout.trim()).toBe('5');
    });

    it('that the program closes early does not hold up the end', async () => {
      const call = await sh('head -c 1 >/dev/null; exec <&-; exit 3', { interactive: true });
      for (let sent = 0; sent < 10; sent += 1) call.input(Buffer.alloc(1_000_000));
      expect(await call.end()).toMatchObject({ exit: 3 });
    });
  });

  describe('a terminal', () => {
    it('has the size that was asked for, and the one it is given later', async () => {
      const script = 'stty size; while [ "$(stty size)" != "40 90" ]; do sleep 0.05; done; stty size';
      const call = await sh(script, { interactive: true, tty: true, terminalSize: { rows: 33, cols: 99 } });
      await call.stdoutUntil('33 99');
      call.send({ case: 'terminalResize', value: { rows: 40, cols: 90 } });
      expect(await call.end()).toMatchObject({ stdout: '33 99\r\n40 90\r\n', exit: 0 });
    });

    it('merges standard error into standard output', async () => {
      expect(await run('echo out; echo err >&2', { tty: true })).toEqual({
        stdout: 'out\r\nerr\r\n',
        stderr: '',
        exit: 0,
      });
    });

    it('may have no size', async () => {
      const size = { rows: 0, cols: 0 };
      expect(await run('test -t 1 && echo yes', { tty: true, terminalSize: size })).toMatchObject({ exit: 0 });
    });

    it('takes an empty chunk as the character that ends input', async () => {
      const call = await sh('cat', { interactive: true, tty: true });
      call.input('line\n');
      await call.stdoutUntil('line\r\nline\r\n');
      call.input('');
      expect(await call.end()).toMatchObject({ exit: 0 });
    });
  });

  describe('a detached program', () => {
    it('ends its call at once and goes on', async () => {
      const agent = await connectAgent(peer());
      const directory = await peerDirectory(agent);
      const script = `sleep 0.5; echo lost; touch ${directory}/done`;
      expect(await run(script, { detach: true })).toEqual({ stdout: '', stderr: '', exit: 0 });
      await expect.poll(() => shell(agent, `ls ${directory}`), { timeout: 20_000 }).toBe('done\n');
    });

    it('leaves no zombie', async () => {
      const agent = await connectAgent(peer());
      await run('exec true', { detach: true });
      const zombies = `grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null | wc -l`;
      await expect.poll(async () => Number(await shell(agent, zombies)), { timeout: 20_000 }).toBe(0);
    });
  });

  describe('the address', () => {
    it('is an IPv4 one that others can reach, or a status that says there is none', async () => {
      const { client } = await dial();
      try {
        const { ip } = await callUnary(client, Agent.method.resolveIP, {}, { timeoutMs: 10_000 });
        expect(ip).toMatch(/^(?!127\.)\d+\.\d+\.\d+\.\d+$/);
      } catch (error) {
        expect((error as ServiceError).code).toBe(status.UNKNOWN);
      }
    });
  });
}
