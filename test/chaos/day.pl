# The whole day: a hundred syncs, 9600 runs.
use strict;
use warnings;

use FindBin;

$ENV{ACT_LONG} = 1;
do "$FindBin::Bin/../t/153_day.pl";
die $@ if $@;
