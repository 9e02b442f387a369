# Syncs run when they are due, by themselves, once, in their order.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use Scheduled;

my $s = Scheduled->start('main', <<END);
pg_activate.naptime = '1s'
pg_activate.max_workers = 1
pg_activate.debug_clock_offset = 0
autovacuum = off
END

sub state_of
{
	my ($sync) = @_;
	return $s->row("SELECT t.* FROM activate.sync_state AS t JOIN activate.sync USING (sync_id) WHERE name = '$sync'");
}

sub status_of
{
	my ($sync) = @_;
	return $s->row("SELECT * FROM activate.status WHERE sync = '$sync'");
}

# An interval.
$s->sync('health', schedule => '1 second', rows => 3);
is(status_of('health')->{health}, 'new', 'a sync that has not run yet is new');
ok(defined status_of('health')->{next_run_at}, 'but says when it will');
$s->wait_until('rows arrive', sub { @{ $s->crm->records('health') } == 3 });
my $changed = time;
$s->value("UPDATE health SET v = 'second' WHERE id = 2");
$s->wait_until('a change arrives', sub { $s->crm->fields('health')->{'{"id":2}'}{v} eq 'second' });
cmp_ok(time - $changed, '<', 10, sprintf 'a change arrives with the next run (%.1f s)', time - $changed);
is(join(' ', sort keys %{ { map { $_->{cause} => 1 } $s->runs('health') } }), 'schedule', 'its runs say why');
is(status_of('health')->{health}, 'ok', 'and its health is ok');

# Paused, nothing begins; resumed, what was missed is made up for once.
$s->value("SELECT activate.pause_sync('health', reason => 'audit')");
$s->wait_for('no run is under way', "SELECT NOT EXISTS (SELECT 1 FROM activate.run WHERE status = 'running')");
is_deeply([ @{ status_of('health') }{qw(health reason next_run_at)} ], [ 'paused', 'audit', undef ], 'paused');
my $before = $s->runs('health');
$s->clock(100);
$s->sync('other', schedule => '1 second');
$s->wait_until('another sync runs', sub { $s->runs('other') > 0 });
is(scalar $s->runs('health'), $before, 'while it is paused, it does not run');
$s->value("SELECT activate.pause_sync('other')");
$s->value("SELECT activate.resume_sync('health')");
$s->wait_until('it runs', sub { my @runs = $s->runs('health'); @runs > $before && defined $runs[$before]{finished_at} });
my $run = ($s->runs('health'))[$before];
cmp_ok($run->{missed}, '>', 90, "resumed, one run stands for the $run->{missed} that were missed");
$s->value("SELECT activate.alter_sync('health', schedule => 'manual')");
is(state_of('health')->{next_run_at}, undef, 'without a schedule nothing is planned');

