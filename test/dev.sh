#!/bin/bash
# The developer's loop: a private cluster that stays up between edits.
#
#   test/dev.sh                 build, install, (re)start, fresh database dev
#   test/dev.sh psql [ARGS]     psql in it
#   test/dev.sh regress [NAME]  pg_regress in it (all of sql/ without names)
#   test/dev.sh isolation NAME  isolation tests in it
#   test/dev.sh tap FILE...     TAP tests (they bring their own clusters)
#   test/dev.sh accept NAME...  take results as expected/NAME.out
#   test/dev.sh run COMMAND     any command, in the environment of the tests
#   test/dev.sh ask ...         ask the test destination (records X, requests)
#   test/dev.sh log             the end of the server's log
#   test/dev.sh stop            stop and remove it
#
# regress, isolation and tap build and install first. Each worktree has its
# own cluster, in a folder under /tmp named after the tree.
set -euo pipefail

TREE=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=test/lib/stage.sh
. "$TREE/test/lib/stage.sh"

clean_environment
"$TREE/test/lib/packages.sh" ensure
ensure_tester
STAGE=$STAGE_PARENT/pg_activate.dev.$(id -u).$(echo "$TREE" | cksum | cut -d' ' -f1)


command=${1:-start}
[ $# -eq 0 ] || shift
case $command in
	start | regress | isolation | tap | run)
		mkdir -p "$STAGE"
		stage_fill "$TREE" "$STAGE"
		;;
	psql | ask | log | accept)
		[ -d "$STAGE/build" ] || { echo "test/dev.sh first: there is no cluster yet" >&2; exit 1; }
		;;
	stop) [ -d "$STAGE/test" ] || { rm -rf "$STAGE"; exit 0; } ;;
	*) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit 2 ;;
esac

# What vendors publish of their APIs; tests that use it skip where it is not.
export ACT_SHARED=$TREE/../shared
ACT_NPM=$("$TREE/test/lib/npm.sh" root)
export ACT_NPM
[ "$command" != tap ] || "$TREE/test/lib/npm.sh" ensure
cd "$STAGE"
export HOME=$STAGE
case $command in
	accept)
		for name; do
			if [ -f "build/results/pg_isolation_regress/results/$name.out" ]; then
				mkdir -p "$TREE/test/expected"
				cp -v "build/results/pg_isolation_regress/results/$name.out" "$TREE/test/expected/"
			else
				mkdir -p "$TREE/expected"
				cp -v "build/results/pg_regress/results/$name.out" "$TREE/expected/"
			fi
		done
		;;
	*)
		status=0
		as_tester bash test/lib/dev_inside.sh "$command" "$@" || status=$?
		[ "$command" != stop ] || rm -rf "$STAGE"
		exit $status
		;;
esac
