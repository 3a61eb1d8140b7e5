const GAP = 3;
/** A column is not cut to less than its own name, and this. */
const LEAST_WIDTH = 6;

/**
 * A table of text: columns as wide as their widest cell, the last one free.
 * @param width of the terminal: what is wider is cut in its widest columns; without one nothing is cut
 */
export function renderTable(header: readonly string[], rows: readonly (readonly string[])[], width?: number): string {
  const all = [header, ...rows];
  const widest = header.map((_, column) => Math.max(...all.map((row) => (row[column] ?? '').length)));
  const widths = width === undefined ? widest : fitted(header, widest, width - GAP * (header.length - 1));
  return all
    .map(
      (row) =>
        row
          .map((cell, column) => cut(cell, widths[column] ?? 0).padEnd(widths[column] ?? 0))
          .join(' '.repeat(GAP))
          .trimEnd() + '\n',
    )
    .join('');
}

/** What a terminal shows in a line; `undefined` where the reader is no terminal. */
export function terminalWidth(stdout: Pick<NodeJS.WriteStream, 'isTTY' | 'columns'>): number | undefined {
  return stdout.isTTY && stdout.columns > 0 ? stdout.columns : undefined;
}

/** Takes from the widest column until all fit, or none can give more. */
function fitted(header: readonly string[], widest: readonly number[], room: number): number[] {
  const widths = [...widest];
  const least = header.map((name, column) => Math.min(widest[column] ?? 0, Math.max(name.length, LEAST_WIDTH)));
  for (let over = widths.reduce((sum, one) => sum + one, 0) - room; over > 0; over--) {
    const spare = widths.map((one, column) => (one > (least[column] ?? 0) ? one : 0));
    const column = spare.indexOf(Math.max(...spare));
    if (spare[column] === 0) break;
    widths[column] = (widths[column] ?? 0) - 1;
  }
  return widths;
}

function cut(cell: string, width: number): string {
  return cell.length <= width ? cell : `${cell.slice(0, Math.max(0, width - 1))}…`;
}
