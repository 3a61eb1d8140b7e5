import { VmRunnerError } from '../../core/errors.js';
import type { Authorization } from './authorization.js';
import { isLoopback, mayBeSentTo } from './loopback.js';
import { refusal, type Asked } from './refusal.js';
import type { SourceAddress } from './sources.js';
import type { HttpResponse, Transport } from './transport.js';
import { shownAddress } from './transport-error.js';

/** What is read of a repository, by tag or digest. */
export interface Wanted {
  readonly kind: 'manifests' | 'blobs';
  readonly name: string;
  readonly method?: 'GET' | 'HEAD';
  readonly headers?: Readonly<Record<string, string>>;
}

const MOST_REDIRECTS = 5;
const REDIRECTS: readonly number[] = [301, 302, 303, 307, 308];

/** A repository at one place, read with what that place wants to see. */
export class Source {
  readonly address: SourceAddress;
  readonly #transport: Transport;
  readonly #authorization: Authorization;
  readonly #insecure: readonly string[];
  /** The image, for sentences. */
  readonly #image: string;

  constructor(options: {
    readonly address: SourceAddress;
    readonly transport: Transport;
    readonly authorization: Authorization;
    readonly insecure: readonly string[];
    readonly image: string;
  }) {
    this.address = options.address;
    this.#transport = options.transport;
    this.#authorization = options.authorization;
    this.#insecure = options.insecure;
    this.#image = options.image;
  }

  /** The answer, which is 200 or 206. @throws Transient, or what is for good. */
  async get(wanted: Wanted, signal: AbortSignal): Promise<HttpResponse> {
    const url = this.#url(wanted);
    const header = await this.#authorization.header(signal);
    let response = await this.#follow(url, wanted, header, signal);
    if (response.status === 401 && response.url.origin === url.origin) {
      const other = await this.#authorization.after(response, header, signal);
      if (other !== undefined) {
        response.discard();
        response = await this.#follow(url, wanted, other, signal);
      }
    }
    if (response.status === 200 || response.status === 206) return response;
    throw await refusal(response, this.#asked(wanted));
  }

  /** Content from an address that the manifest names besides its registry; that sees nothing of ours. */
  async getElsewhere(
    address: string,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<HttpResponse> {
    const wanted: Wanted = { kind: 'blobs', name: '', headers };
    const url = this.#target(address, this.address.origin);
    const response = await this.#follow(url, wanted, undefined, signal);
    if (response.status === 200 || response.status === 206) return response;
    throw await refusal(response, { ...this.#asked(wanted), registry: url.host, credentialSource: undefined });
  }

  close(): void {
    this.#transport.close();
  }

  /** Goes after redirects. What the registry may see, no other host may: most are storage with signed addresses. */
  async #follow(
    first: URL,
    wanted: Wanted,
    authorization: string | undefined,
    signal: AbortSignal,
  ): Promise<HttpResponse> {
    let url = first;
    for (let hops = 0; ; hops += 1) {
      const own = authorization !== undefined && url.origin === first.origin ? { authorization } : {};
      const headers = { 'user-agent': 'vm-runner', ...wanted.headers, ...own };
      const response = await this.#transport.request(url, { method: wanted.method ?? 'GET', headers, signal });
      const { location } = response.headers;
      if (!REDIRECTS.includes(response.status) || location === undefined) return response;
      response.discard();
      url = this.#target(location, url);
      if (hops === MOST_REDIRECTS) throw this.#wrongRedirect('registry sends us in circles', url);
    }
  }

  #target(location: string, from: URL): URL {
    if (URL.canParse(location, from.href)) {
      const url = new URL(location, from);
      if (mayBeSentTo(url, from, this.#insecure)) return url;
      // Without TLS on the way here nothing is lost by going on without.
      if (url.protocol === 'http:' && from.protocol === 'http:' && !isLoopback(url.hostname)) return url;
    }
    throw this.#wrongRedirect('registry sends us to an address that is not safe', from);
  }

  #wrongRedirect(reason: string, url: URL): VmRunnerError {
    return new VmRunnerError('registry-failed', reason, {
      subject: shownAddress(url),
      hint: 'Tell the operator of the registry.',
    });
  }

  #url({ kind, name }: Wanted): URL {
    const { origin, repository, mirrorOf } = this.address;
    const url = new URL(`/v2/${repository}/${kind}/${name}`, origin);
    if (mirrorOf !== undefined) url.searchParams.set('ns', mirrorOf);
    return url;
  }

  #asked({ kind }: Wanted): Asked {
    return {
      subject: this.#image,
      what: kind === 'blobs' ? 'blob' : 'manifest',
      registry: this.address.host,
      credentialSource: this.#authorization.credentialSource,
      secrets: this.#authorization.secrets,
    };
  }
}
