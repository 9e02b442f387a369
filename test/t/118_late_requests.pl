# A destination applies what was given up, later: nothing newer is overwritten.
# And whatever is lost, retried, taken apart or cancelled: never are two
# requests with one key of a sync under way.
# Runs alone: it measures.
use strict;
use warnings;

use Test::More;
use Time::HiRes qw(sleep time);

use Activate;
use Destination;

use constant TIMEOUT => 4;

my $a = Activate->start('main');
my $d = Destination->start;
$a->server('crm', $d, timeout => TIMEOUT . ' s', concurrency => 4, batch_size => 5);

sub wait_until
{
	my ($what, $condition) = @_;
	my $until = time + 30;
	until ($condition->())
	{
		die "waited in vain for: $what" if time > $until;
		sleep 0.02;
	}
	return;
}

sub there { return $d->fields($_[0])->{'{"id":1}'}{v} // 'nothing' }

# Sends A, which is lost and applied as late as the destination ever does so,
# and then what the model has after that, until nothing is pending.
sub overtake
{
	my ($sync, $later, %set) = @_;
	my $mode = delete $set{mode} // "'mirror', on_removed => 'delete'";
	$a->sql("CREATE TABLE $sync (id int PRIMARY KEY, v text); INSERT INTO $sync VALUES (1, 'first'), (2, 'other')");
	$a->sql("SELECT activate.create_sync('$sync', 'public.$sync', 'id', 'crm', object => '$sync', mapping => 'v', mode => $mode,"
		. q{ options => '{"remove_after": 0, "max_removed": null}')});
	$a->run($sync);
	$a->sql("UPDATE $sync SET v = 'A' WHERE id = 1");
	$d->script({ apply => 'late', delay_ms => 2000 * TIMEOUT - 300, match => { contains => '"A"' } });
	my $lost = $a->run($sync, %set);
	is("$lost->{accepted} $lost->{retries}", '1 1', "$sync: what was lost is asked for again at once, and accepted");
	is(there($sync), 'A', 'and is there');
	$a->sql($later);
	my $runs = 0;
	my $run;
	do
	{
		$a->outlive_late($sync) if $runs++;
		$run = $a->run($sync, %set);
	} while $run->{delayed} > 0;
	# The first one is done with when its answer was due.
	wait_until('the late one', sub { $d->stats->{busy} == 0 });
	return $runs;
}

is(overtake('changed', "UPDATE changed SET v = 'B' WHERE id = 1"), 2, 'a newer version waits for one more run');
is(there('changed'), 'B', 'the newer version stays');
is(overtake('removed', 'DELETE FROM removed WHERE id = 1'), 2, 'a removal waits, too');
is(there('removed'), 'nothing', 'and what was removed stays so');
is(overtake('sheet', "UPDATE sheet SET v = 'B' WHERE id = 1", mode => "'replace'"), 2, 'as do all rows of mode replace');
is(there('sheet'), 'B', 'where the newer ones stay');
is(overtake('reset', "UPDATE reset SET v = 'B' WHERE id = 1; SELECT activate.reset_sync('reset', 'resend')"), 2, 'so does what was reset');
is(there('reset'), 'B', 'where the newer version stays');
is(overtake('sheet_reset', "UPDATE sheet_reset SET v = 'B' WHERE id = 1; SELECT activate.reset_sync('sheet_reset', 'resend')", mode => "'replace'"), 2,
	'and all rows of mode replace');
is(there('sheet_reset'), 'B', 'where the newer ones stay');
is(overtake('taken', "SELECT activate.reset_sync('taken', 'baseline'); UPDATE taken SET v = 'B' WHERE id = 1"), 2, 'and what was taken as sent');
is(there('taken'), 'B', 'where the newer version stays');
is(overtake('sheet_taken', "SELECT activate.reset_sync('sheet_taken', 'baseline'); UPDATE sheet_taken SET v = 'B' WHERE id = 1", mode => "'replace'"), 2,
	'and all rows of mode replace');
