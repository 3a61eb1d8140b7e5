/**
 * Adds the kernel to a finished Debian tree and takes out what belongs to the build. Given to mmdebstrap as text, because
 * in the mode `unshare` it runs as another user who may not be able to read our files.
 *
 * The kernel is unpacked, not installed: its package would pull in initramfs-tools and a boot loader's hooks. apt runs
 * outside of the tree with mmdebstrap's configuration, so it uses the same mirror, keys and proxy as everything before it.
 */
export const CUSTOMIZE_HOOK = `set -eu
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
root=$1
outside() { env APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" "$@"; }

kernel=$(outside apt-cache depends --important linux-image-cloud-amd64 | sed -n 's/^ *Depends: *\\(linux-image-[^ ]*\\)$/\\1/p' | head -n 1)
test -n "$kernel" || { echo 'E: no kernel package found' >&2; exit 1; }
mkdir "$root/tmp/kernel"
cd "$root/tmp/kernel"
outside apt-get -q -o APT::Sandbox::User=root download "$kernel"
dpkg-deb -x ./*.deb unpacked
mkdir -p "$root/lib/modules" "$root/boot"
mv unpacked/lib/modules/* "$root/lib/modules/"
mv unpacked/boot/vmlinuz-* "$root/boot/vmlinuz"
dpkg-deb -f ./*.deb Version > "$root/boot/vmlinuz.version"
cd /
rm -r "$root/tmp/kernel"
for modules in "$root"/lib/modules/*; do
  chroot "$root" depmod "\${modules##*/}"
done

# Of the host that built this, or of the build: the agent writes the guest's own at boot.
rm -f "$root/etc/hostname" "$root/etc/resolv.conf" "$root/etc/apt/apt.conf.d/99mmdebstrap"
# Reading package lists is slow in an emulated guest: without translations of descriptions it is half of them.
echo 'Acquire::Languages "none";' > "$root/etc/apt/apt.conf.d/90vm-runner"
printf '127.0.0.1\\tlocalhost\\n::1\\tlocalhost ip6-localhost ip6-loopback\\n' > "$root/etc/hosts"
`;
