import { describe, expect, it } from 'vitest';

import { parseJobResponse } from '../../src/gitlab/job-response.js';
import { orderJobVm } from '../../src/gitlab/order.js';
import { parsePrepareSettings } from '../../src/gitlab/settings.js';
import { hostConfig } from '../config/support.js';

function order(file: string, image: object | undefined, args: readonly string[] = []) {
  const job = parseJobResponse(JSON.stringify({ id: 1, ...(image === undefined ? {} : { image }) }), 'job.json');
  return orderJobVm(job, parsePrepareSettings(args), hostConfig(file));
}

describe('orderJobVm', () => {
  it('takes the image that the job names, all else from prepare_args and the host file', () => {
    const file = '[defaults]\nmemory = "4G"\ncpus = 3\n[images.own]\nreference = "rootfs:/srv/x.tar"\npull = "never"\n';
    expect(order(file, { name: 'own' }, ['--cpus', '1', '--image', 'debian'])).toMatchObject({
      vm: { image: 'rootfs:/srv/x.tar', cpus: 1, memoryMiB: 4096 },
      policies: ['never'],
    });
    expect(order(file, undefined, ['--image', 'debian']).vm.image).toBe('debian');
  });

  it('has every pull policy of the job in order; without any always', () => {
    expect(order('', { name: 'node', pull_policy: ['always', 'if-not-present'] }).policies).toEqual([
      'always',
      'if-not-present',
    ]);
    expect(order('', { name: 'node' }).policies).toEqual(['always']);
    expect(order('[defaults]\npull = "never"', { name: 'node' }).policies).toEqual(['never']);
  });

  it("makes an image that is not allowed the matter of the job's author", () => {
    const file = '[limits]\nimages = ["node"]\nmemory = "1G"\n';
    expect(() => order(file, { name: 'debian' })).toThrow(
      expect.objectContaining({ code: 'not-allowed', blame: 'user' }) as Error,
    );
    expect(order(file, { name: 'node:22' }).vm).toMatchObject({ image: 'node:22', memoryMiB: 1024 });
  });

  it('makes prepare_args over a limit no matter of any job', () => {
    const file = '[limits]\nimages = ["node"]\nmemory = "1G"\n';
    const mistake = expect.objectContaining({ code: 'invalid-input' }) as Error;
    expect(() => order(file, { name: 'node' }, ['--memory', '2G'])).toThrow(mistake);
    expect(() => order(file, undefined, ['--image', 'debian'])).toThrow(mistake);
  });
});
