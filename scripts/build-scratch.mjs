// Makes the empty scratch disk of every VM and packs it: dist/scratch/scratch.ext4.gz. So no host needs mke2fs.
//   node scripts/build-scratch.mjs [FILE]
//
// The bytes of a file system depend on the version of mke2fs that makes it. What is committed was made by the version below; by
// another one nothing is made, so that a rebuild elsewhere changes nothing.
import { execFileSync, spawnSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';

const VERSION = '1.47.0';
const BYTES = 64 * 2 ** 30;
const BLOCK = 4096;
const OUTPUT = process.argv[2] ?? path.join(import.meta.dirname, '../dist/scratch/scratch.ext4.gz');

const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C.UTF-8', E2FSPROGS_FAKE_TIME: '1' };
const version = /mke2fs (\S+)/.exec(spawnSync('mke2fs', ['-V'], { env, encoding: 'utf8' }).stderr ?? '')?.[1];
if (version !== VERSION) {
  console.error(`build-scratch: mke2fs is ${version ?? 'missing'}, not ${VERSION}: the scratch disk stays as it is`);
  process.exit(0);
}

const temporary = mkdtempSync(path.join(tmpdir(), 'scratch-'));
try {
  const disk = path.join(temporary, 'scratch.ext4');
  writeFileSync(disk, '');
  truncateSync(disk, BYTES);
  // Not the defaults of whoever builds.
  const config = path.join(temporary, 'mke2fs.conf');
  writeFileSync(config, '[fs_types]\n  ext4 = {\n    features = extent\n  }\n');
  execFileSync('mke2fs', mkfsArguments(disk), {
    env: { ...env, MKE2FS_CONFIG: config },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const blocks = nonZeroBlocks(disk);
  const packed = pack(blocks);
  mkdirSync(path.dirname(OUTPUT), { recursive: true });
  // Versions of Node pack the same to other bytes.
  if (!existsSync(OUTPUT) || !gunzipSync(readFileSync(OUTPUT)).equals(packed)) {
    writeFileSync(OUTPUT, gzipSync(packed, { level: 9 }));
  }
  console.error(`build-scratch: ${blocks.length} blocks`);
} finally {
  rmSync(temporary, { recursive: true });
}

function mkfsArguments(disk) {
  return [
    ...['-q', '-F', '-t', 'ext4', '-b', String(BLOCK), '-I', '256', '-i', '16384', '-m', '0'],
    // A VM's disk lives as long as the VM: nothing on it is worth a journal, or checksums of every block.
    ...[
      '-O',
      'none,extent,flex_bg,filetype,sparse_super,large_file,huge_file,dir_index,dir_nlink,extra_isize,ext_attr,uninit_bg',
    ],
    // Few groups of metadata are few blocks to ship, and to read at mount.
    ...['-G', '512'],
    // The file is new: inode tables read as zeros, and no guest zeroes them in the background.
    ...[
      '-E',
      'assume_storage_prezeroed=1,lazy_itable_init=0,root_owner=0:0,hash_seed=76d2f6a5-6b6d-4d0e-9d5e-000000000001',
    ],
    ...['-U', '76d2f6a5-6b6d-4d0e-9d5e-000000000000', '-L', 'scratch'],
    disk,
  ];
}

/** Only where there is data: the rest of 64 GiB need not be read. */
function nonZeroBlocks(disk) {
  const map = JSON.parse(
    execFileSync('qemu-img', ['map', '-f', 'raw', '--output=json', disk], { encoding: 'utf8', maxBuffer: 2 ** 28 }),
  );
  const file = openSync(disk, 'r');
  const blocks = [];
  for (const { start, length, data } of map) {
    if (!data) continue;
    for (let at = start; at < start + length; at += BLOCK) {
      const bytes = Buffer.alloc(BLOCK);
      readSync(file, bytes, 0, BLOCK, at);
      if (bytes.some((byte) => byte !== 0)) blocks.push({ number: at / BLOCK, bytes });
    }
  }
  closeSync(file);
  return blocks;
}

/** As src/images/scratch-disk.ts reads it. */
function pack(blocks) {
  const header = Buffer.alloc(16);
  header.write('VMRSPARS', 'latin1');
  header.writeBigUInt64LE(BigInt(BYTES), 8);
  const parts = [header];
  for (const { number, bytes } of blocks) {
    const head = Buffer.alloc(4);
    head.writeUInt32LE(number);
    parts.push(head, bytes);
  }
  return Buffer.concat(parts);
}
