/** What a VM can reach: nothing, or everything the host can (with the host itself). */
export type NetworkPolicy = 'none' | 'open';

export const NETWORK_POLICIES: readonly NetworkPolicy[] = ['none', 'open'];

/** When an image is looked for in its registry: always, when it is not on this host, or never. */
export type PullPolicy = 'always' | 'if-not-present' | 'never';

export const PULL_POLICIES: readonly PullPolicy[] = ['always', 'if-not-present', 'never'];

/**
 * Whether a VM starts from a template. `auto`: when that works here, else it boots; `always`: else it fails; `never`: it
 * boots, and no template is made.
 */
export type TemplatePolicy = 'auto' | 'always' | 'never';

export const TEMPLATE_POLICIES: readonly TemplatePolicy[] = ['auto', 'always', 'never'];

/** What a job asks of its VM. */
export interface VmRequest {
  /** Image reference. */
  readonly image: string;
  /** Default: `if-not-present`. */
  readonly pull?: PullPolicy | undefined;
  /** Default: `auto`. */
  readonly template?: TemplatePolicy | undefined;
  /** Virtual processors. Default: 1 under software emulation, 2 with hardware acceleration. */
  readonly cpus: number | undefined;
  readonly memoryMiB: number;
  /** The most that the VM's own disk may take of the host's, in MiB. Default: {@link DEFAULT_DISK_MIB}. */
  readonly diskMiB?: number | undefined;
  readonly network: NetworkPolicy;
}

/** A directory of the VM's own disk that both roots have under the same path. */
export interface SharedDirectory {
  readonly path: string;
  /** Permission bits. Default: 0755. */
  readonly mode?: number;
  /** `name`, `uid`, `name:group` or `uid:gid` of the image. Default: root. */
  readonly owner?: string | undefined;
}

/** What a job asks of the root of its image. */
export interface RootRequest {
  /** Takes the place of the image's own ENTRYPOINT; its CMD does not count then. */
  readonly entrypoint?: readonly string[] | undefined;
  /** Takes the place of the image's own USER. */
  readonly user?: string | undefined;
  readonly shared?: readonly SharedDirectory[];
  /** A shared directory that belongs to the user whom the job's programs run as. */
  readonly workspace?: string | undefined;
  /** The image's own init and its arguments, as process 1 of what the job sees. Default: one that only reaps. */
  readonly init?: readonly string[] | undefined;
  /** Most processes and threads of the job together. Default: as many as the guest's kernel allows. */
  readonly pids?: number | undefined;
  /** Whether what the job changes becomes a layer. */
  readonly keepsChanges?: boolean;
}

export const DEFAULT_IMAGE = 'default';
export const DEFAULT_MEMORY_MIB = 2048;
export const DEFAULT_DISK_MIB = 16 * 1024;
/** How long a VM may take from the start of its process to the first answer of its agent. */
export const DEFAULT_BOOT_TIMEOUT_MS = 120_000;

/** What runs in the guest. */
export type Program =
  | { readonly kind: 'argv'; readonly argv: readonly string[] }
  /** A script: run by its `#!` line, else `bash -e`, else `sh -e`. */
  | {
      readonly kind: 'script';
      readonly content: Uint8Array;
      readonly args: readonly string[];
      /** Absolute paths of programs to run it with instead: the first that is there. */
      readonly shells?: readonly string[] | undefined;
    };

/** What one message to the agent holds, less what else is in it. */
export const MOST_SCRIPT_BYTES = 4 * 2 ** 20 - 2 ** 16;

/** How it ended: with a code, or by a signal (`code` is 0 then). */
export interface ExitStatus {
  readonly code: number;
  /** Linux signal number; 0 when the program exited by itself. */
  readonly signal: number;
}

/** The one number that shells make of it: 128+n for a signal. */
export function shellExitCode(status: ExitStatus): number {
  return status.signal === 0 ? status.code : 128 + status.signal;
}
