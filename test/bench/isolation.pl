# What a slow, silent or dead destination costs another one: 95 % of its rate
# alone must be left.
use strict;
use warnings;

use FindBin;
use PostgreSQL::Test::Cluster;		# has to be there before anything runs

$ENV{ISOLATION_PAIRS} //= 15;
$ENV{ISOLATION_ROWS} //= 4000;
$ENV{ISOLATION_BOUND} //= 0.95;
do "$FindBin::Bin/../t/212_isolation.pl";
die $@ if $@;
