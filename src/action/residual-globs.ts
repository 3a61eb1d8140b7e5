/** Stands for everything: the glob matched the directory itself or one above it. */
const EVERYTHING = '**';

/**
 * What is left of an absolute glob when it is looked at from a directory: the globs, relative to that directory, that match
 * the same paths below it. Seen from /w/out, `/w/out/tmp` is `tmp`, `/w/o?t/a[bc]` is `a[bc]`, and `/etc/passwd` is nothing.
 *
 * A match of a directory counts for all below it, as in GetTreeRequest of agent.proto.
 */
export function residualGlobs(glob: string, directory: string): string[] {
  return residuals(segments(glob), segments(directory));
}

function segments(path: string): string[] {
  return path.split('/').filter((part) => part !== '' && part !== '.');
}

function residuals(glob: readonly string[], directory: readonly string[]): string[] {
  const [name, ...below] = directory;
  if (name === undefined) return [glob.length === 0 ? EVERYTHING : glob.join('/')];
  const [head, ...rest] = glob;
  if (head === undefined) return [EVERYTHING];
  // `**` may stand for this directory and more, or for none at all.
  if (head === '**') return [...residuals(glob, below), ...residuals(rest, directory)];
  return segmentExpression(head).test(name) ? residuals(rest, below) : [];
}

/** One segment of a glob (`*`, `?`, `[a-z]`, `{a,b}`) as a regular expression for a whole name. */
function segmentExpression(segment: string): RegExp {
  let source = '';
  let depth = 0;
  for (const [part] of segment.matchAll(/\[[!^]?[^\]]+\]|\\.|./gsu)) {
    if (part === '*') source += '.*';
    else if (part === '?') source += '.';
    else if (part.length > 2 && part.startsWith('['))
      source += `[${part.slice(1, -1).replace(/^!/, '^').replaceAll('\\', '\\\\')}]`;
    else if (part === '{') {
      depth += 1;
      source += '(?:';
    } else if (part === '}' && depth > 0) {
      depth -= 1;
      source += ')';
    } else if (part === ',' && depth > 0) source += '|';
    else source += literal(part.length > 1 && part.startsWith('\\') ? part.slice(1) : part);
  }
  return new RegExp(`^${source}${')'.repeat(depth)}$`, 's');
}

function literal(text: string): string {
  return text.replaceAll(/[\\^$.*+?()[\]{}|/]/g, '\\$&');
}
