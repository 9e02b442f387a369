#!/bin/bash
# What building and testing needs, and how to get it on Debian.
#
#   packages.sh ensure [test]   root or sudo: install what is missing (with
#                         test: and what only tests talk to)
#                         else: print the one line to type, exit 1
#   packages.sh report    print what is wrong, exit 1
#
# A thing counts as there when it works, however it was installed.
set -euo pipefail

# As in "debian 12".
release()
{
	local ID='' VERSION_ID=''
	# shellcheck source=/dev/null
	[ ! -e /etc/os-release ] || . /etc/os-release
	echo "$ID $VERSION_ID"
}

# The PostgreSQL that this release brings, if nobody chose one.
release_major()
{
	case "$(release)" in
		'debian 12') echo 15 ;;
		'ubuntu 24.04') echo 16 ;;
		'debian 13') echo 17 ;;
		*) echo 18 ;;
	esac
}
PG_MAJOR=${PG_MAJOR:-$(release_major)}

header() { command -v gcc && echo "#include <$1>" | gcc -E -o /dev/null -x c -; }
pgxs() { test -f "$("${PG_CONFIG:-pg_config}" --pgxs)"; }
server() { test -x "$("${PG_CONFIG:-pg_config}" --bindir)/postgres"; }
# Where it is not offered, its tests skip.
has_clickhouse() { [ "$(release)" = 'debian 12' ]; }
lint_clang() { compgen -c clang | grep -E '^clang(-[0-9]+)?$'; }

# Prints the packages of what is missing.
missing()
{
	local package probe
	while IFS='|' read -r package probe; do
		eval "$probe" >/dev/null 2>&1 </dev/null || echo "$package"
	done <<-END
		gcc|command -v gcc
		make|command -v make
		libc6-dev|header stdio.h
		clang|lint_clang
		postgresql-$PG_MAJOR|server
		postgresql-server-dev-$PG_MAJOR|pgxs
		libcurl4-openssl-dev|header curl/curl.h
		libcjson-dev|header cjson/cJSON.h
		libxxhash-dev|header xxhash.h
		libssl-dev|header openssl/evp.h
		zlib1g-dev|header zlib.h
		perl|command -v prove && perl -MJSON::PP -e1
		libipc-run-perl|perl -MIPC::Run -e1
		python3-croniter|/usr/bin/python3 -c 'import croniter'
		python3-jsonschema|/usr/bin/python3 -c 'import jsonschema'
	END
	[ "${1:-}" = test ] || return 0
	while IFS='|' read -r package probe; do
		eval "$probe" >/dev/null 2>&1 </dev/null || echo "$package"
	done <<-END
		npm|command -v npm
		clickhouse-server|command -v clickhouse-server || ! has_clickhouse
	END
}

apt_line() { echo "apt-get install -y --no-install-recommends $*"; }

# Installing PostgreSQL on Debian starts a cluster unless told otherwise, and
# other servers start themselves.
install_packages()
{
	local sudo=$1
	shift
	local conf=/etc/postgresql-common/createcluster.d/pg_activate_test.conf
	$sudo mkdir -p "${conf%/*}"
	echo 'create_main_cluster = false' | $sudo tee "$conf" >/dev/null
	export DEBIAN_FRONTEND=noninteractive
	local status=0 policy=/usr/sbin/policy-rc.d
	if [ -e $policy ]; then policy=; else printf '#!/bin/sh\nexit 101\n' | $sudo install -m 755 /dev/stdin $policy; fi
	{
		$sudo apt-get -q update &&
			$sudo apt-get -q install -y --no-install-recommends "$@"
	} </dev/null >&2 || status=$?
	$sudo rm -f "$conf" $policy
	return $status
}

main()
{
	local packages
	mapfile -t packages < <(missing "${2:-}")
	if [ ${#packages[@]} -eq 0 ]; then
		[ "${1:-}" = ensure ] && exit 0
		echo "pg_activate: ${PG_CONFIG:-pg_config} --pgxs names no file: set PG_CONFIG" >&2
		exit 1
	fi

	if [ "${1:-}" = ensure ] && command -v apt-get >/dev/null; then
		if [ "$(id -u)" = 0 ]; then
			install_packages "" "${packages[@]}" && exit 0
		elif sudo -n true 2>/dev/null; then
			install_packages "sudo -n" "${packages[@]}" && exit 0
		fi
	fi
	echo "pg_activate: missing packages. As root:" >&2
	echo "    $(apt_line "${packages[@]}")" >&2
	exit 1
}

main "$@"
