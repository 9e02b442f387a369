# Everything that can fail does, in twenty storms of two hundred faults, and
# each time nothing is lost, nothing is wrong in the end, and little was sent
# twice.  SEED the first, SEEDS how many, FAULTS in each.  A slow machine does
# fewer storms, and says so.
use strict;
use warnings;

use Chaos;
use List::Util qw(max sum0);
use Storm;
use Test::More;
use Time::HiRes qw(time);

my @kinds = (
	[ mode => 'mirror', removed => 'delete' ], [ mode => 'mirror', removed => 'clear' ], [ mode => 'mirror', removed => 'update' ],
	[ mode => 'upsert', removed => 'ignore' ], [ mode => 'mirror', removed => 'archive' ], [ mode => 'replace' ],
	[ mode => 'mirror', removed => 'remove' ],
	[ mode => 'mirror', removed => 'delete', columns => [qw(band tone)], options => { changed_fields_only => JSON::PP::true } ]);

sub say_line { return Chaos::tell(@_) }

my $first = $ENV{SEED} // 1;
my $seeds = $ENV{SEEDS} // 20;
my $faults = $ENV{FAULTS} // 200;
my $begun = time;
my $limit = Chaos::seconds('convergence');
my $cluster = Storm->cluster('storm');
my (@reports, %process, %points);

say_line("%4s  %-32s %6s %6s %6s %6s %6s %6s %8s %5s %5s %6s",
  qw(seed kind faults rounds rows again doubt alone max/fault lost wrong s));
foreach my $seed ($first .. $first + $seeds - 1)
{
	# The control, too, takes its time.
	last if @reports && time - $begun > $limit * (1 - 1.5 / (@reports + 1.5));
	my @kind = @{ $kinds[ ($seed - 1) % @kinds ] };
	my %kind = @kind;
	my $name = join ' ', grep { defined && !ref } @kind[1, 3], $seed % 2 ? 'synchronous' : 'asynchronous';
	my $storm = Storm->new($cluster, name => "storm_$seed", synchronous => $seed % 2, @kind);
	my $r = $storm->rage(seed => $seed, faults => $faults);

	$storm->end;
	push @reports, $r;
	$process{$_} += $r->{process}{$_} foreach keys %{ $r->{process} };
	$points{$_} += $r->{points}{$_} foreach keys %{ $r->{points} };
	say_line("%4d  %-32s %6d %6d %6d %6d %6d %6d %8d %5d %5d %6.1f", $seed, $name,
	  @$r{qw(faults rounds rows again doubted alone again_max lost wrong seconds)});
	is($r->{status}, 'succeeded', "seed $seed: without faults a run succeeds");
	is($r->{difference}, '', "seed $seed: the destination is equal to the model");
	cmp_ok($r->{faults}, '>=', $faults, "seed $seed: so many faults");
	cmp_ok($r->{again_max}, '<=', $r->{window}, "seed $seed: rows sent again for a fault: at most what may be under way");
	is($r->{over}, 0, "seed $seed: nor more for several");
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
say_line('rows sent %d, again %d (for one of %d faults that came alone at most %d; %d more than several may cost), after an asynchronous promotion %d; lost %d, wrong %d',
	total('rows'), total('again'), total('alone'), max(map { $_->{mode} eq 'replace' ? 0 : $_->{again_max} } @reports),
	max(map { $_->{over} } @reports), total('doubted'), total('lost'), total('wrong'));
say_line('%d of %d storms in the %.0f s that they may take here', scalar @reports, $seeds, $limit) if @reports < $seeds;
if (@reports >= 20)
{
	is(join(' ', grep { !$points{$_} } Storm->points_of_storms), '', 'each fault point was come by');
}

# given neither claims nor doubt, when the same happens, then it ends wrong: the storm can tell
my $control = Storm->new($cluster, name => 'control', removed => 'delete')->rage(seed => $first, faults => $faults, claims => 0);
isnt($control->{difference}, '', 'without claims the storm ends wrong');
say_line("without claims: lost %d, wrong %d", @$control{qw(lost wrong)});

done_testing();
