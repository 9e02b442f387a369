#!/bin/bash
# dev.sh on its stage, as an ordinary user.
set -euo pipefail

# shellcheck source=test/lib/server.sh
. test/lib/server.sh
# shellcheck source=test/lib/suites.sh
. test/lib/suites.sh

CLUSTER=$STAGE/build/cluster
DESTINATION_FILE=$STAGE/build/destination.out

build()
{
	server_copy
	server_paths
	extension_install
}

# Starts the cluster and the destination unless they run.
running()
{
	server_paths
	[ -f "$CLUSTER/PG_VERSION" ] || cluster_create "$CLUSTER"
	export PGHOST=$CLUSTER.socket PGUSER=postgres PGPORT=5432
	pg_ctl -D "$CLUSTER" status >/dev/null || cluster_start "$CLUSTER"
	if [ -f "$DESTINATION_FILE.pid" ] && kill -0 "$(cat "$DESTINATION_FILE.pid")" 2>/dev/null; then
		destination_environment "$STAGE/build/tools"
	else
		destination_start
	fi
}

start()
{
	build
	destination_stop
	running
	cluster_start "$CLUSTER"
	psql -qX -d postgres -c 'SET client_min_messages = warning' \
		-c 'DROP DATABASE IF EXISTS dev WITH (FORCE)' -c 'CREATE DATABASE dev' \
		-c "ALTER DATABASE dev SET pg_activate.allowed_hosts = '*'"
	psql -qX -d dev -c 'CREATE EXTENSION pg_activate' || true
	cat <<-END
		psql:         test/dev.sh psql        (or, as any user: PGHOST=$PGHOST psql -U postgres dev)
		destination:  ${DESTINATION_URL:-none built}
		log:          $LOGS/postgres.log
	END
}

command=$1
shift
NAMES=("$@")
case $command in
	start) start ;;
	psql) running; exec psql -X -d dev "$@" ;;
	run) build; running; tap_environment; exec "$@" ;;
	ask) running; exec "$DESTINATION_ASK" "$@" ;;
	log) tail -50 "$LOGS/postgres.log" ;;
	stop) server_paths; cluster_stop "$CLUSTER"; destination_stop ;;
	regress)
		build; running
		[ $# -gt 0 ] || mapfile -t NAMES < <(test_names sql .sql)
		suite_regress "${NAMES[@]}"
		;;
	isolation)
		build; running
		[ $# -gt 0 ] || mapfile -t NAMES < <(test_names test/specs .spec)
		suite_isolation "${NAMES[@]}"
		;;
	tap)
		build
		NAMES=()
		for name; do NAMES+=("test/${name#test/}"); done
		tap_environment
		rm -rf build/tap/tmp_check
		unset PGHOST PGPORT PGUSER
		PROVE_FLAGS=${PROVE_FLAGS:--v} prove_tests 1 "${NAMES[@]}"
		;;
esac
