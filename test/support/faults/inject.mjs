// Loaded before the program (node --import): counts what it does to the files of its store, and strikes at one of these
// operations. The program itself knows nothing of it. Driven by the environment, see fault.ts.
import childProcess from 'node:child_process';
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import os from 'node:os';
import path from 'node:path';

const { FAULT_BELOW = '', FAULT_LIST, FAULT_MATCH = '', FAULT_AT = '0', FAULT_ACT = '' } = process.env;
// Not for the processes that it starts.
for (const name of ['BELOW', 'LIST', 'MATCH', 'AT', 'ACT']) Reflect.deleteProperty(process.env, `FAULT_${name}`);

const { appendFileSync } = fs;
const RealDate = Date;
const kill = process.kill.bind(process);
const matches = new RegExp(FAULT_MATCH);
let count = 0;
let clockOffsetMs = 0;

/** What is random in a name would make two lists differ that are the same. */
function described(name, file) {
  const relative = path.relative(FAULT_BELOW, file) || '.';
  return `${name} ${relative.replaceAll(/[0-9a-f]{16,}|[0-9a-f]{12}(?=\.tmp)/g, 'HEX').replace(/^tmp\/[^/]*/, 'tmp/OURS')}`;
}

function isBelow(file) {
  return file === FAULT_BELOW || file.startsWith(`${FAULT_BELOW}/`);
}

function pathOf(value) {
  if (value instanceof URL) return value.protocol === 'file:' ? value.pathname : '';
  if (typeof value === 'string') return path.resolve(value);
  return Buffer.isBuffer(value) ? value.toString() : '';
}

/** Counts one operation. @returns what shall happen in its place: `undefined` for nothing */
function strike(name, files) {
  const ours = files.filter(isBelow);
  if (ours.length === 0) return undefined;
  // The last one is the new name of a file, by which people know it.
  return meet(described(name, ours.at(-1)), name, ours.at(-1));
}

function meet(text, name, subject) {
  if (!matches.test(text)) return undefined;
  count += 1;
  if (FAULT_LIST !== undefined) appendFileSync(FAULT_LIST, `${text}\n`);
  if (FAULT_AT !== 'all' && count !== Number(FAULT_AT)) return undefined;
  if (FAULT_ACT === 'kill') die();
  if (FAULT_ACT === 'torn') return 'torn';
  if (FAULT_ACT.startsWith('clock:')) {
    clockOffsetMs = Number(FAULT_ACT.slice('clock:'.length));
    return undefined;
  }
  if (FAULT_ACT === '') return undefined;
  return systemError(FAULT_ACT, name, subject);
}

function die() {
  kill(process.pid, 'SIGKILL');
  // The signal may need a moment: nothing more may happen in it.
  for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1000);
}

function systemError(code, syscall, file) {
  const errno = -os.constants.errno[code];
  const error = new Error(`${code}: injected fault, ${syscall} '${file}'`);
  return Object.assign(error, { errno, code, syscall, path: file });
}

/** What a program that is killed while it writes leaves: a part. */
function half(data) {
  const bytes = typeof data === 'string' ? Buffer.from(data) : data;
  return ArrayBuffer.isView(bytes) ? Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength >> 1) : '';
}

const TWO_PATHS = new Set(['rename', 'link', 'copyFile', 'cp']);
const ONE_PATH = [
  ...['open', 'readFile', 'writeFile', 'appendFile', 'stat', 'lstat', 'statfs', 'readdir', 'mkdir', 'mkdtemp', 'rm'],
  ...[
    'rmdir',
    'unlink',
    'utimes',
    'lutimes',
    'chmod',
    'chown',
    'truncate',
    'access',
    'realpath',
    'readlink',
    'symlink',
  ],
  ...['opendir', 'exists', ...TWO_PATHS],
];
const HANDLE_METHODS = [
  ...['read', 'readFile', 'stat', 'write', 'writev', 'writeFile', 'appendFile'],
  ...['sync', 'datasync', 'truncate', 'utimes', 'chmod'],
];
const WRITES_DATA = new Set(['write', 'writeFile', 'appendFile']);

function filesOf(name, args) {
  return (TWO_PATHS.has(name) ? args.slice(0, 2) : [args[name === 'symlink' ? 1 : 0]]).map(pathOf);
}

/** Paths of what is open, by handle and by descriptor. */
const handles = new WeakMap();
const descriptors = new Map();

