# Kills for a while longer than "make test" does: SEED, KILLS.
use strict;
use warnings;

use FindBin;
use PostgreSQL::Test::Cluster;		# has to be there before anything runs

$ENV{KILLS} //= 400;
do "$FindBin::Bin/../t/150_kill.pl";
die $@ if $@;
