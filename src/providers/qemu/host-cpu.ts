import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';

import { fileError } from '../../core/errors.js';

/** The processor of this host, as far as guests see it. */
export interface HostCpu {
  readonly model: string;
  /** Equal for processors that guests cannot tell apart. */
  readonly digest: string;
}

const CPUINFO = '/proc/cpuinfo';
/** All processors of a host are alike, and the kernel writes this file anew, slowly, for whoever reads it to its end. */
const FIRST_PROCESSOR_BYTES = 8192;
/** Without those that change while it runs, such as its clock. */
const FIELDS = ['vendor_id', 'cpu family', 'model', 'model name', 'stepping', 'microcode', 'flags'];

export async function hostCpu(): Promise<HostCpu> {
  return parseCpuInfo(await firstBytes());
}

/** @param text the beginning of /proc/cpuinfo */
export function parseCpuInfo(text: string): HostCpu {
  const [first = ''] = text.split('\n\n');
  const fields = new Map(first.split('\n').map((line) => splitField(line)));
  const seen = FIELDS.map((name) => [name, fields.get(name)]);
  return {
    model: fields.get('model name') ?? 'unknown processor',
    digest: createHash('sha256').update(JSON.stringify(seen)).digest('hex'),
  };
}

function splitField(line: string): [string, string] {
  const colon = line.indexOf(':');
  return [line.slice(0, colon).trim(), line.slice(colon + 1).trim()];
}

async function firstBytes(): Promise<string> {
  try {
    const file = await open(CPUINFO, 'r');
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(FIRST_PROCESSOR_BYTES), 0, FIRST_PROCESSOR_BYTES, 0);
      return buffer.toString('utf8', 0, bytesRead);
    } finally {
      await file.close();
    }
  } catch (cause) {
    throw fileError('read a file', CPUINFO, cause);
  }
}
