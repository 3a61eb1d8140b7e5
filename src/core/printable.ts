/**
 * Text that may come from a guest, for a terminal or a log of the host: without the control characters that would move the
 * cursor, change colours or titles, or turn the reading direction. Line ends and tabs stay.
 */
export function printable(text: string): string {
  return text
    .replaceAll(/\x1b(?:\[[0-9;?]*[a-zA-Z]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[()][0-9A-B]|c)/g, '')
    .replaceAll(/[^\P{Cc}\n\t]|\p{Cf}/gu, '');
}
