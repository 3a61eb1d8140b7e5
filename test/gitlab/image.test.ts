import { describe, expect, it } from 'vitest';

import { chooseImage, choosePullPolicy } from '../../src/gitlab/image.js';
import { parseJobResponse } from '../../src/gitlab/job-response.js';

function job(image: object = {}) {
  return parseJobResponse(JSON.stringify({ id: 1, image }), 'response.json');
}

describe('chooseImage', () => {
  it("takes the job's, else the operator's", () => {
    expect(chooseImage(job({ name: 'node:22' }), { image: 'debian:12' })).toBe('node:22');
    expect(chooseImage(job(), { image: 'debian:12' })).toBe('debian:12');
  });

  it.each(['oci:/etc', 'docker-archive:/var/x.tar', 'rootfs:/x'])('lets no job name a file: %s', (name) => {
    expect(() => chooseImage(job({ name }), { image: 'default' })).toThrow(
      `jobs cannot name files of the host: ${name}. Name an image of a registry in "image:"`,
    );
  });
});

it("makes a wrong name the matter of the job's author", () => {
  expect(() => chooseImage(job({ name: 'Node:22' }), { image: 'default' })).toThrow(
    expect.objectContaining({ code: 'image-unavailable', blame: 'user' }) as Error,
  );
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
