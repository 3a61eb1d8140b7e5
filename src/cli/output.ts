import { once } from 'node:events';

/** Writes bytes and returns when there is room for more: a slow reader slows the guest down, not our memory up. */
export async function writeThrough(stream: NodeJS.WriteStream, bytes: Uint8Array): Promise<void> {
  if (stream.destroyed || !stream.writable) return;
  if (!stream.write(bytes)) await Promise.race([once(stream, 'drain'), once(stream, 'close')]);
}

/** A table of text: columns as wide as their widest cell, the last one free. */
export function renderTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [header, ...rows];
  const widths = header.map((_, column) => Math.max(...all.map((row) => (row[column] ?? '').length)));
  return all
    .map(
      (row) =>
        row
          .map((cell, column) => cell.padEnd(widths[column] ?? 0))
          .join('   ')
          .trimEnd() + '\n',
    )
    .join('');
}
