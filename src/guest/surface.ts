import type { Duplex } from 'node:stream';

import type { DetachOptions } from './detach.js';
import type { EnterOptions } from './enter.js';
import type { ExecOptions, ProgramEnd } from './exec.js';
import type { ForwardTarget } from './forward.js';
import type { GetFileOptions } from './get-file.js';
import type { InfoResponse, UsageResponse } from './gen/vmrunner/agent/v1/system_pb.js';
import type { GetLayerOptions } from './layer.js';
import type { ListOptions, MakeDirectoryOptions, PathInfo, RemoveOptions, StatOptions } from './paths.js';
import type { PutOptions } from './put-file.js';
import type { InRoot } from './root.js';
import type { GrownDisk, Identity } from './system.js';
import type { GetTreeOptions, TreeSelection } from './tree.js';
import type { Unpacked } from './unpack.js';

/**
 * What a host can ask of a guest: the contract of proto/vmrunner/agent/v1, as our own agent serves it whole and Tart's as
 * far as it can. Every error is a VmRunnerError. Close it when done; it holds a port.
 */
export interface GuestAgent extends AsyncDisposable {
  /**
   * Optional parts that this agent serves, as it told them when it was dialled. `tart-fallback`: it is Tart's agent, which
   * runs programs alone; files go through them, and what cannot be had that way is refused with agent-protocol.
   */
  readonly capabilities: readonly string[];
  /** When it said something last, an answer or output of a program, as `performance.now()` counts. */
  readonly heardAt: number;
  info(): Promise<InfoResponse>;
  /** What the guest uses now: what it says, and no more than that. */
  usage(signal?: AbortSignal): Promise<UsageResponse>;
  /** @returns what was done of it: `clock`, `entropy`, `hostname`, `machine-id`, `network` */
  resume(identity: Identity): Promise<readonly string[]>;

  /** Makes the root of the job's image: once, after `resume`. Until then `image` means the base root. */
  enter(options: EnterOptions): Promise<void>;
  /** What was changed in the image root since `enter`, as a layer of an image: a tar stream with whiteouts. */
  getLayer(options: GetLayerOptions): AsyncIterable<Uint8Array>;

  /** Runs a program to its end. */
  exec(options: ExecOptions): Promise<ProgramEnd>;
  /** Starts a program that goes on by itself, with neither input nor output. @returns its process id, for {@link signal} */
  detach(options: DetachOptions): Promise<number>;
  /** Sends a signal, by its Linux number, to the whole process tree of a program that runs still. */
  signal(pid: number, number: number): Promise<void>;

  /** The new name itself, never "into". The old file stays until the new one is whole. */
  putFile(source: string, target: string, options: PutOptions): Promise<void>;
  getFile(source: string, target: string, signal: AbortSignal, options?: GetFileOptions): Promise<void>;
  putTree(source: string, target: string, options: PutOptions): Promise<void>;
  /** That nothing matched is no error: look at `files`. */
  getTree(selection: TreeSelection, target: string, signal: AbortSignal, options?: GetTreeOptions): Promise<Unpacked>;

  stat(path: string, options?: StatOptions): Promise<PathInfo>;
  /** What is in one directory, in no particular order. */
  list(path: string, options?: ListOptions): AsyncIterable<PathInfo>;
  /** @returns whether it was not there before */
  makeDirectory(path: string, options?: MakeDirectoryOptions): Promise<boolean>;
  /** Removes a file, a link or a directory; never what a link points to. @returns how many went */
  remove(path: string, options?: RemoveOptions): Promise<number>;

  /** Makes a mounted file system as large as its disk has become. @param path a path on it; default `/` */
  growDisk(path?: string, options?: InRoot): Promise<GrownDisk>;
  /** The guest's own addresses that others could reach, IPv4 first. */
  resolveAddresses(): Promise<readonly string[]>;
  /** A stream to a TCP or unix socket in the guest. */
  forward(target: ForwardTarget, signal?: AbortSignal): Promise<Duplex>;
  /** Syncs the guest's disks and powers it off; returns when it has begun. */
  shutdown(): Promise<void>;
  close(): Promise<void>;
}
