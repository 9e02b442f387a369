# The whole day: a hundred syncs, 9600 runs.  On a slow machine it ends before
# the evening, and says so.
use strict;
use warnings;

use Chaos;
use FindBin;
use PostgreSQL::Test::Cluster;		# has to be there before anything runs

$ENV{ACT_LONG} = 1;
$ENV{DAY_SECONDS} //= Chaos::seconds('day');
do "$FindBin::Bin/../t/153_day.pl";
die $@ if $@;
