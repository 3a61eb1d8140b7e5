import * as core from '@actions/core';

import { post } from './post.js';

// The post step of the action: the only place, beside index.ts, that touches the process.

// A cancel that comes now changes nothing: taking the VM away is what it asks for.
for (const name of ['SIGINT', 'SIGTERM']) process.on(name, () => core.info('Still destroying the VM.'));

await post({ runner: core, entry: process.argv[1] ?? '', uid: process.getuid?.() });
