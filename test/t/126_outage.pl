# A destination that is away for three hours, by refusing connections and by
# errors, then wants to be left alone for ten minutes, then works: one event
# says that it is down and one that it is back, nothing is sent to it that
# need not be, and its fourteen syncs catch up in order of priority.  A sync
# of another destination notices nothing.
use strict;
use warnings;

use List::Util qw(max sum);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use Scheduled;

use constant SYNCS => 14;
use constant ROWS => 250;
use constant BATCH => 100;
use constant WORKERS => 2;
use constant STEP => 150;
use constant HOURS => 3;
use constant THROTTLED => 600;

my $s = Scheduled->start('main', <<"END");
pg_activate.naptime = '1s'
pg_activate.debug_clock_offset = 0
pg_activate.max_workers = @{[WORKERS]}
autovacuum = off
END
my @syncs = map { sprintf 's%02d', $_ } 1 .. SYNCS;    # s14 is the most important one
my @intervals = ('5 minutes', '10 minutes', '15 minutes', '1 hour');

sub events { return $s->value("SELECT count(*) FROM activate.events WHERE kind = '$_[0]' AND destination = 'crm'") }
sub now_sql { return "(clock_timestamp() + interval '@{[$s->ahead]} seconds')" }

# Everything that was due by now was done, or put off.
sub settled
{
	my $now = now_sql();
	return $s->value(<<"END") eq 't';
SELECT NOT EXISTS (SELECT 1 FROM activate.run WHERE status IN ('queued', 'running'))
	AND NOT EXISTS (SELECT 1 FROM activate.destination_state WHERE probe_at <= $now)
	AND NOT EXISTS (SELECT 1 FROM activate.sync_state AS t JOIN activate.sync AS s USING (sync_id)
		LEFT JOIN activate.destination_state AS d USING (destination)
		WHERE t.next_run_at <= $now OR t.retry_at <= $now AND COALESCE(d.probe_at <= $now, true))
END
}

# Time goes by; the other destination is looked at with each step.
my ($other, $round, $stale) = (undef, 0, 0);

sub go_on
{
	my ($seconds) = @_;
	$round++;
	$s->value("UPDATE elsewhere SET v = 'round $round'");
	$s->clock($s->ahead + $seconds);
	$s->wait_until("all is done at " . $s->ahead . ' s', \&settled, 60);
	$stale++ if $other->record('elsewhere', { id => 1 })->{fields}{v} ne "round $round";
	return;
}

sub runs_since
{
	my ($run_id) = @_;
	return split /\n/, $s->value("SELECT s.name, r.status, r.requests FROM activate.run AS r JOIN activate.sync AS s USING (sync_id)"
		. " WHERE s.destination = 'crm' AND r.run_id > $run_id ORDER BY r.run_id");
}

sub last_run { return $s->value('SELECT max(run_id) FROM activate.run') }
sub sent_since { return sum(0, map { (split /\|/)[2] } runs_since($_[0])) }

# The most requests in one second.
sub peak
{
	my @times = map { $_->{time} } @_;
	return max(0, map { my $from = $_; scalar grep { $_ >= $from && $_ < $from + 1 } @times } @times);
}

