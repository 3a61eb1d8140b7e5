import { describe, expect, it } from 'vitest';

import { stageRoot } from '../../src/gitlab/stage-root.js';

describe('stageRoot', () => {
  it.each([
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
  ])(
    'runs %s in the base root, where git and the rest of it is, so that any user may write what it leaves',
    (stage) => {
      expect(stageRoot(stage)).toEqual({ root: 'base', user: '0', umask: 0, entrypoint: false, shells: [] });
    },
  );

  it.each(['build_script', 'step_script', 'after_script', 'release', 'step_of_a_newer_runner', '__proto__'])(
    "runs %s in the job's image, with its shell and through its entrypoint",
    (stage) => {
      const { root, user, umask, entrypoint, shells } = stageRoot(stage);
      expect({ root, user, umask, entrypoint }).toEqual({ root: 'image', entrypoint: true });
      expect(shells[0]).toBe('/usr/local/bin/bash');
      expect(shells.at(-1)).toBe('/busybox/sh');
    },
  );
});
