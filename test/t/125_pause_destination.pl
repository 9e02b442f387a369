# A destination that is paused gets nothing more, within a second, whoever
# sends; what comes due meanwhile waits, and goes in order of priority when it
# is resumed.  That it is paused outlives a restart and goes along in a dump.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);

use Scheduled;
use Session;

my $s = Scheduled->start('main', <<END);
pg_activate.naptime = '1s'
pg_activate.debug_clock_offset = 0
pg_activate.max_workers = 1
max_prepared_transactions = 2
autovacuum = off
END
my $caller = Session->start($s->node, 'postgres', options => '-c client_min_messages=warning');

sub queue { return $s->value("SELECT activate.queue_run('$_[0]')") }
sub run { return $s->row("SELECT * FROM activate.run WHERE run_id = $_[0]") }
sub status_of { return $s->row("SELECT * FROM activate.status WHERE sync = '$_[0]'") }

my ($pauses, $resumes) = (0, 0);

# When: by the clock of the destination's log.
sub pause
{
	my $now = clock_gettime(CLOCK_MONOTONIC);

	$s->value("SELECT activate.pause_destination('crm')");
	$pauses++;
	return $now;
}

sub resume
{
	$s->value("SELECT activate.resume_destination('crm')");
	$resumes++;
	return;
}

sub ended
{
	my ($run_id) = @_;
	$s->wait_until("run $run_id has ended", sub { defined run($run_id)->{finished_at} });
	return run($run_id);
}

sub events { return $s->value("SELECT count(*) FROM activate.events WHERE kind = '$_[0]'") }

# Until it sends, slowly, one request after the other.
sub begin_sending
{
	my ($before) = $s->crm->stats->{requests};
	$_[0]->();
	$s->wait_until('it sends', sub { $s->crm->stats->{requests} >= $before + 3 });
	return;
}

# Seconds for which requests went on after it.
sub sent_after
{
	my ($paused_at) = @_;
	my @late = map { $_->{time} - $paused_at } grep { $_->{time} > $paused_at } @{ $s->crm->requests };
	return @late ? $late[-1] : 0;
}

sub all_there { return scalar @{ $s->crm->records($_[0]) } }

# given a run of a worker that sends, when its destination is paused, then it ends
$s->sync('large', rows => 2000);
$s->value("ALTER SERVER crm OPTIONS (ADD concurrency '1', ADD batch_size '10')");
$s->crm->config({ delay_ms => 50 });
my $run_id;
begin_sending(sub { $run_id = queue('large') });
my $paused_at = pause();
my $run = ended($run_id);
is($run->{status}, 'partial', 'a run that has begun ends partial');
is($run->{error}, 'destination "crm" is paused', 'and says why');
like($run->{detail}, qr/^\w+ paused it at .* delayed until it is resumed\.$/, $run->{detail});
cmp_ok(sent_after($paused_at), '<', 1.5, sprintf 'nothing is sent any more after %.2f s', sent_after($paused_at));
is($run->{accepted} + $run->{delayed}, 2000, "$run->{accepted} rows are accepted, $run->{delayed} delayed");
cmp_ok($run->{delayed}, '>', 0, 'not all');
is(all_there('large'), $run->{accepted}, 'which is what the destination has');
is(status_of('large')->{health}, 'waiting', 'its sync waits');
like(status_of('large')->{reason}, qr/^destination crm is paused since .* by \w+: SELECT activate\.resume_destination\('crm'\);$/, 'and says for whom');
is(status_of('large')->{next_run_at}, undef, 'it is not known until when');
is(events('destination_paused'), 1, 'one event tells of it');

# when it is resumed, then the rest goes, though its sync is run only when called
$s->crm->config({ delay_ms => 0 });
resume();
$s->wait_until('all rows are there', sub { all_there('large') == 2000 });
pass('when it is resumed the rest goes by itself');
is($s->value("SELECT sum(accepted) FROM activate.runs WHERE sync = 'large'"), 2000, 'each row once');
$s->wait_until('it is well', sub { status_of('large')->{health} eq 'ok' });

