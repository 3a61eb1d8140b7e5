import { randomBytes } from 'node:crypto';
import { once } from 'node:events';

import { describe, expect, it } from 'vitest';

import { VmRunnerError } from '../../src/core/errors.js';
import type { Program } from '../../src/core/job.js';
import type { GuestAgent } from '../../src/guest/agent.js';
import type { ExecOptions, ProgramEnd } from '../../src/guest/exec.js';
import { connectAgent, isRunning, peerDirectory, shell, type LazyPeer, type Traits } from './peer.js';

// vmrunner.agent.v1, whatever the way to the agent: what our own front ends rely on, but for files.

const MIB = 2 ** 20;

interface Outcome extends ProgramEnd {
  readonly stdout: string;
  readonly stderr: string;
}

const sh = (command: string): Program => ({ kind: 'argv', argv: ['sh', '-c', command] });

async function execute(agent: GuestAgent, program: Program, options: Partial<ExecOptions> = {}): Promise<Outcome> {
  const out: Uint8Array[] = [];
  const err: Uint8Array[] = [];
  const end = await agent.exec({
    program,
    signal: AbortSignal.timeout(60_000),
    onStdout: (bytes) => void out.push(bytes),
    onStderr: (bytes) => void err.push(bytes),
    ...options,
  });
  return { ...end, stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString() };
}

async function* bytesOf(...parts: readonly (string | Uint8Array)[]): AsyncGenerator<Uint8Array> {
  for (const part of parts) yield Promise.resolve(Buffer.from(part as string));
}

