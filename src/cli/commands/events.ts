import { combineInputErrors, type VmRunnerError } from '../../core/errors.js';
import { readEvents } from '../../store/event-reader.js';
import type { HostEvent } from '../../store/events.js';
import { JSON_FLAG, type Command } from '../command.js';
import { LIVE_EXIT_CODES } from '../exit-code.js';
import { filterFlag, matches, readFilter } from '../filter.js';
import { openCliHost } from '../host.js';
import { untilInterrupted } from '../live-view.js';
import { moment, Values } from '../values.js';

const KEYS = ['type', 'event', 'name', 'image', 'job'];

export const events: Command = {
  name: 'events',
  summary: 'Tell what happens on this host, as it happens',
  description:
    'Prints what happens to VMs, images and templates, one line each, until Ctrl-C. With --since it begins with what has happened already; with --until it ends. The log is bounded: some twenty thousand events at least are kept.',
  flags: [
    {
      name: 'since',
      value: 'TIME',
      doc: 'Begin then: 10m means ten minutes ago; or 2026-01-31T12:00, or seconds since 1970',
    },
    { name: 'until', value: 'TIME', doc: 'End then, written the same way (default: never)' },
    filterFlag(KEYS),
    { ...JSON_FLAG, doc: 'Print one JSON object a line' },
  ],
  operands: { usage: '', least: 0, most: 0 },
  exitCodes: LIVE_EXIT_CODES,
  examples: [
    ['vm-runner events', 'All that happens from now on'],
    ['vm-runner events --since 1h --until 0s', 'What happened in the last hour'],
    ['vm-runner events --since 1d --filter event=died --filter event=failed', 'What went wrong since yesterday'],
    ['vm-runner events --json | jq -r .name', 'For programs'],
  ],
  run: async (flags, world) => {
    const mistakes: VmRunnerError[] = [];
    const values = new Values(flags, mistakes);
    const kind = moment(Date.now());
    const since = values.read(kind, 'since');
    const until = values.read(kind, 'until');
    const filter = readFilter(flags, KEYS);
    const error = combineInputErrors(mistakes);
    if (error !== undefined) throw error;
    const { store } = await openCliHost(world);
    // The past is meant when only an end is told.
    const from = since ?? (until === undefined ? undefined : 0);
    return untilInterrupted(world, async () => {
      for await (const event of readEvents(store.paths, { since: from, until, signal: world.signal })) {
        if (!matches(filter, rowOf(event))) continue;
        world.stdout.write(flags.has('json') ? `${JSON.stringify(event)}\n` : lineOf(event));
      }
    });
  },
};

function rowOf({ type, action, name, attributes }: HostEvent): Record<string, string | undefined> {
  const text = (key: string): string | undefined => attributes[key]?.toString();
  return { type, event: action, name, image: type === 'image' ? name : text('image'), job: text('job') };
}

/** `2026-01-31T12:00:00.000Z vm ready box (ms=812)`. */
function lineOf({ time, type, action, name, attributes }: HostEvent): string {
  const details = Object.entries(attributes).map(([key, value]) => `${key}=${value}`);
  const words = [new Date(time).toISOString(), type, action, ...(name === '' ? [] : [name])];
  return `${words.join(' ')}${details.length === 0 ? '' : ` (${details.join(', ')})`}\n`;
}
