import path from 'node:path';

/** Names of prepared and imported images begin with it, so that no registry is ever asked for them. */
const LOCAL = 'local/';
const IN_FILES = /^(oci|docker-archive|rootfs):(.+)$/s;

/** A reference as a person wrote it, with its path as it is for everybody. */
export function absoluteReference(text: string, cwd: string): string {
  const [, kind, place] = IN_FILES.exec(text) ?? [];
  return kind === undefined || place === undefined ? text : `${kind}:${path.resolve(cwd, place)}`;
}

/** What an image is called that is made here: `NAME` and `local/NAME` are the same. */
export function localReference(name: string): string {
  return name.startsWith(LOCAL) ? name : `${LOCAL}${name}`;
}
