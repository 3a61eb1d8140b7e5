import { toVmRunnerError, VmRunnerError } from '../core/errors.js';
import { cleanupStage } from './cleanup.js';
import { configStage } from './config.js';
import { parseExitCodes } from './env.js';
import { DEFAULT_EXIT_CODES, finish, type ExitCodes, type Outcome } from './exit-code.js';
import { HELP } from './help.js';
import { driverLog, reportError } from './log.js';
import { prepareStage } from './prepare.js';
import { runStage } from './run.js';
import type { World } from './world.js';

type Stage = (args: readonly string[], world: World) => Promise<Outcome>;

const STAGES: ReadonlyMap<string, Stage> = new Map([
  ['config', configStage],
  ['prepare', prepareStage],
  ['run', runStage],
  ['cleanup', cleanupStage],
]);

/** Makes one driver call of the Runner's custom executor, and returns its exit code. Never throws. */
export async function main(world: World): Promise<number> {
  const [name, ...args] = world.args;
  if (world.args.includes('--help') || world.args.includes('-h')) {
    world.stdout.write(HELP);
    return 0;
  }
  let codes: ExitCodes = DEFAULT_EXIT_CODES;
  let outcome: Outcome;
  try {
    codes = parseExitCodes(world.env);
    outcome = await stageNamed(name)(args, world);
  } catch (thrown) {
    const error = toVmRunnerError(thrown);
    reportError(world.stderr, error, thrown);
    outcome = { kind: 'error', error };
  }
  return await finish(outcome, codes, driverLog(world.stderr));
}

function stageNamed(name: string | undefined): Stage {
  const stage = STAGES.get(name ?? '');
  if (stage !== undefined) return stage;
  throw new VmRunnerError('invalid-input', name === undefined ? 'no stage was named' : 'unknown stage', {
    ...(name === undefined ? {} : { subject: name }),
    hint: `Start one of the programs in executors/gitlab: ${[...STAGES.keys()].join(', ')}.`,
  });
}
