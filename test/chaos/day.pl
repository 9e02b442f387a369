# The whole day: a hundred syncs, 9600 runs.
use strict;
use warnings;

use FindBin;
use PostgreSQL::Test::Cluster;		# has to be there before anything runs

$ENV{ACT_LONG} = 1;
do "$FindBin::Bin/../t/153_day.pl";
die $@ if $@;
