#!/bin/bash
# make lint: what a reviewer should not have to say. Prints one line for each
# finding; exits 1 if there is an error (warnings don't count). Runs in the
# root of a copy of the tree, with PostgreSQL's headers installed.
set -uo pipefail

FUNCTION_WARN=80 FUNCTION_MAX=120	# lines between the braces
FILE_WARN=700 FILE_MAX=900			# lines

# What only the side of the network, and only the side of the database, includes.
NETWORK_HEADERS='curl/'
DATABASE_HEADERS='executor/spi\.h|access/xact\.h|utils/snapmgr\.h'

WARNINGS="-Wall -Wextra -Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers
	-Wmissing-prototypes -Wpointer-arith -Wdeclaration-after-statement -Wvla"
GCC_WARNINGS="$WARNINGS -Wshadow=compatible-local -Wno-format-truncation -Wno-stringop-truncation"

PG_CONFIG=${PG_CONFIG:-pg_config}
shopt -s nullglob
errors=0

error()
{
	echo "lint: $*"
	errors=$((errors + 1))
}

# Turns the lines of a check into errors.
errors_from()
{
	local line
	while IFS= read -r line; do
		[ -z "$line" ] || error "$line"
	done
}

# All headers a file includes, directly or through headers of ours.
includes_of()
{
	perl - "$1" <<-'END'
		my %seen; my @todo = ($ARGV[0]);
		while (my $file = shift @todo) {
			next if $seen{$file}++;
			open my $in, '<', $file or next;
			while (<$in>) {
				next unless /^\s*#\s*include\s*["<]([^">]+)[">]/;
				if (-e "src/$1") { push @todo, "src/$1" } else { print "$1\n" }
			}
		}
	END
}

check_layers()
{
	local file includes
	for file in src/*.c; do
		includes=$(includes_of "$file")
		if grep -qE "^($NETWORK_HEADERS)" <<<"$includes" && grep -qE "^($DATABASE_HEADERS)$" <<<"$includes"; then
			error "$file: sees the network ($(grep -E "^($NETWORK_HEADERS)" <<<"$includes" | head -1)) and the" \
				"database ($(grep -E "^($DATABASE_HEADERS)$" <<<"$includes" | paste -sd' '))"
		fi
	done
}

check_exports()
{
	local log allowed
	local sources=(src/*.c)
	[ ${#sources[@]} -gt 0 ] || return 0
	log=$(make -s -j"$(nproc)" all 2>&1) || { echo "make fails: $log"; return; }
	allowed=$(
		echo Pg_magic_func
		echo _PG_init
		sed -n 's/^PG_FUNCTION_INFO_V1(\([A-Za-z_0-9]*\));$/\1\npg_finfo_\1/p' src/*.c
		sed -n 's/^.*PGDLLEXPORT.*[ *]\([A-Za-z_0-9]*\)(.*$/\1/p' src/*.[ch]
	)
	nm -D --defined-only pg_activate.so | awk '{ print $3 }' | grep -vxFf <(echo "$allowed") |
		sed 's/^/exported, but no function of PostgreSQL: /'
	# act_test_*: of the test build only
	sed -n 's/^PG_FUNCTION_INFO_V1(\([A-Za-z_0-9]*\));$/\1/p' src/*.c | grep -v '^act_test_' |
		grep -vxFf <(nm -D --defined-only pg_activate.so | awk '{ print $3 }') | sed 's/$/: not exported/'
}

check_sizes()
{
	local file lines
	for file in src/*.c; do
		lines=$(wc -l <"$file")
		if [ "$lines" -gt $FILE_MAX ]; then
			error "$file: $lines lines, at most $FILE_MAX"
		elif [ "$lines" -gt $FILE_WARN ]; then
			echo "lint: warning: $file: $lines lines"
		fi
		awk -v file="$file" -v warn=$FUNCTION_WARN -v max=$FUNCTION_MAX '
			/lint: long/ { long = 1 }
			/^[A-Za-z_].*\(/ && !/;[ \t]*$/ { name = $0; sub(/\(.*/, "", name); sub(/.*[ *]/, "", name) }
			/^{/ { start = NR }
			/^}/ {
				if (start && name != "" && !long) {
					size = NR - start - 1
					if (size > max) print file ": " name "(): " size " lines, at most " max
					else if (size > warn) print "lint: warning: " file ": " name "(): " size " lines" >"/dev/stderr"
				}
				start = 0; name = ""; long = 0
			}' "$file" | errors_list
	done
}

