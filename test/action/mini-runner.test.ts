import { writeFileSync } from 'node:fs';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { CommandReader } from '../support/mini-runner/commands.js';
import { MiniRunner } from '../support/mini-runner/mini-runner.js';
import { temporaryDirectory } from '../support/temporary-directory.js';

/** A job with an action of its own, which does what the runner must notice. */
async function jobOf(main: string): Promise<MiniRunner> {
  const action = await temporaryDirectory();
  writeFileSync(path.join(action, 'package.json'), '{"type":"module"}');
  writeFileSync(
    path.join(action, 'main.js'),
    `import { spawn } from 'node:child_process';\nimport fs from 'node:fs';\n${main}`,
  );
  writeFileSync(path.join(action, 'post.js'), 'console.log(`post knows ${process.env.STATE_word}`);');
  const inputs = 'inputs: { some-input: { default: preset }, other: { default: unset } }';
  writeFileSync(path.join(action, 'action.yml'), `${inputs}\nruns: { using: node24, main: main.js, post: post.js }\n`);
  return new MiniRunner({ directory: await temporaryDirectory(), action, node: process.execPath });
}

describe('the mini-runner', () => {
  it('hands inputs, outputs and state on as the runner does', async () => {
    const runner = await jobOf(`
      fs.appendFileSync(process.env.GITHUB_STATE, 'word<<END\\ntwo\\nlines\\nEND\\n');
      fs.appendFileSync(process.env.GITHUB_OUTPUT, 'a=1=2\\n');
      console.log(process.env['INPUT_SOME-INPUT'], process.env.INPUT_OTHER);
    `);
    const result = await runner.uses({ other: 'given' });
    expect(result.reader.lines).toEqual(['preset given']);
    expect(result.outputs).toEqual({ a: '1=2' });
    const [post] = await runner.complete();
    expect(post?.output).toBe('post knows two\nlines\n');
  });

  it('notices a program that holds the streams of a step, is left over, or leaves files behind', async () => {
    const runner = await jobOf(`
      fs.writeFileSync(process.env.HOME + '/litter', '');
      spawn('sleep', ['30'], { detached: true, stdio: 'inherit' }).unref();
    `);
    const { heldStreams, exitCode } = await runner.uses({});
    expect({ heldStreams, exitCode }).toEqual({ heldStreams: true, exitCode: 0 });
    const { processes, files } = runner.leftovers();
    expect(processes.map((found) => found.commandLine)).toEqual(['sleep 30']);
    expect(files).toEqual(['home/litter']);
    for (const { pid } of processes) process.kill(pid, 'SIGKILL');
  });

  it('sends SIGTERM to a step that does not mind SIGINT, 7.5 s later', async () => {
    const runner = await jobOf(
      `process.on('SIGINT', () => console.log('no')); setInterval(() => {}, 1000); console.log('up');`,
    );
    const { process: step, result } = runner.startAction({});
    await step.said('up');
    await step.cancel();
    const { cancelled, signal } = await result;
    expect({ last: cancelled?.last, signal }).toEqual({ last: 'SIGTERM', signal: 'SIGTERM' });
    expect(cancelled?.afterMs).toBeGreaterThanOrEqual(7500);
  });
});

describe('CommandReader', () => {
  it('reads commands at the start of a line, and none while they are stopped', () => {
    const reader = new CommandReader();
    reader.write(
      '::warning title=a%2Cb,file=c::te%0Axt\nplain ::error::no\n::unknown::x\n::stop-commands::t\n::error::no\n::t',
    );
    expect(reader.isStopped).toBe(true);
    reader.write('::\n::notice::yes');
    reader.end();
    expect(reader.isStopped).toBe(false);
    expect(reader.commands).toEqual([
      { name: 'warning', properties: { title: 'a,b', file: 'c' }, value: 'te\nxt' },
      { name: 'notice', properties: {}, value: 'yes' },
    ]);
    expect(reader.lines).toEqual(['plain ::error::no', '::unknown::x', '::error::no']);
  });
});
