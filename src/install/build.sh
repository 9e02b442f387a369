#!/bin/sh
# Prints the install script: the given *.sql parts in the given order, then
# one row for each connector document (NAME.json becomes connector NAME).
set -eu

printf '%s\n' '\echo Use "CREATE EXTENSION pg_activate" to load this file. \quit'

parts=0
for part; do
	case $part in *.sql)
		printf '\n-- %s\n\n' "${part##*/}"
		cat "$part"
		parts=$((parts + 1))
	esac
done
if [ $parts = 0 ]; then
	echo "src/install has no *.sql" >&2
	exit 1
fi

for document; do
	case $document in *.json)
		name=${document##*/}
		name=${name%.json}
		if grep -qF '$connector$' "$document"; then
			echo "$document: the text \$connector\$ cannot be quoted" >&2
			exit 1
		fi
		printf '\n-- %s\n\n' "${document##*/}"
		printf "INSERT INTO activate.connector (name, spec, builtin) VALUES ('%s', \$connector\$" "$name"
		cat "$document"
		printf '$connector$::json, true);\n'
	esac
done
