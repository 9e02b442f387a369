# 200 000 requests through one session, in twenty runs and in one.  A slow
# machine sends fewer, and says so.
# Runs alone: it measures.
use strict;
use warnings;

use Chaos;
use FindBin;
use PostgreSQL::Test::Cluster;		# has to be there before anything runs

$ENV{SOAK_REQUESTS} //= 200_000;
$ENV{SOAK_RUNS} //= 20;
$ENV{SOAK_BOUND} //= 1024;
$ENV{SOAK_SECONDS} //= Chaos::seconds('soak');
do "$FindBin::Bin/../t/211_soak.pl";
die $@ if $@;
