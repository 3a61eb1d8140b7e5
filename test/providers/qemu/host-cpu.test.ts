import { describe, expect, it } from 'vitest';

import { hostCpu, parseCpuInfo } from '../../../src/providers/qemu/host-cpu.js';

const CPUINFO = `processor	: 0
vendor_id	: AuthenticAMD
cpu family	: 26
model		: 2
model name	: AMD EPYC
stepping	: 1
microcode	: 0x1000065
cpu MHz		: 2596.120
flags		: fpu vme de
power management:

processor	: 1
vendor_id	: AuthenticAMD
`;

describe('parseCpuInfo', () => {
  it('tells the model', () => {
    expect(parseCpuInfo(CPUINFO).model).toBe('AMD EPYC');
    expect(parseCpuInfo('').model).toBe('unknown processor');
  });

  it.each([
    ['vendor_id', 'AuthenticAMD', 'GenuineIntel'],
    ['family', ': 26', ': 25'],
    ['microcode', '0x1000065', '0x1000066'],
    ['flags', 'vme de', 'vme de pse'],
  ])('tells processors apart by their %s', (_field, from, to) => {
    expect(parseCpuInfo(CPUINFO.replace(from, to)).digest).not.toBe(parseCpuInfo(CPUINFO).digest);
  });

  it('takes a processor whose clock has changed for the same, and does not care how many there are', () => {
    expect(parseCpuInfo(CPUINFO.replace('2596.120', '3000.000')).digest).toBe(parseCpuInfo(CPUINFO).digest);
    expect(parseCpuInfo(CPUINFO.slice(0, CPUINFO.indexOf('processor	: 1'))).digest).toBe(parseCpuInfo(CPUINFO).digest);
  });
});

describe('hostCpu', () => {
  it('finds the flags of this host', async () => {
    expect(await hostCpu()).toEqual(await hostCpu());
    expect((await hostCpu()).digest).not.toBe(parseCpuInfo('').digest);
  });
});
