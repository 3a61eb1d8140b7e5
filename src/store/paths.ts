import path from 'node:path';

import { VmRunnerError } from '../core/errors.js';

/** The longest path a unix socket can have on Linux: `sun_path` is 108 bytes with its final zero. */
const LONGEST_SOCKET_PATH = 107;
const LONGEST_SOCKET_NAME = 'agent.0';

/** Where everything of a store is. Pure: makes and checks nothing on disk. */
export interface StorePaths {
  readonly home: string;
  readonly version: string;
  readonly vms: string;
  readonly logs: string;
  /** Compressed downloads, by digest; `*.part` while they come. */
  readonly blobs: string;
  /** Data and index of each layer, by the digest of its tar. */
  readonly layers: string;
  readonly images: string;
  /** Kernels with their initramfs, and the empty scratch disk. */
  readonly guests: string;
  /** Saved guests that VMs are cloned from. */
  readonly templates: string;
  readonly refs: string;
  readonly locks: string;
  readonly temporary: string;
  /** Who waits for room for a VM, and who was just given some. */
  readonly capacity: string;
  readonly acceleration: string;
  /** What happened on this host, and what happened before that. */
  readonly events: string;
  readonly eventsBefore: string;
  /** Which version the QEMU of this host is. */
  readonly qemu: string;
  /** What the slots of VMs show that have no image. */
  readonly emptySlot: string;
}

export function storePaths(home: string): StorePaths {
  const at = (name: string): string => path.join(home, name);
  return {
    home,
    version: at('version'),
    vms: at('vms'),
    logs: at('logs'),
    blobs: at('blobs'),
    layers: at('layers'),
    images: at('images'),
    guests: at('guests'),
    templates: at('templates'),
    refs: at('refs'),
    locks: at('locks'),
    temporary: at('tmp'),
    capacity: at('capacity.json'),
    acceleration: at('acceleration.json'),
    events: at('events.jsonl'),
    eventsBefore: at('events.1.jsonl'),
    qemu: at('qemu.json'),
    emptySlot: at('empty-slot.qcow2'),
  };
}

/** Where the files of one VM are. */
export interface VmPaths {
  readonly directory: string;
  readonly record: string;
  readonly disk: string;
  readonly console: string;
  readonly vmmLog: string;
  /** What the programs of the job printed, and the part of it before that. */
  readonly jobLog: string;
  readonly jobLogBefore: string;
  /** What the process that runs the VM tells by itself, and a pipe that it reads; its name less `.out` and `.in`. */
  readonly events: string;
  readonly eventsInput: string;
  readonly qmp: string;
  /** Where a guest that is saved finds its base root, and the control socket of the process that shows it. */
  readonly export: string;
  readonly exportQmp: string;
  /** Where the state of a guest that is saved comes out. */
  readonly save: string;
  /** The name that the VM had when its process was started, when that was another one. */
  readonly launchedAs: string;
  /** A copy of a template's memory, when the VM has one of its own. */
  readonly memory: string;
  /** Host ends of the agent's ports. */
  readonly agents: readonly string[];
  /** Host end of the port kept for SmolVM's protocol. */
  readonly smolvm: string;
}

/**
 * @throws host-unsupported when the store lies so deep that a socket in it could not be opened.
 */
export function vmPaths(store: StorePaths, name: string): VmPaths {
  const directory = path.join(store.vms, name);
  const longest = path.join(directory, LONGEST_SOCKET_NAME);
  if (Buffer.byteLength(longest) > LONGEST_SOCKET_PATH) {
    throw new VmRunnerError('host-unsupported', `socket path longer than ${LONGEST_SOCKET_PATH} bytes`, {
      subject: longest,
      hint: 'Set VM_RUNNER_HOME to a shorter path.',
    });
  }
  const at = (file: string): string => path.join(directory, file);
  return {
    directory,
    record: at('vm.json'),
    disk: at('disk.qcow2'),
    console: at('console.log'),
    vmmLog: at('vmm.log'),
    events: at('events.out'),
    eventsInput: at('events.in'),
    jobLog: at('job.log'),
    jobLogBefore: at('job.1.log'),
    qmp: at('qmp'),
    export: at('nbd'),
    exportQmp: at('nbd.qmp'),
    save: at('save'),
    launchedAs: at('launched-as'),
    memory: at('memory'),
    agents: [0, 1, 2, 3].map((port) => at(`agent.${port}`)),
    smolvm: at('smolvm'),
  };
}
