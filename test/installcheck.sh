#!/bin/bash
# make installcheck: pg_regress against the running server that the PG*
# environment names (no preload needed), with a test destination of its own.
#
#   test/installcheck.sh PG_CONFIG [NAME]...
set -euo pipefail
cd "$(dirname "$0")/.."

PG_CONFIG=$1
shift
# shellcheck source=test/lib/server.sh
. test/lib/server.sh
# shellcheck source=test/lib/suites.sh
. test/lib/suites.sh

PG_BIN=$("$PG_CONFIG" --bindir)
PGXS_DIR=$(cd "$(dirname "$("$PG_CONFIG" --pgxs)")/../.." && pwd)
make -s PG_CONFIG="$PG_CONFIG" test-tools
trap destination_stop EXIT
trap 'exit 130' INT TERM HUP
destination_start

names=("$@")
[ $# -gt 0 ] || mapfile -t names < <(test_names sql .sql)
export PGUSER=${PGUSER:-$(id -un)} PGPORT=${PGPORT:-5432} PGHOST=${PGHOST:-/var/run/postgresql}
suite_regress "${names[@]}"