function patchPromises(promises) {
  for (const name of ONE_PATH) {
    const real = promises[name];
    if (real === undefined) continue;
    promises[name] = async (...args) => {
      if (typeof args[0] === 'object' && handles.has(args[0])) return real.apply(promises, args);
      const fault = strike(name, filesOf(name, args));
      if (fault === 'torn') {
        if (WRITES_DATA.has(name)) await real.apply(promises, [args[0], half(args[1]), ...args.slice(2)]);
        die();
      }
      if (fault !== undefined) throw fault;
      const result = await real.apply(promises, args);
      if (name === 'open') handles.set(result, pathOf(args[0]));
      return result;
    };
  }
}

function patchHandles(prototype) {
  for (const name of HANDLE_METHODS) {
    const real = prototype[name];
    prototype[name] = async function (...args) {
      const file = handles.get(this);
      const fault = file === undefined ? undefined : strike(name, [file]);
      if (fault === 'torn') {
        if (WRITES_DATA.has(name)) await real.call(this, half(args[0]));
        die();
      }
      if (fault !== undefined) throw fault;
      return real.apply(this, args);
    };
  }
}

function patchCallbacks() {
  for (const name of ONE_PATH) {
    const real = fs[name];
    if (typeof real !== 'function') continue;
    patchOne(name, real, (args) => filesOf(name, args));
  }
  for (const name of ['read', 'write', 'writev', 'fsync', 'fdatasync', 'ftruncate', 'fstat', 'close']) {
    patchOne(name, fs[name], ([fd]) => [descriptors.get(fd) ?? '']);
  }
}

function patchOne(name, real, files) {
  const wrapped = (...args) => {
    const callback = args.at(-1);
    const fault = strike(name, files(args));
    if (fault === 'torn') die();
    if (fault !== undefined) {
      if (name === 'close') descriptors.delete(args[0]);
      process.nextTick(callback, fault);
      return undefined;
    }
    if (name === 'close') descriptors.delete(args[0]);
    if (name !== 'open') return real.apply(fs, args);
    return real.call(fs, ...args.slice(0, -1), (error, fd) => {
      if (error === null) descriptors.set(fd, pathOf(args[0]));
      callback(error, fd);
    });
  };
  // util.promisify looks for what the original carries.
  fs[name] = Object.defineProperties(wrapped, Object.getOwnPropertyDescriptors(real));
}

function patchSync() {
  for (const name of [...ONE_PATH, 'read', 'write', 'fsync', 'ftruncate', 'close']) {
    const real = fs[`${name}Sync`];
    if (typeof real !== 'function') continue;
    fs[`${name}Sync`] = Object.assign((...args) => {
      const files = typeof args[0] === 'number' ? [descriptors.get(args[0]) ?? ''] : filesOf(name, args);
      const fault = strike(name, files);
      if (fault === 'torn') die();
      if (fault !== undefined) throw fault;
      const result = real.apply(fs, args);
      if (name === 'open') descriptors.set(result, pathOf(args[0]));
      if (name === 'close') descriptors.delete(args[0]);
      return result;
    }, real);
  }
}

function patchSpawn() {
  const real = childProcess.spawn;
  childProcess.spawn = (program, ...rest) => {
    const fault = meet(`spawn ${path.basename(program)}`, 'spawn', program);
    if (fault === 'torn') {
      real(program, ...rest);
      die();
    }
    if (fault !== undefined) {
      // As the system does when it may make no more processes: told by an event.
      const child = real('/nonexistent', ...rest);
      const emit = child.emit.bind(child);
      child.emit = (event, ...values) => emit(event, ...(event === 'error' ? [fault] : values));
      return child;
    }
    return real(program, ...rest);
  };
}

function patchClock() {
  const now = () => RealDate.now() + clockOffsetMs;
  globalThis.Date = class Date extends RealDate {
    constructor(...args) {
      super(...(args.length === 0 ? [now()] : args));
    }

    static now() {
      return now();
    }
  };
}

if (FAULT_BELOW !== '') {
  const probe = await fs.promises.open('/dev/null');
  patchHandles(Object.getPrototypeOf(probe));
  await probe.close();
  patchPromises(fs.promises);
  patchCallbacks();
  patchSync();
  patchSpawn();
  if (FAULT_ACT.startsWith('clock:')) patchClock();
  syncBuiltinESMExports();
}
