import { execFileSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import path from 'node:path';

import { expect, inject, it } from 'vitest';

import { vmRunner } from '../support/command-line.js';
import { qemuProcesses } from '../support/e2e.js';
import { runnerHost } from '../support/gitlab-simulator/host.js';
import { leftovers } from '../support/faults/leftovers.js';
import { familyImages, writeLayout } from '../support/made-images.js';
import { ENDS, mix, random, type SoakHost } from '../support/soak/ends.js';

/** `npm run soak` sets what the acceptance asks for: 1,000. */
const JOBS = Number(process.env['SOAK_JOBS'] ?? 50);
const AT_ONCE = 8;
const SEED = Number(process.env['SOAK_SEED'] ?? 6);
/** By hand, where nothing else runs on the host: how much less memory may be free after it. */
const MEMORY_TOLERANCE_MIB = 256;
const ENOUGH_PER_JOB_MS = 30_000;

async function soakHost(): Promise<SoakHost> {
  const { directory, home, settings } = await runnerHost(inject('sharedHome'));
  const families = await familyImages();
  for (const name of ['busybox', 'many']) {
    await writeLayout(path.join(directory, name), families[name] ?? { layers: [] });
    const made = await vmRunner(['image', 'import', `oci:${name}`, name], { home, cwd: directory });
    expect(made, made.stderr).toMatchObject({ exitCode: 0 });
  }
  return { home, settings, images: ['default', 'local/busybox', 'local/many'] };
}

async function availableMiB(): Promise<number> {
  const text = await readFile('/proc/meminfo', 'utf8');
  return Number(/^MemAvailable: +(\d+) kB$/m.exec(text)?.[1]) / 1024;
}

/** What the store takes of the disk, without the logs that it keeps of failed jobs. */
function storeMiB(home: string): number {
  return Number(execFileSync('du', ['-sm', '--exclude=logs', home], { encoding: 'utf8' }).split('\t')[0]);
}

it(
  `runs ${JOBS} jobs, ${AT_ONCE} at a time, that end in every way, and leaves nothing`,
  { timeout: JOBS * ENOUGH_PER_JOB_MS },
  async () => {
    const host = await soakHost();
    const gc = async (): Promise<void> => {
      const { exitCode, stderr } = await vmRunner(['gc'], { home: host.home });
      expect(exitCode, stderr).toBe(0);
    };
    // A first job, so that its template is there before sizes are taken.
    const first = await vmRunner(['run', '-q', '--network', 'none', '--memory', '512M', '--', 'true'], {
      home: host.home,
    });
    expect(first, first.stderr).toMatchObject({ exitCode: 0 });
    await gc();
    const before = { store: storeMiB(host.home), memory: await availableMiB() };

    const draw = random(SEED);
    const jobs = mix(JOBS, draw).map((name, at) => ({ name, job: { index: at + 1, draw: draw() % 10_000 } }));
    const times = new Map<string, number[]>();
    const failures: string[] = [];
    const queue = [...jobs];
    const worker = async (): Promise<void> => {
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
        const { name, job } = next;
        const started = performance.now();
        try {
          await ENDS[name]?.[1](host, job);
        } catch (error) {
          failures.push(`job ${job.index} (${name}): ${error instanceof Error ? error.message : String(error)}`);
        }
        times.set(name, [...(times.get(name) ?? []), performance.now() - started]);
      }
    };
    let done = false;
    const collecting = (async () => {
      while (!done) await gc();
    })();
    const started = performance.now();
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    const tookMs = performance.now() - started;
    done = true;
    await collecting;
    await gc();

    const after = { store: storeMiB(host.home), memory: await availableMiB() };
    process.stdout.write(table(times, { tookMs, before, after }));
    expect(failures).toEqual([]);
    expect(qemuProcesses(host.home)).toEqual([]);
    expect(leftovers(host.home)).toEqual([]);
    expect(after.store - before.store).toBeLessThanOrEqual(2);
    if (process.env['SOAK_JOBS'] !== undefined) {
      expect(before.memory - after.memory).toBeLessThan(MEMORY_TOLERANCE_MIB);
    }
  },
);

interface Sizes {
  readonly store: number;
  readonly memory: number;
}

function table(
  times: ReadonlyMap<string, readonly number[]>,
  { tookMs, before, after }: { readonly tookMs: number; readonly before: Sizes; readonly after: Sizes },
): string {
  const lines = [...times].sort().map(([name, all]) => {
    const sorted = [...all].sort((a, b) => a - b);
    const at = (share: number): string => ((sorted[Math.floor((sorted.length - 1) * share)] ?? 0) / 1000).toFixed(1);
    return `${name.padEnd(26)}${String(all.length).padStart(5)}${at(0.5).padStart(9)}${at(1).padStart(9)}`;
  });
  return [
    '',
    `${'end'.padEnd(26)}${'jobs'.padStart(5)}${'p50 s'.padStart(9)}${'most s'.padStart(9)}`,
    ...lines,
    `${JOBS} jobs in ${(tookMs / 1000).toFixed(0)} s, seed ${SEED}`,
    `store ${before.store} -> ${after.store} MiB, available memory ${before.memory.toFixed(0)} -> ${after.memory.toFixed(0)} MiB`,
    '',
  ].join('\n');
}
