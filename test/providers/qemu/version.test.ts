import { describe, expect, it } from 'vitest';

import { checkQemuVersion, qemuVersion } from '../../../src/providers/qemu/version.js';
import { rejection } from '../../images/support.js';

const output = (version: string): string =>
  `QEMU emulator version ${version}\nCopyright (c) 2003-2022 Fabrice Bellard and the QEMU Project developers\n`;

describe('checkQemuVersion', () => {
  it('is the line that tells builds apart', () => {
    expect(checkQemuVersion(output('7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)'))).toBe(
      'QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)',
    );
  });

  it('takes 6.2 and everything newer', () => {
    for (const version of ['6.2.0', '7.0', '10.1.50']) expect(() => checkQemuVersion(output(version))).not.toThrow();
  });

  it('refuses older ones and what is no QEMU', () => {
    expect(() => checkQemuVersion(output('6.1.0'))).toThrow('QEMU 6.2 or newer is needed: QEMU emulator version 6.1.0');
    expect(() => checkQemuVersion('')).toThrow('QEMU 6.2 or newer is needed: a program that tells no version');
  });
});

describe('qemuVersion', () => {
  it('says how QEMU is installed when it is missing', async () => {
    expect(await rejection(qemuVersion('qemu-system-x86_64', '/nowhere'))).toMatchObject({
      code: 'host-tool-missing',
      message: 'program not found on this host: qemu-system-x86_64. Install it with: apt-get install qemu-system-x86',
    });
  });
});
