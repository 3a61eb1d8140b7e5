import { readTail } from '../../store/logs.js';
import type { VmReport } from '../provider.js';

/** A guest can make QEMU tell much; how it ended stands last. */
const READ_BYTES = 64 * 1024;

/** QEMU's words for why it ends. https://www.qemu.org/docs/master/interop/qemu-qmp-ref.html (ShutdownCause) */
const BY_GUEST: Readonly<Record<string, VmReport['ended']>> = {
  'guest-shutdown': 'powered-off',
  'guest-reset': 'reset',
  'guest-panic': 'reset',
};

/** What a QEMU has told by itself into its file of events. */
export async function readEvents(file: string): Promise<Pick<VmReport, 'ended' | 'diskError'>> {
  let ended: VmReport['ended'];
  let diskError: VmReport['diskError'];
  for (const line of (await readTail(file, READ_BYTES)).split('\n')) {
    const { event, data } = parsed(line);
    if (event === 'SHUTDOWN') ended = BY_GUEST[String(data['reason'])];
    if (event === 'BLOCK_IO_ERROR') diskError = data['nospace'] === true ? 'no-space' : (diskError ?? 'failed');
  }
  return { ended, diskError };
}

/** The first line may have no beginning, and the last one no end. */
function parsed(line: string): { readonly event: unknown; readonly data: Readonly<Record<string, unknown>> } {
  try {
    // Where the file was shortened while QEMU wrote on, there are zeros.
    const value = JSON.parse(line.replaceAll('\0', '')) as Partial<ReturnType<typeof parsed>> | null;
    return { event: value?.event, data: value?.data ?? {} };
  } catch {
    return { event: undefined, data: {} };
  }
}
