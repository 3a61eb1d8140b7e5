import type { StartOptions } from '../guest/program-start.js';

/**
 * Stages whose scripts are the Runner's own: with git, and what caches and artifacts need. Other executors run them in a helper
 * image. All others, unknown ones too, are the job's.
 */
const RUNNERS_OWN = new Set([
  'prepare_script',
  'get_sources',
  'clear_worktree',
  'restore_cache',
  'download_artifacts',
  'archive_cache',
  'archive_cache_on_failure',
  'upload_artifacts_on_success',
  'upload_artifacts_on_failure',
  'cleanup_file_variables',
]);

/** Where GitLab's executors look for a shell in an image, in this order: `shells/bash.go` of the Runner. */
const SHELLS = [
  '/usr/local/bin/bash',
  '/usr/bin/bash',
  '/bin/bash',
  '/usr/local/bin/sh',
  '/usr/bin/sh',
  '/bin/sh',
  '/busybox/sh',
];

/** How the script of a stage runs. */
export interface StageRoot extends Pick<StartOptions, 'root' | 'user' | 'umask' | 'entrypoint'> {
  readonly shells: readonly string[];
}

/**
 * Where the script of a stage runs: the Runner's own in the base root, as root and so that the users of all images may write
 * what it leaves; the job's in the image, by the shell that is there and through its ENTRYPOINT.
 */
export function stageRoot(stage: string): StageRoot {
  if (RUNNERS_OWN.has(stage)) return { root: 'base', user: '0', umask: 0, entrypoint: false, shells: [] };
  return { root: 'image', entrypoint: true, shells: SHELLS };
}