/** Runs the suite against a peer. */
export function agentConformance(peer: LazyPeer, traits: Traits): void {
  const connect = (): Promise<GuestAgent> => connectAgent(peer());

  it('tells who it is and what it has', async () => {
    const info = await (await connect()).info();
    expect(info).toMatchObject({ protocol: 1, os: 'linux', arch: traits.arch });
    expect(info.capabilities).toEqual(
      expect.arrayContaining(['tart', 'usage', ...(traits.isGuest ? ['cgroup', 'init'] : [])]),
    );
    expect(info.bootId).toMatch(/^[0-9a-f-]{36}$/);
    expect(info.memoryBytes).toBeGreaterThan(0n);
    if (traits.isGuest) expect(info.rootDiskFreeBytes).toBeGreaterThan(0n);
    expect(info.rootDiskBytes).toBeGreaterThanOrEqual(info.rootDiskFreeBytes);
  });

  it('tells what the guest uses', async () => {
    const agent = await connect();
    const before = await agent.usage();
    await execute(agent, sh('i=0; while [ $i -lt 50000 ]; do i=$((i+1)); done'));
    const after = await agent.usage();
    expect(after.uptimeMs).toBeGreaterThan(before.uptimeMs);
    expect(after.cpuBusyMs).toBeGreaterThan(before.cpuBusyMs);
    expect(after.memoryBytes).toBe((await agent.info()).memoryBytes);
    expect(after.memoryAvailableBytes).toBeGreaterThan(0n);
    expect(after.memoryAvailableBytes).toBeLessThan(after.memoryBytes);
    expect(after.rootDiskBytes).toBeGreaterThan(0n);
    expect(after.rootDiskBytes).toBeGreaterThanOrEqual(after.rootDiskFreeBytes);
    expect(after.tasks).toBeGreaterThan(1);
  });

  describe('programs', () => {
    it('keep their streams, their exit code and their signal', async () => {
      const agent = await connect();
      expect(await execute(agent, sh('echo out; echo err >&2; exit 7'))).toMatchObject({
        code: 7,
        signal: 0,
        timedOut: false,
        stdout: 'out\n',
        stderr: 'err\n',
      });
      expect(await execute(agent, sh('kill -TERM $$'))).toMatchObject({ code: 0, signal: 15 });
    });

    it('read what they are given, and its end', async () => {
      const agent = await connect();
      const cat: Program = { kind: 'argv', argv: ['cat'] };
      expect(await execute(agent, cat, { stdin: bytesOf('one ', '', 'two') })).toMatchObject({ stdout: 'one two' });
      expect(await execute(agent, cat)).toMatchObject({ stdout: '', code: 0 });
    });

    it('carry megabytes both ways at once', async () => {
      const agent = await connect();
      const part = randomBytes(MIB).toString('hex');
      const { stdout, code } = await execute(agent, sh('cat'), { stdin: bytesOf(part + part + part) });
      expect(code).toBe(0);
      expect(stdout === part + part + part).toBe(true);
    });

    it('that close their input early are not held up by what nobody reads', async () => {
      async function* endless(): AsyncGenerator<Uint8Array> {
        for (;;) yield Promise.resolve(Buffer.alloc(65_536));
      }
      const program = sh('head -c 1 >/dev/null; exec <&-; exit 5');
      expect(await execute(await connect(), program, { stdin: endless() })).toMatchObject({ code: 5 });
    });

    it('may be scripts whose programs read the input', async () => {
      const content = Buffer.from('read line; echo "$line, $1"; cat >/dev/null; false; echo never');
      const script: Program = { kind: 'script', content, args: ['arg'] };
      expect(await execute(await connect(), script, { stdin: bytesOf('typed\nmore') })).toMatchObject({
        stdout: 'typed, arg\n',
        code: 1,
      });
    });

    it('have the environment, directory and user that they are given', async () => {
      const agent = await connect();
      const program = sh('pwd; echo "$ONE"; id -u; id -g');
      const options = { cwd: '/usr', env: { ONE: 'a b' }, user: '12345:54321' };
      expect((await execute(agent, program, options)).stdout).toBe('/usr\na b\n12345\n54321\n');
      const exact = { env: { ONLY: 'this' }, clearEnv: true };
      const printed = await execute(agent, { kind: 'argv', argv: ['/usr/bin/env'] }, exact);
      expect(printed.stdout).toBe('ONLY=this\n');
    });

    it('have a terminal when they are to', async () => {
      const terminal = { size: { rows: 33, columns: 99 }, term: 'vt100', onResize: () => undefined };
      const { stdout } = await execute(await connect(), sh('test -t 0 && stty size && echo $TERM'), {
        terminal,
        stdin: bytesOf(),
      });
      expect(stdout).toBe('33 99\r\nvt100\r\n');
    });

    it('are ended with all that they started when their time is over', async () => {
      const agent = await connect();
      const program = sh("trap 'echo ending; exit 3' TERM; sleep 1000 & echo $!; wait");
      const { stdout, code, timedOut } = await execute(agent, program, { timeoutMs: 1500, graceMs: 5000 });
      const [child, words] = stdout.split('\n');
      expect({ words, code, timedOut }).toEqual({ words: 'ending', code: 3, timedOut: true });
      expect(await isRunning(agent, child ?? '')).toBe(false);
    });

    it('are ended with all that they started on a cancel', async () => {
      const agent = await connect();
      const cancel = new AbortController();
      let output = '';
      const running = execute(agent, sh('setsid sleep 1000 & echo $!; wait'), {
        signal: cancel.signal,
        graceMs: 100,
        onStdout: (bytes) => {
          output += Buffer.from(bytes).toString();
        },
      });
      await expect.poll(() => output, { timeout: 20_000 }).toContain('\n');
      cancel.abort(new VmRunnerError('cancelled', 'enough'));
      await expect(running).rejects.toThrow('enough');
      await expect.poll(() => isRunning(agent, output.trim()), { timeout: 20_000 }).toBe(false);
    });

    it('may go on by themselves, and hear signals', async () => {
      const agent = await connect();
      const directory = await peerDirectory(agent);
      const command = `trap 'touch ${directory}/told; exit' USR1; touch ${directory}/runs; while :; do sleep 0.05; done`;
      const pid = await agent.detach({ program: sh(command), timeoutMs: 60_000 });
      await expect.poll(() => shell(agent, `ls ${directory}`), { timeout: 20_000 }).toBe('runs\n');
      await agent.signal(pid, 10);
      await expect.poll(() => shell(agent, `ls ${directory}`), { timeout: 20_000 }).toBe('runs\ntold\n');
      await expect
        .poll(() => agent.signal(pid, 10).catch((error: unknown) => String(error)), { timeout: 20_000 })
        .toContain(`no such program: ${pid}`);
    });

    it('leave a daemon alone that holds the output open', async () => {
      const agent = await connect();
      const { stdout, code } = await execute(agent, sh('sleep 1000 & echo $!'));
      expect(code).toBe(0);
      expect(await shell(agent, `kill ${stdout.trim()} && echo killed`)).toBe('killed\n');
    });

    it('tell what they have used', async () => {
      const { usage } = await execute(await connect(), sh('i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done'));
      expect(usage?.userMicros).toBeGreaterThan(1000);
      expect(usage?.peakMemoryBytes).toBeGreaterThan(100_000);
    });

    it.each([
      ['a program that is not there', { kind: 'argv', argv: ['no-such-program'] }, {}, 'command-not-found'],
      ['a program that cannot be run', { kind: 'argv', argv: ['/etc/passwd'] }, {}, 'command-not-executable'],
      ['a directory that is not there', sh('true'), { cwd: '/no/such' }, 'guest-request-refused'],
      ['a user that is not there', sh('true'), { user: 'nobody-knows' }, 'guest-request-refused'],
    ] as const)('are refused with a sentence for %s', async (_what, program, options, code) => {
      const agent = await connect();
      await expect(execute(agent, program, options)).rejects.toMatchObject({ code, blame: 'user' });
      expect(await shell(agent, 'echo alive')).toBe('alive\n');
    });

    it('run many at a time', async () => {
      const agent = await connect();
      const codes = Array.from({ length: 30 }, (_, code) => code);
      const ends = await Promise.all(codes.map((code) => execute(agent, sh(`exit ${code}`))));
      expect(ends.map((end) => end.code)).toEqual(codes);
    });
  });

  // Under an emulator the agent is not the program of its own process, and cannot be copied from there.
  if (traits.arch === 'amd64')
    it('connects to sockets in the guest', async () => {
      const agent = await connect();
      const guest = await peerDirectory(agent);
      // In a guest the parent is outside of what the program sees, and its process 1 has the same program.
      const parent = traits.isGuest ? '1' : '$PPID';
      const command = `cp /proc/${parent}/exe ${guest}/agent && exec ${guest}/agent serve --listen-smolvm unix:${guest}/s`;
      await agent.detach({ program: sh(`exec sh -c '${command}'`), timeoutMs: 60_000 });
      // The first shell became the second, so the parent is the agent.
      await expect.poll(() => shell(agent, `ls ${guest}`), { timeout: 20_000 }).toBe('agent\ns\n');
      const stream = await agent.forward({ kind: 'unix', path: `${guest}/s` });
      const ping = Buffer.from('{"op":"ping"}');
      stream.end(Buffer.concat([Buffer.of(1, 0, 0, 0, ping.length), ping]));
      const answer: Buffer[] = [];
      stream.on('data', (chunk: Buffer) => answer.push(chunk));
      await once(stream, 'end');
      expect(Buffer.concat(answer).toString()).toContain('"proto":1');
      await expect(agent.forward({ kind: 'tcp', port: 1 })).rejects.toMatchObject({ code: 'guest-request-refused' });
      await expect(agent.forward({ kind: 'unix', path: '/no/such' })).rejects.toMatchObject({
        code: 'guest-file-missing',
      });
    });
}
