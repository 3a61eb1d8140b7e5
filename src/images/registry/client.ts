import { abortReason } from '../../core/deadline.js';
import { VmRunnerError } from '../../core/errors.js';
import type { Log } from '../../core/log.js';
import { canonicalName, type RegistryReference } from '../reference.js';
import { Authorization } from './authorization.js';
import { findCredential } from './credentials.js';
import type { RegistryOptions } from './options.js';
import { Source, type Wanted } from './source.js';
import { sourceAddresses } from './sources.js';
import { DEFAULT_RETRY, Transient, type RetryOptions } from './transient.js';
import { DEFAULT_TIMEOUTS, Transport, type HttpResponse, type Timeouts } from './transport.js';

/** Patience with registries; only tests have less. */
export interface Patience {
  readonly timeouts: Timeouts;
  readonly retry: RetryOptions;
}

export const DEFAULT_PATIENCE: Patience = { timeouts: DEFAULT_TIMEOUTS, retry: DEFAULT_RETRY };

export interface Answer extends HttpResponse {
  readonly source: Source;
}

/** One repository, read from the first of its sources that has what is wanted. To be closed. */
export class RegistryClient {
  readonly #log: Log;
  /** Mirrors that failed are left out from then on. */
  #sources: readonly Source[];
  readonly #all: readonly Source[];

  constructor(
    reference: RegistryReference,
    options: RegistryOptions,
    context: { readonly log: Log; readonly patience: Patience },
  ) {
    this.#log = context.log;
    const image = canonicalName(reference);
    this.#all = sourceAddresses(reference, options).map((address) => {
      const { host, repository } = address;
      const transport = new Transport({
        proxy: options.proxy,
        caFile: options.caFiles[host],
        timeouts: context.patience.timeouts,
      });
      const authorization = new Authorization({
        transport,
        origin: address.origin,
        registry: host,
        repository,
        image,
        insecure: options.insecure,
        credential: (signal) => findCredential(options.credentials, `${host}/${repository}`, signal),
      });
      return new Source({ address, transport, authorization, insecure: options.insecure, image });
    });
    this.#sources = this.#all;
  }

  /** @throws Transient, or what is for good: always the error of the registry itself. */
  async get(wanted: Wanted, signal: AbortSignal): Promise<Answer> {
    for (;;) {
      const [source] = this.#sources;
      if (source === undefined) throw new Error('a client has no source left');
      try {
        return { ...(await source.get(wanted, signal)), source };
      } catch (error) {
        if (signal.aborted) throw abortReason(signal);
        const reason = error instanceof Transient ? error.error.message : (error as Error).message;
        if (!this.distrust(source, reason)) throw error;
      }
    }
  }

  /** Content that is at an address of its own, by the way that leads to the registry. */
  async getElsewhere(address: string, headers: Readonly<Record<string, string>>, signal: AbortSignal): Promise<Answer> {
    const source = this.#all.at(-1);
    if (source === undefined) throw new Error('a client has no source');
    return { ...(await source.getElsewhere(address, headers, signal)), source };
  }

  /**
   * What to make of an answer that went wrong after it had begun: a mirror is left out and the next source asked.
   * @returns what to throw
   */
  afterAnswer(source: Source, error: unknown): unknown {
    const ours = error instanceof Transient ? error.error : error;
    if (!(ours instanceof VmRunnerError) || ours.code !== 'registry-failed') return error;
    return this.distrust(source, ours.reason) ? new Transient(ours) : error;
  }

  /** Leaves a mirror out for the rest. @returns false for the registry itself: there is nobody else to ask. */
  distrust(source: Source, reason: string): boolean {
    if (source.address.mirrorOf === undefined) return false;
    if (this.#sources.includes(source)) {
      this.#sources = this.#sources.filter((other) => other !== source);
      this.#log.warn(`mirror ${source.address.host} of ${source.address.mirrorOf} is left out: ${reason}`);
    }
    return true;
  }

  close(): void {
    for (const source of this.#all) source.close();
  }
}
