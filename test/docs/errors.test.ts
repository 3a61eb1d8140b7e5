import path from 'node:path';

import { format } from 'prettier';
import { describe, expect, it } from 'vitest';

import { ERROR_CODES, ERROR_KINDS, type Blame, type ErrorCode } from '../../src/core/error-codes.js';

const PAGE = path.resolve(import.meta.dirname, '../../docs/ERRORS.md');

const HEADS: Readonly<Record<Blame, string>> = {
  user: 'The job’s: its author can mend it',
  infra: 'The host’s: its operator can mend it',
  bug: 'vm-runner’s own',
};

const ENDS: Readonly<Record<Blame, string>> = {
  user: 'GitLab: the job fails as `script_failure` and is not tried again.',
  infra: 'GitLab: the job fails as `runner_system_failure`; config and prepare are tried three times.',
  bug: 'GitLab: as those of the host.',
};

function section(code: ErrorCode): string {
  const { meaning, causes, remedy } = ERROR_KINDS[code];
  return [`### ${code}`, meaning, `Usually behind it: ${causes.join('; ')}.`, `What to do: ${remedy}`].join('\n\n');
}

function page(): string {
  const parts = (Object.keys(HEADS) as Blame[]).map((blame) => {
    const codes = ERROR_CODES.filter((code) => ERROR_KINDS[code].blame === blame);
    return [`## ${HEADS[blame]}`, ENDS[blame], ...codes.map(section)].join('\n\n');
  });
  return [
    '# Errors',
    'Every error of vm-runner carries one of these codes: `error[disk-full]: …` on the command line, `ERROR[disk-full]: …` in a job of GitLab, in the title of an annotation on GitHub, and as `code` in reports and JSON. The code says whose turn it is. Programs may match on it; sentences may change.',
    'The command line answers 124 to `timed-out`, 126 and 127 to `command-not-executable` and `command-not-found`, 130, 143 and 129 when it was interrupted, and 125 to everything else. `vm-runner explain CODE` shows what is here.',
    '<!-- Made of src/core/error-codes.ts by: npx vitest run -u test/docs -->',
    ...parts,
  ].join('\n\n');
}

describe('the page of errors', () => {
  it('says of every code what it means and what to do', async () => {
    await expect(await format(page(), { parser: 'markdown', printWidth: 120 })).toMatchFileSnapshot(PAGE);
  });

  it('is in whole sentences', () => {
    for (const code of ERROR_CODES) {
      const { meaning, causes, remedy } = ERROR_KINDS[code];
      expect(meaning, code).toMatch(/^[A-Z`].*\.$/);
      expect(remedy, code).toMatch(/^[A-Z`].*\.$/);
      expect(causes.length, code).toBeGreaterThan(0);
    }
  });
});
