import type { NetworkPolicy, PullPolicy, TemplatePolicy } from '../core/job.js';

/** What a job gets that says nothing itself. Absent: what vm-runner does without a host file. */
export interface JobDefaults {
  /** A reference, or a name of {@link HostConfig.images}. */
  readonly image?: string | undefined;
  readonly cpus?: number | undefined;
  readonly memoryMiB?: number | undefined;
  readonly diskMiB?: number | undefined;
  readonly network?: NetworkPolicy | undefined;
  readonly pull?: PullPolicy | undefined;
  readonly template?: TemplatePolicy | undefined;
  readonly bootTimeoutMs?: number | undefined;
}

/** An image that the operator gave a name, with what goes with it. */
export interface NamedImage extends Pick<JobDefaults, 'cpus' | 'memoryMiB' | 'diskMiB' | 'pull'> {
  readonly name: string;
  readonly reference: string;
  /** Absolute path of a script that is run once in a VM of the image; jobs get the image as it left it. */
  readonly prepare?: string | undefined;
  readonly user?: string | undefined;
}

/** The most that a job may have. Absent: no limit. */
export interface JobLimits {
  readonly cpus?: number | undefined;
  readonly memoryMiB?: number | undefined;
  readonly diskMiB?: number | undefined;
  /** Processes and threads of the job in its guest. */
  readonly pids?: number | undefined;
  readonly networks?: readonly NetworkPolicy[] | undefined;
  /** Globs of references, and names of {@link HostConfig.images}. */
  readonly images?: readonly string[] | undefined;
}

/** What all VMs of this host may have together. */
export interface CapacityLimits {
  /** Absent: no limit. */
  readonly vms?: number | undefined;
  readonly cpus?: number | undefined;
  /** Absent: what the host has, less {@link keepFreeMemoryMiB}. */
  readonly memoryMiB?: number | undefined;
  /** Of what VMs may write. Absent: only what is free is looked at. */
  readonly diskMiB?: number | undefined;
  /** Of measured memory: a VM waits that would leave less. */
  readonly keepFreeMemoryMiB: number;
  /** Of the disk of the store: VMs wait, and running ones end, before there is less. */
  readonly keepFreeDiskMiB: number;
  /** How long a job waits for room. */
  readonly waitMs: number;
}

/** What stays on this host, and how long. */
export interface KeepRules {
  /** The longest life of a VM that was asked to stay. */
  readonly vmMs: number;
  /** Logs of ended VMs: how old, how many of VMs, how much. */
  readonly logsMs: number;
  readonly logsOf: number;
  readonly logsBytes: number;
  /** Templates and images without a use for so long go. Absent: only over a budget. */
  readonly templatesMs: number;
  readonly imagesMs?: number | undefined;
}

/** What kinds of files may take of the disk before the least recently used go. Absent: no limit. */
export interface StoreBudgets {
  readonly imagesBytes?: number | undefined;
  readonly templatesBytes?: number | undefined;
  /** Downloads that are not finished. */
  readonly downloadsBytes?: number | undefined;
}

/** How container registries are reached, as the operator writes it. */
export interface RegistryConfig {
  readonly mirrors: Readonly<Record<string, readonly string[]>>;
  readonly insecure: readonly string[];
  readonly caFiles: Readonly<Record<string, string>>;
  /** Absolute path of a file as docker's `config.json`; asked before docker's own. */
  readonly credentialsFile?: string | undefined;
}

/** How QEMU is run. */
export interface QemuConfig {
  /** Name or path. Absent: `qemu-system-x86_64`. */
  readonly binary?: string | undefined;
  /** Whether each clone gets a copy of its template's memory (docs/SECURITY.md). */
  readonly isolateTemplates: boolean;
}

/** Where a setting was said. */
export interface SettingOrigin {
  /** `FILE:LINE`, or `environment NAME`. */
  readonly place: string;
  /** As it was written. */
  readonly text: string;
}

/** All that an operator decides for a host, whole and checked; what is not said has its default. */
export interface HostConfig {
  /** Absolute path of the host file that was read. */
  readonly file: string | undefined;
  readonly defaults: JobDefaults;
  readonly images: ReadonlyMap<string, NamedImage>;
  readonly limits: JobLimits;
  readonly capacity: CapacityLimits;
  readonly keep: KeepRules;
  readonly budgets: StoreBudgets;
  readonly registries: RegistryConfig;
  readonly qemu: QemuConfig;
  /** By setting: `limits.memory`. One that is not in it has its default. */
  readonly origins: ReadonlyMap<string, SettingOrigin>;
}

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/** A host without a host file. */
export const DEFAULT_HOST_CONFIG: HostConfig = {
  file: undefined,
  defaults: {},
  images: new Map(),
  limits: {},
  capacity: { keepFreeMemoryMiB: 512, keepFreeDiskMiB: 1024, waitMs: 10 * 60_000 },
  keep: { vmMs: DAY_MS, logsMs: 14 * DAY_MS, logsOf: 50, logsBytes: 256 * 2 ** 20, templatesMs: 30 * DAY_MS },
  budgets: {},
  registries: { mirrors: {}, insecure: [], caFiles: {} },
  qemu: { isolateTemplates: false },
  origins: new Map(),
};
