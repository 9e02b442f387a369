# A run in a background worker ends as soon as it is told to, whatever its
# destination or its model does, and what it leaves is made good by the next.
# Runs alone: it measures.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use Scheduled;
use Session;

# Promised are 100 ms, and 2 s for a shutdown; what is ten times too slow fails.
use constant AT_ONCE => 1;
use constant SHUTDOWN => 20;

my $s = Scheduled->start('main', "autovacuum = off\n");
my $crm = $s->crm;
my $node = $s->node;

sub value { return $s->value($_[0]) }
sub wait_until { return $s->wait_until(@_) }

sub at_once
{
	my ($seconds, $name, $limit) = @_;
	ok($seconds < ($limit // AT_ONCE), sprintf '%s: %.0f ms', $name, 1000 * $seconds);
	return;
}

sub status_of { return value("SELECT status FROM activate.run WHERE run_id = $_[0]") }

# Its row once it has ended.
sub ended
{
	my ($run) = @_;
	wait_until("run $run", sub { status_of($run) !~ /queued|running/ });
	return status_of($run);
}

sub worker { return value("SELECT pid FROM pg_stat_activity WHERE backend_type = 'pg_activate run'") }

# A run whose requests nobody answers, or late; its number and its process.
sub begin_hanging
{
	my (%answer) = @_;
	value("UPDATE people SET name = 'n' || nextval('version')");
	$crm->script({ %answer ? %answer : (hang => 1), times => -1 });
	my $seen = $crm->stats->{requests};
	my $run = value("SELECT activate.queue_run('people')");
	wait_until('requests', sub { $crm->stats->{requests} > $seen });
	wait_until('its process', sub { worker() ne '' });
	return ($run, worker());
}

# All rows are at the destination as they are in the model, once all is done.
sub converges
{
	my ($name) = @_;
	$crm->script;
	wait_until("$name: convergence", sub {
		value("SELECT count(*) FROM activate.run WHERE status IN ('queued', 'running')") eq '0'
		  && value("SELECT status FROM activate.run ORDER BY run_id DESC LIMIT 1") eq 'succeeded' });
	my $fields = $crm->fields('people');
	my %there = map { $_ => $fields->{$_}{name} } keys %$fields;
	my %here = map { my ($id, $text) = split /\|/; ("{\"id\":$id}" => $text) } split /\n/, value('SELECT id, name FROM people');
	is_deeply(\%there, \%here, "$name: the destination has what the model has");
	is(value('SELECT count(*) FROM activate.claim'), '0', "$name: no claim is left");
	return;
}

sub setup
{
	value($_) for "ALTER SERVER crm OPTIONS (SET timeout '1 hour', ADD batch_size '10')",
	  "SELECT activate.create_sync('people', 'public.people', 'id', 'crm', object => 'people')";
	return;
}

value($_) for 'CREATE TABLE people (id int PRIMARY KEY, name text)',
  "INSERT INTO people SELECT i, 'n0' FROM generate_series(1, 100) i", 'CREATE SEQUENCE version';
setup();
is(ended(value("SELECT activate.queue_run('people')")), 'succeeded', 'everything is there');

# ---------------------------------------------------------------- terminate
my ($run, $pid) = begin_hanging();
my $start = time;
value("SELECT pg_terminate_backend($pid)");
wait_until('the end of the process', sub { !kill 0, $pid });
at_once(time - $start, 'pg_terminate_backend');
$crm->script;
is(ended($run), 'interrupted', 'its run was interrupted');
converges('terminate');

# ------------------------------------------------------------------- cancel
($run, $pid) = begin_hanging();
$start = time;
value("SELECT pg_cancel_backend($pid)");
is(ended($run), 'cancelled', 'pg_cancel_backend: its run was cancelled');
at_once(time - $start, 'pg_cancel_backend');
is(value("SELECT bool_and(activate_in_doubt) FROM activate_data.people WHERE activate_state = 'doubt'"), 't',
	'what was under way is in doubt');

($run, $pid) = begin_hanging();
$start = time;
value("SELECT activate.cancel_run($run)");
is(ended($run), 'cancelled', 'cancel_run: its run was cancelled');
at_once(time - $start, 'cancel_run');
is(value("SELECT error FROM activate.run WHERE run_id = $run"), "run $run of sync \"people\" was cancelled by cancel_run",
	'which its row says');
$crm->script;
value("SELECT activate.queue_run('people')");
converges('cancel');

# -------------------------------------------------------------- switched off
($run, $pid) = begin_hanging();
$start = time;
value('ALTER SYSTEM SET pg_activate.enabled = off');
value('SELECT pg_reload_conf()');
is(ended($run), 'cancelled', 'pg_activate.enabled = off ends runs');
at_once(time - $start, 'pg_activate.enabled = off');
like(value("SELECT error FROM activate.run WHERE run_id = $run"), qr/pg_activate\.enabled was turned off/, 'and says so');
value('ALTER SYSTEM RESET pg_activate.enabled');
value('SELECT pg_reload_conf()');
converges('switched on again');

# -------------------------------------------------------------- the database
($run, $pid) = begin_hanging();
$start = time;
value('DROP EXTENSION pg_activate CASCADE');
at_once(time - $start, 'DROP EXTENSION while a run is under way');
wait_until('the end of the process', sub { !kill 0, $pid });
at_once(time - $start, 'and the end of its worker', 10);
$crm->reset;
value('CREATE EXTENSION pg_activate');
$s->server('crm', $crm);
setup();
is(ended(value("SELECT activate.queue_run('people')")), 'succeeded', 'created again, it works');

# Who waits for DROP EXTENSION has nothing that it waits for.
my $dropper = Session->start($node, 'postgres', options => '-c client_min_messages=error');
my $user = Session->start($node, 'postgres', options => '-c client_min_messages=error');
my $block = Session->start($node, 'postgres', options => '-c client_min_messages=error');
$block->query("BEGIN; SELECT activate.queue_run('people')");
$dropper->send('DROP EXTENSION pg_activate CASCADE');
wait_until('its wait', sub { value("SELECT wait_event_type FROM pg_stat_activity WHERE pid = @{[$dropper->pid]}") eq 'Lock' });
like($user->query('SELECT * FROM activate.status'), qr/^ERROR:  55P03: extension "pg_activate" is being dropped/,
	'a view does not wait for DROP EXTENSION');
$user->send("SELECT activate.pause_sync('people')");
wait_until('its wait', sub { value("SELECT wait_event_type FROM pg_stat_activity WHERE pid = @{[$user->pid]}") eq 'Lock' });
is($block->query('ROLLBACK'), '', 'who keeps it waiting is in nobody\'s way');
is($dropper->wait, '', 'it goes through');
like($user->wait, qr/^ERROR:  42704: extension "pg_activate" is not installed/, 'who waited is told');
$_->stop for $user, $block;
$crm->reset;
value('CREATE EXTENSION pg_activate');
$s->server('crm', $crm);
setup();
is(ended(value("SELECT activate.queue_run('people')")), 'succeeded', 'created again, it works');

# Only what it does with an answer needs the extension.
($run, $pid) = begin_hanging(delay_ms => 300);
is($dropper->query('BEGIN; DROP EXTENSION pg_activate CASCADE'), '', 'DROP EXTENSION in a block');
wait_until('the end of the process', sub { !kill 0, $pid });
pass('its run does not wait for the end of the block');
is($dropper->query('ROLLBACK'), '', 'which then rolls back');
is(ended($run), 'interrupted', 'the run was interrupted');
converges('rolled back');

# The same in a session.
my $caller = Session->start($node, 'postgres', options => '-c pg_activate.progress_interval=0');
value("UPDATE people SET name = 'n' || nextval('version')");
$crm->script({ delay_ms => 300, times => -1 });
my $requests = $crm->stats->{requests};
$caller->send("CALL activate.run_sync('people')");
wait_until('requests', sub { $crm->stats->{requests} > $requests });
$start = time;
$dropper->query('DROP EXTENSION pg_activate CASCADE');
at_once(time - $start, 'DROP EXTENSION while a session runs a sync');
like($caller->wait, qr/^ERROR:  42704: extension "pg_activate" was dropped while it was used/, 'which says so in the end');
is($caller->query('SELECT 1'), '1', 'and goes on');
$crm->reset;
$_->stop for $caller, $dropper;
value('CREATE EXTENSION pg_activate');
$s->server('crm', $crm);
setup();
is(ended(value("SELECT activate.queue_run('people')")), 'succeeded', 'created again, it works');

value('CREATE DATABASE mine');
($run, $pid) = begin_hanging();
$start = time;
value('CREATE DATABASE copy TEMPLATE mine');
value('DROP DATABASE mine');
at_once(time - $start, 'CREATE and DROP DATABASE of others', 10);
value("SELECT activate.cancel_run($run)");
ended($run);
$crm->script;
value("SELECT activate.queue_run('people')");
converges('cancelled again');

# ------------------------------------------------------------- max_run_time
value("CREATE VIEW slow AS SELECT id, name FROM people, pg_sleep(60)");
value("SELECT activate.create_sync('slow', 'public.slow', 'id', 'crm', object => 'slow', options => '{\"max_run_time\": \"500 ms\"}')");
my $session = Session->start($node, 'postgres', options => '-c pg_activate.progress_interval=0');
$start = time;
like($session->query("CALL activate.run_sync('slow')"),
	qr/PA003: run \d+ of sync "slow" was ended by max_run_time/, 'max_run_time ends the diff of a session');
at_once(time - $start - 0.5, 'max_run_time in a session, late by');
is($session->query("SELECT 1 FROM pg_sleep(0.6)"), '1', 'which then goes on as long as it likes');
$run = value("SELECT activate.queue_run('slow')");
is(ended($run), 'cancelled', 'and that of a worker');
is(value("SELECT error FROM activate.run WHERE run_id = $run"), "run $run of sync \"slow\" was ended by max_run_time", 'as its row says');
cmp_ok(value("SELECT extract(epoch FROM finished_at - started_at) - 0.5 FROM activate.run WHERE run_id = $run"), '<', AT_ONCE,
	'in time');

# -------------------------------------------------- cancel_run during a diff
value(q{SELECT activate.alter_sync('slow', options => '{"max_run_time": null}')});
$run = value("SELECT activate.queue_run('slow')");
wait_until('the diff', sub { value("SELECT wait_event FROM pg_stat_activity WHERE backend_type = 'pg_activate run'") eq 'PgSleep' });
$start = time;
value("SELECT activate.cancel_run($run)");
is(ended($run), 'cancelled', 'cancel_run ends a diff');
at_once(time - $start, 'cancel_run during a diff');
$session->send("CALL activate.run_sync('slow')");
wait_until('the diff', sub { value("SELECT wait_event FROM pg_stat_activity WHERE pid = @{[$session->pid]}") eq 'PgSleep' });
$run = value("SELECT run_id FROM activate.progress WHERE sync = 'slow'");
$start = time;
value("SELECT activate.cancel_run($run)");
like($session->wait, qr/PA003: run $run of sync "slow" was cancelled by cancel_run/, 'that of a session, too');
at_once(time - $start, 'cancel_run during the diff of a session');
like($session->query("SELECT activate.cancel_run($run)"), qr/55000: run $run has ended already: it is cancelled/,
	'what has ended cannot be cancelled');
$session->stop;

# ----------------------------------------------------------------- shutdown
($run, $pid) = begin_hanging();
$s->reconnect;
$start = time;
$node->stop('fast');
at_once(time - $start, 'fast shutdown', SHUTDOWN);
$crm->script;
$node->start;
is(ended($run), 'interrupted', 'after the restart its run is interrupted');
converges('shutdown');

# ------------------------------------------------------------------ kill -9
($run, $pid) = begin_hanging();
$s->reconnect;
kill 'KILL', $pid;
wait_until('the crash', sub { !kill 0, $pid });
$crm->script;
$node->poll_query_until('postgres', 'SELECT true');
is(ended($run), 'interrupted', 'after a crash its run is interrupted');
converges('kill -9');

# Sessions have the name of their application before the level.
my @lines = slurp_file($node->logfile) =~ /^\S+ \S+ \S+ \[\d+\] (?:ERROR|WARNING|PANIC|FATAL): .*$/mg;
is("@lines", '', 'the workers have written nothing of all that into the log');
done_testing();
