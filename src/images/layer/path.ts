import { LAYER_LIMITS, layerError, type LayerLimits } from './limits.js';

/** A part that is empty, `.` or `..`, or a slash at an end. */
const UNUSUAL = /(?:^|\/)\.{0,2}(?:\/|$)/;

/**
 * A path as {@link LayerEntry} has it: absolute ones are relative to the root, as are all others.
 * @throws image-invalid for `..`, a zero byte, and what is too long or too deep.
 */
export function normalPath(path: string, limits: LayerLimits = LAYER_LIMITS): string {
  if (path.length > limits.pathBytes)
    throw layerError(`layer with a path of more than ${limits.pathBytes} bytes`, path);
  if (path.includes('\0')) throw layerError('layer with a zero byte in a path', path);
  let normal = path;
  if (UNUSUAL.test(path)) {
    const parts = path.split('/').filter((part) => part !== '' && part !== '.');
    if (parts.includes('..')) throw layerError('layer with a path that leads upwards', path);
    normal = parts.join('/');
  }
  checkNames(normal, limits);
  return normal;
}

function checkNames(path: string, limits: LayerLimits): void {
  let depth = 1;
  for (let from = 0; ; depth += 1) {
    const slash = path.indexOf('/', from);
    const length = (slash === -1 ? path.length : slash) - from;
    if (length > limits.nameBytes) throw layerError(`layer with a name of more than ${limits.nameBytes} bytes`, path);
    if (slash === -1) break;
    from = slash + 1;
  }
  if (depth > limits.depth) throw layerError(`layer with directories deeper than ${limits.depth}`, path);
}
