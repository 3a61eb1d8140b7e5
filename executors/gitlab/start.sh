# Read by the shims beside it, which set $directory and $stage. POSIX sh.
#
# Ends in exec: the parent of Node must be the Runner itself, because the Runner's end is what makes a VM an orphan. Whatever
# fails before that is the operator's to mend, never the job's: the exit code says so.

entry=$directory/../../dist/gitlab/index.js
needed=20.15

fail() {
  printf 'ERROR: %s\n' "$1" >&2
  exit "${SYSTEM_FAILURE_EXIT_CODE:-2}"
}

# Sets $version to that of the Node in $1; false when there is none.
ask_version() {
  version=$("$1" --version 2>/dev/null) && version=${version#v}
}

is_new_enough() {
  major=${version%%.*}
  minor=${version#*.}
  minor=${minor%%.*}
  [ "$major" -gt "${needed%.*}" ] || { [ "$major" -eq "${needed%.*}" ] && [ "$minor" -ge "${needed#*.}" ]; }
} 2>/dev/null

[ -f "$entry" ] || fail "vm-runner is not complete: $entry is missing. Install it again with: npm install -g vm-runner"

# A service has a short PATH. Where "npm install -g" put this package, its Node is at bin/node beside lib/node_modules.
found=
for node in node "$directory/../../../../../bin/node"; do
  ask_version "$node" || continue
  is_new_enough && exec "$node" "$entry" "$stage" "$@"
  found=$version
done

advice="Install version $needed or newer where the Runner finds it (its PATH is $PATH)."
[ -z "$found" ] || fail "Node.js is too old: version $found. $advice"
fail "Node.js not found. $advice"