# given a call, then the same
$s->crm->config({ delay_ms => 50 });
$s->value("UPDATE large SET v = 'second'");
begin_sending(sub { $caller->send("CALL activate.run_sync('large')") });
$paused_at = pause();
like($caller->wait, qr/^WARNING:  01PA1: run \d+ of sync "large" is partial.*^DETAIL:  destination "crm" is paused/ms, 'a call ends with a warning');
cmp_ok(sent_after($paused_at), '<', 1.5, sprintf 'nothing is sent any more after %.2f s', sent_after($paused_at));
like($caller->query("CALL activate.run_sync('large')"), qr/^ERROR:  55000: destination "crm" is paused.*^HINT:  SELECT activate\.resume_destination\('crm'\);/ms,
	'the next one is refused');
is($s->value("SELECT count(*) FROM activate.progress"), 0, 'and leaves nothing under way');
resume();

# given a pause in a prepared transaction, then it holds from COMMIT PREPARED on
$s->crm->config({ delay_ms => 50 });
$s->value("UPDATE large SET v = 'third'");
begin_sending(sub { $run_id = queue('large') });
$s->value(q{BEGIN; INSERT INTO activate.destination_state AS d (destination, paused_at, paused_by) VALUES ('crm', now(), 'a transaction manager')
	ON CONFLICT (destination) DO UPDATE SET paused_at = now(), paused_by = 'a transaction manager'; PREPARE TRANSACTION 'pause'});
my $sent = $s->crm->stats->{requests};
$s->wait_until('it goes on', sub { $s->crm->stats->{requests} > $sent + 3 });
$paused_at = clock_gettime(CLOCK_MONOTONIC);
$s->value("COMMIT PREPARED 'pause'");
is(ended($run_id)->{status}, 'partial', 'a pause that somebody prepared ends the run when it is committed');
cmp_ok(sent_after($paused_at), '<', 1.5, sprintf 'after %.2f s', sent_after($paused_at));
$s->crm->config({ delay_ms => 0 });
resume();
$s->wait_until('it is well again', sub { ($s->runs('large'))[-1]{status} eq 'succeeded' && status_of('large')->{health} eq 'ok' });

# given a run that has not sent anything yet, then it is as if it had not begun
my $locker = Session->start($s->node, 'postgres');
$s->value("UPDATE large SET v = 'fourth'");
$locker->query('BEGIN; LOCK TABLE large');
$run_id = queue('large');
$s->wait_until('it began', sub { run($run_id)->{status} eq 'running' });
pause();
is(ended($run_id)->{status}, 'postponed', 'a run that has sent nothing is postponed');
is(status_of('large')->{fresh_as_of}, $s->value("SELECT to_json(max(started_at)) #>> '{}' FROM activate.run WHERE status = 'succeeded'"),
	'and says nothing of how fresh the destination is');
$locker->query('COMMIT');
resume();
$s->wait_until('what it was to do is done', sub { $s->crm->record('large', { id => 1 })->{fields}{v} eq 'fourth' });
pass('what it was to do is done when the destination is resumed');
$s->wait_until('and it is well', sub { status_of('large')->{health} eq 'ok' });

