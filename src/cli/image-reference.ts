import path from 'node:path';

import { toVmRunnerError, type VmRunnerError } from '../core/errors.js';
import { parseReference } from '../images/reference.js';

/** Names of prepared and imported images begin with it, so that no registry is ever asked for them. */
const LOCAL = 'local/';
const IN_FILES = /^(oci|docker-archive|rootfs):(.+)$/s;

/** A reference as a person wrote it, with its path as it is for everybody. */
export function absoluteReference(text: string, cwd: string): string {
  const [, kind, place] = IN_FILES.exec(text) ?? [];
  return kind === undefined || place === undefined ? text : `${kind}:${path.resolve(cwd, place)}`;
}

/** The reference that was given; adds what is wrong with it to `mistakes`. */
export function readReference(text: string, cwd: string, mistakes: VmRunnerError[]): string {
  const reference = absoluteReference(text, cwd);
  try {
    parseReference(reference);
  } catch (error) {
    mistakes.push(toVmRunnerError(error));
  }
  return reference;
}

/** What an image is called that is made here: `NAME` and `local/NAME` are the same. */
export function localReference(name: string): string {
  return name.startsWith(LOCAL) ? name : `${LOCAL}${name}`;
}
