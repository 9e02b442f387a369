# Kills for a while longer than "make test" does: SEED, KILLS, KILL_SECONDS.
use strict;
use warnings;

use FindBin;
use PostgreSQL::Test::Cluster;		# has to be there before anything runs

$ENV{KILLS} //= 400;
$ENV{KILL_SECONDS} //= 240;
do "$FindBin::Bin/../t/150_kill.pl";
die $@ if $@;
