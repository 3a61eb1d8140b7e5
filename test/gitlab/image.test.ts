import { describe, expect, it } from 'vitest';

import { imageOfJob, pullPoliciesOfJob } from '../../src/gitlab/image.js';
import { parseJobResponse } from '../../src/gitlab/job-response.js';

const NO_NAMES = { images: new Map() };

function job(image: object = {}) {
  return parseJobResponse(JSON.stringify({ id: 1, image }), 'response.json');
}

describe('imageOfJob', () => {
  it('is what the job names', () => {
    expect(imageOfJob(job({ name: 'node:22' }), NO_NAMES)).toBe('node:22');
    expect(imageOfJob(job(), NO_NAMES)).toBeUndefined();
  });

  it('may be a name of the host file', () => {
    const images = new Map([['build', { name: 'build', reference: 'rootfs:/srv/build.tar' }]]);
    expect(imageOfJob(job({ name: 'build' }), { images })).toBe('build');
  });

  it.each(['oci:/etc', 'docker-archive:/var/x.tar', 'rootfs:/x'])('lets no job name a file: %s', (name) => {
    expect(() => imageOfJob(job({ name }), NO_NAMES)).toThrow(
      `jobs cannot name files of the host: ${name}. Name an image of a registry in "image:"`,
    );
  });
});

it("makes a wrong name the matter of the job's author", () => {
  expect(() => imageOfJob(job({ name: 'Node:22' }), NO_NAMES)).toThrow(
    expect.objectContaining({ code: 'image-unavailable', blame: 'user' }) as Error,
  );
});

describe('pullPoliciesOfJob', () => {
  it('are all that the job names, in order', () => {
    expect(pullPoliciesOfJob(job({ pull_policy: ['always', 'if-not-present'] }))).toEqual(['always', 'if-not-present']);
    expect(pullPoliciesOfJob(job())).toEqual([]);
  });

  it('says what there is', () => {
    expect(() => pullPoliciesOfJob(job({ pull_policy: ['often'] }))).toThrow(
      'not a pull policy: pull_policy: often. Give one of: always, if-not-present, never.',
    );
  });
});
