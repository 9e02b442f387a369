# Everything that can fail does, in twenty storms of two hundred faults, and
# each time nothing is lost, nothing is wrong in the end, and little was sent
# twice.  SEED the first, SEEDS how many, FAULTS in each.
use strict;
use warnings;

use List::Util qw(max sum0);
use Storm;
use Test::More;
use Time::HiRes qw(time);

use constant LIMIT => 540;		# seconds; no storm begins after that

my @kinds = (
	[ mode => 'mirror', removed => 'delete' ], [ mode => 'mirror', removed => 'clear' ], [ mode => 'mirror', removed => 'update' ],
	[ mode => 'upsert', removed => 'ignore' ], [ mode => 'mirror', removed => 'archive' ], [ mode => 'replace' ],
	[ mode => 'mirror', removed => 'remove' ],
	[ mode => 'mirror', removed => 'delete', columns => [qw(band tone)], options => { changed_fields_only => JSON::PP::true } ]);
# To the terminal, whatever a harness makes of the rest.
sub say_line
{
	my ($format, @values) = @_;
	diag sprintf $format, @values;
	return;
}

my $first = $ENV{SEED} // 1;
my $seeds = $ENV{SEEDS} // 20;
my $faults = $ENV{FAULTS} // 200;
my $begun = time;
my $cluster = Storm->cluster('storm');
my (@reports, %process, %points);

say_line("%4s  %-32s %6s %6s %6s %6s %6s %8s %5s %5s %6s",
  qw(seed kind faults rounds rows again doubt max/fault lost wrong s));
foreach my $seed ($first .. $first + $seeds - 1)
{
	last if time > $begun + LIMIT;
	my @kind = @{ $kinds[ ($seed - 1) % @kinds ] };
	my %kind = @kind;
	my $name = join ' ', grep { defined && !ref } @kind[1, 3], $seed % 2 ? 'synchronous' : 'asynchronous';
	my $storm = Storm->new($cluster, name => "storm_$seed", synchronous => $seed % 2, @kind);
	my $r = $storm->rage(seed => $seed, faults => $faults);

	$storm->end;
	push @reports, $r;
	$process{$_} += $r->{process}{$_} foreach keys %{ $r->{process} };
	$points{$_} += $r->{points}{$_} foreach keys %{ $r->{points} };
	say_line("%4d  %-32s %6d %6d %6d %6d %6d %8.1f %5d %5d %6.1f", $seed, $name,
	  @$r{qw(faults rounds rows again doubted again_max lost wrong seconds)});
	is($r->{status}, 'succeeded', "seed $seed: without faults a run succeeds");
	is($r->{difference}, '', "seed $seed: the destination is equal to the model");
	cmp_ok($r->{faults}, '>=', $faults, "seed $seed: so many faults");
	cmp_ok($r->{again_max}, '<=', $r->{window}, "seed $seed: rows sent again for a fault: at most what was claimed");
	is($r->{change_ids}, '', "seed $seed: no change_id had two contents");
	is($r->{claims}, '0', "seed $seed: no claim is left");
	is($r->{sums}, '', "seed $seed: the sums of all runs hold");
}
my $seconds = time - $begun;

sub total
{
	my ($what) = @_;
	return sum0 map { $_->{$what} } @reports;
}

say_line('%d storms in %.0f s: %d faults, of them at the destination %d, of processes %d',
	scalar @reports, $seconds, total('faults'), total('destination'), sum0 values %process);
say_line('  %-28s %5d', $_, $process{$_}) foreach sort { $process{$b} <=> $process{$a} } keys %process;
say_line('points: %s', join ', ', map { "$_ $points{$_}" } sort keys %points);
say_line('rows sent %d, again %d (for a fault at most %.1f), after an asynchronous promotion %d; lost %d, wrong %d',
	total('rows'), total('again'), max(map { $_->{again_max} } @reports), total('doubted'), total('lost'), total('wrong'));
is(scalar @reports, $seeds, 'in the time that it may take');
if ($seeds >= 20)
{
	is(join(' ', grep { !$points{$_} } Storm->points_of_storms), '', 'each fault point was come by');
}

# given neither claims nor doubt, when the same happens, then it ends wrong: the storm can tell
my $control = Storm->new($cluster, name => 'control', removed => 'delete')->rage(seed => $first, faults => $faults, claims => 0);
isnt($control->{difference}, '', 'without claims the storm ends wrong');
say_line("without claims: lost %d, wrong %d", @$control{qw(lost wrong)});

done_testing();
