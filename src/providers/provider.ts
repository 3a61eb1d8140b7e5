import type { HostConfig } from '../config/host-config.js';
import type { Endpoint } from '../core/endpoint.js';
import type { Finding } from '../core/finding.js';
import type { CollectOptions, Garbage } from '../core/garbage.js';
import type { VmRequest } from '../core/job.js';
import type { Log, Timeline } from '../core/log.js';
import type { ProcessIdentity, ProcessTable } from '../core/process-identity.js';
import type { BaseGuest, LocalImage } from '../images/image.js';
import type { ImageLibrary } from '../images/library.js';
import type { Capacity } from '../store/capacity.js';
import type { VmRecord } from '../store/record.js';
import type { Store } from '../store/store.js';

/** All files that a VM boots from. */
export interface BootFiles {
  readonly base: BaseGuest;
  /** `undefined`: the job runs in the default image, which every VM has. */
  readonly image: LocalImage | undefined;
}

export interface CreateRequest extends VmRequest {
  readonly cpus: number;
  readonly name: string;
  /** Random: tells this VM from another one that had its name before. */
  readonly incarnation: string;
  /** `undefined` for providers that boot none. */
  readonly boot: BootFiles | undefined;
  readonly owner: ProcessIdentity | undefined;
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
  readonly frontEnd: string;
  readonly job: string | undefined;
}

export interface CreateContext {
  readonly log: Log;
  readonly timeline: Timeline;
  readonly signal: AbortSignal;
  /** Resolves when the agent behind this endpoint has answered, and was let go of. Providers themselves dial nothing. */
  readonly agentAnswers: (endpoint: Endpoint, signal: AbortSignal) => Promise<void>;
}

/** What is known of a VM from outside of it. */
export interface VmReport {
  /** How its guest ended it; `undefined` while it runs, and when it did not end that way. */
  readonly ended: 'powered-off' | 'reset' | undefined;
  /** What was seen on the host of errors of its disks: none, no space left, or another one. */
  readonly diskError: 'no-space' | 'failed' | undefined;
  /** Whether the host's kernel killed it for memory. */
  readonly outOfMemory: boolean;
}

/** VMs that wait for a job, started as far as they can be without one. */
export interface WarmPool {
  /**
   * Differs from what it was before when VMs that were launched then are of no use for such a request any more: its template or its
   * image is another one, or gone.
   */
  fingerprint(request: PooledRequest, context: Pick<CreateContext, 'log' | 'signal'>): Promise<string>;
  /**
   * Makes a VM that waits: its record says so in the end. When it throws, the record may be there: `destroy` takes away what is
   * left.
   */
  launch(request: CreateRequest, context: CreateContext): Promise<VmRecord>;
  /**
   * Takes a VM that waits for such a request, gives it the name and the owner that the request says, and has it run. One whose guest
   * does not run then is taken away, and a line says why.
   * @returns `undefined` when none waits that fits
   * @throws invalid-input when a VM of that name exists.
   */
  claim(request: CreateRequest, context: CreateContext): Promise<VmRecord | undefined>;
}

/** What a VM that waits must have for the request that takes it. */
export type PooledRequest = Pick<CreateRequest, 'boot' | 'cpus' | 'memoryMiB'>;

/** Makes, finds and destroys VMs. Deals in data: it never talks to an agent. */
export interface Provider {
  readonly name: string;
  /** Whether `create` wants the files of an image. */
  readonly bootsImages: boolean;
  /** `undefined` where VMs start no faster by waiting. */
  readonly pool?: WarmPool | undefined;
  /** How many processors a VM gets whose job does not say. */
  defaultCpus(boot: BootFiles | undefined, context: Pick<CreateContext, 'log' | 'signal'>): Promise<number>;
  /**
   * Writes the record, then starts the VM. When it throws, the record may be there: `destroy` takes away what is left.
   * @returns the record with the process that runs the VM.
   */
  create(request: CreateRequest, context: CreateContext): Promise<VmRecord>;
  find(name: string): Promise<VmRecord | undefined>;
  list(): Promise<readonly VmRecord[]>;
  /** What became of a VM, also of one that has ended and was not destroyed yet. */
  report(record: VmRecord): Promise<VmReport>;
  /** Ends the VM and removes everything of it. A VM that is not there is success, and so is one half made. */
  destroy(name: string): Promise<void>;
  /** Takes away, or tells, what it left outside the store of VMs that have no record. Default: there is nothing of the kind. */
  sweep?(how: CollectOptions): Promise<readonly Garbage[]>;
  /** What `vm-runner doctor` tells of this host: can it run VMs? Tries things where that is possible. */
  check(images: ImageLibrary, context: Pick<CreateContext, 'log' | 'signal'>): Promise<readonly Finding[]>;
}

/** A saved guest that VMs are cloned from. Times are milliseconds since 1970. */
export interface TemplateInfo {
  readonly key: string;
  readonly memoryMiB: number;
  readonly cpus: number;
  readonly acceleration: string;
  /** Digest of the base guest that was saved. */
  readonly base: string;
  readonly madeAt: number;
  readonly usedAt: number;
  /** What it takes on the disk. */
  readonly bytes: number;
  /** VMs that were cloned from it and are still there. */
  readonly vms: number;
}

/** How long templates stay. */
export interface TemplateRules {
  /** Without a use. */
  readonly unusedMs: number;
  /** Of all of them together. Default: no limit. */
  readonly budgetBytes?: number | undefined;
}

/** The templates of this host. */
export interface Templates {
  /** Those that can be read, most recently used first. */
  list(): Promise<readonly TemplateInfo[]>;
  /** Whether there was one of that key. VMs that were cloned from it go on. */
  remove(key: string): Promise<boolean>;
  /** Looks whether the files of all templates are as they were saved, for `vm-runner doctor`. */
  verify(): Promise<readonly Finding[]>;
  /** Takes away those that the rules are against, the least recently used first; never one that a VM was cloned from. */
  prune(rules: TemplateRules, options: CollectOptions): Promise<readonly Garbage[]>;
}

/** What the stages work with on this host. Front ends open one and pass it down. */
export interface Host {
  readonly config: HostConfig;
  readonly store: Store;
  readonly processes: ProcessTable;
  /** The room for VMs. */
  readonly capacity: Capacity;
  readonly images: ImageLibrary;
  readonly templates: Templates;
  /** What new VMs are made with. */
  readonly provider: Provider;
  /** Every provider there is. */
  readonly providers: readonly Provider[];
  /** The provider of that name, which a record carries. @throws invalid-input when there is none. */
  readonly providerNamed: (name: string) => Provider;
}
