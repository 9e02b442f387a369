# Kills for a while longer than "make test" does: SEED, KILLS.  A slow machine
# does fewer, and says so.
use strict;
use warnings;

use Chaos;
use FindBin;
use PostgreSQL::Test::Cluster;		# has to be there before anything runs

$ENV{KILLS} //= 400;
$ENV{KILL_SECONDS} //= Chaos::seconds('kill');
do "$FindBin::Bin/../t/150_kill.pl";
die $@ if $@;
