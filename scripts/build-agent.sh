#!/bin/sh
# Builds the guest agent for both architectures into dist/agent/, the same bytes from any directory.
set -eu

cd "$(dirname "$0")/../guest-agent"
if ! command -v rustup >/dev/null; then
  echo "build-agent: rustup is not installed; install it, the toolchain itself is then fetched as rust-toolchain.toml says" >&2
  exit 1
fi
# Where RUSTUP_AUTO_INSTALL is 0 the toolchain file selects but never installs.
rustup toolchain install --no-self-update

CARGO_HOME=${CARGO_HOME:-$HOME/.cargo}
CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}
# The standard library is built with the agent: the ready-made one brings 350 KB that print and unwind backtraces, a third of
# the binary and of its resident memory. Cargo calls that unstable, hence the variable; the toolchain is pinned.
RUSTC_BOOTSTRAP=1
BUILD_STD="-Zbuild-std=std,panic_abort -Zbuild-std-features=optimize_for_size"
# Paths of this machine must not get into the binary. It cannot stand in .cargo/config.toml, which expands no variables.
RUSTFLAGS="-Cforce-unwind-tables=no --remap-path-prefix=$PWD=/src --remap-path-prefix=$CARGO_HOME=/cargo \
  --remap-path-prefix=$(rustc --print sysroot)=/rust"
export CARGO_HOME CARGO_TARGET_DIR RUSTC_BOOTSTRAP RUSTFLAGS

for pair in amd64:x86_64 arm64:aarch64; do
  target=${pair#*:}-unknown-linux-musl
  output=../dist/agent/${pair%%:*}
  # shellcheck disable=SC2086 # two options
  cargo build $BUILD_STD --locked --release --target "$target" --package vm-agent --bin vm-agent
  mkdir -p "$output"
  # Beside it and renamed: a running agent's file cannot be written.
  install -m 0755 "$CARGO_TARGET_DIR/$target/release/vm-agent" "$output/.vm-agent.new"
  mv "$output/.vm-agent.new" "$output/vm-agent"
done
ls -l ../dist/agent/*/vm-agent
