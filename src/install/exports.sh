#!/bin/sh
# Prints a linker version script for the given objects: the module's magic
# and _PG_init, each SQL function with its pg_finfo_ record, and what the
# sources mark PGDLLEXPORT (entry points of background workers).
set -eu

echo '{ global:'
echo 'Pg_magic_func;'
echo '_PG_init;'
nm -g --defined-only "$@" | sed -n 's/^.* T pg_finfo_\(.*\)$/pg_finfo_\1;\n\1;/p' | sort -u
sed -n 's/^.*PGDLLEXPORT.*[ *]\([A-Za-z_0-9]*\)(.*$/\1;/p' src/*.h src/*.c | sort -u
echo 'local: *; };'
