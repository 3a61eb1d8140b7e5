import { describe, expect, it } from 'vitest';

import { changeConfig, parseConfig, renderConfig } from '../../src/images/config.js';
import { EMPTY_CONFIG } from '../../src/images/image.js';

const parse = (document: unknown) => parseConfig(Buffer.from(JSON.stringify(document)));

describe('parseConfig', () => {
  it('takes what is absent or null for empty, as what writes it does', () => {
    expect(parse({ os: 'linux', architecture: 'amd64', config: { Env: null, Cmd: null, User: null } }).config).toEqual(
      EMPTY_CONFIG,
    );
    expect(parse({ config: null }).config).toEqual(EMPTY_CONFIG);
  });

  it.each([
    ['no JSON', '{'],
    ['no object', '[]'],
    ['a text for a list', '{"config":{"Env":"A=1"}}'],
    ['a number in a list', '{"config":{"Cmd":[1]}}'],
    ['a list for a text', '{"config":{"User":["a"]}}'],
    ['a zero byte', JSON.stringify({ config: { Cmd: ['a\0b'] } })],
    ['more than a program can be given', JSON.stringify({ config: { Cmd: ['a'.repeat(2 ** 20 + 1)] } })],
    ['more than anyone writes', `"${'a'.repeat(5 * 2 ** 20)}"`],
  ])('refuses %s', (_title, text) => {
    expect(() => parseConfig(Buffer.from(text))).toThrow(expect.objectContaining({ code: 'image-invalid' }));
  });

  it('is not fooled by names that objects have of themselves', () => {
    expect(parse({ config: JSON.parse('{"__proto__": {"User": "evil"}}') as unknown }).config.user).toBe('');
  });

  it('reads what was rendered', () => {
    const config = {
      ...EMPTY_CONFIG,
      env: ['A=1'],
      user: 'u',
      command: ['c'],
      volumes: ['/v'],
      workingDirectory: '/w',
    };
    const bytes = renderConfig({ architecture: 'amd64', diffIds: ['sha256:1'], config, history: ['h'] });
    expect(parseConfig(bytes)).toMatchObject({ config, diffIds: ['sha256:1'], os: 'linux', architecture: 'amd64' });
  });
});

describe('changeConfig', () => {
  it('keeps what it is not told, also what we do not act on', () => {
    const before = Buffer.from(
      JSON.stringify({ architecture: 'amd64', config: { User: 'u', Labels: { a: 'b' } }, history: [{}] }),
    );
    const after = JSON.parse(
      changeConfig(before, { diffIds: ['x'], config: { command: [] }, comment: 'top' }).toString(),
    ) as unknown;
    expect(after).toEqual({
      architecture: 'amd64',
      config: { User: 'u', Labels: { a: 'b' }, Cmd: [] },
      rootfs: { type: 'layers', diff_ids: ['x'] },
      history: [{}, { created_by: 'top' }],
    });
  });
});
