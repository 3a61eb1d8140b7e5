import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';

import { describe, expect, it } from 'vitest';

import { VmRunnerError } from '../../src/core/errors.js';
import type { ExitStatus, Program } from '../../src/core/job.js';
import type { GuestAgent } from '../../src/guest/agent.js';
import type { ExecOptions } from '../../src/guest/exec.js';
import { localAgent } from '../support/agent.js';

// The contract between the two houses: our client against the shipped binary of the agent.

interface Outcome extends ExitStatus {
  readonly stdout: string;
  readonly stderr: string;
}

const sh = (script: string): Program => ({ kind: 'argv', argv: ['sh', '-c', script] });
const signal = AbortSignal.timeout(50_000);

async function execute(agent: GuestAgent, program: Program, options: Partial<ExecOptions> = {}): Promise<Outcome> {
  const out: Uint8Array[] = [];
  const err: Uint8Array[] = [];
  const { code, signal: number } = await agent.exec({
    program,
    signal,
    onStdout: (bytes) => void out.push(bytes),
    onStderr: (bytes) => void err.push(bytes),
    ...options,
  });
  return { code, signal: number, stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString() };
}

async function* chunks(...texts: readonly string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield Promise.resolve(Buffer.from(text));
}

describe('info', () => {
  it('tells who is there', async () => {
    const { agent } = await localAgent();
    expect(await agent.info()).toMatchObject({
      protocol: 1,
      os: 'linux',
      arch: 'amd64',
      version: expect.stringMatching(/^\d+\.\d+\.\d+$/) as string,
    });
  });
});

