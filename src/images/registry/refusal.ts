import { VmRunnerError } from '../../core/errors.js';
import { printable } from '../../core/printable.js';
import { formatDuration } from '../../core/units.js';
import { jsonObject, readBody } from './body.js';
import { Transient } from './transient.js';
import type { HttpResponse } from './transport.js';
import { shownAddress } from './transport-error.js';

/** What was asked for, for the sentence. */
export interface Asked {
  /** `docker.io/library/node:22`, or an address. */
  readonly subject: string;
  readonly what: 'manifest' | 'blob' | 'token';
  readonly registry: string;
  /** Where the credentials were from that came along; `undefined`: none did. */
  readonly credentialSource: string | undefined;
  /** What must not be repeated, whoever says it. */
  readonly secrets: ReadonlySet<string>;
}

const MOST_BODY_BYTES = 64 * 2 ** 10;
const MOST_WORDS = 300;
/** A registry that wants to be left alone for longer is not waited for. */
const LONGEST_WAIT_MS = 60_000;

/** An answer that is no success as ours: {@link Transient} when another try may help. Reads or gives up the body. */
export async function refusal(response: HttpResponse, asked: Asked): Promise<Error> {
  const { status } = response;
  const said = await words(response, asked.secrets);
  const quote = said.text === '' ? '' : ` (${said.text})`;
  if (status === 429) return tooMany(response, asked, quote);
  if (status === 408 || status >= 500) {
    return new Transient(
      failed(asked, `registry has a problem of its own: status ${status}${quote}`, 'Try again later.'),
    );
  }
  if (status === 401 || status === 403) {
    return new VmRunnerError('image-unavailable', `no access to the image, or there is none${quote}`, {
      subject: asked.subject,
      hint: credentialHint(asked),
    });
  }
  if (status === 404 && asked.what === 'manifest') {
    const isTag = said.codes.includes('MANIFEST_UNKNOWN');
    return new VmRunnerError('image-unavailable', isTag ? 'no such tag or digest' : 'no such image', {
      subject: asked.subject,
      hint: `The registry said${quote === '' ? ' status 404' : quote}. Check the name${isTag ? ' and the tag' : ''}.`,
    });
  }
  if (status === 404 && asked.what === 'blob') {
    return failed(asked, `registry lacks a part of the image${quote}`, 'The image must be pushed again.');
  }
  return failed(
    asked,
    `registry gave an unexpected answer: status ${status}${quote}`,
    `It came from ${shownAddress(response.url)}.`,
  );
}

function tooMany(response: HttpResponse, asked: Asked, quote: string): Error {
  const afterMs = retryAfter(response.headers['retry-after']);
  const when = afterMs === undefined ? 'later' : `in ${formatDuration(afterMs)}`;
  const login = asked.credentialSource === undefined ? ', or give credentials: limits are higher then' : '';
  const error = failed(
    asked,
    `registry takes no more requests from here for now${quote}`,
    `Come back ${when}${login}.`,
  );
  // Without a word about when, the limit is one of hours.
  return afterMs === undefined || afterMs > LONGEST_WAIT_MS ? error : new Transient(error, afterMs);
}

/** Milliseconds from `Retry-After`: seconds or a date (RFC 9110 §10.2.3). */
function retryAfter(header: string | undefined): number | undefined {
  if (header === undefined) return undefined;
  if (/^\d{1,9}$/.test(header)) return Number(header) * 1000;
  const date = Date.parse(header);
  return Number.isNaN(date) ? undefined : Math.max(0, date - Date.now());
}

function credentialHint({ credentialSource, registry }: Asked): string {
  return credentialSource === undefined
    ? `No credentials for ${registry} were given; check the name, or give some.`
    : `The credentials were from ${credentialSource}; check them and the name.`;
}

function failed(asked: Asked, reason: string, hint: string): VmRunnerError {
  return new VmRunnerError('registry-failed', reason, { subject: asked.subject, hint });
}

/** What the registry said: the codes and messages of the specification's error body, made harmless. */
async function words(
  response: HttpResponse,
  secrets: ReadonlySet<string>,
): Promise<{ codes: readonly string[]; text: string }> {
  let body: Readonly<Record<string, unknown>> | undefined;
  try {
    body = jsonObject(await readBody(response, MOST_BODY_BYTES));
  } catch {
    // The status alone says enough.
  }
  const list: readonly unknown[] = Array.isArray(body?.['errors']) ? body['errors'] : [];
  const errors = list.filter((entry) => typeof entry === 'object' && entry !== null) as Record<string, unknown>[];
  const strings = (key: string): string[] =>
    errors.map((error) => error[key]).filter((value): value is string => typeof value === 'string');
  const plain = [body?.['details'], body?.['message']].filter((value): value is string => typeof value === 'string');
  const said = printable([...strings('message'), ...plain].join('; '))
    .replaceAll(/\s+/g, ' ')
    .trim();
  const text = [...secrets].reduce((rest, secret) => rest.replaceAll(secret, '[secret]'), said);
  return { codes: strings('code'), text: text.slice(0, MOST_WORDS) };
}
