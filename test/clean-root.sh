#!/bin/bash
# Proves that a fresh Debian with git, make and ca-certificates is enough:
# makes such a root with debootstrap, clones the committed tree into it, runs
# make demo and make test there, and removes it. By hand, as root; needs
# debootstrap and the network. Arguments: the targets to run (demo test).
#
#   MIRROR=http://deb.debian.org/debian test/clean-root.sh
set -euo pipefail

SUITE=${SUITE:-bookworm}
MIRROR=${MIRROR:-http://deb.debian.org/debian}
TREE=$(cd "$(dirname "$0")/.." && pwd)

[ "$(id -u)" = 0 ] || { echo "clean-root.sh: as root, please" >&2; exit 1; }
command -v debootstrap >/dev/null || { echo "apt-get install -y debootstrap" >&2; exit 1; }
targets=("$@")
[ $# -gt 0 ] || targets=(demo test)

ROOT=$(mktemp -d "${TMPDIR:-/var/tmp}/pg_activate.root.XXXXXX")
chmod 755 "$ROOT"

mounts_off()
{
	local mount
	for mount in dev/shm dev/pts dev proc; do
		umount -l "$ROOT/$mount" 2>/dev/null || true
	done
}

# The folder goes only when nothing of this machine is mounted in it.
leave()
{
	mounts_off
	if grep -qF " $ROOT/" /proc/mounts; then
		echo "still mounted: $ROOT" >&2
	else
		rm -rf --one-file-system "$ROOT"
	fi
}
trap leave EXIT
trap 'exit 130' INT TERM HUP

# $1 -> $ROOT/$1
bind() { mkdir -p "$ROOT/$1" && mount --bind "/$1" "$ROOT/$1"; }

in_root()
{
	chroot "$ROOT" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
		http_proxy="${http_proxy:-}" https_proxy="${https_proxy:-}" "$@"
}

debootstrap --variant=minbase --include=git,make,ca-certificates "$SUITE" "$ROOT" "$MIRROR"
cp -L /etc/resolv.conf "$ROOT/etc/resolv.conf"
apt-config dump --format '%f "%v";%n' Acquire >"$ROOT/etc/apt/apt.conf.d/90acquire"	# proxies
cp -rL /usr/local/share/ca-certificates/. "$ROOT/usr/local/share/ca-certificates/" 2>/dev/null &&
	in_root update-ca-certificates >/dev/null
mount -t proc proc "$ROOT/proc"
bind dev
bind dev/pts
mkdir -p "$ROOT/dev/shm"
mount -t tmpfs tmpfs "$ROOT/dev/shm"

git clone -q --no-hardlinks "$TREE" "$ROOT/root/pg_activate"
status=0
for target in "${targets[@]}"; do
	echo "== make $target"
	in_root make -C /root/pg_activate "$target" </dev/null || { status=1; echo "make $target failed"; }
done
exit $status
