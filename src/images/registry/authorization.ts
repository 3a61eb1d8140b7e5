import { Deadline } from '../../core/deadline.js';
import { VmRunnerError } from '../../core/errors.js';
import { jsonObject, readBody } from './body.js';
import { parseChallenge, type Challenge } from './challenge.js';
import type { Credential } from './credential.js';
import { mayBeSentTo } from './loopback.js';
import { refusal, type Asked } from './refusal.js';
import type { HttpResponse, Transport } from './transport.js';
import { shownAddress } from './transport-error.js';

export interface AuthorizationOptions {
  readonly transport: Transport;
  readonly origin: URL;
  /** Host of the registry, as people know it. */
  readonly registry: string;
  readonly repository: string;
  /** The image, for sentences. */
  readonly image: string;
  readonly insecure: readonly string[];
  /** Looked up when the registry asks for it. */
  readonly credential: (signal: AbortSignal) => Promise<Credential | undefined>;
}

interface Token {
  readonly header: string;
  /** By `performance.now()`. */
  readonly expiresAt: number;
}

const MOST_TOKEN_BYTES = 2 ** 20;
/** As the token specification has it when a registry does not say. */
const DEFAULT_EXPIRY_S = 60;
/** A token that is about to expire would do so on its way. */
const MARGIN_MS = 5000;
/** A whole token exchange. */
const EXCHANGE_MS = 60_000;

/** What one registry gets to see in `Authorization`, for one repository. */
export class Authorization {
  readonly #options: AuthorizationOptions;
  readonly #tokens = new Map<string, Promise<Token>>();
  #challenge: Challenge | undefined;
  #credential: Promise<Credential | undefined> | undefined;
  /** Where the credentials were from that were sent. */
  credentialSource: string | undefined;
  /** What was sent: should a registry say it back to us, nobody else may see it. */
  readonly secrets = new Set<string>();

  constructor(options: AuthorizationOptions) {
    this.#options = options;
  }

  /** The header to send, as far as the registry has said what it wants. */
  async header(signal: AbortSignal): Promise<string | undefined> {
    return this.#challenge === undefined ? undefined : this.#answer(this.#challenge, undefined, signal);
  }

  /**
   * The header to try after a 401.
   * @param refused the one that was sent
   * @returns `undefined` when there is nothing else to try.
   */
  async after(response: HttpResponse, refused: string | undefined, signal: AbortSignal): Promise<string | undefined> {
    const challenge = parseChallenge(response.headers['www-authenticate']);
    if (challenge === undefined) return undefined;
    this.#challenge = challenge;
    const header = await this.#answer(challenge, refused, signal);
    return header === refused ? undefined : header;
  }

  async #answer(challenge: Challenge, refused: string | undefined, signal: AbortSignal): Promise<string | undefined> {
    if (challenge.scheme === 'basic') return this.#basic(signal);
    const scope = challenge.scope ?? `repository:${this.#options.repository}:pull`;
    const key = JSON.stringify([challenge.realm, challenge.service, scope]);
    const before = this.#tokens.get(key);
    const known = await before;
    if (known !== undefined && known.header !== refused && performance.now() < known.expiresAt) return known.header;
    let token = this.#tokens.get(key);
    // Of many who have the same old token one fetches, and all get the new one.
    if (token === undefined || token === before) {
      token = this.#fetch(challenge, scope, signal);
      this.#tokens.set(key, token);
      token.catch(() => this.#tokens.delete(key));
    }
    return (await token).header;
  }

  async #basic(signal: AbortSignal): Promise<string | undefined> {
    const credential = await this.#find(signal);
    return credential?.login.kind === 'password' ? basic(credential.login) : undefined;
  }

  async #fetch(challenge: Challenge & { scheme: 'bearer' }, scope: string, signal: AbortSignal): Promise<Token> {
    const realm = this.#realm(challenge.realm);
    const credential = await this.#find(signal);
    using deadline = new Deadline(EXCHANGE_MS, () => slow(realm), signal);
    const wanted = { service: challenge.service, scope };
    const response = await this.#exchange(realm, wanted, credential, deadline.signal);
    if (response.status !== 200) throw await refusal(response, this.#asked());
    const answer = jsonObject(await readBody(response, MOST_TOKEN_BYTES));
    const token = answer?.['token'] ?? answer?.['access_token'];
    if (typeof token !== 'string' || !/^[\x21-\x7e]+$/.test(token)) {
      throw new VmRunnerError('registry-failed', 'token service gave no token', {
        subject: shownAddress(realm),
        hint: 'Tell the operator of the registry.',
      });
    }
    const seconds = answer?.['expires_in'];
    const expiry = typeof seconds === 'number' && seconds > 0 ? seconds : DEFAULT_EXPIRY_S;
    this.secrets.add(token);
    return { header: `Bearer ${token}`, expiresAt: performance.now() + Math.max(0, expiry * 1000 - MARGIN_MS) };
  }

  #exchange(
    realm: URL,
    wanted: { readonly service: string; readonly scope: string },
    credential: Credential | undefined,
    signal: AbortSignal,
  ): Promise<HttpResponse> {
    const { transport } = this.#options;
    if (credential?.login.kind === 'identity-token') {
      const form = {
        grant_type: 'refresh_token',
        client_id: 'vm-runner',
        ...wanted,
        refresh_token: credential.login.token,
      };
      const headers = { 'content-type': 'application/x-www-form-urlencoded' };
      return transport.request(realm, { method: 'POST', headers, body: new URLSearchParams(form).toString(), signal });
    }
    const url = new URL(realm);
    if (wanted.service !== '') url.searchParams.set('service', wanted.service);
    url.searchParams.set('scope', wanted.scope);
    const headers = credential === undefined ? {} : { authorization: basic(credential.login) };
    return transport.request(url, { method: 'GET', headers, signal });
  }

  #realm(text: string): URL {
    const url = URL.canParse(text) ? new URL(text) : undefined;
    const { origin, insecure } = this.#options;
    if (url !== undefined && mayBeSentTo(url, origin, insecure)) return url;
    throw new VmRunnerError('registry-failed', 'registry sends us for a token to where none is asked for', {
      subject: url === undefined ? JSON.stringify(text.slice(0, 200)) : shownAddress(url),
      hint: 'Expected an https address; plain http needs its host among the insecure registries.',
    });
  }

  async #find(signal: AbortSignal): Promise<Credential | undefined> {
    this.#credential ??= this.#options.credential(signal);
    const credential = await this.#credential;
    this.credentialSource = credential?.source;
    for (const secret of credential === undefined ? [] : secretsOf(credential)) this.secrets.add(secret);
    return credential;
  }

  #asked(): Asked {
    const { registry, image: subject } = this.#options;
    const { credentialSource, secrets } = this;
    return { subject, what: 'token', registry, credentialSource, secrets };
  }
}

function slow(realm: URL): VmRunnerError {
  return new VmRunnerError('registry-failed', `no token within ${EXCHANGE_MS / 1000} s`, {
    subject: shownAddress(realm),
  });
}

function secretsOf({ login }: Credential): string[] {
  if (login.kind === 'identity-token') return [login.token];
  return [basic(login).slice('Basic '.length), login.password].filter((secret) => secret !== '');
}

function basic(login: { readonly username: string; readonly password: string }): string {
  return `Basic ${Buffer.from(`${login.username}:${login.password}`).toString('base64')}`;
}
