import type * as core from '@actions/core';

/**
 * The part of `@actions/core` that the action speaks to the runner with. Handed down from the entries, so that a test can
 * listen to it.
 */
export type Runner = Pick<
  typeof core,
  | 'addPath'
  | 'debug'
  | 'endGroup'
  | 'error'
  | 'getInput'
  | 'getState'
  | 'info'
  | 'saveState'
  | 'setOutput'
  | 'startGroup'
  | 'summary'
  | 'warning'
>;
