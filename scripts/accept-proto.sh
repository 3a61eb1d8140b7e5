#!/bin/sh
# Takes the contract as it is now into proto/descriptor.json, which a test compares. Refuses what would break a program that
# knows the contract as it was; give --break when that is meant.
set -eu
cd "$(dirname "$0")/.."
PATH="$PWD/node_modules/.bin:$PATH"

if [ "${1-}" != --break ]; then
    buf breaking proto --against proto/descriptor.json
fi
buf build proto --exclude-source-info -o proto/descriptor.json
prettier --write --log-level warn proto/descriptor.json
