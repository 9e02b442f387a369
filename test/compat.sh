#!/bin/bash
# Compiles the sources against the headers of other majors, by hand:
#
#   test/compat.sh /path/to/include/postgresql/17/server ...
#
# The headers come with postgresql-server-dev-17 and the like (dpkg -x is
# enough).  Nothing is linked or run.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
[ $# -gt 0 ] || { sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 2; }

failed=0
for include; do
	for file in src/*.c; do
		for define in -UACT_TEST -DACT_TEST; do
			# strlcpy: older headers leave it to a newer libc than this one
			gcc -fsyntax-only -Wall -Werror -Wno-error=implicit-function-declaration -D_GNU_SOURCE \
				$define -Isrc -isystem "$include" "$file" || failed=$((failed + 1))
		done
	done
	echo "$include: $failed failed"
done
[ $failed = 0 ]
