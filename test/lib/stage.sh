# shellcheck shell=bash
# The stage: a copy of the tree in a folder of its own, which an ordinary
# user owns, because PostgreSQL does not run as root. Sourced.

TEST_USER=pgactivate
# shellcheck disable=SC2034
STAGE_PARENT=${TMPDIR:-/tmp}

is_root() { [ "$(id -u)" = 0 ]; }

# Runs a command as the user that tests run as.
as_tester()
{
	if is_root; then
		runuser -u "$TEST_USER" -- "$@"
	else
		"$@"
	fi
}

ensure_tester()
{
	is_root || return 0
	id "$TEST_USER" >/dev/null 2>&1 ||
		useradd --system --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin "$TEST_USER"
}

# Copies the tree (without what was built in it) to $1; what the stage has
# built itself stays, so that a second build there compiles only what changed.
stage_fill()
{
	local tree=$1 stage=$2
	find "$stage" -mindepth 1 -maxdepth 1 ! -name build -exec rm -rf {} +
	tar -C "$tree" --exclude=./.git --exclude=./build --exclude='./*.so' \
		--exclude=./pg_activate--1.0.sql -cf - . | tar -C "$stage" --no-same-owner -xf -
	if is_root; then
		chown -R "$TEST_USER:" "$stage"
	fi
}

# A clean environment: nothing of the caller's PostgreSQL, make or locale.
clean_environment()
{
	local name
	for name in $(compgen -e | grep -E '^(PG[A-Z]+|LC_.*|LANGUAGE)$' | grep -vE '^PG_'); do
		unset "$name"
	done
	unset MAKEFLAGS MAKELEVEL MFLAGS MAKEOVERRIDES CDPATH
	export LC_ALL=C.UTF-8
	umask 022
}