describe('exec', () => {
  it('keeps streams and exit code as they are', async () => {
    const { agent } = await localAgent();
    expect(await execute(agent, sh('echo out; echo err >&2; exit 7'))).toEqual({
      code: 7,
      signal: 0,
      stdout: 'out\n',
      stderr: 'err\n',
    });
  });

  it('tells the signal that ended a program', async () => {
    const { agent } = await localAgent();
    expect(await execute(agent, sh('kill -TERM $$'))).toMatchObject({ code: 0, signal: 15 });
  });

  it('feeds standard input to its end', async () => {
    const { agent } = await localAgent();
    expect(await execute(agent, { kind: 'argv', argv: ['cat'] }, { stdin: chunks('one ', '', 'two') })).toMatchObject({
      stdout: 'one two',
      code: 0,
    });
    expect(await execute(agent, { kind: 'argv', argv: ['cat'] })).toMatchObject({ stdout: '', code: 0 });
  });

  it('does not wait for standard input that the program never reads', async () => {
    const { agent } = await localAgent();
    async function* endless(): AsyncGenerator<Uint8Array> {
      for (;;) yield Promise.resolve(Buffer.alloc(65_536));
    }
    expect(await execute(agent, sh('head -c 1 >/dev/null; exit 5'), { stdin: endless() })).toMatchObject({ code: 5 });
  });

  it('ends a program whose standard input cannot be read to its end, and says so', async () => {
    const { agent } = await localAgent();
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield Promise.resolve(Buffer.from('half'));
      throw new Error('EIO: i/o error, read');
    }
    await expect(execute(agent, { kind: 'argv', argv: ['cat'] }, { stdin: broken() })).rejects.toThrow(
      'cannot read standard input: EIO: i/o error, read',
    );
  });

  it('runs scripts whose programs read standard input', async () => {
    const { agent } = await localAgent();
    const content = Buffer.from('read line; echo "read $line, arg $1"; cat >/dev/null; echo end');
    expect(
      await execute(agent, { kind: 'script', content, args: ['x'] }, { stdin: chunks('typed\nmore') }),
    ).toMatchObject({ stdout: 'read typed, arg x\nend\n', code: 0 });
  });

  it('stops a script at its first failing line', async () => {
    const { agent } = await localAgent();
    expect(
      await execute(agent, { kind: 'script', content: Buffer.from('echo a\nfalse\necho b\n'), args: [] }),
    ).toMatchObject({ stdout: 'a\n', code: 1 });
  });

  it('carries large output whole', async () => {
    const { agent } = await localAgent();
    const hash = createHash('sha256');
    let size = 0;
    await execute(agent, sh('head -c 50000000 /dev/zero | tr "\\0" x'), {
      onStdout: (bytes) => {
        size += bytes.length;
        hash.update(bytes);
      },
    });
    expect(size).toBe(50_000_000);
    expect(hash.digest('hex')).toBe(createHash('sha256').update(Buffer.alloc(50_000_000, 'x')).digest('hex'));
  });

  it('stops a program whose output nobody takes', async () => {
    const { agent, pid } = await localAgent();
    let taken = 0;
    const controller = new AbortController();
    const running = execute(
      agent,
      { kind: 'argv', argv: ['yes'] },
      {
        signal: controller.signal,
        onStdout: async (bytes) => {
          taken += bytes.length;
          if (taken < 1_000_000) return;
          await new Promise((resolve) => controller.signal.addEventListener('abort', resolve));
        },
      },
    );
    await expect.poll(() => taken).toBeGreaterThanOrEqual(1_000_000);
    const status = await readFile(`/proc/${pid}/status`, 'utf8');
    expect(Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1])).toBeLessThan(60_000);
    controller.abort(new VmRunnerError('cancelled', 'enough'));
    await expect(running).rejects.toThrow('enough');
  });

  it('ends the whole process tree on a cancel', async () => {
    const { agent } = await localAgent();
    const controller = new AbortController();
    let output = '';
    const running = execute(agent, sh('sleep 1000 & echo $!; wait'), {
      signal: controller.signal,
      onStdout: (bytes) => {
        output += Buffer.from(bytes).toString();
      },
    });
    await expect.poll(() => output).toContain('\n');
    controller.abort(new VmRunnerError('cancelled', 'enough'));
    await expect(running).rejects.toThrow('enough');
    await expect.poll(() => isAlive(Number(output))).toBe(false);
  });

  it('kills what ignores a polite end', async () => {
    const { agent } = await localAgent();
    const controller = new AbortController();
    let output = '';
    const running = execute(agent, sh('trap "" TERM; echo $$; while :; do sleep 0.05; done'), {
      signal: controller.signal,
      graceMs: 100,
      onStdout: (bytes) => {
        output += Buffer.from(bytes).toString();
      },
    });
    await expect.poll(() => output).toContain('\n');
    controller.abort(new VmRunnerError('cancelled', 'enough'));
    await expect(running).rejects.toThrow('enough');
    expect(isAlive(Number(output))).toBe(false);
  });

  it('does not wait for what a program left in the background', async () => {
    const { agent } = await localAgent();
    expect(await execute(agent, sh('sleep 1000 & echo done'))).toMatchObject({ stdout: 'done\n', code: 0 });
  });

  it('gives a terminal of the size that was asked for', async () => {
    const { agent } = await localAgent();
    const terminal = { size: { rows: 33, columns: 99 }, term: 'vt100', onResize: () => undefined };
    const { stdout, code } = await execute(agent, sh('test -t 0 && test -t 1 && stty size && echo $TERM'), {
      terminal,
      stdin: chunks(),
    });
    expect({ stdout, code }).toEqual({ stdout: '33 99\r\nvt100\r\n', code: 0 });
  });

  it.each([
    ['a program that is not there', { program: { kind: 'argv', argv: ['no-such-program'] } }, 'command-not-found'],
    ['a program that cannot be run', { program: { kind: 'argv', argv: ['/etc/passwd'] } }, 'command-not-executable'],
    ['a directory that is not there', { program: sh('true'), cwd: '/no/such' }, 'guest-request-refused'],
    ['a user that is not there', { program: sh('true'), user: 'nobody-knows' }, 'guest-request-refused'],
    ['no program at all', { program: { kind: 'argv', argv: [] } }, 'guest-request-refused'],
  ] as const)('refuses %s with a sentence, and lives on', async (_what, options, code) => {
    const { agent } = await localAgent();
    await expect(execute(agent, options.program, options)).rejects.toMatchObject({ code, blame: 'user' });
    expect(await execute(agent, sh('echo alive'))).toMatchObject({ stdout: 'alive\n' });
  });

  it('runs many at once', async () => {
    const { agent } = await localAgent();
    const codes = await Promise.all(Array.from({ length: 30 }, (_, code) => execute(agent, sh(`exit ${code}`))));
    expect(codes.map((status) => status.code)).toEqual(Array.from({ length: 30 }, (_, code) => code));
  });
});

describe('resume and shutdown', () => {
  it('do nothing to a machine whose PID 1 the agent is not', async () => {
    const { agent } = await localAgent();
    const identity = {
      unixNanos: 1n,
      entropy: Buffer.alloc(32),
      hostname: 'x',
      machineId: 'f'.repeat(32),
      network: undefined,
    };
    expect(await agent.resume(identity)).toEqual([]);
    await expect(agent.shutdown()).rejects.toMatchObject({ code: 'guest-request-refused' });
    expect(await agent.info()).toMatchObject({ protocol: 1 });
  });
});

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
