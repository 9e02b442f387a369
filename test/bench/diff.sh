#!/bin/bash
# What a run costs: 1 000 000 rows of 8 columns, to a destination that only
# says yes. Prints rows/s of the first sync; the diff as a multiple of
# SELECT count(*), with nothing and with 1 % changed, with the heap in key
# order and in random order; and the memory of the process alone.
#
# ROWS and REPEAT change how much and how often.
set -euo pipefail

# shellcheck source=test/lib/server.sh
. test/lib/server.sh

ROWS=${ROWS:-1000000}
REPEAT=${REPEAT:-7}
BENCH=$STAGE/build/bench

finish()
{
	cluster_stop "$BENCH" immediate
	rm -rf "$BENCH" "$BENCH.socket"
	DESTINATION_FILE=$BENCH.destination destination_stop
}
trap finish EXIT
export DESTINATION_FILE=$BENCH.destination
destination_start
"$DESTINATION_ASK" config '{"log": false, "careless": true}' >/dev/null
cluster_create "$BENCH"
cat >>"$BENCH/postgresql.conf" <<-END
	autovacuum = off
	shared_buffers = 1GB
	max_wal_size = 8GB
	work_mem = 64MB
	jit = off
	max_parallel_workers_per_gather = 0
	pg_activate.progress_interval = 0
	pg_activate.allowed_hosts = '127.0.0.1'
END
cluster_start "$BENCH"

sql() { PGOPTIONS="-c client_min_messages=error" psql -XAtq -d postgres -v ON_ERROR_STOP=1 "$@"; }

median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

# Milliseconds of statement $1: the median of several times in one session.
timed()
{
	{
		echo '\timing on'
		for _ in $(seq "$REPEAT"); do echo "$1;"; done
	} | sql | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p' | median
}

# As the run itself says, in milliseconds.
duration() { sql -c "SELECT extract(epoch FROM finished_at - started_at) * 1000 FROM activate.run ORDER BY run_id DESC LIMIT 1"; }

# CALL run_sync of sync $1 in a session of its own; prints the peak of its
# own memory in MB.
run_watched()
{
	local pid peak=0 now out=$BENCH.pid call
	rm -f "$out"
	{
		echo 'SELECT pg_backend_pid();'
		echo "CALL activate.run_sync('$1');"
	} | sql >"$out" 2>&1 &
	call=$!
	until [ -s "$out" ]; do sleep 0.01; done
	pid=$(head -1 "$out")
	while kill -0 $call 2>/dev/null; do
		now=$(awk '/^RssAnon/ { print $2 }' "/proc/$pid/status" 2>/dev/null || true)
		[ "${now:-0}" -le "$peak" ] || peak=$now
		sleep 0.02
	done
	wait $call || { cat "$out"; return 1; }
	echo $((peak / 1024))
}

model()
{
	local name=$1 order=$2
	sql <<-END
		CREATE TABLE $name (id bigint PRIMARY KEY, email text, name text, plan text, score float8, seats int,
			updated_at timestamptz, attrs jsonb);
		INSERT INTO $name SELECT i, 'user' || i || '@example' || i % 500 || '.com', 'First' || i % 1000 || ' Last' || i % 7919,
				(ARRAY['free', 'pro', 'team', 'enterprise'])[1 + i % 4],
				round(((i * 2654435761) % 1000003 / 1000.0)::numeric, 3), i % 50,
				'2026-01-01'::timestamptz + make_interval(secs => i * 0.37),
				jsonb_build_object('country', (ARRAY['DE', 'US', 'FR', 'JP'])[1 + i % 4], 'seats', i % 50, 'trial', i % 3 = 0)
			FROM generate_series(1, $ROWS) i ORDER BY $order;
		VACUUM ANALYZE $name;
		SELECT activate.create_sync('$name', 'public.$name', 'id', 'crm', object => '$name') AS id \gset
	END
}

# ratio WHAT MILLISECONDS COUNT LIMIT
ratio()
{
	awk "BEGIN { r = ($2 - $FIXED) / $3; printf \"$1: %.0f ms, count(*): %.0f ms, ratio %.1f (target $4)%s\\n\",
		$2, $3, r, (r > $4 ? \" MISSED\" : \"\") }"
}

measure()
{
	local name=$1 limit=$2 memory first count diff changed
	memory=$(run_watched "$name")
	first=$(duration)
	echo "first sync: $(awk "BEGIN { printf \"%.0f\", $ROWS / $first * 1000 }") rows/s, own memory $memory MB"
	sql -c "VACUUM ANALYZE activate_data.$name"
	count=$(timed "SELECT count(*) FROM $name")
	timed "CALL activate.run_sync('$name')" >/dev/null
	diff=$(timed "CALL activate.run_sync('$name')")
	ratio "diff, nothing changed" "$diff" "$count" "$limit"
	sql -c "UPDATE $name SET score = score + 1 WHERE id % 100 = 0" -c "VACUUM $name"
	# One row is sent, the others are left for the run after.
	diff=$(timed "CALL activate.run_sync('$name', max_rows => 1)")
	ratio "diff, 1 %% changed" "$diff" "$count" "$limit"
	memory=$(run_watched "$name")
	changed=$(duration)
	echo "a run with 1 % changed: ${changed%.*} ms, own memory $memory MB"
}

sql <<-END
	CREATE EXTENSION pg_activate;
	CREATE SERVER crm FOREIGN DATA WRAPPER activate
		OPTIONS (connector 'webhook', base_url '$DESTINATION_URL', batch_size '1000');
	CREATE TABLE nothing (id bigint PRIMARY KEY);
	SELECT activate.create_sync('nothing', 'public.nothing', 'id', 'crm', object => 'nothing') AS id \gset
END
timed "CALL activate.run_sync('nothing')" >/dev/null
FIXED=$(timed "CALL activate.run_sync('nothing')")
echo "$ROWS rows of 8 columns; a run over nothing: $FIXED ms"
echo "-- heap in key order"
model in_order i
measure in_order 8
echo "-- heap in random order"
model at_random 'hashint8(i)'
measure at_random 16
