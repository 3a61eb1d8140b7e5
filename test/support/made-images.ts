import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { gzipSync } from 'node:zlib';

import { pack, type Header } from 'tar-stream';

import { AGENTS } from './fake-host.js';
import { temporaryDirectory } from './temporary-directory.js';

/** A path of a layer: a directory when it ends with a slash, a link when it has a target, else a file. */
export interface MadeEntry extends Partial<Pick<Header, 'mode' | 'uid' | 'gid'>> {
  readonly path: string;
  readonly content?: string | Buffer;
  readonly link?: string;
}

/** An image that a test makes. */
export interface MadeImage {
  readonly layers: readonly (readonly MadeEntry[])[];
  /** As in the configuration of an image: Env, User, WorkingDir, Entrypoint, Cmd, Volumes. */
  readonly config?: object;
}

/** Images of the families that behave differently, each with what a test may run in it. */
export async function familyImages(): Promise<Readonly<Record<string, MadeImage>>> {
  const busybox = await busyboxLayer();
  return {
    busybox: { layers: [busybox], config: { Env: ['PATH=/bin'], Cmd: ['sh'] } },
    musl: { layers: [busybox, await muslLayer()], config: { Env: ['PATH=/usr/bin:/bin', 'FAMILY=musl'] } },
    glibc: { layers: [await glibcLayer()], config: { WorkingDir: '/work' } },
    // No shell and hardly a file: what a distroless image of a static program has.
    distroless: { layers: [await distrolessLayer()], config: { User: 'nonroot', Entrypoint: ['/app/vm-agent'] } },
    scratch: { layers: [[{ path: 'vm-agent', content: await staticProgram(), mode: 0o755 }]] },
    user: {
      layers: [
        busybox,
        [
          { path: 'etc/passwd', content: 'root:x:0:0::/root:/bin/sh\nnode:x:1000:1000::/home/node:/bin/sh\n' },
          { path: 'etc/group', content: 'root:x:0:\nnode:x:1000:\ndocker:x:999:node\n' },
          { path: 'home/node/', uid: 1000, gid: 1000 },
        ],
      ],
      config: { User: 'node', Env: ['PATH=/bin', 'GREETING=hello'], WorkingDir: '/home/node/app' },
    },
    entrypoint: {
      layers: [busybox, [{ path: 'entry.sh', mode: 0o755, content: '#!/bin/sh\necho "entry: $*"\nexec "$@"\n' }]],
      config: { Env: ['PATH=/bin'], Entrypoint: ['/entry.sh'], Cmd: ['echo', 'from the command'] },
    },
    many: {
      layers: [busybox, ...Array.from({ length: 126 }, (_, layer) => [manyEntry(layer)])],
      config: { Env: ['PATH=/bin'] },
    },
  };
}

/** The last layer that writes `top` wins; each leaves a file of its own. */
function manyEntry(layer: number): MadeEntry {
  return layer % 2 === 0 ? { path: 'top', content: `${layer}\n` } : { path: `layers/${layer}`, content: 'x\n' };
}

async function busyboxLayer(): Promise<MadeEntry[]> {
  const applets = ['sh', 'cat', 'echo', 'id', 'ls', 'mount', 'ps', 'sleep', 'stat', 'touch', 'true', 'env', 'pwd'];
  const more = ['grep', 'mkdir', 'mv', 'rm', 'chmod', 'hostname', 'sha256sum', 'wc', 'kill', 'unshare', 'init', 'dd'];
  return [
    { path: 'bin/' },
    { path: 'bin/busybox', content: await readFile('/bin/busybox'), mode: 0o755 },
    ...[...applets, ...more].map((applet) => ({ path: `bin/${applet}`, link: 'busybox' })),
    { path: 'etc/' },
    { path: 'tmp/', mode: 0o1777 },
  ];
}

