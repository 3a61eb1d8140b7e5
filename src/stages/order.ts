import type { HostConfig, NamedImage } from '../config/host-config.js';
import {
  allowedNetwork,
  lowered,
  notAllowed,
  placeOfLimit,
  refusedWishes,
  type LimitedWishes,
} from '../config/limits.js';
import { combineInputErrors, type VmRunnerError } from '../core/errors.js';
import {
  DEFAULT_BOOT_TIMEOUT_MS,
  DEFAULT_DISK_MIB,
  DEFAULT_IMAGE,
  DEFAULT_MEMORY_MIB,
  type PullPolicy,
  type TemplatePolicy,
  type VmRequest,
} from '../core/job.js';
import { globMeans } from '../images/allow-list.js';
import { parseReference } from '../images/reference.js';

/** What a job, or who runs it, says of its VM. What is absent is left to the host file. */
export interface VmWishes extends LimitedWishes {
  /** A reference that can be read, or a name of the host file. */
  readonly image?: string | undefined;
  readonly pull?: PullPolicy | undefined;
  readonly template?: TemplatePolicy | undefined;
  readonly bootTimeoutMs?: number | undefined;
}

/** What the job gets. */
export interface VmOrder {
  readonly vm: VmRequest;
  readonly bootTimeoutMs: number;
  /** The image of the host file that it is, when it is one: `vm.image` is what that stands for. */
  readonly named: NamedImage | undefined;
  /** Whom jobs run as that say nothing; `undefined`: whom the image says. */
  readonly user: string | undefined;
  /** `undefined`: no limit. */
  readonly pids: number | undefined;
}

/** The most that a provider gives to those who ask for no number. */
const MOST_DEFAULT_CPUS = 2;

/**
 * Puts together what is wished, what the host file says, and the defaults.
 * @throws not-allowed that names every limit which the wishes are over.
 */
export function orderVm(config: HostConfig, wishes: VmWishes): VmOrder {
  const { defaults, limits } = config;
  const image = wishes.image ?? defaults.image ?? DEFAULT_IMAGE;
  const named = config.images.get(image);
  const refused = refusedWishes(wishes, config);
  // What the operator made the default needs no leave.
  if (wishes.image !== undefined || defaults.image === undefined) refused.push(...refusedImage(image, config));
  const error = combineInputErrors(refused);
  if (error !== undefined) throw error;
  const ownCpus = named?.cpus ?? defaults.cpus;
  const isOverLimit = limits.cpus !== undefined && limits.cpus < (ownCpus ?? MOST_DEFAULT_CPUS);
  return {
    vm: {
      image: named?.reference ?? image,
      pull: wishes.pull ?? named?.pull ?? defaults.pull,
      template: wishes.template ?? defaults.template,
      cpus: wishes.cpus ?? (isOverLimit ? limits.cpus : ownCpus),
      memoryMiB:
        wishes.memoryMiB ?? lowered(named?.memoryMiB ?? defaults.memoryMiB ?? DEFAULT_MEMORY_MIB, limits.memoryMiB),
      diskMiB: wishes.diskMiB ?? lowered(named?.diskMiB ?? defaults.diskMiB ?? DEFAULT_DISK_MIB, limits.diskMiB),
      network: wishes.network ?? allowedNetwork(defaults.network ?? 'open', limits),
    },
    bootTimeoutMs: wishes.bootTimeoutMs ?? defaults.bootTimeoutMs ?? DEFAULT_BOOT_TIMEOUT_MS,
    named,
    user: named?.user,
    pids: limits.pids,
  };
}

/**
 * One not-allowed error when this host does not allow an image, else none.
 * @param image a reference that can be read, or a name of the host file
 */
export function refusedImage(image: string, config: HostConfig): VmRunnerError[] {
  const allowed = config.limits.images;
  if (allowed === undefined) return [];
  const named = config.images.get(image);
  const reference = parseReference(named?.reference ?? image);
  // An entry that is a name of the host file means that image alone, and not what else is called so elsewhere.
  const isAllowed = allowed.some((entry) =>
    config.images.has(entry) ? entry === named?.name : globMeans(entry, reference),
  );
  if (isAllowed) return [];
  const hint = `Allowed: ${allowed.join(', ') || 'none at all'}: ${placeOfLimit('images', config)}.`;
  return [notAllowed('image is not allowed on this host', image, hint)];
}
