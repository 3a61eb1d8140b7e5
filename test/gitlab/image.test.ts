import { describe, expect, it } from 'vitest';

import { VmRunnerError } from '../../src/core/errors.js';
import { blamingTheAuthor, chooseImage, choosePullPolicy } from '../../src/gitlab/image.js';
import { parseJobResponse } from '../../src/gitlab/job-response.js';

function job(image: object = {}) {
  return parseJobResponse(JSON.stringify({ id: 1, image }), 'response.json');
}

describe('chooseImage', () => {
  it("takes the job's, else the operator's", () => {
    expect(chooseImage(job({ name: 'node:22' }), { image: 'debian:12' })).toBe('node:22');
    expect(chooseImage(job(), { image: 'debian:12' })).toBe('debian:12');
  });

  it.each(['oci:/etc', 'docker-archive:/var/x.tar', 'rootfs:/x', 'OCI:/etc'])('lets no job name a file: %s', (name) => {
    expect(() => chooseImage(job({ name }), { image: 'default' })).toThrow(
      `jobs cannot name files of the host: ${name}. Name an image of a registry in "image:"`,
    );
  });
});

describe('choosePullPolicy', () => {
  it("takes the job's first, else the operator's, else always", () => {
    expect(choosePullPolicy(job({ pull_policy: ['if-not-present', 'always'] }), { pull: 'never' })).toBe(
      'if-not-present',
    );
    expect(choosePullPolicy(job(), { pull: 'never' })).toBe('never');
    expect(choosePullPolicy(job(), { pull: undefined })).toBe('always');
  });

  it('says what there is', () => {
    expect(() => choosePullPolicy(job({ pull_policy: ['often'] }), { pull: undefined })).toThrow(
      'not a pull policy: pull_policy: often. Give one of: always, if-not-present, never.',
    );
  });
});

describe('blamingTheAuthor', () => {
  it('makes a wrong name of an image the matter of who wrote it', async () => {
    const wrong = new VmRunnerError('invalid-input', 'not an image', { subject: 'A', hint: 'Write it small.' });
    await expect(blamingTheAuthor(() => Promise.reject(wrong))).rejects.toMatchObject({
      code: 'image-unavailable',
      blame: 'user',
      message: 'not an image: A. Write it small.',
    });
  });

  it('leaves everything else as it is', async () => {
    const full = new VmRunnerError('disk-full', 'no space');
    await expect(blamingTheAuthor(() => Promise.reject(full))).rejects.toBe(full);
    expect(await blamingTheAuthor(() => Promise.resolve(1))).toBe(1);
  });
});
