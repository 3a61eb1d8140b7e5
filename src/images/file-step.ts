import { fileError } from '../core/errors.js';

/** Waits for a file system call and turns its failure into ours. */
export async function fileStep<T>(action: string, path: string, call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (cause) {
    throw fileError(action, path, cause);
  }
}
