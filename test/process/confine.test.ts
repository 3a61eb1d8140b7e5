import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { confined, type Confinement } from '../../src/process/confine.js';
import { temporaryDirectory } from '../support/temporary-directory.js';

const OPEN: Confinement = { user: undefined, fileBytes: undefined, cgroups: [], setpriv: true };
const isRoot = process.geteuid?.() === 0;

/** What a shell prints that was started confined. */
function output(script: string, how: Partial<Confinement>, opening?: Parameters<typeof confined>[2]): string {
  const [program = '', ...args] = confined(['sh', '-c', script], { ...OPEN, ...how }, opening);
  return execFileSync(program, args, { encoding: 'utf8', env: { PATH: '/usr/bin:/bin' }, stdio: 'pipe' });
}

describe('a confined program', () => {
  it('is the process that was started, with its own arguments and environment', () => {
    const [program = '', ...args] = confined(['env'], OPEN);
    expect(execFileSync(program, args, { encoding: 'utf8', env: { PATH: '/usr/bin:/bin' } })).toBe(
      'PATH=/usr/bin:/bin\n',
    );
    expect(confined(['program', "it's one"], OPEN).slice(-2)).toEqual(['program', "it's one"]);
  });

  it('writes no file beyond its limit, and goes on', async () => {
    const file = path.join(await temporaryDirectory(), 'f');
    const script = `head -c 100000 /dev/zero 2>/dev/null >${file}; echo $?; ulimit -c`;
    expect(output(script, { fileBytes: 8192 })).toBe('1\n0\n');
    expect(readFileSync(file).length).toBe(8192);
  });

  it('has what it shall read in a pipe that stays open', async () => {
    const pipe = path.join(await temporaryDirectory(), "a'pipe");
    expect(output(`head -n 1 <"${pipe}"`, {}, { pipe, text: '{"a":1}' })).toBe('{"a":1}\n');
  });

  it('goes on without a control group that is gone', () => {
    expect(output('echo on', { cgroups: ['/sys/fs/cgroup/no/such'] })).toBe('on\n');
  });

  it.runIf(isRoot)('is another user, in these groups, without any way back', () => {
    const user = { uid: 1_900_010_001, gid: 1_900_000_000, groups: [] };
    expect(output('id -u; id -G; grep -E "CapBnd|NoNewPrivs" /proc/self/status', { user })).toBe(
      '1900010001\n1900000000\nCapBnd:\t0000000000000000\nNoNewPrivs:\t1\n',
    );
    expect(output('id -G', { user: { ...user, groups: [1_900_000_001] } })).toBe('1900000000 1900000001\n');
  });
});
