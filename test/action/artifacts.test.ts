import { describe, expect, it } from 'vitest';

import { selectArtifacts } from '../../src/action/artifacts.js';
import { residualGlobs } from '../../src/action/residual-globs.js';

describe('residualGlobs', () => {
  it.each<[string, string, string[]]>([
    ['/w/out/tmp/*', '/w/out', ['tmp/*']],
    ['/w/o?t/{a,b}/x', '/w/out', ['{a,b}/x']],
    ['/w/{in,out}/x', '/w/out', ['x']],
    ['/w/[!x]ut/x', '/w/out', ['x']],
    ['/w/[!o]ut/x', '/w/out', []],
    ['/w/o.t/x', '/w/out', []],
    ['/etc/passwd', '/w/out', []],
    ['/w', '/w/out', ['**']],
    ['/w/out', '/w/out', ['**']],
    ['/**/*.o', '/w', ['**/*.o']],
    ['/w/**/a/b', '/w/a', ['**/a/b', 'b']],
  ])('sees %s from %s as %j', (glob, directory, expected) => {
    expect([...new Set(residualGlobs(glob, directory))].sort()).toEqual(expected.sort());
  });
});

describe('selectArtifacts', () => {
  it('applies every exclusion to every glob below whose directory it can match', () => {
    const artifacts = { include: ['out/**', '/var/log/*.log'], exclude: ['out/tmp', '**/*.o'] };
    expect(selectArtifacts(artifacts, '/w', '/home')).toEqual([
      { glob: 'out/**', exclude: ['tmp', '**/*.o'], target: '/home' },
      { glob: '/var/log/*.log', exclude: [], target: '/home' },
    ]);
  });
});
