import { renderError } from '../../core/errors.js';
import type { ProcessIdentity } from '../../core/process-identity.js';
import type { Host } from '../../providers/provider.js';
import { fileBytes } from '../../store/disk-use.js';
import { endedPaths, type LogPaths } from '../../store/ended-vms.js';
import { noSuchVm } from '../../store/vms.js';
import type { Command } from '../command.js';
import { OWN_FAILURE } from '../exit-code.js';
import { openCliHost } from '../host.js';
import { listEndedVms, listVms, vmJson, type ListedVm } from '../vm-list.js';

export const inspect: Command = {
  name: 'inspect',
  summary: 'Show all that is known of VMs, as JSON',
  description:
    'Prints an array with the record of each VM, its processes and whether they live, what its disk takes, and where its logs are. VMs that have ended are told of as long as their logs are kept.',
  flags: [],
  operands: { usage: 'NAME…', least: 1, most: Infinity, words: ['vm-or-ended'] },
  examples: [
    ['vm-runner inspect box', 'Everything about one VM'],
    ["vm-runner inspect box | jq -r '.[0].logs.console'", 'Where its console is written to'],
  ],
  run: async (flags, world) => {
    const host = await openCliHost(world);
    const known = new Map([...(await listEndedVms(host)), ...(await listVms(host))].map((vm) => [vm.name, vm]));
    const found = [];
    let exitCode = 0;
    for (const name of flags.operands) {
      const vm = known.get(name);
      if (vm !== undefined) {
        found.push(await detailsOf(host, vm));
        continue;
      }
      world.stderr.write(`vm-runner: ${renderError(noSuchVm(name))}\n`);
      exitCode = OWN_FAILURE;
    }
    world.stdout.write(`${JSON.stringify(found, undefined, 2)}\n`);
    return exitCode;
  },
};

async function detailsOf(host: Host, vm: ListedVm): Promise<Record<string, unknown>> {
  const { record, name } = vm;
  const isThere = vm.endedAt === undefined;
  const paths = host.store.vms.paths(name);
  const life = (identity: ProcessIdentity | undefined): unknown =>
    identity === undefined ? null : { ...identity, alive: host.processes.isAlive(identity) };
  return {
    ...vmJson(vm),
    ...(record === undefined ? {} : { owner: life(record.owner), vmm: life(record.vmm) }),
    directory: isThere ? paths.directory : null,
    disk: isThere ? await diskOf(paths.disk, record?.diskMiB) : null,
    logs: await logsOf(isThere ? paths : endedPaths(host.store.paths, name, paths)),
  };
}

async function diskOf(file: string, mostMiB: number | undefined): Promise<unknown> {
  const usedBytes = await fileBytes(file);
  if (usedBytes === undefined) return null;
  return { path: file, usedBytes, mostBytes: mostMiB === undefined ? null : mostMiB * 2 ** 20 };
}

/** Those that are there. */
async function logsOf({ console, vmmLog, jobLog }: LogPaths): Promise<Record<string, string | null>> {
  const there = async (file: string): Promise<string | null> => ((await fileBytes(file)) === undefined ? null : file);
  return { console: await there(console), vmm: await there(vmmLog), job: await there(jobLog) };
}
