# What did not work is tried again by itself: rows alone, runs as a whole,
# later each time, and never later than the schedule would.
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

sub state_of
{
	my ($sync) = @_;
	return $s->row(q{SELECT extract(epoch FROM t.next_run_at - clock_timestamp()) - } . $s->ahead . q{ AS next_run,
		extract(epoch FROM t.retry_at - clock_timestamp()) - } . $s->ahead . qq{ AS retry, t.retry_rows, t.failures
		FROM activate.sync_state AS t JOIN activate.sync USING (sync_id) WHERE name = '$sync'});
}

sub near
{
	my ($value, $expected, $name) = @_;
	ok(defined $value && $value > $expected - 20 && $value < $expected + 2, $name)
	  or diag 'in ' . ($value // 'no') . " s, expected about $expected";
	return;
}

sub ended
{
	my ($sync, $count) = @_;
	my @runs = grep { defined $_->{finished_at} } $s->runs($sync);
	return @runs >= $count ? $runs[$count - 1] : undef;
}

sub wait_ended
{
	my ($sync, $count) = @_;
	$s->wait_until("run $count of $sync has ended", sub { ended($sync, $count) });
	return ended($sync, $count);
}

sub queue { return $s->value("CALL activate.wait_for_run(" . $s->value("SELECT activate.queue_run('$_[0]')") . ')') }

# Rows that were refused.
$s->sync('health', schedule => '1 day', rows => 3, options => '{"max_rejected": 100}');
$s->value("UPDATE health SET v = 'poison' WHERE id = 2");
$s->crm->script({ match => { path => '/health' },
	reject_rows => { where => 'poison', status => 'rejected', error => 'not now', retry => 1 }, times => 2 });
is(queue('health'), 'partial', 'a row is refused');
my $state = state_of('health');
near($state->{retry}, 60, 'it goes again after a minute');
ok($state->{retry_rows} && $state->{failures} == 0, 'alone: the run did not fail');
$s->value("UPDATE health SET v = 'changed' WHERE id = 1");
my $requests = $s->crm->stats->{requests};
$s->clock(62);
my $run = wait_ended('health', 2);
is_deeply([ @$run{qw(cause status keyed rejected changed)} ], [ 'retry', 'partial', JSON::PP::true, 1, 0 ],
	'the row alone, not what changed meanwhile');
is(join(' ', map { $_->{key}{id} } @{ $s->crm->rows($requests) }), '2', 'so the destination sees just that');
near(state_of('health')->{retry}, 120, 'refused again, it waits twice as long');
is($s->value("SELECT next_run_at - clock_timestamp() BETWEEN interval '1 min' AND interval '4 min' FROM activate.status WHERE sync = 'health'"),
	't', 'and status says so');
$s->value("CALL activate.run_sync('health', keys => '[3]')");
near(state_of('health')->{retry}, 120, 'a run of other keys changes nothing about it');
$s->clock($s->ahead + 125);
$s->wait_until('the row is accepted', sub { @{ $s->crm->records('health') } == 3 });
wait_ended('health', 4);
is(state_of('health')->{retry}, undef, 'accepted, nothing is left to try');

# Runs that fail.
$s->sync('failing', schedule => '1 hour');
$s->crm->script({ match => { path => '/failing' }, status => 401, times => -1 });
is(queue('failing'), 'failed', 'a run fails');
foreach my $wait (60, 120, 240)
{
	my $count = $s->runs('failing');
	near(state_of('failing')->{retry}, $wait, "it is tried again after $wait s");
	$s->clock($s->ahead + $wait + 2);
	is(wait_ended('failing', $count + 1)->{cause}, 'retry', 'by itself');
}
is($s->value("SELECT count(*) FROM activate.events WHERE sync = 'failing' AND kind = 'run_failed'"), 1,
	'which is one event, not one each');
$s->value("UPDATE activate.sync_state SET failures = 8 WHERE sync_id = (SELECT sync_id FROM activate.sync WHERE name = 'failing')");
my $count = $s->runs('failing');
is(queue('failing'), 'failed', 'after many failures');
is(state_of('failing')->{retry}, undef, 'the schedule is sooner than the next try');
cmp_ok(state_of('failing')->{next_run}, '<', 3600, 'and keeps its time');
$s->crm->script([]);
is(queue('failing'), 'succeeded', 'once it works');
is(state_of('failing')->{failures}, 0, 'all is forgotten');

# A schedule of seconds rests a little after each failure.
$s->crm->script({ match => { path => '/impatient' }, status => 401, times => -1 });
$s->sync('impatient', schedule => '1 second');
foreach my $nth (1, 2, 3)
{
	my $wait = 5 * 2**($nth - 1);
	is(wait_ended('impatient', $nth)->{status}, 'failed', 'a sync that runs every second fails');
	my $rest = state_of('impatient')->{next_run};
	ok($rest > $wait / 2 - 1 && $rest <= $wait, "and then rests for $wait s") or diag "it goes again in $rest s";
	$s->clock($s->ahead + $wait + 1);
}
$s->crm->script([]);
$s->wait_until('once it works', sub { (($s->runs('impatient'))[-1]{status} // '') eq 'succeeded' });
$s->value("SELECT activate.drop_sync('impatient')");

# A person who calls it and gives up takes nothing away.
$s->crm->script({ match => { path => '/failing' }, status => 401, times => 1 });
$s->value("UPDATE failing SET v = 'x'");
is(queue('failing'), 'failed', 'it fails again');
$s->crm->script({ match => { path => '/failing' }, hang => 1, times => 1 });
my $person = Session->start($s->node, 'postgres');
$person->send("CALL activate.run_sync('failing')");
$s->wait_until('the destination hangs', sub { $s->crm->stats->{busy} > 0 });
$s->value('SELECT pg_cancel_backend(' . $person->pid . ')');
like($person->wait, qr/57014/, 'somebody calls it, and gives up');
near(state_of('failing')->{retry}, 60, 'it is tried again as before');
$person->stop;
is(queue('failing'), 'succeeded', 'and is well');

# One that was altered is tried at once: perhaps that was it.
$s->value('CREATE TABLE bad (id int PRIMARY KEY, v text)');
$s->value("INSERT INTO bad VALUES (1, 'x')");
$s->sync('bad', schedule => '1 day');
$s->value('ALTER TABLE bad RENAME v TO w');
is(queue('bad'), 'postponed', 'a column is gone');
$s->value("SELECT activate.alter_sync('bad', mapping => 'w')");
is(wait_ended('bad', 2)->{status}, 'succeeded', 'the sync is altered, and runs at once');

# What is called only is left alone.
$s->sync('manual', options => '{"max_rejected": 100}', rows => 2);
$s->value("UPDATE manual SET v = 'poison' WHERE id = 2");
$s->crm->script(
	{ match => { path => '/manual' }, reject_rows => { where => 'poison', status => 'rejected', error => 'no', retry => 1 }, times => 1 },
	{ match => { path => '/manual' }, status => 401, times => 1 });
is(queue('manual'), 'partial', 'a sync without a schedule is partial');
is(state_of('manual')->{retry}, undef, 'nothing of it is tried again');
$s->value("UPDATE manual SET v = 'x'");
is(queue('manual'), 'failed', 'or fails');
is(state_of('manual')->{retry}, undef, 'nor then');

# A rate limit that is too long to wait for ends the run; the rest goes later.
$s->sync('limited', schedule => '1 day');
$s->crm->script({ match => { path => '/limited' }, status => 429, headers => { 'Retry-After' => '900' }, times => 1 });
is(queue('limited'), 'partial', 'the destination limits its rate');
$state = state_of('limited');
near($state->{retry}, 900, 'the whole goes again when that is over');
ok(!$state->{retry_rows}, 'with what was not tried');
$s->clock($s->ahead + 902);
is(wait_ended('limited', 2)->{status}, 'succeeded', 'and does');

# Terminated in the middle of a request.
foreach my $schedule ('1 day', 'manual')
{
	my $sync = $schedule eq 'manual' ? 'ended_manual' : 'ended_daily';
	$s->sync($sync, schedule => $schedule);
	$s->crm->script({ match => { path => "/$sync" }, hang => 1, apply => 'before', times => 1 });
	$s->value("SELECT activate.queue_run('$sync')");
	$s->wait_until('the destination hangs', sub { $s->crm->stats->{busy} > 0 });
	my ($pid) = $s->pids('run');
	my $begun = time;
	$s->value("SELECT pg_terminate_backend($pid)");
	is(wait_ended($sync, 2)->{status}, 'succeeded',
		sprintf 'a queued run of a sync with schedule %s that was terminated is made again (%.1f s)', $schedule, time - $begun);
	is(ended($sync, 1)->{status}, 'interrupted', 'and the other one is interrupted');
	is($s->value("SELECT string_agg(kind, ' ') FROM activate.event WHERE sync = '$sync' AND kind = 'run_interrupted'"),
		'run_interrupted', 'with an event');
	is(state_of($sync)->{failures}, 0, 'then all is well');
}

# The server crashes with a run under way, of a worker and of a session.
foreach my $how ('worker', 'session')
{
	my $sync = "crash_$how";
	$s->sync($sync, schedule => '1 day');
	$s->crm->script({ match => { path => "/$sync" }, hang => 1, apply => 'before', times => 1 });
	my $session = Session->start($s->node, 'postgres');
	$how eq 'worker' ? $s->value("SELECT activate.queue_run('$sync')") : $session->send("CALL activate.run_sync('$sync')");
	$s->wait_until('the destination hangs', sub { $s->crm->stats->{busy} > 0 });
	$s->node->stop('immediate');
	$s->node->start;
	$s->reconnect;
	$s->clock($s->ahead);
	is(wait_ended($sync, 2)->{cause}, 'retry', "after a crash a run of a $how is made again");
	is(ended($sync, 1)->{status}, 'interrupted', 'and the other one is interrupted');
	is($s->crm->record($sync, { id => 1 })->{fields}{v}, 'first', 'the destination is equal to the model');
	$session->stop;
}

# A process of that number that is another one does not count as the run.
$s->sync('reused', schedule => '1 day');
$s->value(q{INSERT INTO activate.run (sync_id, cause, status, pid, started_at)
	SELECT sync_id, 'schedule', 'running', pg_backend_pid(), clock_timestamp() FROM activate.sync WHERE name = 'reused'});
$s->value("SELECT activate.queue_run('manual')");
$s->wait_for('it is found out', "SELECT status = 'interrupted' FROM activate.run JOIN activate.sync USING (sync_id) WHERE name = 'reused' ORDER BY run_id LIMIT 1");
pass('a run whose number is that of another process is dead, too');

# Held, it waits for a person; approved, it goes at once.
$s->sync('held', schedule => '1 day', rows => 5, options => '{"max_changed": 2}');
is(queue('held'), 'succeeded', 'the first run');
$s->value("UPDATE held SET v = 'all'");
is(queue('held'), 'held', 'too many changes are held');
is(state_of('held')->{retry}, undef, 'and not tried again');
is(queue('held'), 'held', 'nor is the next run let out');
is($s->value("SELECT string_agg(kind, ' ' ORDER BY event_id) FROM activate.events WHERE sync = 'held'"), 'created run_held',
	'which is no other event');
my $held = ($s->runs('held'))[-1];
is($s->row("SELECT health, reason FROM activate.status WHERE sync = 'held'")->{reason}, $held->{error}, 'status says why');
$s->value("SELECT activate.approve_run($held->{run_id})");
is(wait_ended('held', 4)->{status}, 'succeeded', 'approved, it goes out at once');
is($s->crm->record('held', { id => 5 })->{fields}{v}, 'all', 'and arrives');

# What a person's own run leaves undone is tried again as it was to be before.
foreach my $how (qw(max_rows statement_timeout cancel_run))
{
	my $sync = "kept_$how";
	$s->sync($sync, schedule => '1 day', rows => 3);
	$s->crm->script({ match => { path => "/$sync" }, status => 401, times => 1 },
		$how eq 'max_rows' ? () : { match => { path => "/$sync" }, hang => 1, times => -1 });
	is(queue($sync), 'failed', "$how: a run fails");
	my $before = state_of($sync);
	my $session = Session->start($s->node, 'postgres');
	$session->query("SET statement_timeout = '300ms'") if $how eq 'statement_timeout';
	$session->send("CALL activate.run_sync('$sync'" . ($how eq 'max_rows' ? ', max_rows => 1)' : ')'));
	if ($how eq 'cancel_run')
	{
		$s->wait_until('the destination hangs', sub { $s->crm->stats->{busy} > 0 });
		$s->value("SELECT activate.cancel_run(run_id) FROM activate.progress WHERE sync = '$sync'");
	}
	$session->wait;
	isnt(ended($sync, 2)->{status}, 'succeeded', "$how: one in a session does not come to the end");
	near(state_of($sync)->{retry}, 60, "$how: the whole is tried again all the same");
	ok(!state_of($sync)->{retry_rows}, "$how: as a whole");
	$s->crm->script([]);
}

# Nor is what a dead run was to do, when a person's own run finds it before anybody else.
$s->sync('found', schedule => '1 day', rows => 2);
is(queue('found'), 'succeeded', 'a run');
$s->value("UPDATE found SET v = 'changed'");
$s->value(q{INSERT INTO activate.run (sync_id, cause, status, pid, started_at)
	SELECT sync_id, 'schedule', 'running', 0, clock_timestamp() FROM activate.sync WHERE name = 'found'});
$s->value("CALL activate.run_sync('found', keys => '[1]')");
is(ended('found', 2)->{status}, 'interrupted', 'a run of one key finds another one dead');
is(wait_ended('found', 4)->{cause}, 'retry', 'what that was to do is done after it');
is($s->crm->record('found', { id => 2 })->{fields}{v}, 'changed', 'all of it');

# The clock may have gone back since a run was queued.
$s->sync('earlier');
$s->value("BEGIN; SELECT activate.queue_run('earlier'); UPDATE activate.run SET queued_at = queued_at + interval '3 hours'"
	. " WHERE status = 'queued'; COMMIT");
is(wait_ended('earlier', 1)->{status}, 'succeeded', 'a run queued in the future is due now');

# An end that is written down at the second try counts what was not tried, too.
$s->sync('twice', rows => 3, options => '{"batch_size": 1}');
$s->crm->script({ match => { path => '/twice' }, status => 401, delay_ms => 500, times => 1 });
my $run_id = $s->value("SELECT activate.queue_run('twice')");
$s->wait_until('the destination takes its time', sub { $s->crm->stats->{busy} > 0 });
my $locker = Session->start($s->node, 'postgres');
$locker->query("BEGIN; SELECT FROM activate.run WHERE run_id = $run_id FOR UPDATE");
$s->wait_for('its end is to be written down', 'SELECT count(*) = 1 FROM pg_locks WHERE NOT granted');
$locker->query('SELECT pg_cancel_backend(pid) FROM pg_locks WHERE NOT granted; ROLLBACK');
wait_ended('twice', 1);
is($s->value("SELECT untried FROM activate.run WHERE run_id = $run_id"), 3, 'rows that no list has, each counted once');

done_testing;
