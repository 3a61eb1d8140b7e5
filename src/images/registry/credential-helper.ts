import { VmRunnerError } from '../../core/errors.js';
import { tryProgram } from '../../process/run.js';
import type { Credential } from './credential.js';
import type { CredentialHelpers } from './options.js';

const TIMEOUT_MS = 30_000;
/** The user name by which helpers say that the secret is an identity token. */
const TOKEN_USER = '<token>';

/**
 * Asks a credential helper of Docker for a server's credential: the name on its standard input, JSON on its output. What it
 * prints is never repeated, it may be a secret.
 * @returns `undefined` when the helper knows none.
 */
export async function askHelper(
  helper: string,
  server: string,
  options: { readonly env: CredentialHelpers; readonly signal: AbortSignal },
): Promise<Credential | undefined> {
  const program = `docker-credential-${helper}`;
  if (!/^[\w.-]+$/.test(helper)) {
    throw new VmRunnerError('invalid-input', 'not the name of a credential helper', {
      subject: JSON.stringify(helper),
    });
  }
  const { exitCode, stdout } = await tryProgram([program, 'get'], {
    env: options.env,
    input: server,
    timeoutMs: TIMEOUT_MS,
    signal: options.signal,
    installHint: 'Install it, or take it out of the credentials file.',
  });
  if (exitCode !== 0) {
    if (/credentials not found/i.test(stdout)) return undefined;
    throw new VmRunnerError('host-tool-failed', `credential helper ended with exit code ${exitCode}`, {
      subject: program,
      hint: `Try it: echo ${server} | ${program} get`,
    });
  }
  const login = parseAnswer(stdout);
  if (login === undefined) {
    throw new VmRunnerError('host-tool-failed', 'credential helper did not answer as one does', {
      subject: program,
      hint: 'Expected a JSON object with Username and Secret.',
    });
  }
  return { source: program, login };
}

function parseAnswer(text: string): Credential['login'] | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  const { Username: username, Secret: secret } = (value ?? {}) as { Username?: unknown; Secret?: unknown };
  if (typeof username !== 'string' || typeof secret !== 'string') return undefined;
  if (username === TOKEN_USER) return { kind: 'identity-token', token: secret };
  return { kind: 'password', username, password: secret };
}