is(there('sheet_taken'), 'B', 'where the newer ones stay');
# given a run that died with its request under way, then a reset does not forget that it may come
$a->sql("CREATE TABLE dead (id int PRIMARY KEY, v text); INSERT INTO dead VALUES (1, 'first')");
$a->sql(q{SELECT activate.create_sync('dead', 'public.dead', 'id', 'crm', object => 'dead', mapping => 'v')});
$a->run('dead');
$a->sql("UPDATE dead SET v = 'A' WHERE id = 1");
$d->script({ apply => 'late', delay_ms => 1000 * TIMEOUT - 1000, match => { contains => '"A"' } });
my $died = $a->begin('dead');
wait_until('its request', sub { $d->stats->{busy} > 0 });
kill 'KILL', $a->sql(q{SELECT pid FROM activate.run WHERE status = 'running'});
$a->end($died);
$a->sql("UPDATE dead SET v = 'B' WHERE id = 1; SELECT activate.reset_sync('dead', 'resend')");
while ($a->run('dead')->{delayed} > 0) { $a->outlive_late('dead') }
wait_until('the late one', sub { $d->stats->{busy} == 0 });
is(there('dead'), 'B', 'the newer version stays after a crash and a reset');

my %hasty = (set => { 'pg_activate.debug_late_off' => 'on' });
is(overtake('hasty', "UPDATE hasty SET v = 'B' WHERE id = 1", %hasty), 1, 'without waiting it takes one run');
is(there('hasty'), 'A', 'and the older version is what stays');

# ------------------------------------------------ never two at once of one key
my $seed = $ENV{SEED} // 1;
srand $seed;
$d->reset;
$a->sql(q{ALTER SERVER crm OPTIONS (SET timeout '200 ms')});
$a->sql("CREATE TABLE many (id int PRIMARY KEY, v text); INSERT INTO many SELECT i, 'x' FROM generate_series(1, 40) AS i");
$a->sql(q{SELECT activate.create_sync('many', 'public.many', 'id', 'crm', object => 'many', mapping => 'v', options => '{"max_rejected": null, "max_changed": null}')});
my @faults = ({ hang => 1 }, { close => 'after' }, { close => 'before' }, { status => 500 }, { status => 504, apply => 'before' },
	{ delay_ms => 150 }, { delay_ms => 250, apply => 'late' }, { results => 'cut' }, { refuse_batch_if => 'bad' }, { status => 413 },
	{ status => 429, headers => { 'Retry-After' => '0' } });
my $under_way = 0;
foreach my $round (1 .. 15)
{
	$a->sql("UPDATE many SET v = CASE WHEN random() < 0.05 THEN 'bad' ELSE 'v' || $round END WHERE random() < 0.6");
	$d->script(map { { %{ $faults[rand @faults] }, times => 1 + int rand 2, match => { after => int rand 3 } } } 1 .. 6);
	my $seen = $d->stats->{requests};
	my $run = $a->begin('many');
	if ($round % 3 != 0)
	{
		# Cancelled in mid request, and followed at once by the next one.
		wait_until('a request', sub { $d->stats->{requests} > $seen || $a->has_ended($run) });
		$a->sql($round % 3 == 1 ? 'SELECT activate.cancel_run(run_id) FROM activate.progress' :
			"SELECT pg_cancel_backend(pid) FROM activate.progress");
		$under_way++;
	}
	$a->end($run);
	$a->run('many');
}
$d->script;
# What is left is not to be lost to a machine that has other things to do.
$a->sql(q{ALTER SERVER crm OPTIONS (SET timeout '3 s')});
foreach (1 .. 5)
{
	$a->outlive_late('many');
	$a->run('many', args => q{keys => (SELECT coalesce(jsonb_agg(id), '[]') FROM many)});
}
is($a->sql("SELECT count(*) FROM activate.pending WHERE sync = 'many'"), '0', 'in the end everything is accepted');
is(join(',', map { "$_=" . $d->fields('many')->{"{\"id\":$_}"}{v} } 1 .. 40),
	$a->sql("SELECT string_agg(id || '=' || v, ',' ORDER BY id) FROM many"), 'and is what the model has');
wait_until('the last one', sub { $d->stats->{busy} == 0 });

my %last;
my @overlaps;
my $requests = 0;
foreach my $request (sort { $a->{time} <=> $b->{time} } @{ $d->requests })
{
	my @keys = $request->{body} =~ /"key": *(\{[^}]*\})/g;
	$requests++;
	foreach my $key (@keys)
	{
		my $before = $last{$key};
		push @overlaps, "$key: $before->{seq} and $request->{seq}"
		  if $before && ($before->{ended} == 0 || $before->{ended} > $request->{time} + 0.0005);
		$last{$key} = $request;
	}
}
cmp_ok($requests, '>', 100, "enough requests ($requests, $under_way runs cancelled, SEED=$seed)");
is("@overlaps", '', 'no two requests with one key were under way at a time');
$a->sums_hold('all runs');
done_testing();
