import { truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { parseJobResponse, readJobResponse } from '../../src/gitlab/job-response.js';
import { temporaryDirectory } from '../support/temporary-directory.js';

function parse(job: unknown) {
  return parseJobResponse(JSON.stringify(job), 'response.json');
}

/** A job that says nothing but its number. */
const NOTHING = {
  id: 7,
  projectId: undefined,
  imageName: undefined,
  entrypoint: undefined,
  user: undefined,
  pullPolicies: [],
  registryCredentials: [],
  dockerAuthConfig: undefined,
  timeoutMs: 7_200_000,
};

describe('parseJobResponse', () => {
  it('takes what it needs, and ignores the rest', () => {
    const job = {
      id: 7,
      token: 'secret',
      job_info: { project_id: 42, name: 'test' },
      image: { name: 'debian:12', entrypoint: null, something: [] },
      runner_info: { timeout: 60, uuid: 'x' },
      new_in_20: { a: 1 },
    };
    expect(parse(job)).toEqual({ ...NOTHING, projectId: 42, imageName: 'debian:12', timeoutMs: 60_000 });
  });

  it('takes what the job says about its image and the registry of it', () => {
    const image = {
      name: 'registry.example.org/a/b:1',
      entrypoint: [''],
      pull_policy: ['never', 'always'],
      executor_opts: { docker: { platform: 'linux/amd64', user: 'node' }, kubernetes: {} },
    };
    const credential = { url: 'registry.example.org', username: 'gitlab-ci-token', password: 'secret' };
    const job = {
      id: 7,
      image,
      credentials: [{ type: 'other' }, { type: 'registry', ...credential }],
      variables: [
        { key: 'DOCKER_AUTH_CONFIG', value: 'old' },
        { key: 'OTHER', value: 'x' },
        { key: 'DOCKER_AUTH_CONFIG', value: '{}' },
      ],
    };
    expect(parse(job)).toEqual({
      ...NOTHING,
      imageName: 'registry.example.org/a/b:1',
      entrypoint: [''],
      pullPolicies: ['never', 'always'],
      user: 'node',
      registryCredentials: [credential],
      dockerAuthConfig: '{}',
    });
  });

  it.each([
    ['empty fields left out', { id: 7 }],
    ['empty fields as null', { id: 7, job_info: null, image: null, runner_info: null }],
    ['empty texts', { id: 7, image: { name: '' }, runner_info: { timeout: 0 } }],
  ])('has defaults for %s: no image, two hours', (_title, job) => {
    expect(parse(job)).toEqual(NOTHING);
  });

  it('tells every wrong type at once', () => {
    const job = { id: '7', job_info: [], image: { name: 5, entrypoint: 'sh' }, runner_info: { timeout: 1.5 } };
    expect(() => parse(job)).toThrow(
      [
        '5 mistakes in what was given:',
        '- "id" of the job is not a whole number: response.json',
        '- "job_info" of the job is not an object: response.json',
        '- "image.name" of the job is not a text: response.json',
        '- "image.entrypoint" of the job is not a list of texts: response.json',
        '- "runner_info.timeout" of the job is not a whole number: response.json',
      ].join('\n'),
    );
  });

  it.each([
    ['{', 'job of the Runner is no JSON: response.json'],
    ['[]', 'job of the Runner is no object: response.json'],
    ['{}', '"id" of the job is not there: response.json'],
  ])('refuses %s', (text, sentence) => {
    expect(() => parseJobResponse(text, 'response.json')).toThrow(sentence);
  });
});

describe('readJobResponse', () => {
  it('does not read a file without end into memory', async () => {
    const file = path.join(await temporaryDirectory(), 'response.json');
    await writeFile(file, '');
    await truncate(file, 64 * 2 ** 20);
    await expect(readJobResponse(file)).rejects.toThrow('job of the Runner has more than 32 MiB');
  });
});
