#!/bin/bash
# Programs from npm that tests talk to (test/npm/NAME: pinned by its lock),
# installed once into a cache outside of the tree.
#
#   npm.sh root       where they are: NAME/node_modules below it
#   npm.sh ensure     installs what is missing; several may do so at a time
set -euo pipefail

HERE=$(cd "$(dirname "$0")/../npm" && pwd)

# As root for all users, else for this one; another lock is another place.
root()
{
	local base
	if [ "$(id -u)" = 0 ]; then base=/var/cache; else base=${XDG_CACHE_HOME:-$HOME/.cache}; fi
	echo "${ACT_NPM_CACHE:-$base/pg_activate}/npm-$(cat "$HERE"/*/package-lock.json | sha256sum | cut -c1-16)"
}

install_one()
{
	local name=$1 to=$2 new
	[ ! -d "$to/$name" ] || return 0
	new=$(mktemp -d "$to/.$name.XXXXXX")
	cp "$HERE/$name/package.json" "$HERE/$name/package-lock.json" "$new"
	if ! (cd "$new" && npm ci --omit=dev --ignore-scripts --no-audit --no-fund --cache "$new/.npm") >"$new/log" 2>&1 </dev/null; then
		cat "$new/log" >&2
		rm -rf "$new"
		return 1
	fi
	rm -rf "$new/.npm"
	chmod -R go+rX "$new"
	# Whoever is first wins.
	mv -T "$new" "$to/$name" 2>/dev/null || rm -rf "$new"
}

ensure()
{
	local to status=0 pids=() name pid
	to=$(root)
	mkdir -p "$to"
	for name in "$HERE"/*/; do
		install_one "$(basename "$name")" "$to" &
		pids+=($!)
	done
	for pid in "${pids[@]}"; do wait "$pid" || status=1; done
	# A mark for those who wait: it was tried.
	echo "$status" >"$to/.done"
	return $status
}

case ${1:-} in
	root) root ;;
	ensure) ensure ;;
	*) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit 2 ;;
esac
