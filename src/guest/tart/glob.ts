import { VmRunnerError } from '../../core/errors.js';

/** What the globs want: the same rules as in our own agent, which evaluates them in the guest. */
export class Globs {
  readonly #include: readonly RegExp[];
  readonly #exclude: readonly RegExp[];

  /** One that starts with `!` leaves out, wherever it stands. None that brings anything: everything. */
  constructor(include: readonly string[], exclude: readonly string[]) {
    const isNegated = (glob: string): boolean => glob.startsWith('!');
    this.#include = include.filter((glob) => !isNegated(glob)).map(globExpression);
    const out = [...exclude, ...include.filter(isNegated)];
    this.#exclude = out.map((glob) => globExpression(isNegated(glob) ? glob.slice(1) : glob));
  }

  /** Whether a path is wanted, itself or because a directory above it is. */
  wants(path: string): boolean {
    const parts = path.split('/');
    const line = parts.map((_, index) => parts.slice(0, index + 1).join('/'));
    if (line.some((part) => this.#exclude.some((glob) => glob.test(part)))) return false;
    return this.#include.length === 0 || line.some((part) => this.#include.some((glob) => glob.test(part)));
  }
}

/** @throws guest-request-refused when it is none, or leads out of its directory. */
export function globExpression(glob: string): RegExp {
  const refused = (why: string): VmRunnerError =>
    new VmRunnerError('guest-request-refused', why, { subject: JSON.stringify(glob) });
  const trimmed = glob.replace(/^(\.\/)+/, '').replace(/\/+$/, '');
  if (glob.startsWith('/')) throw refused('the glob is absolute');
  if (trimmed === '') throw refused('the glob is empty');
  if (trimmed.split('/').includes('..')) throw refused('the glob leaves the directory');
  let source = '';
  let braces = 0;
  for (let at = 0; at < trimmed.length;) {
    const rest = trimmed.slice(at);
    const [token, expression] = nextToken(rest, at === 0 || '/{,'.includes(trimmed[at - 1] ?? ''), braces > 0);
    if (expression === undefined) throw refused('the glob is broken');
    if (token === '{') braces += 1;
    if (token === '}') braces -= 1;
    if (braces < 0) throw refused('a } is not opened in the glob');
    source += expression;
    at += token.length;
  }
  if (braces > 0) throw refused('a { is not closed in the glob');
  return new RegExp(`^(?:${source})$`, 'su');
}

/** The first token of a glob and the expression for it; `undefined` when it is broken. */
function nextToken(rest: string, startsPart: boolean, inBraces: boolean): readonly [string, string | undefined] {
  if (startsPart && rest.startsWith('**/')) return ['**/', '(?:[^/]+/)*'];
  if (startsPart && /^\*\*(?=$|[,}])/.test(rest)) return ['**', '.*'];
  const stars = /^\*+/.exec(rest)?.[0];
  if (stars !== undefined) return [stars, '[^/]*'];
  const set = /^\[([!^]?)(\]?[^\]]*)\]/.exec(rest);
  if (set !== null) return [set[0], setExpression(set[1] !== '', set[2] ?? '')];
  const [first = ''] = rest;
  switch (first) {
    case '?':
      return ['?', '[^/]'];
    case '[':
      return ['[', undefined];
    case '\\':
      return rest.length < 2 ? ['\\', undefined] : [`\\${[...rest][1] ?? ''}`, escape([...rest][1] ?? '')];
    case '{':
      return ['{', '(?:'];
    case '}':
      return ['}', ')'];
    case ',':
      return [',', inBraces ? '|' : ','];
    default:
      return [first, escape(first)];
  }
}

function setExpression(isNegated: boolean, members: string): string | undefined {
  if (members === '') return undefined;
  const inner = members.replaceAll(/[\\\][^&]/g, '\\$&').replaceAll(/^-|-$/g, '\\-');
  try {
    new RegExp(`[${inner}]`, 'u');
  } catch {
    return undefined;
  }
  return isNegated ? `(?!/)[^${inner}]` : `(?!/)[${inner}]`;
}

function escape(character: string): string {
  return character.replaceAll(/[\\^$.*+?()[\]{}|/-]/g, '\\$&');
}