# given syncs that come due while it is paused, then each has one run that says so
$s->sync("p$_", schedule => '1 minute', options => qq({"priority": $_})) foreach 1 .. 4;
pause();
my $requests = $s->crm->stats->{requests};
$s->clock(130);
$s->wait_until('all are postponed', sub { 4 == grep { status_of("p$_")->{last_status} // '' eq 'postponed' } 1 .. 4 });
$s->clock(300);
$s->wait_until('and due again', sub { 4 == grep { ($s->runs("p$_"))[-1]{missed} > 1 } 1 .. 4 });
is(join(' ', map { scalar $s->runs("p$_") } 1 .. 4), '1 1 1 1', 'one run each, however often they are due');
is(($s->runs('p1'))[0]{error}, 'destination "crm" is paused', 'which says why');
is($s->value("CALL activate.wait_for_run(" . queue('p1') . ')'), 'postponed', 'who asks for a run hears of it');
is($s->crm->stats->{requests}, $requests, 'nothing was sent');

# given a restart, then it is paused
$s->node->restart;
$s->reconnect;
$s->clock(400);
$s->wait_until('somebody looks', sub { $s->pids('scheduler') });
is($s->value("CALL activate.wait_for_run(" . queue('p2') . ')'), 'postponed', 'a restart does not resume it');
is($s->crm->stats->{requests}, $requests, 'nothing was sent');

# given a probe, then a pause stays one
is($s->value("SELECT ok FROM activate.probe_destination('crm')"), 't', 'it can be asked whether it answers');
is($s->value("SELECT paused_at IS NOT NULL FROM activate.destination_state"), 't', 'and stays paused');

# given a dump, then the copy is paused, too
$s->node->command_ok([ 'pg_dump', '-f', "$PostgreSQL::Test::Utils::tmp_check/paused.sql", 'postgres' ], 'pg_dump');
$s->node->safe_psql('postgres', 'CREATE DATABASE copy');
$s->node->command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f', "$PostgreSQL::Test::Utils::tmp_check/paused.sql", 'copy' ], 'is restored');
$s->node->safe_psql('copy', "SELECT activate.confirm_cluster('move')");
my ($ret, $out, $err) = $s->node->psql('copy', "CALL activate.run_sync('p1')");
like($err, qr/destination "crm" is paused/, 'a paused destination stays paused in a copy');
$s->node->safe_psql('postgres', 'DROP DATABASE copy');

# when it is resumed, then the most important one is first
resume();
$s->wait_until('all have gone', sub { 4 == grep { all_there("p$_") } 1 .. 4 });
my @order = map { $_->{path} =~ m{/(p\d)} } @{ $s->crm->requests($requests) };
is(join(' ', @order), 'p4 p3 p2 p1', 'the most important one goes first');
is(events('destination_paused'), $pauses, 'each pause is one event');
is(events('destination_resumed'), $resumes, 'and each end of one');

# given a destination that is down, when it is probed and answers, then nobody waits any longer
$s->crm->script({ status => 503, times => -1 });
$s->value("UPDATE p$_ SET v = 'second'") foreach 1 .. 4;
# A planned start of another one may find it out first.
isnt($s->value("CALL activate.wait_for_run(" . queue('p1') . ')'), 'succeeded', 'a run fails');
is($s->value("SELECT down_since IS NOT NULL FROM activate.destination_state"), 't', 'the destination is down');
$s->value("UPDATE activate.destination_state SET failures = 10, probe_at = clock_timestamp() + interval '1 day'");
$s->value("UPDATE activate.sync_state SET retry_at = clock_timestamp() + interval '1 day' WHERE retry_at IS NOT NULL");
is($s->value("SELECT ok FROM activate.probe_destination('crm')"), 'f', 'a probe that finds it so');
ok($s->value("SELECT down_since FROM activate.destination_state") ne '', 'changes nothing');
$s->crm->script([]);
is($s->value("SELECT ok FROM activate.probe_destination('crm')"), 't', 'one that is answered');
$s->clock($s->ahead + 61);
$s->wait_until('all have gone', sub { 4 == grep { $s->crm->record("p$_", { id => 1 })->{fields}{v} eq 'second' } 1 .. 4 });
pass('lets all go');
is(events('destination_up'), 1, 'and is one event');

# given no worker, then a run looks with each of its transactions
$s->node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$s->node->restart;
$s->reconnect;
$caller = Session->start($s->node, 'postgres', options => '-c client_min_messages=warning');
$s->crm->config({ delay_ms => 50 });
$s->value("UPDATE large SET v = 'fifth'");
begin_sending(sub { $caller->send("CALL activate.run_sync('large')") });
$paused_at = pause();
like($caller->wait, qr/^WARNING:  01PA1: run \d+ of sync "large" is partial.*^DETAIL:  destination "crm" is paused/ms, 'without preload a call ends, too');
cmp_ok(sent_after($paused_at), '<', 1.5, sprintf 'after %.2f s', sent_after($paused_at));
$s->crm->config({ delay_ms => 0 });
resume();
is($caller->query("SET pg_activate.progress_interval = 0; CALL activate.run_sync('large')"), '', 'and the next one sends the rest');
is($s->crm->record('large', { id => $_ })->{fields}{v}, 'fifth', "row $_ is there") foreach 1, 2000;

done_testing;