# Collects what a pipeline found (a subshell cannot count).
errors_list() { cat >>build/lint.errors; }

# With and without what tests need; what the compiler says, if anything.
compile_one()
{
	local compiler=$1 file=$2 define
	shift 2
	for define in -UACT_TEST -DACT_TEST; do
		# shellcheck disable=SC2046
		"$compiler" "$@" -Werror -O2 -fno-strict-aliasing -fwrapv -fPIC $define -D_GNU_SOURCE -Isrc \
			-isystem "$("$PG_CONFIG" --includedir-server)" -c -o /dev/null "$file" && continue
		echo "$file: ${compiler##*/} $define"
		break
	done
}

compile_all()
{
	local compiler=$1 file running=0
	shift
	rm -rf build/lint.compiled
	mkdir -p build/lint.compiled
	for file in src/*.c; do
		compile_one "$compiler" "$file" "$@" >"build/lint.compiled/$(basename "$file")" 2>&1 &
		running=$((running + 1))
		if [ $running -ge "$(nproc)" ]; then
			wait -n || true
			running=$((running - 1))
		fi
	done
	wait
	for file in build/lint.compiled/*; do
		[ -s "$file" ] || continue
		cat "$file"
		error "$(tail -1 "$file")"
	done
}

clang_name() { compgen -c clang | grep -E '^clang(-[0-9]+)?$' | sort | sed -n 1p; }

check_compilers()
{
	# PG_FINALLY itself is taken for clobbered; core's formats are of gcc's kind.
	# shellcheck disable=SC2086
	compile_all gcc $GCC_WARNINGS -Wno-clobbered
	# shellcheck disable=SC2086
	compile_all "$(clang_name)" $WARNINGS -Wno-ignored-attributes
}

check_text()
{
	local sources=(src/*.[ch] src/install/* src/connectors/* sql/* test/*.sh test/lib/* test/t/* test/perl/*
		test/destination/* test/shim/* test/specs/* test/chaos/* test/bench/* test/demo/* Makefile)
	local c_files=(src/*.[ch] test/destination/*.[ch] test/shim/*.c)
	grep -nHE '\b(TODO|FIXME|XXX)\b' "${sources[@]}" | grep -v '^test/lint.sh' | sed 's/$/: unfinished/'
	grep -nHE '[[:blank:]]+$' "${sources[@]}" | cut -d: -f1,2 | sed 's/$/: blanks at the end/'
	[ ${#c_files[@]} -eq 0 ] || grep -nHE '^ +[^ *]' "${c_files[@]}" | cut -d: -f1,2 | sed 's/$/: indented by blanks/'
}

# An install script makes everything itself, so that nothing prepared by
# somebody else is taken over.
check_install_sql()
{
	local files=(src/install/*.sql)
	[ ${#files[@]} -gt 0 ] || return 0
	sed_comments='s/--.*$//'
	for file in "${files[@]}"; do
		sed "$sed_comments" "$file" | grep -niE \
			'CREATE +OR +REPLACE|SECURITY +DEFINER|(TABLE|SCHEMA|INDEX|SEQUENCE|EXTENSION|VIEW|SERVER|WRAPPER|COLUMN|TYPE) +IF +NOT +EXISTS' |
			sed "s|^|$file:|"
	done
}

check_scripts()
{
	local file
	for file in test/*.sh test/lib/*.sh test/bench/*.sh test/demo/*.sh src/install/*.sh .ci/run; do
		bash -n "$file" 2>&1
	done
}

mkdir -p build
: >build/lint.errors
check_layers
check_sizes
check_exports >>build/lint.errors
check_text >>build/lint.errors
check_install_sql >>build/lint.errors
check_scripts >>build/lint.errors
check_compilers
errors_from <build/lint.errors

if [ $errors -gt 0 ]; then
	echo "lint: $errors errors"
	exit 1
fi
echo "lint: clean"
