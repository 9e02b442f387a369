#!/bin/bash
# pg_regress --launcher: runs psql, with the destination's port (always five
# digits) as PPPPP in the output, so that expected files don't know it and
# columns keep their width.
set -o pipefail
"$@" 2>&1 | sed -u "s/\b${DESTINATION_PORT:-no port}\b/PPPPP/g"