# given syncs that are well
$other = Destination->start;
$s->server('other', $other);
$s->sync('elsewhere', destination => 'other', schedule => '1 minute');
foreach my $i (0 .. $#syncs)
{
	$s->sync($syncs[$i], rows => ROWS, schedule => $intervals[ $i % @intervals ],
		options => sprintf '{"priority": %d, "batch_size": %d, "max_changed": "100 %%"}', $i + 1, BATCH);
}
go_on(3600 + STEP);
is($s->value("SELECT count(*) FROM activate.status WHERE health = 'ok' AND rows_synced = @{[ROWS]}"), SYNCS, 'all syncs are well');

# when the destination goes away for three hours
my $before = last_run();
my $nowhere = Destination->start;
my $closed = $nowhere->url;
$nowhere->stop;
$s->value("ALTER SERVER crm OPTIONS (SET base_url '$closed')");
$s->value("UPDATE $_ SET v = 'second'") foreach @syncs;
my $begun = time;
my $from = $s->ahead;
go_on(STEP) while $s->ahead - $from < HOURS * 1800;
$s->crm->script({ status => 500, times => -1 });
$s->value("ALTER SERVER crm OPTIONS (SET base_url '@{[$s->crm->url]}')");
go_on(STEP) while $s->ahead - $from < HOURS * 3600;

# then it is tried now and then, by one
my @down = runs_since($before);
my $sent = sent_since($before);
my $failed = grep { /\|failed\|/ } @down;
my $seconds = HOURS * 3600;
note sprintf 'down: %d requests in %d s, %.4f a second, by %d runs; %d s to test it', $sent, $seconds, $sent / $seconds, $failed,
  time - $begun;
cmp_ok($sent, '<=', 5 * ($seconds / 300 + 10), sprintf 'while it is down it gets %.4f requests a second', $sent / $seconds);
cmp_ok($failed, '>=', $seconds / 600, "though it is tried all the time: $failed runs");
cmp_ok(scalar(grep { /\|postponed\|/ } @down), '<=', SYNCS * 3 + $failed, 'what comes due makes no more runs than it is tried');
is(events('destination_down'), 1, 'one event says that it is down');
is(events('destination_up'), 0, 'none that it is back');
is($s->value("SELECT count(*) FROM activate.status WHERE destination = 'crm' AND health = 'waiting' AND reason LIKE 'destination crm is down since %'"),
	SYNCS, 'each sync says that it waits');

# when it answers that it wants to be left alone for ten minutes, then it is
my $so_far = $s->crm->stats->{requests};
$s->crm->script({ status => 429, headers => { 'Retry-After' => THROTTLED }, times => -1 });
go_on(STEP) until $s->crm->stats->{requests} > $so_far;
$from = $s->ahead;
go_on(STEP) while $s->ahead - $from < THROTTLED - STEP;
is($s->crm->stats->{requests}, $so_far + 1, 'it is asked once while it limits its rate: 0.0017 requests a second');
is(events('destination_throttled'), 1, 'which is one event');
is(events('destination_up'), 0, 'it is not back before something gets through');
is($s->value("SELECT count(*) FROM activate.status WHERE destination = 'crm' AND health = 'waiting' AND reason LIKE 'destination crm limits its rate until %'"),
	SYNCS, 'each sync says that it waits');

# when it works, then all catch up
$so_far = $s->crm->requests->[-1]{seq};
$s->crm->script([]);
go_on(STEP) while $s->ahead - $from <= THROTTLED + STEP;
my @requests = @{ $s->crm->requests($so_far) };
my @paths = map { $_->{path} =~ m{/(s\d\d)} } @requests;
my %seen;
my @order = grep { !$seen{$_}++ } @paths;
note sprintf 'back: %d requests in %.1f s, at most %d in a second', scalar @requests, $requests[-1]{time} - $requests[0]{time}, peak(@requests);
is(events('destination_down'), 1, 'one event said that it was down');
is(events('destination_up'), 1, 'one says that it is back');
like($s->value("SELECT message FROM activate.events WHERE kind = 'destination_up'"), qr/after \d{5} s; \d+ syncs that waited go on$/,
	$s->value("SELECT message FROM activate.events WHERE kind = 'destination_up'"));
is(scalar @order, SYNCS, 'all syncs go');
is($order[0], $syncs[-1], 'the most important one first');
cmp_ok($requests[0]{ended}, '<=', $requests[1]{time}, 'its first batch alone');

# Processes start at the same time, as many as may.
my @late = grep { abs($_->[0] - $_->[1]) > WORKERS } map { [ $_, SYNCS - substr $order[$_], 1 ] } 0 .. $#order;
is(scalar @late, 0, 'the others in order of priority: ' . join ' ', @order);
is(scalar @requests, SYNCS * int((ROWS + BATCH - 1) / BATCH), sprintf 'with as many requests as it takes, none twice; at most %d in a second', peak(@requests));
cmp_ok($s->crm->stats->{max_busy}, '<=', WORKERS * 4, 'at most as many at a time as the workers may: ' . $s->crm->stats->{max_busy});
is(scalar(grep { @{ $s->crm->records($_) } != ROWS || grep { $_->{fields}{v} ne 'second' } @{ $s->crm->records($_) } } @syncs),
	0, 'every row is there as it is now');
is($s->value("SELECT count(*) FROM activate.status WHERE destination = 'crm' AND health = 'ok'"), SYNCS, 'and all are well');

# and another destination has nothing to do with it
is($stale, 0, "a sync of another destination was up to date in each of $round steps");
is($s->value("SELECT string_agg(DISTINCT status, ' ') FROM activate.runs WHERE sync = 'elsewhere'"), 'succeeded', 'all its runs succeeded');
is($s->value("SELECT count(*) FROM activate.events WHERE destination = 'other' AND sync IS NULL"), 0, 'nothing was to be said of it');

done_testing;
