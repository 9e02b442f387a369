# Everything that can fail does, and in the end model and destination agree:
# the short form of test/chaos/convergence.pl.  SEED: another order of events.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Storm;
use Test::More;

my $seed = $ENV{SEED} // 1;
my $cluster = Storm->cluster('storm');

# given faults of destination, sessions, workers and servers, when they are over,
# then nothing is lost, nothing is wrong, and little was sent twice
my $report = Storm->new($cluster, name => 'storm', removed => 'delete', synchronous => 1)->rage(seed => $seed, faults => $ENV{FAULTS} // 100);
is($report->{status}, 'succeeded', 'without faults a run succeeds');
is($report->{difference}, '', 'the destination is equal to the model');
cmp_ok($report->{again_max}, '<=', $report->{window}, 'rows sent again for a fault: at most what may be under way');
is($report->{over}, 0, 'nor more for several');
is($report->{change_ids}, '', 'no change_id had two contents');
is($report->{claims}, '0', 'no claim is left');
is($report->{sums}, '', 'the sums of all runs hold');
note explain $report;

# given neither claims nor doubt, when the same happens, then it ends wrong: the storm can tell
# With luck a storm does not: faults come at other moments each time.
my $wrong = '';
foreach my $try (1 .. 4)
{
	my $control = Storm->new($cluster, name => "control$try", removed => 'delete');
	$wrong = $control->rage(seed => $seed + $try - 1, faults => $ENV{FAULTS} // 100, claims => 0)->{difference};
	last if $wrong ne '';
}
isnt($wrong, '', 'without claims the storm ends wrong');

# given the fault points of the source, then storms come by each of them, or a test of its own does, and README.md names it
my %in_storms = map { $_ => 1 } Storm->points_of_storms;
my $tests = join '', map { slurp_file($_) } glob 'test/t/*.pl';
my $readme = slurp_file('test/README.md');
is(join(' ', grep { !$in_storms{$_} && $tests !~ /\b$_:/ } Storm->points), '', 'each fault point is come by');
is(join(' ', grep { $readme !~ /`$_`/ } Storm->points), '', 'and is in test/README.md');

done_testing();
