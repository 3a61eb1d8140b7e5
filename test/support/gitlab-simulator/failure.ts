import { readFile } from 'node:fs/promises';

import type { DriverCall } from './driver-call.js';

export const BUILD_FAILURE_EXIT_CODE = 1;
export const SYSTEM_FAILURE_EXIT_CODE = 2;

/** The script's or the author's fault: never tried again. */
export class BuildFailure extends Error {
  readonly exitCode: number;

  constructor(exitCode: number) {
    super(`exit status ${exitCode}`);
    this.exitCode = exitCode;
  }
}

/** The Runner's or the driver's fault. */
export class SystemFailure extends Error {}

/** What the Runner makes of the end of a driver call (executors/custom/command/command.go). */
export async function failureOf(call: DriverCall, exitCodeFile: string): Promise<Error | undefined> {
  switch (call.exitCode) {
    case 0:
      return undefined;
    case BUILD_FAILURE_EXIT_CODE:
      return await buildFailure(exitCodeFile);
    case SYSTEM_FAILURE_EXIT_CODE:
      return new SystemFailure(`exit status ${SYSTEM_FAILURE_EXIT_CODE}`);
    default:
      return unknownFailure(call.exitCode ?? -1);
  }
}

/** The file is never cleared: what an earlier call wrote counts as well. */
async function buildFailure(exitCodeFile: string): Promise<Error> {
  let text: string;
  try {
    text = await readFile(exitCodeFile, 'utf8');
  } catch {
    return new BuildFailure(BUILD_FAILURE_EXIT_CODE);
  }
  const [firstLine = ''] = text.split('\n');
  return /^[+-]?\d+$/.test(firstLine) ? new BuildFailure(Number(firstLine)) : unknownFailure(SYSTEM_FAILURE_EXIT_CODE);
}

function unknownFailure(exitCode: number): SystemFailure {
  return new SystemFailure(
    `unknown Custom executor executable exit code ${exitCode}; executable execution terminated with: exit status ${exitCode}`,
  );
}
