/**
 * Text that may come from a guest (file names, consoles, error messages) so that the runner prints it and obeys none of it.
 *
 * The runner takes a line for a command when it starts with `::`, or has `##[` anywhere.[1] Both are broken with a space:
 * what a person reads stays the same.
 *
 * [1] actions/runner, src/Runner.Common/ActionCommand.cs
 */
export function inert(text: string): string {
  return text
    .replaceAll(/\r\n?|[\u2028\u2029\v\f]/g, '\n')
    .replaceAll(/^(\s*):(?=:)/gm, '$1: ')
    .replaceAll('##[', '## [');
}