/** A program that is linked with musl at run time, as those of Alpine are. */
async function muslLayer(): Promise<MadeEntry[]> {
  const directory = await temporaryDirectory();
  const [source, program] = [path.join(directory, 'hello.c'), path.join(directory, 'hello')];
  await writeFile(source, '#include <stdio.h>\nint main(void) { puts("hello from musl"); return 0; }\n');
  execFileSync('musl-gcc', ['-o', program, source]);
  return [
    { path: 'lib/' },
    { path: 'lib/ld-musl-x86_64.so.1', content: await readFile('/lib/ld-musl-x86_64.so.1'), mode: 0o755 },
    { path: 'usr/bin/hello', content: await readFile(program), mode: 0o755 },
  ];
}

/** The host's own shell with the libraries that it is linked with. */
async function glibcLayer(): Promise<MadeEntry[]> {
  const libraries = execFileSync('ldd', ['/bin/dash'], { encoding: 'utf8' }).match(/\/\S+/g) ?? [];
  const files = await Promise.all(
    libraries.map(async (file) => ({ path: file.slice(1), content: await readFile(file), mode: 0o755 })),
  );
  return [
    { path: 'bin/' },
    { path: 'bin/dash', content: await readFile('/bin/dash'), mode: 0o755 },
    { path: 'bin/sh', link: 'dash' },
    ...files,
  ];
}

async function distrolessLayer(): Promise<MadeEntry[]> {
  return [
    { path: 'app/' },
    { path: 'app/vm-agent', content: await staticProgram(), mode: 0o755 },
    { path: 'etc/passwd', content: 'root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532::/home/nonroot:/x\n' },
    { path: 'etc/group', content: 'root:x:0:\nnonroot:x:65532:\n' },
    { path: 'home/nonroot/', uid: 65532, gid: 65532 },
  ];
}

/** One file that needs nothing else. */
function staticProgram(): Promise<Buffer> {
  return readFile(path.join(AGENTS, 'amd64/vm-agent'));
}

/** Writes an image as an OCI layout with gzipped layers, from nothing but these facts: the same image is the same bytes. */
export async function writeLayout(directory: string, image: MadeImage): Promise<void> {
  const blobs = path.join(directory, 'blobs/sha256');
  await mkdir(blobs, { recursive: true });
  const write = async (bytes: Buffer, mediaType: string): Promise<object> => {
    const digest = sha256(bytes);
    await writeFile(path.join(blobs, digest), bytes);
    return { mediaType, digest: `sha256:${digest}`, size: bytes.length };
  };
  const tars = await Promise.all(image.layers.map(layerTar));
  const config = {
    architecture: 'amd64',
    os: 'linux',
    config: image.config ?? {},
    rootfs: { type: 'layers', diff_ids: tars.map((tar) => `sha256:${sha256(tar)}`) },
  };
  const manifest = {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: await write(json(config), 'application/vnd.oci.image.config.v1+json'),
    layers: await Promise.all(tars.map((tar) => write(gzipSync(tar), 'application/vnd.oci.image.layer.v1.tar+gzip'))),
  };
  const index = { schemaVersion: 2, manifests: [await write(json(manifest), manifest.mediaType)] };
  await writeFile(path.join(directory, 'index.json'), json(index));
  await writeFile(path.join(directory, 'oci-layout'), json({ imageLayoutVersion: '1.0.0' }));
}

/** The tar stream of one layer. */
export async function layerTar(entries: readonly MadeEntry[]): Promise<Buffer> {
  const archive = pack();
  const chunks: Buffer[] = [];
  const read = (async () => {
    for await (const chunk of archive as AsyncIterable<Buffer>) chunks.push(chunk);
  })();
  for (const { path: name, content = '', link, mode, uid = 0, gid = 0 } of entries) {
    const common = { name, uid, gid, mtime: new Date(1_700_000_000_000) };
    if (link !== undefined) archive.entry({ ...common, type: 'symlink', linkname: link });
    else if (name.endsWith('/')) archive.entry({ ...common, type: 'directory', mode: mode ?? 0o755 });
    else archive.entry({ ...common, mode: mode ?? 0o644 }, content);
  }
  archive.finalize();
  await read;
  return Buffer.concat(chunks);
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function json(value: object): Buffer {
  return Buffer.from(JSON.stringify(value));
}
