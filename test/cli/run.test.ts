import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { startVmRunner, vmRunner, type CommandOptions, type CommandResult } from '../support/command-line.js';
import { temporaryDirectory } from '../support/temporary-directory.js';

/** Runs with the fake provider: the real agent and every stage, but no VM, so the "guest" is this host. */
async function fake(): Promise<{
  directory: string;
  run: (args: readonly string[], options?: Partial<CommandOptions>) => Promise<CommandResult>;
  options: CommandOptions;
}> {
  const directory = await temporaryDirectory();
  const options = { home: path.join(directory, 'home'), cwd: directory };
  return {
    directory,
    options,
    run: (args, more) => vmRunner(['run', '--provider', 'fake', '-q', ...args], { ...options, ...more }),
  };
}

describe('vm-runner run', () => {
  it('carries the exit code through, and keeps the streams apart', async () => {
    const { run } = await fake();
    expect(await run(['--', 'sh', '-c', 'echo out; echo err >&2; exit 7'])).toEqual({
      exitCode: 7,
      stdout: 'out\n',
      stderr: 'err\n',
    });
  });

  it('answers 128+n when a signal ended the program', async () => {
    const { run } = await fake();
    expect(await run(['--', 'sh', '-c', 'kill -9 $$'])).toMatchObject({ exitCode: 137 });
  });

  it('answers 127 for a program that is not there, and 126 for one that cannot be run', async () => {
    const { run, directory } = await fake();
    const missing = await run(['--', 'no-such-program']);
    expect(missing.exitCode).toBe(127);
    expect(missing.stderr).toMatch(/^vm-runner: error\[command-not-found\]: .*no-such-program/);
    await writeFile(path.join(directory, 'data'), 'x', { mode: 0o644 });
    expect((await run(['--', path.join(directory, 'data')])).exitCode).toBe(126);
  });

  it('answers 124 when its time is over, and says so', async () => {
    const { run } = await fake();
    const { exitCode, stderr } = await run(['--timeout', '200ms', '--', 'sleep', '60']);
    expect({ exitCode, stderr }).toEqual({
      exitCode: 124,
      stderr:
        'vm-runner: error[timed-out]: program in the guest did not end within 200 ms. It was ended. Give it more time with timeout.\n',
    });
  });

  it('runs a script by its first line, with arguments, and lets it read standard input', async () => {
    const { run, directory } = await fake();
    await writeFile(path.join(directory, 'x.sh'), '#!/bin/sh -e\ncat; echo "got $1"\n');
    expect(await run(['-i', '--script', 'x.sh', '--', 'one'], { input: 'typed\n' })).toEqual({
      exitCode: 0,
      stdout: 'typed\ngot one\n',
      stderr: '',
    });
    expect(await run(['--script', '-'], { input: 'false\necho not reached\n' })).toMatchObject({
      exitCode: 1,
      stdout: '',
    });
  });

  it('gives the program exactly the environment that was asked for', async () => {
    const { run, directory } = await fake();
    await writeFile(path.join(directory, 'vars'), '# comment\nA=file\nB=two words\n');
    const { stdout } = await run(['--env-file', 'vars', '-e', 'A=flag', '-e', 'OURS', '-e', 'NONE', '--', 'env'], {
      env: { OURS: 'here', SECRET: 'x' },
    });
    const env = stdout.trim().split('\n').sort();
    expect(env).toEqual(expect.arrayContaining(['A=flag', 'B=two words', 'OURS=here']));
    expect(env.filter((line) => /^(SECRET|NONE|VM_RUNNER)/.test(line))).toEqual([]);
  });

  it('brings files home also when the program failed', async () => {
    const { run, directory } = await fake();
    await mkdir(path.join(directory, 'in/deep'), { recursive: true });
    await writeFile(path.join(directory, 'in/deep/a'), 'A');
    const guest = path.join(directory, 'guest');
    const result = await run([
      '--put',
      `in:${guest}/copy`,
      '--get',
      `${guest}/copy/**:home2`,
      '--',
      'sh',
      '-c',
      `echo B > ${guest}/copy/b; exit 3`,
    ]);
    expect(result).toMatchObject({ exitCode: 3 });
    expect((await readdir(path.join(directory, 'home2'), { recursive: true })).sort()).toEqual(['b', 'deep', 'deep/a']);
    expect(await readFile(path.join(directory, 'home2/deep/a'), 'utf8')).toBe('A');
  });

  it('fails when nothing matches what should come home', async () => {
    const { run } = await fake();
    const { exitCode, stderr } = await run(['--get', '/nowhere/**', '--', 'true']);
    expect({ exitCode, stderr }).toEqual({
      exitCode: 125,
      stderr:
        'vm-runner: error[guest-file-missing]: nothing in the guest matches: --get /nowhere/**. Check the path; relative ones start at the working directory.\n',
    });
  });

  it('tells the first thing that went wrong, and answers for that', async () => {
    const { run } = await fake();
    const overdue = await run(['--timeout', '200ms', '--get', '/tmp/[a', '--', 'sleep', '60']);
    expect(overdue.exitCode).toBe(124);
    expect(overdue.stderr).toMatch(/^vm-runner: error\[timed-out\]: program in the guest did not end within 200 ms/m);
    expect((await run(['--get', '/tmp/[a', '--', 'no-such-program'])).exitCode).toBe(127);
  });

  it('refuses what it could not do in the end before anything runs', async () => {
    const { run } = await fake();
    const { exitCode, stderr } = await run([
      '--report',
      'no/dir/r.json',
      '--user',
      'nobody',
      '--get',
      'out.txt',
      '--',
      'true',
    ]);
    expect(exitCode).toBe(125);
    expect(stderr).toContain(
      '- relative path in the guest with --user: out.txt. Begin it with a slash, or say where it starts with --workdir.',
    );
    expect(stderr).toContain('- cannot write the report there: ');
  });

  it.each([
    [['--report', '/dev/stdout'], 'not a regular file: /dev/stdout. Name a file; it is replaced as a whole.'],
    [['--user', ''], 'not a user of the guest: --user=. Give name, uid, name:group or uid:gid; leave it out for root.'],
  ])('refuses %j', async (args, sentence) => {
    const { run } = await fake();
    expect(await run([...args, '--', 'true'])).toEqual({
      exitCode: 125,
      stdout: '',
      stderr: `vm-runner: error[invalid-input]: ${sentence}\n`,
    });
  });

  it('refuses a script that is too large before it boots anything', async () => {
    const { run, directory } = await fake();
    await writeFile(path.join(directory, 'big.sh'), 'true\n'.repeat(1_000_000));
    expect((await run(['--script', 'big.sh'])).stderr).toBe(
      'vm-runner: error[invalid-input]: script is larger than 4 MiB: big.sh. Copy it in with --put, and run it there.\n',
    );
  });

  it('leaves out names that are not UTF-8, and says so, both ways', async () => {
    const { run, directory } = await fake();
    await mkdir(path.join(directory, 'in'));
    await writeFile(path.join(directory, 'in/good'), 'x');
    await writeFile(Buffer.concat([Buffer.from(path.join(directory, 'in/')), Buffer.from([0xff, 0x62])]), 'x');
    const guest = path.join(directory, 'guest');
    const script = `test "$(ls ${guest})" = good && printf one > "${guest}/$(printf 'a\\377b')"`;
    const { exitCode, stderr } = await run([
      '--put',
      `in:${guest}`,
      '--get',
      `${guest}/**:back`,
      '--',
      'sh',
      '-c',
      script,
    ]);
    expect(exitCode).toBe(0);
    expect(stderr.match(/warning: left out .*: its name is not UTF-8/g)).toHaveLength(2);
    expect(await readdir(path.join(directory, 'back'))).toEqual(['good']);
  });

  it('writes the whole story to a report', async () => {
    const { run, directory } = await fake();
    await run(['--report', 'r.json', '--', 'sh', '-c', 'exit 4']);
    const report = JSON.parse(await readFile(path.join(directory, 'r.json'), 'utf8')) as {
      timeline: { name: string }[];
    };
    expect(report).toMatchObject({ version: 1, exitCode: 4, program: { code: 4, signal: 0 }, error: null });
    expect(report.timeline.map((span) => span.name)).toEqual(
      expect.arrayContaining(['create', 'boot', 'resume', 'put', 'run', 'get', 'cleanup']),
    );
  });

  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const)('ends the program and the VM on %s', async (signal, exitCode) => {
    const { options, directory } = await fake();
    const running = startVmRunner(['run', '--provider', 'fake', '--', 'sh', '-c', 'echo $$; exec sleep 1000'], options);
    await running.said('\n');
    running.child.kill(signal);
    const result = await running.result;
    expect(result.exitCode).toBe(exitCode);
    expect(result.stderr).toContain(`vm-runner: error[cancelled]: interrupted by ${signal}\n`);
    expect(() => process.kill(Number(result.stdout), 0)).toThrow('ESRCH');
    expect(await readdir(path.join(directory, 'home/vms'))).toEqual([]);
  });

  it('leaves a kept VM for exec, cp, logs and rm', async () => {
    const { run, directory, options } = await fake();
    expect((await run(['--keep', '--name', 'box', '--', 'true'])).exitCode).toBe(0);
    const listed = await vmRunner(['ps', '--json'], options);
    expect(JSON.parse(listed.stdout)).toMatchObject([{ name: 'box', state: 'ready', orphan: null }]);
    expect(await vmRunner(['exec', '-i', 'box', 'cat'], { ...options, input: 'hi' })).toEqual({
      exitCode: 0,
      stdout: 'hi',
      stderr: '',
    });
    expect(await vmRunner(['exec', 'box', 'sh', '-c', 'exit 9'], options)).toMatchObject({ exitCode: 9 });
    await writeFile(path.join(directory, 'f'), 'content', { mode: 0o640 });
    expect((await vmRunner(['cp', 'f', `box:${directory}/g`], options)).exitCode).toBe(0);
    expect((await vmRunner(['cp', `box:${directory}/g`, 'h'], options)).exitCode).toBe(0);
    expect(await readFile(path.join(directory, 'h'), 'utf8')).toBe('content');
    expect(await run(['--name', 'box', '--', 'true'])).toMatchObject({
      exitCode: 125,
      stderr:
        'vm-runner: error[invalid-input]: a VM of that name exists: box. Choose another name, or remove it with: vm-runner rm box\n',
    });
    expect(await vmRunner(['rm', 'box'], options)).toEqual({ exitCode: 0, stdout: 'box\n', stderr: '' });
    expect((await vmRunner(['ps', '-q'], options)).stdout).toBe('');
  });

  it('is cleaned up after by the next one when it was killed', async () => {
    const { options, directory, run } = await fake();
    const running = startVmRunner(
      ['run', '--provider', 'fake', '--name', 'lost', '--', 'sh', '-c', 'echo $$; exec sleep 1000'],
      options,
    );
    await running.said('\n');
    running.child.kill('SIGKILL');
    const { stdout } = await running.result;
    expect((await vmRunner(['ps'], options)).stdout).toMatch(/lost .*orphan: owner is gone/);
    expect((await run(['--', 'true'])).exitCode).toBe(0);
    expect(await readdir(path.join(directory, 'home/vms'))).toEqual([]);
    expect(() => process.kill(Number(stdout), 0)).toThrow('ESRCH');
  });

  it('ends like a program that lost its reader when standard error is closed', async () => {
    const { options, directory } = await fake();
    const running = startVmRunner(
      ['run', '--provider', 'fake', '--', 'sh', '-c', 'echo up; while :; do echo x >&2; done'],
      options,
    );
    await running.said('up');
    running.child.stderr?.destroy();
    expect((await running.result).exitCode).toBe(141);
    expect(await readdir(path.join(directory, 'home/vms'))).toEqual([]);
  });

  it('is an orphan when it is killed before it was kept', async () => {
    const { options } = await fake();
    const running = startVmRunner(
      ['run', '--provider', 'fake', '--keep', '--name', 'lost', '--', 'sh', '-c', 'echo up; exec sleep 1000'],
      options,
    );
    await running.said('up');
    running.child.kill('SIGKILL');
    await running.result;
    expect((await vmRunner(['gc'], options)).stdout).toMatch(
      /^KIND +SIZE +NAME +REASON\nvm +\S+ \S+ +\S+ +owner is gone\nremoved 1 thing, /,
    );
  });

  it('ends like a program that lost its reader when standard output is closed', async () => {
    const { options } = await fake();
    const running = startVmRunner(['run', '--provider', 'fake', '-q', '--', 'yes'], options);
    await running.said('y\n');
    running.child.stdout?.destroy();
    expect((await running.result).exitCode).toBe(141);
  });
});
