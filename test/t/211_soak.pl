# Ten thousand requests through one session: neither its memory nor its
# descriptors grow with them, nor do tables beyond what a held snapshot keeps.
# test/chaos/soak.pl is the long form.
# Runs alone: it measures.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use Test::More;

use Soak;

plan skip_all => 'needs /proc/PID/smaps_rollup' unless -r "/proc/$$/smaps_rollup";

# The bound of the long form is 1 kB; an arena that grows once weighs more in few requests.
Soak::run(requests => $ENV{SOAK_REQUESTS} // 10_000, runs => $ENV{SOAK_RUNS} // 10, bound => $ENV{SOAK_BOUND} // 16 * 1024,
	seconds => $ENV{SOAK_SECONDS});

done_testing();
