import { execFileSync } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { temporaryDirectory } from './temporary-directory.js';

export interface Certificate {
  /** PEM. */
  readonly key: string;
  readonly cert: string;
}

/** A certificate authority of the test's own. */
export class TestAuthority {
  private constructor(private readonly directory: string) {}

  static async create(): Promise<TestAuthority> {
    const authority = new TestAuthority(await temporaryDirectory());
    const names = ['-subj', '/CN=test authority', '-keyout', 'ca.key', '-out', 'ca.pem', '-days', '2'];
    authority.#openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', ...names);
    return authority;
  }

  get file(): string {
    return path.join(this.directory, 'ca.pem');
  }

  /** @param days how long it holds; below zero it has expired */
  async issue(host: string, days = 1): Promise<Certificate> {
    const isAddress = /^[\d.]+$/.test(host);
    await writeFile(path.join(this.directory, 'ext'), `subjectAltName=${isAddress ? 'IP' : 'DNS'}:${host}\n`);
    const request = ['-subj', '/CN=test', '-keyout', 'key', '-out', 'csr'];
    this.#openssl('req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', ...request);
    const time = (shift: number): string =>
      new Date(Date.now() + shift * 86_400_000).toISOString().replaceAll(/[-:T]|\.\d+/g, '');
    await writeFile(path.join(this.directory, 'index.txt'), '');
    await writeFile(path.join(this.directory, 'ca.cnf'), CA_CONFIG);
    const dates = ['-startdate', time(days - 5), '-enddate', time(days)];
    const files = ['-in', 'csr', '-out', 'cert', '-extfile', 'ext', '-cert', 'ca.pem', '-keyfile', 'ca.key'];
    this.#openssl('ca', '-batch', '-config', 'ca.cnf', '-notext', ...dates, ...files);
    const read = (name: string): Promise<string> => readFile(path.join(this.directory, name), 'utf8');
    return { key: await read('key'), cert: await read('cert') };
  }

  #openssl(...args: readonly string[]): void {
    execFileSync('openssl', args, { cwd: this.directory, stdio: 'pipe' });
  }
}

const CA_CONFIG = `[ca]
default_ca = own
[own]
database = index.txt
serial = serial
rand_serial = yes
new_certs_dir = .
default_md = sha256
policy = any
[any]
commonName = supplied
`;
