# shellcheck shell=bash
# The kinds of test: each runs a list of files and adds to PASSED and FAILED,
# one for each file. Sourced after server.sh, with a stage ready.

PASSED=0
FAILED=0

# Adds up the lines of a pg_regress log; a file without a line has failed.
regress_count()
{
	local log=$1 expected=$2 passed
	passed=$(grep -cE '^(test .* \.\.\. ok|ok [0-9]+)' "$log" || true)
	PASSED=$((PASSED + passed))
	FAILED=$((FAILED + expected - passed))
	grep -E '^(test .* \.\.\. FAILED|not ok [0-9]+)' "$log" >>build/failures || true
	[ "$passed" = "$expected" ]
}

# Names of the tests in folder $1 with suffix $2, sorted.
test_names() { find "$1" -maxdepth 1 -name "*$2" -printf '%f\n' 2>/dev/null | sed "s/\\$2\$//" | sort; }

# pg_regress stops altogether at a test without an expected file.
missing_expected()
{
	local input=$1 name
	shift
	mkdir -p "$input/expected"
	for name; do
		[ -e "$input/expected/$name.out" ] || : >"$input/expected/$name.out"
	done
}

# run_pg_regress PROGRAM INPUTDIR DATABASE NAME...
run_pg_regress()
{
	local program=$1 input=$2 database=$3
	shift 3
	local output=build/results/${program##*/}
	rm -rf "$output"
	mkdir -p "$output"
	missing_expected "$input" "$@"
	"$program" --bindir="$PG_BIN" --inputdir="$input" --outputdir="$output" \
		--host="$PGHOST" --port="$PGPORT" --user="$PGUSER" --dbname="$database" \
		--launcher="$STAGE/test/lib/mask.sh" "$@" 2>&1 | tee "$output/log" || true
	if ! regress_count "$output/log" $#; then
		[ ! -f "$output/regression.diffs" ] || head -400 "$output/regression.diffs"
		return 1
	fi
}

suite_regress()
{
	[ $# -gt 0 ] || { echo "no sql/*.sql"; return 0; }
	echo "== regress"
	run_pg_regress "$PGXS_DIR/src/test/regress/pg_regress" . contrib_regression "$@"
}

# What needs no server, under sanitizers: one program for each file. It goes
# on beside what comes next, as most of it computes; unit_end tells of it.
unit_begin()
{
	[ $# -gt 0 ] || return 0
	mkdir -p build/unit-logs
	(
		make -s -k -j"$(nproc)" -C test/unit PG_CONFIG="$PG_CONFIG" build >build/unit-logs/build 2>&1
		for file; do
			name=$(basename "$file" .c)
			make -s -C test/unit PG_CONFIG="$PG_CONFIG" "run-$name" >"build/unit-logs/$name" 2>&1 &&
				touch "build/unit-logs/$name.passed"
		done
	) </dev/null &
	UNIT_PID=$!
}

unit_end()
{
	local file name status=0
	[ $# -gt 0 ] || return 0
	wait "$UNIT_PID"
	echo "== unit"
	for file; do
		name=$(basename "$file" .c)
		if [ -e "build/unit-logs/$name.passed" ]; then
			PASSED=$((PASSED + 1))
			echo "$name: $(tail -1 "build/unit-logs/$name")"
		else
			FAILED=$((FAILED + 1))
			status=1
			echo "unit test $name" >>build/failures
			cat "build/unit-logs/$name"
		fi
	done
	return $status
}

suite_isolation()
{
	[ $# -gt 0 ] || { echo "no test/specs/*.spec"; return 0; }
	echo "== isolation"
	run_pg_regress "$PGXS_DIR/src/test/isolation/pg_isolation_regress" test isolation_regression "$@"
}

# Environment of PostgreSQL::Test and of our own modules.
tap_environment()
{
	export PERL5LIB=$STAGE/test/perl:$PGXS_DIR/src/test/perl${PERL5LIB:+:$PERL5LIB}
	export PG_REGRESS=$PGXS_DIR/src/test/regress/pg_regress
	export TESTDIR=$STAGE/build/tap TESTLOGDIR=$STAGE/build/tap/log TESTDATADIR=$STAGE/build/tap/data
	export ACT_SHIM=$STAGE/build/tools/shim.so
	mkdir -p "$TESTLOGDIR" "$TESTDATADIR"
}

# prove, of tests that are given; each of their runs is looked at by Sums.pm.
prove_tests()
{
	local jobs=$1
	shift
	[ $# -gt 0 ] || return 0
	# shellcheck disable=SC2086
	prove --timer --norc --exec 'perl -MSums' -j "$jobs" ${PROVE_FLAGS:-} "$@" </dev/null 2>&1
}

# Of each test that failed its first assertions that did and its last lines,
# for those who look at nothing but the end of a long log.
tap_failures()
{
	local line log
	while read -r line; do
		echo "$line"
		log=regress_log_$(basename "${line%%.pl *}")
		log=$(find build/tap/log build/tap/tmp_check -name "$log" | head -1)	# the first from 16 on, else the second
		[ -n "$log" ] || continue
		{
			grep -A 7 'Failed test' "$log" | head -24
			echo '...'
			tail -6 "$log"
		} | sed -E 's/^\[[0-9:.]+\]\([0-9.]+s\) //; s/^/    /' | cut -c 1-300
	done
}

# The tests bring their own clusters and destinations, so several go at a time;
# those that say "Runs alone" measure time, processors or memory.
suite_tap()
{
	[ $# -gt 0 ] || { echo "no tests"; return 0; }
	echo "== tap"
	tap_environment
	rm -rf build/tap/tmp_check	# what a test that failed left to look at
	local log=build/tap/prove.log passed file
	local together=() alone=()
	for file in "$@"; do
		if grep -q '^# Runs alone' "$file"; then alone+=("$file"); else together+=("$file"); fi
	done
	(
		unset PGHOST PGPORT PGUSER
		prove_tests "${PROVE_JOBS:-3}" ${together[@]+"${together[@]}"}
		prove_tests 1 ${alone[@]+"${alone[@]}"}
	) | tee "$log" || true
	passed=$(grep -cE '\.pl \.+ (ok|skipped)' "$log" || true)
	PASSED=$((PASSED + passed))
	FAILED=$((FAILED + $# - passed))
	grep -E '^\S+\.pl +\(Wstat' "$log" | tap_failures >>build/failures || true
	[ "$passed" = $# ]
}
