#!/bin/sh
# Everything that must hold for the guest agent: format, lints, generated code, tests.
set -eu

cd "$(dirname "$0")/../guest-agent"
if ! command -v rustup >/dev/null; then
  echo "check-agent: rustup is not installed; install it, the toolchain itself is then fetched as rust-toolchain.toml says" >&2
  exit 1
fi
rustup toolchain install --no-self-update

cargo fmt --all --check
cargo clippy --locked --workspace --all-targets --features fuzz -- -D warnings
cargo xtask check
# Linked as it is shipped: a static link has faults of its own.
cargo test --locked --no-fail-fast --features fuzz --target "$(uname -m)-unknown-linux-musl"
