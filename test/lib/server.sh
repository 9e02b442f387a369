# shellcheck shell=bash
# A private copy of the server tree with the test build in it, a cluster of
# it, and the test destination. Sourced, with the stage as working directory,
# by an ordinary user.

PG_CONFIG=${PG_CONFIG:-pg_config}
export PG_CONFIG=$(command -v "$PG_CONFIG")	# of the real one: the copy comes first in PATH later
STAGE=$PWD
LOGS=$STAGE/build/logs

# PostgreSQL finds its share folder relative to its programs, so a copy that
# keeps the paths is a whole server.
server_copy()
{
	local dir
	for dir in "$("$PG_CONFIG" --bindir)" "$("$PG_CONFIG" --pkglibdir)" "$("$PG_CONFIG" --sharedir)"; do
		[ -d "build/pg$dir" ] && continue
		mkdir -p "build/pg$dir"
		tar -C "$dir" --exclude=./bitcode --exclude=./pgxs --exclude=./man \
			--exclude='*/pg_activate*' -chf - . | tar -C "build/pg$dir" -xf -
	done
}

server_paths()
{
	PG_BIN=$STAGE/build/pg$("$PG_CONFIG" --bindir)
	PG_LIB=$STAGE/build/pg$("$PG_CONFIG" --pkglibdir)
	PG_SHARE=$STAGE/build/pg$("$PG_CONFIG" --sharedir)
	PGXS_DIR=$(dirname "$("$PG_CONFIG" --pgxs)")/../..
	PGXS_DIR=$(cd "$PGXS_DIR" && pwd)
	export PATH=$PG_BIN:$PATH
}

# Builds, and installs into the copy (a file is replaced, not overwritten:
# backends may have the old library mapped).
extension_install()
{
	mkdir -p "$LOGS"
	if ! make -s -j"$(nproc)" PG_CONFIG="$PG_CONFIG" test-build test-tools >"$LOGS/build.log" 2>&1; then
		cat "$LOGS/build.log"
		return 1
	fi
	grep -E 'warning:|error:' "$LOGS/build.log" || true
	install -m 755 build/test/pg_activate.so "$PG_LIB/pg_activate.so"
	install -m 644 pg_activate.control pg_activate--*.sql "$PG_SHARE/extension/"
}

# $1: data folder. Listens on a socket in its own folder only, so that any
# number of clusters can run side by side.
cluster_create()
{
	initdb -D "$1" --encoding UTF8 --locale C.UTF-8 -A trust -U postgres -N >"$LOGS/initdb.log" 2>&1 || {
		cat "$LOGS/initdb.log"
		return 1
	}
	mkdir -p "$1.socket"
	cat >>"$1/postgresql.conf" <<-END
		listen_addresses = ''
		unix_socket_directories = '$1.socket'
		fsync = off
		max_connections = 60
		max_prepared_transactions = 10
		log_line_prefix = '%m [%p] %q%a '
	END
}

cluster_start()
{
	cluster_stop "$1"
	pg_ctl -D "$1" -l "$LOGS/postgres.log" -w start >"$LOGS/pg_ctl.log" 2>&1 || {
		cat "$LOGS/pg_ctl.log" "$LOGS/postgres.log"
		return 1
	}
	export PGHOST=$1.socket PGUSER=postgres PGPORT=5432
}

cluster_stop()
{
	[ ! -f "$1/postmaster.pid" ] || pg_ctl -D "$1" -w stop -m "${2:-fast}" >/dev/null 2>&1 || true
}

# Starts the test destination; its address comes from a file, so that a
# second script can find it.
destination_start()
{
	local tools=${1:-$STAGE/build/tools} tries=0
	DESTINATION_FILE=${DESTINATION_FILE:-$STAGE/build/destination.out}
	rm -f "$DESTINATION_FILE"
	setsid "$tools/destination" >"$DESTINATION_FILE" 2>"$DESTINATION_FILE.err" </dev/null &
	echo $! >"$DESTINATION_FILE.pid"
	until grep -qs '^PORT ' "$DESTINATION_FILE"; do
		tries=$((tries + 1))
		if [ $tries -gt 100 ]; then
			cat "$DESTINATION_FILE.err"
			return 1
		fi
		sleep 0.05
	done
	destination_environment "$tools"
}

# What the tests read: \getenv in SQL, $ENV in Perl.
destination_environment()
{
	local tools=$1
	DESTINATION_PORT=$(sed -n 's/^PORT //p' "$DESTINATION_FILE")
	DESTINATION_URL=http://127.0.0.1:$DESTINATION_PORT
	DESTINATION_ASK=$tools/ask
	DESTINATION=$tools/destination
	export DESTINATION_PORT DESTINATION_URL DESTINATION_ASK DESTINATION
}

destination_stop()
{
	[ -n "${DESTINATION_FILE:-}" ] && [ -f "$DESTINATION_FILE.pid" ] || return 0
	kill "$(cat "$DESTINATION_FILE.pid")" 2>/dev/null || true
	rm -f "$DESTINATION_FILE.pid"
}
