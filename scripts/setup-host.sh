#!/bin/sh
# Installs the Debian packages that booting VMs needs, when one of them is missing; with --tests also those that the tests
# compare with. Asks for root only then.
set -eu

missing=
need() { # PROGRAM PACKAGE
    command -v "$1" >/dev/null 2>&1 || missing="$missing $2"
}
PATH="$PATH:/usr/sbin:/sbin"
need qemu-system-x86_64 qemu-system-x86
need mmdebstrap mmdebstrap
# Others than root build the image through user namespaces; mmdebstrap only recommends the package.
[ "$(id -u)" = 0 ] || need newuidmap uidmap
[ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || missing="$missing debian-archive-keyring"
if [ "${1-}" = --tests ]; then
    need qemu-img qemu-utils
    need qemu-aarch64-static qemu-user-static
    need musl-gcc musl-tools
    need busybox busybox-static
    need python3 python3
    need docker-registry docker-registry
    need openssl openssl
    need sfdisk fdisk
    need mkfs.xfs xfsprogs
    need mkfs.btrfs btrfs-progs
    need skopeo skopeo
    need umoci umoci
    need fsck.erofs erofs-utils
    need zstd zstd
    need script bsdutils
    need zsh zsh
    need fish fish
    need mke2fs e2fsprogs
fi
[ -z "$missing" ] && exit 0

if ! command -v apt-get >/dev/null 2>&1; then
    echo "setup: no apt-get on this host. Install these packages in its own way:$missing" >&2
    exit 1
fi
root=
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null 2>&1 || { echo "setup: packages are missing. As root run: apt-get install$missing" >&2; exit 1; }
    root=sudo
fi
echo "setup: installing$missing" >&2
$root apt-get update -q >&2
# shellcheck disable=SC2086 # a list of packages
DEBIAN_FRONTEND=noninteractive $root apt-get install -q -y --no-install-recommends $missing >&2
