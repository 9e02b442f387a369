#!/bin/bash
# What happens on the stage, as an ordinary user. Started by run.sh with the
# stage as working directory: inside.sh COMMAND [--regress a] [--isolation b]
# [--tap c].
set -euo pipefail

# shellcheck source=test/lib/server.sh
. test/lib/server.sh
# shellcheck source=test/lib/suites.sh
. test/lib/suites.sh

CLUSTER=$STAGE/build/cluster
STATUS=0

finish()
{
	cluster_stop "$CLUSTER" immediate
	destination_stop
}

prepare()
{
	server_copy
	server_paths
	extension_install
}

prepare_cluster()
{
	cluster_create "$CLUSTER"
	cluster_start "$CLUSTER"
	destination_start
}

# Lint counts as one test, each test file as one.
summary()
{
	[ ! -s build/failures ] || { echo "failed:"; cat build/failures; }
	echo "$PASSED passed, $FAILED failed" >build/summary
	[ $FAILED = 0 ]
}

run_test()
{
	local everything=true
	[ ${#regress[@]} -eq 0 ] && [ ${#isolation[@]} -eq 0 ] && [ ${#tap[@]} -eq 0 ] || everything=false
	if $everything; then
		mapfile -t regress < <(test_names sql .sql)
		mapfile -t isolation < <(test_names test/specs .spec)
		mapfile -t tap < <(find test/t -name '*.pl' 2>/dev/null | sort)
	fi
	prepare
	if $everything; then
		unit_begin test/unit/*_test.c
	fi
	if [ ${#regress[@]} -gt 0 ] || [ ${#isolation[@]} -gt 0 ]; then
		prepare_cluster
		[ ${#regress[@]} -eq 0 ] || suite_regress "${regress[@]}" || STATUS=1
		[ ${#isolation[@]} -eq 0 ] || suite_isolation "${isolation[@]}" || STATUS=1
		# What holds without workers must hold beside them.
		if [ ${#regress[@]} -gt 0 ]; then
			echo "shared_preload_libraries = 'pg_activate'" >>"$CLUSTER/postgresql.conf"
			cluster_start "$CLUSTER"
			echo "with the library preloaded:"
			suite_regress "${regress[@]}" || STATUS=1
		fi
		cluster_stop "$CLUSTER"
		destination_stop
	fi
	[ ${#tap[@]} -eq 0 ] || suite_tap "${tap[@]}" || STATUS=1
	if $everything; then
		unit_end test/unit/*_test.c || STATUS=1
	fi
	summary || STATUS=1
	cat build/summary
	return $STATUS
}

run_chaos()
{
	[ ${#tap[@]} -gt 0 ] || mapfile -t tap < <(find test/chaos -name '*.pl' 2>/dev/null | sort)
	if [ ${#tap[@]} -eq 0 ]; then
		echo "no test/chaos/*.pl"
		return 0
	fi
	prepare
	export CHAOS_REPORT=$STAGE/build/chaos.report
	: >"$CHAOS_REPORT"
	SECONDS=0
	suite_tap "${tap[@]}" || STATUS=1
	echo "== report, ${SECONDS} s"
	cat "$CHAOS_REPORT"
	summary || STATUS=1
	cat build/summary
	return $STATUS
}

run_bench()
{
	local scripts script
	mapfile -t scripts < <(find test/bench -name '*.sh' -o -name '*.pl' | sort)
	if [ ${#scripts[@]} -eq 0 ]; then
		echo "no test/bench/*.sh"
		return 0
	fi
	prepare
	prepare_cluster
	tap_environment
	export PG_LIB PG_SHARE	# where rival.pl installs what it compares with
	for script in "${scripts[@]}"; do
		echo "== $script"
		case $script in
			*.sh) bash "$script" || STATUS=1 ;;
			*.pl) (unset PGHOST PGPORT PGUSER; perl -MSums "$script") || STATUS=1 ;;
		esac
	done
	return $STATUS
}

run_demo()
{
	if [ ! -f test/demo/demo.sh ]; then
		echo "There is no demo yet (test/demo/demo.sh)." >&2
		return 1
	fi
	prepare
	prepare_cluster
	bash test/demo/demo.sh
}

run_lint() { bash test/lint.sh; }

# A TAP test by any name: 001_x, 001_x.pl, t/001_x.pl, test/t/001_x.pl
tap_path()
{
	local name=${1##*/} folder
	name=${name%.pl}.pl
	for folder in test/t test/chaos; do
		[ ! -f "$folder/$name" ] || { echo "$folder/$name"; return; }
	done
	echo "no such TAP test: $1" >&2
	return 1
}

regress=() isolation=() tap=()
command=$1
shift
while [ $# -gt 0 ]; do
	case $1 in
		--regress) regress+=("$2") ;;
		--isolation) isolation+=("$2") ;;
		--tap) tap+=("$(tap_path "$2")") ;;
		*) echo "unknown argument: $1" >&2; exit 2 ;;
	esac
	shift 2
done

trap finish EXIT
trap 'exit 130' INT TERM HUP
"run_$command"
