#!/bin/sh
# README's first command: boots the default image, runs a script in it, and brings its artifact home to build/example/.
# Sets up the host when something is missing. The image is built at the first run and kept in the store.
set -eu
cd "$(dirname "$0")/.."
sh scripts/setup-host.sh
dist/cli/index.js run --script examples/hello.sh --get '/root/out/**:./build/example'
echo "artifact: build/example/machine.txt" >&2
