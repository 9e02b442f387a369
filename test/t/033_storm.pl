# Everything that can fail does, and in the end model and destination agree:
# the short form of test/chaos/convergence.pl.  SEED: another order of events.
use strict;
use warnings;

use Storm;
use Test::More;

my $seed = $ENV{SEED} // 1;
my $cluster = Storm->cluster('storm');

# given faults of destination, sessions, workers and servers, when they are over,
# then nothing is lost, nothing is wrong, and little was sent twice
my $report = Storm->new($cluster, name => 'storm', removed => 'delete', synchronous => 1)->rage(seed => $seed, faults => $ENV{FAULTS} // 100);
is($report->{status}, 'succeeded', 'without faults a run succeeds');
is($report->{difference}, '', 'the destination is equal to the model');
cmp_ok($report->{again_max}, '<=', $report->{window}, 'rows sent again for a fault: at most what was in flight');
is($report->{change_ids}, '', 'no change_id had two contents');
is($report->{claims}, '0', 'no claim is left');
is($report->{sums}, '', 'the sums of all runs hold');
note explain $report;

done_testing();