# Downtime is the same: an hourly sync runs once.
$s->sync('hourly', schedule => '1 hour');
$s->clock(100 + 5.5 * 3600);
$s->wait_until('the hourly sync runs', sub { (($s->runs('hourly'))[0] // {})->{status} // '' eq 'succeeded' });
my @hourly = $s->runs('hourly');
is(scalar @hourly, 1, 'after downtime it runs once');
is($hourly[0]{missed}, 4, 'and says what it stands for');
like($s->value("SELECT t.next_run_at - clock_timestamp() - interval '@{[$s->ahead]} s' FROM activate.sync_state t JOIN activate.sync USING (sync_id) WHERE name = 'hourly'"),
	qr/^00:[23]\d:/, 'the next start is the next one planned');

# The clock goes back: nothing waits for years.
$s->clock($s->ahead - 5 * 3600);
$s->value("SELECT activate.queue_run('health')");
$s->node->restart;
$s->reconnect;
$s->clock($s->ahead);
$s->wait_for('the next start is within the hour',
	"SELECT t.next_run_at < clock_timestamp() + interval '@{[$s->ahead + 3700]} s' FROM activate.sync_state t JOIN activate.sync USING (sync_id) WHERE name = 'hourly'");
pass('when the clock goes back, times follow');

# After others.
$s->sync($_) foreach qw(first second);
$s->sync('pair', schedule => 'after first, second');
is_deeply([ @{ status_of('pair') }{qw(health reason)} ],
	[ 'waiting', 'it runs after first, second, once they have succeeded' ], 'it waits for what it follows');
$s->value("SELECT activate.queue_run('first')");
$s->wait_until('the first runs', sub { (($s->runs('first'))[0] // {})->{status} // '' eq 'succeeded' });
$s->value("CALL activate.run_sync('second')");
$s->wait_until('both runs', sub { (($s->runs('pair'))[0] // {})->{status} // '' eq 'succeeded' });
is(($s->runs('pair'))[0]{cause}, 'after', 'it runs when both have succeeded, queued or called');
$s->value("CALL activate.run_sync('first')");
$s->value("CALL activate.run_sync('first', keys => '[1]')");
$s->crm->script({ match => { path => '/second' }, status => 401, times => 1 });
$s->value("UPDATE second SET v = 'new'");
$s->session->query("CALL activate.run_sync('second')");
is(($s->runs('second'))[-1]{status}, 'failed', 'one of them fails');
$s->sync('witness', schedule => '1 second');
$s->wait_until('the scheduler has looked', sub { $s->runs('witness') > 1 });
is(scalar $s->runs('pair'), 1, 'one success and one failure are not enough');
$s->value("CALL activate.run_sync('second')");
$s->wait_until('both runs again', sub { my @runs = $s->runs('pair'); @runs == 2 && $runs[1]{status} eq 'succeeded' });
pass('until the other has succeeded, too');
$s->value("SELECT activate.pause_sync('witness')");

# Priority, and order among equals.
$s->sync('blocker');
$s->crm->script({ match => { path => '/blocker' }, hang => 1, apply => 'before', times => 1 });
my $blocker = $s->value("SELECT activate.queue_run('blocker')");
$s->wait_until('the only worker is busy', sub { $s->crm->stats->{busy} > 0 });
$s->sync("p$_", options => '{"priority": ' . ($_ * 10) . '}') foreach 1 .. 3;
my %queued = map { $_ => $s->value("SELECT activate.queue_run('p$_')") } 1 .. 3;
$s->wait_for('all are asked for', "SELECT count(*) = 3 FROM activate.workers WHERE kind = 'run' AND sync LIKE 'p_'");
$s->value("SELECT activate.cancel_run($blocker)");
$s->value("CALL activate.wait_for_run($_)") foreach values %queued;
is($s->value(q{SELECT string_agg(name, ' ' ORDER BY started_at) FROM activate.run JOIN activate.sync USING (sync_id) WHERE name ~ '^p\d'}),
	'p3 p2 p1', 'the most urgent goes first');

# Many runs queued in transaction blocks are one run in the end.
$s->crm->script({ match => { path => '/blocker' }, hang => 1, apply => 'before', times => 1 });
$s->value("UPDATE blocker SET v = 'again'");
$blocker = $s->value("SELECT activate.queue_run('blocker')");
$s->wait_until('the only worker is busy', sub { $s->crm->stats->{busy} > 0 });
my @blocks = split /\n/, $s->value(join ';', ('BEGIN', "SELECT activate.queue_run('p1')", 'COMMIT') x 3);
cmp_ok($blocks[0], '<', $blocks[2], 'each transaction block has a number of its own');
is($s->value("SELECT activate.queue_run('p1')"), $blocks[0], 'without one, the run that waits will do');
$s->value("SELECT activate.cancel_run($blocker)");
is($s->value("CALL activate.wait_for_run($_)"), 'succeeded', 'each of them is answered') foreach @blocks;
is($s->value("SELECT count(*), count(merged_into), min(merged_into) FROM activate.run WHERE run_id IN (" . join(',', @blocks) . ')'),
	"3|2|$blocks[0]", 'by the same run');
is($s->value("SELECT count(*) FROM activate.runs WHERE run_id IN (" . join(',', @blocks) . ')'), 1, 'which alone is shown');

# Whoever cannot log in has his runs all the same.
$s->value(q{CREATE ROLE nologin; CREATE ROLE limited LOGIN CONNECTION LIMIT 0; CREATE ROLE plain LOGIN;
	GRANT USAGE ON SCHEMA activate TO PUBLIC; GRANT USAGE ON FOREIGN SERVER crm TO nologin, limited, plain;
	GRANT CREATE ON SCHEMA public TO nologin, limited, plain});
foreach my $role (qw(nologin limited plain))
{
	$s->value("SET ROLE $role");
	$s->sync("of_$role");
	is($s->value("CALL activate.wait_for_run(" . $s->value("SELECT activate.queue_run('of_$role')") . ')'),
		'succeeded', "a sync of role $role runs");
	$s->value('RESET ROLE');
}
$s->value('REVOKE CONNECT ON DATABASE postgres FROM PUBLIC');
is($s->value("CALL activate.wait_for_run(" . $s->value("SELECT activate.queue_run('of_plain')") . ')'),
	'succeeded', 'without CONNECT, too');
$s->value('GRANT CONNECT ON DATABASE postgres TO PUBLIC');
$s->value("ALTER ROLE plain SET session_preload_libraries = 'no_such_library'");
is($s->value("CALL activate.wait_for_run(" . $s->value("SELECT activate.queue_run('of_plain')") . ", timeout => '30 s')"),
	'succeeded', 'and with a library that is not there: the second try does not connect as he');

# An error ends the scheduler, and another one goes on.
$s->configure("pg_activate.debug_faults = 'scheduler_looked:error'");
my $queued = $s->value("SELECT activate.queue_run('first')");
$s->wait_for('it has ended', "SELECT count(*) > 0 FROM activate.workers WHERE kind = 'scheduler' AND last_error LIKE '%scheduler_looked%'");
$s->configure("pg_activate.debug_faults = ''");
is($s->value("CALL activate.wait_for_run($queued)"), 'succeeded', 'a scheduler that failed is followed by another one');

# Dropping a sync ends its run.
$s->crm->script({ match => { path => '/blocker' }, hang => 1, apply => 'before', times => 1 });
$s->value("UPDATE blocker SET v = 'last'");
$s->value("SELECT activate.queue_run('blocker')");
$s->wait_until('it runs', sub { $s->crm->stats->{busy} > 0 });
my $begun = time;
$s->value("SELECT activate.drop_sync('blocker')");
cmp_ok(time - $begun, '<', 4, sprintf 'a sync that runs is dropped (%.2f s)', time - $begun);
is($s->value("SELECT count(*) FROM activate.sync_state WHERE sync_id NOT IN (SELECT sync_id FROM activate.sync)"), 0,
	'and leaves nothing behind');

# However many cannot run just now, their definitions being locked, and were due before: others can.
$s->value(q{SELECT activate.pause_sync(name) FROM activate.sync WHERE NOT paused});
$s->sync("locked$_", schedule => '1 second') foreach 1 .. 40;
my $locker = Session->start($s->node, 'postgres');
$locker->query(q{BEGIN; SELECT FROM activate.sync WHERE name LIKE 'locked%' FOR UPDATE});
$s->wait_for('all are due', 'SELECT bool_and(next_run_at < clock_timestamp() + interval \'' . $s->ahead
	. q{ s') FROM activate.status WHERE sync LIKE 'locked%'});
$s->sync('unlocked', schedule => '1 second');
$s->wait_until('the other one runs', sub { $s->runs('unlocked') > 1 });
pass('those that wait in vain keep nobody from running');
$locker->stop;
$s->wait_for('they do, too', q{SELECT count(DISTINCT sync) = 40 FROM activate.runs WHERE sync LIKE 'locked%'}, 90);
$s->value(q{SELECT activate.drop_sync(name) FROM activate.sync WHERE name LIKE 'locked%' OR name = 'unlocked'});

# A thousand syncs that are called only cost next to nothing.
$s->value(q{SELECT activate.pause_sync(name) FROM activate.sync});
$s->value(q{INSERT INTO activate.sync (name, model, model_is_query, key, destination, mapping, mode, on_removed, schedule,
		search_path, time_zone, system_identifier, database_oid, host, fingerprint_format, timeline)
	SELECT 'called' || i, model, model_is_query, key, destination, mapping, mode, on_removed, 'manual', search_path, time_zone,
		system_identifier, database_oid, host, fingerprint_format, timeline
	FROM activate.sync, generate_series(1, 1000) AS i WHERE name = 'health'});
$s->value("SELECT activate.resume_sync('witness')");
my ($scheduler) = $s->pids('scheduler');
my $runs = $s->runs('witness');
my $cpu = sub { open my $f, '<', "/proc/$scheduler/stat" or return; my @f = split / /, <$f>; return ($f[13] + $f[14]) / 100 };
$s->wait_until('it has passed', sub { $s->runs('witness') > $runs });
($runs, my $used, $begun) = (scalar $s->runs('witness'), $cpu->(), time);
$s->wait_until('ten more runs', sub { $s->runs('witness') >= $runs + 5 });
my $share = ($cpu->() - $used) / (time - $begun);
cmp_ok($share, '<', 0.5, sprintf 'passes with a thousand syncs use %.1f %% of a CPU while one runs each second', 100 * $share);

# Nothing due for five minutes: it leaves, and comes back when needed.
$s->value("SELECT activate.pause_sync(name) FROM activate.sync WHERE NOT paused");
$s->sync('daily', schedule => '1 day');
$s->wait_until('the scheduler is there', sub { $s->pids('scheduler') == 1 });
$s->wait_for('it has looked', "SELECT next_run_at IS NOT NULL FROM activate.status WHERE sync = 'daily'");
$s->clock($s->ahead + 400);
$s->wait_until('the scheduler leaves', sub { $s->pids('scheduler') == 0 });
pass('with nothing due for five minutes the scheduler leaves');
is($s->value("SELECT count(*) FROM activate.sync WHERE NOT paused AND sync_id NOT IN (SELECT sync_id FROM activate.sync_state)"), 0,
	'not before each sync has a state');
is($s->value("CALL activate.wait_for_run(" . $s->value("SELECT activate.queue_run('daily')") . ')'), 'succeeded',
	'and comes back for a run that is queued');
$s->clock($s->ahead + 400);
$s->wait_until('the scheduler leaves again', sub { $s->pids('scheduler') == 0 });
$s->clock($s->ahead + 24 * 3600);
$s->wait_until('the planned run', sub { (($s->runs('daily'))[1] // {})->{status} // '' eq 'succeeded' });
is(($s->runs('daily'))[1]{cause}, 'schedule', 'and for one that is planned');

done_testing;
