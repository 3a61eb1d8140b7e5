import path from 'node:path';

import type { HostConfig } from '../config/host-config.js';
import { combineInputErrors, toVmRunnerError, type VmRunnerError } from '../core/errors.js';
import { parseReference } from '../images/reference.js';
import { refusedImage } from '../stages/order.js';

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

/**
 * The references of images that shall be brought here: names of the host file are what they stand for.
 * @throws invalid-input or not-allowed that names all that are wrong, or not allowed on this host.
 */
export function allowedReferences(names: readonly string[], cwd: string, config: HostConfig): readonly string[] {
  const mistakes: VmRunnerError[] = [];
  const references = names.map((name) => {
    const named = config.images.get(name);
    const before = mistakes.length;
    const reference = named?.reference ?? readReference(name, cwd, mistakes);
    if (mistakes.length === before) mistakes.push(...refusedImage(named?.name ?? reference, config));
    return reference;
  });
  const error = combineInputErrors(mistakes);
  if (error !== undefined) throw error;
  return references;
}

/** Whether a reference names files of this host. */
export function isInFiles(reference: string): boolean {
  return IN_FILES.test(reference);
}

/** What an image is called that is made here: `NAME` and `local/NAME` are the same. */
export function localReference(name: string): string {
  return name.startsWith(LOCAL) ? name : `${LOCAL}${name}`;
}
