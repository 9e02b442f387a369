# A destination that is down is found out once, left alone, tried by one, and
# when it is back everything that waited goes at once.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use Scheduled;

my $s = Scheduled->start('main', <<END);
pg_activate.naptime = '1s'
pg_activate.debug_clock_offset = 0
autovacuum = off
END
my @syncs = map { "s$_" } 1 .. 5;

sub ended { return grep { defined $_->{finished_at} } $s->runs($_[0]) }

sub queue { return $s->value("CALL activate.wait_for_run(" . $s->value("SELECT activate.queue_run('$_[0]')") . ')') }

sub destination { return $s->row("SELECT * FROM activate.destination_state WHERE destination = 'crm'") }

sub events
{
	my ($kind) = @_;
	return $s->value("SELECT count(*) FROM activate.events WHERE kind = '$kind'");
}

sub status_of { return $s->row("SELECT * FROM activate.status WHERE sync = '$_[0]'") }

# As after half an hour of trying.
sub try_in_minutes
{
	my ($minutes) = @_;
	$s->value("UPDATE activate.destination_state SET failures = 10,"
		. " probe_at = clock_timestamp() + interval '@{[$s->ahead + 60 * $minutes]} s'");
	return;
}

$s->sync($_, schedule => '1 minute') foreach @syncs;
$s->sync('called');
is(queue($_), 'succeeded', "$_ works") foreach @syncs, 'called';

# Down.
$s->crm->script({ status => 503, times => -1 });
$s->value("UPDATE $_ SET v = 'second'") foreach @syncs, 'called';
is(queue('s1'), 'failed', 'the destination is down: a run fails');
ok(defined destination()->{down_since}, 'which is written down');
try_in_minutes(5);
my $event = $s->row("SELECT * FROM activate.events WHERE kind = 'destination_down'");
is($event->{destination}, 'crm', 'and an event of the destination');
is($event->{severity}, 'error', 'that is an error');
is_deeply([ @{ status_of('s1') }{qw(health)} ], ['waiting'], 'its sync waits');
like(status_of('s1')->{reason}, qr/^destination crm is down since .*: \d tries, the last one: HTTP 503$/, 'and says for what');
like($event->{message}, qr/: \d tries, the last one: HTTP 503$/, 'without words of the answer, which may quote rows: others see it, too');
cmp_ok($s->value("SELECT extract(epoch FROM next_run_at - clock_timestamp()) FROM activate.status WHERE sync = 's1'"), '>', 30,
	'and when it is to be tried');

# Meanwhile nothing is sent, and one run says so however often it is due.
my $requests = $s->crm->stats->{requests};
is(queue('called'), 'postponed', 'a run that is queued now is postponed');
$s->clock(65);
$s->wait_until('the second sync is postponed', sub { (ended('s2'))[-1]{status} eq 'postponed' });
$s->clock(65 + 120);
$s->wait_until('it is due again', sub { (ended('s2'))[-1]{missed} > 0 });
is(scalar ended('s2'), 2, 'which is the same run');
is(status_of('s2')->{health}, 'waiting', 'it waits');
is(status_of('s2')->{rows_synced}, 1, 'and what it knew it still knows');
is($s->crm->stats->{requests}, $requests, 'nothing was sent');

# One tries; the others go on waiting.  Not the one that is only called: what
# fails then is not tried again by itself.
$s->value("SELECT activate.pause_sync('called')");
$s->clock(65 + 310);
my %tries;
$s->wait_until('it is tried', sub { $s->crm->stats->{requests} > $requests });
$s->wait_for('it is put off again', "SELECT probe_at > clock_timestamp() + interval '@{[$s->ahead + 200]} s' FROM activate.destination_state");
$tries{ $_->{path} }++ foreach @{ $s->crm->requests($requests) };
is(scalar keys %tries, 1, 'one sync tries for all: ' . join ' ', keys %tries);
is(events('destination_down'), 1, 'it is no news that it is down');
$s->value("SELECT activate.resume_sync('called')");

# A run with nothing to send finds out nothing.
$s->value("UPDATE called SET v = 'first'");
$s->value("DELETE FROM activate.run WHERE status = 'queued'");
$s->value("SELECT activate.pause_sync('$_')") foreach @syncs;
$s->value("UPDATE activate.destination_state SET probe_at = clock_timestamp() + interval '@{[$s->ahead - 1]} s'");
$s->wait_until('the sync that was postponed runs', sub { (ended('called'))[-1]{status} eq 'succeeded' });
ok(defined destination()->{down_since}, 'a run with nothing to send does not make it up');
$s->value("SELECT activate.resume_sync('$_')") foreach @syncs;
$s->wait_for('the next one tries at once', "SELECT probe_at > clock_timestamp() + interval '@{[$s->ahead + 200]} s' FROM activate.destination_state");

# Back: all that waited go at once.
try_in_minutes(5);
$s->crm->script([]);
my $begun = time;
$s->clock($s->ahead + 301);
$s->wait_until('all syncs have gone', sub {
	!grep { $s->crm->record($_, { id => 1 })->{fields}{v} ne 'second' } @syncs;
});
pass(sprintf 'when it is back all of them go (%.1f s)', time - $begun);
is(events('destination_up'), 1, 'which is one event');
$event = $s->row("SELECT message, details FROM activate.events WHERE kind = 'destination_up'");
like($event->{message}, qr/^destination "crm" answers again, after \d+ s; \d syncs that waited go on$/, $event->{message});
cmp_ok($event->{details}{syncs}, '>=', 3, 'that counts them');
is(destination()->{down_since}, undef, 'it is not down any more');
$s->wait_until('they are well', sub { !grep { status_of($_)->{health} ne 'ok' } @syncs, 'called' });
pass('and all is well');

# Nobody listens; a person does not wait for anybody.
my $port = $s->crm->port;
$s->value("UPDATE called SET v = 'third'");
$s->crm->stop;
like($s->session->query("CALL activate.run_sync('called')"), qr/PA001/, 'nobody listens: a call fails');
ok(defined destination()->{down_since}, 'and tells that the destination is down');
is(events('destination_down'), 2, 'with an event');
$s->{crm} = Destination->start(port => $port);
try_in_minutes(5);
unlike($s->session->query("CALL activate.run_sync('called')"), qr/ERROR/, 'a call does not wait until it is tried');
is(destination()->{down_since}, undef, 'and tells that it is back');

# Who says no is not down.
$s->crm->script({ status => 401, times => -1 });
$s->value("UPDATE called SET v = 'fourth'");
is(queue('called'), 'failed', 'a destination that refuses the credentials');
is(destination()->{down_since}, undef, 'is not down');
is(status_of('called')->{health}, 'failing', 'but its sync is failing');

# Another destination has nothing to do with it.
my $other = Destination->start;
$s->server('other', $other);
$s->sync('elsewhere', destination => 'other');
$s->crm->script({ status => 503, times => -1 });
is(queue('called'), 'failed', 'one is down');
is(queue('elsewhere'), 'succeeded', 'the other is not');

done_testing;
