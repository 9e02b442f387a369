#!/bin/bash
# Runs tests, demo, benchmarks or lint of this tree in a copy of it, as an
# ordinary user, with a private copy of the server; leaves nothing behind but
# build/logs when something failed.
#
#   test/run.sh test [--regress NAME]... [--isolation NAME]... [--tap FILE]...
#   test/run.sh chaos | bench | demo | lint
set -euo pipefail

TREE=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=test/lib/stage.sh
. "$TREE/test/lib/stage.sh"

command=${1:-test}
[ $# -eq 0 ] || shift
case $command in
	test | chaos | bench | demo | lint) ;;
	*) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit 2 ;;
esac

clean_environment
case $command in
	test | chaos) "$TREE/test/lib/packages.sh" ensure test ;;
	*) "$TREE/test/lib/packages.sh" ensure ;;
esac
ensure_tester
STAGE=$(mktemp -d "$STAGE_PARENT/pg_activate.XXXXXX")
status=1

# Whatever happens, the stage goes; its logs are kept when something failed.
leave()
{
	local logs=$TREE/build/logs path
	mkdir -p "$TREE/build"
	cp "$STAGE/build/summary" "$TREE/build/summary" 2>/dev/null || rm -f "$TREE/build/summary"
	rm -rf "$logs"
	if [ $status != 0 ]; then
		mkdir -p "$logs"
		for path in logs results tap/log tap/tmp_check/log tap/prove.log; do
			[ ! -e "$STAGE/build/$path" ] || cp -r "$STAGE/build/$path" "$logs/$(echo "$path" | tr / _)" || true
		done
		echo "logs: $logs" >&2
	fi
	rm -rf "$STAGE"
}
trap leave EXIT

# What vendors publish of their APIs; tests that use it skip where it is not.
export ACT_SHARED=$TREE/../shared

# Servers from npm are installed while the first tests run.
ACT_NPM=$("$TREE/test/lib/npm.sh" root)
export ACT_NPM
if [ "$command" = test ]; then
	rm -f "$ACT_NPM/.done"
	"$TREE/test/lib/npm.sh" ensure >&2 &
fi
trap 'exit 130' INT TERM HUP

stage_fill "$TREE" "$STAGE"
cd "$STAGE"
export HOME=$STAGE
status=0
as_tester bash test/lib/inside.sh "$command" "$@" </dev/null || status=$?
exit $status
