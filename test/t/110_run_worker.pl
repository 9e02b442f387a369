# A run by a background worker is the run that a session makes, and while it
# waits for the network nothing of the database is held.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use Scheduled;
use Session;

my $s = Scheduled->start('main', "autovacuum = off\n");
my $crm = $s->crm;
my $node = $s->node;

sub value { return $s->value($_[0]) }
sub wait_until { return $s->wait_until(@_) }

sub create_sync
{
	my ($sync, $model, %argument) = @_;
	my $more = join '', map { ", $_ => '$argument{$_}'" } sort keys %argument;
	value("SELECT activate.create_sync('$sync', '$model', 'id', 'crm', object => '$sync'$more)");
	return;
}

sub queue { return value("SELECT activate.queue_run('$_[0]')") }

# Its row once it has ended, or says something else than these.
sub ended
{
	my ($run) = @_;
	my $status;
	wait_until("run $run", sub { ($status = value("SELECT status FROM activate.run WHERE run_id = $run")) !~ /queued|running/ });
	return $status;
}

sub worker { return value("SELECT pid FROM pg_stat_activity WHERE backend_type = 'pg_activate run'") }

# Of another session, which must not wait for a lock.
sub goes_through
{
	my ($sql, $name) = @_;
	my ($status, undef, $error) = $node->psql('postgres', $sql, extra_params => ['-v', 'ON_ERROR_STOP=1'],
		connstr => $node->connstr('postgres') . " options='-c lock_timeout=1s'");
	is($status, 0, $name) or diag $error;
	return;
}

value("ALTER SERVER crm OPTIONS (SET timeout '1 hour', ADD batch_size '100')");
value(<<END);
CREATE TABLE people (id int PRIMARY KEY, name text);
INSERT INTO people SELECT i, 'name ' || i FROM generate_series(1, 1000) i;
CREATE TABLE other (id int PRIMARY KEY);
END
create_sync('people', 'public.people');
create_sync('others', 'public.other');

# -------------------------------------------------------------- a plain run
my $run = queue('people');
is(ended($run), 'succeeded', 'a queued run is made');
is(scalar @{ $crm->records('people') }, 1000, 'and sends everything');
is(value("SELECT cause, accepted, added, queued_at <= started_at, started_at <= finished_at, pid > 0 FROM activate.run WHERE run_id = $run"),
	'manual|1000|1000|t|t|t', 'its row says what it did');
wait_until('the end of its process', sub { worker() eq '' });

value("UPDATE people SET name = 'new ' || id WHERE id <= 10; DELETE FROM people WHERE id > 990");
is(ended(queue('people')), 'succeeded', 'another one');
is(value("SELECT changed, accepted FROM activate.run ORDER BY run_id DESC LIMIT 1"), '10|10', 'sends what changed');

# ------------------------------------------------------- nothing is held
value("UPDATE people SET name = 'slow ' || id");
$crm->reset;
$crm->script({ hang => 1, times => -1 });
$run = queue('people');
$crm->wait_for_requests(1);
my $pid = worker();
wait_until('the wait', sub {
	value("SELECT wait_event_type FROM pg_stat_activity WHERE pid = $pid") eq 'Extension' });
is(value("SELECT backend_xmin IS NULL, backend_xid IS NULL, xact_start IS NULL, usename FROM pg_stat_activity WHERE pid = $pid"),
	't|t|t|' . (getpwuid $<)[0], 'the worker has no transaction and no snapshot, and connected as the owner');
is(value("SELECT locktype, objsubid FROM pg_locks WHERE pid = $pid"), 'advisory|-21391', 'its only lock is that of the run');
like(value("SELECT query FROM pg_stat_activity WHERE pid = $pid"), qr/^sync people: delivering \d+ of 990 rows$/,
	'pg_stat_activity says what it does');
is(value("SELECT run_id, sync, pid, phase, rows_total, rows_done, in_flight, waiting_for, eta IS NULL FROM activate.progress"),
	"$run|people|$pid|deliver|990|0|4|answer|t", 'and the view progress');
goes_through('TRUNCATE people', 'TRUNCATE of the model');
goes_through('ALTER TABLE people ADD COLUMN later int', 'ALTER TABLE of the model');
goes_through('VACUUM FULL activate_data.people', 'VACUUM FULL of the table of the sync');
goes_through('CREATE INDEX CONCURRENTLY ON other (id)', 'CREATE INDEX CONCURRENTLY elsewhere');

my ($status, undef, $error) = $node->psql('postgres', "\\set VERBOSITY verbose\nCALL activate.run_sync('people')");
like($error, qr/55006: sync "people" is already running\nDETAIL:  Process $pid runs it\./,
	'a session cannot run the same sync meanwhile');
like($error, qr/HINT:  Wait for it, or end it: (SELECT .*;)/, 'the error says how to end it');
$crm->script;
value($1) if $error =~ /end it: (SELECT .*;)/;
is(ended($run), 'cancelled', 'which does');

# The other way round.
value("INSERT INTO people SELECT i, 'back' FROM generate_series(1, 100) i");
my $session = Session->start($node, 'postgres', options => '-c pg_activate.progress_interval=0');
$crm->reset;
$crm->script({ hang => 1, times => -1 });
$session->send("CALL activate.run_sync('people')");
$crm->wait_for_requests(1);
$run = queue('people');
is(value("SELECT pid FROM activate.progress"), $session->pid, 'a run in a session is seen in progress');
is(ended(queue('others')), 'succeeded', 'while another sync runs,');
is(value("SELECT status FROM activate.run WHERE run_id = $run"), 'queued', 'a worker does not run what a session runs');
my $own = value("SELECT run_id FROM activate.progress");
my $start = time;
value("SELECT activate.cancel_run($own)");
like($session->wait, qr/PA003: run $own of sync "people" was cancelled by cancel_run/, 'cancel_run ends a run in a session');
cmp_ok(time - $start, '<', 1, sprintf('at once: %.0f ms', 1000 * (time - $start)));
is($session->query('SELECT 1'), '1', 'the session goes on');
$crm->script;
is(ended($run), 'succeeded', 'the queued run follows');


# ------------------------------------------------------------- queued runs
value("INSERT INTO other VALUES (1)");
$session->query('BEGIN');
$run = $session->query("SELECT activate.queue_run('others')");
like($run, qr/^\d+$/, 'in a block a run is queued');
like($session->query("CALL activate.wait_for_run($run)"), qr/25001: wait_for_run cannot run inside a transaction block/,
	'which cannot be waited for there');
$session->query('ROLLBACK');
is(value("SELECT count(*) FROM activate.run WHERE run_id = $run"), '0', 'a rollback leaves nothing of it');

$session->query('BEGIN');
my $in_block = $session->query("SELECT activate.queue_run('others')");
my $outside = queue('others');
isnt($outside, $in_block, 'another session does not get the run of an open block');
is(ended($outside), 'succeeded', 'its own is made');
is($session->query("SELECT status FROM activate.runs WHERE run_id = $in_block"), 'queued', 'the other one waits for its commit');
value('DELETE FROM other');
$session->query('INSERT INTO other VALUES (2); COMMIT');
is($session->query("CALL activate.wait_for_run($in_block)"), 'succeeded', 'and is made then');
is(value("SELECT accepted FROM activate.run WHERE run_id = $in_block"), 1, 'with what the block wrote');

# Without a worker at work, so that they stay queued.
$crm->reset;
$crm->script({ hang => 1, times => -1 });
value("UPDATE people SET name = 'hang ' || id");
my $hanging = queue('people');
$crm->wait_for_requests(1);
$run = queue('people');
isnt($run, $hanging, 'while a sync runs, another run of it can be queued');
is(queue('people'), $run, 'once: who asks again gets the same');
$session->query('BEGIN');
$in_block = $session->query("SELECT activate.queue_run('people')");
isnt($in_block, $run, 'but for a block, which has its own');
$session->query('COMMIT');
is(value("SELECT string_agg(status, ' ' ORDER BY run_id) FROM activate.run WHERE run_id >= $hanging"),
	'running queued queued', 'they wait');
my $waiter = Session->start($node, 'postgres');
$waiter->send("CALL activate.wait_for_run($in_block)");
wait_until('the waiter', sub { value("SELECT wait_event_type FROM pg_stat_activity WHERE pid = @{[$waiter->pid]}") eq 'Extension' });
is(value("SELECT backend_xmin IS NULL FROM pg_stat_activity WHERE pid = @{[$waiter->pid]}"), 't',
	'who waits for a run holds no snapshot');
like($session->query("CALL activate.wait_for_run($in_block, timeout => '1 millisecond')"),
	qr/^WARNING:  01000: run $in_block has not ended yet: it is queued\n(?:LOCATION.*\n)?queued$/,
	'a timeout warns, and says how the run is');
value("SELECT activate.cancel_run($run)");
is(value("SELECT status, error FROM activate.run WHERE run_id = $run"),
	"cancelled|the run was cancelled by @{[(getpwuid $<)[0]]} before it began", 'a queued run is cancelled');
$run = queue('people');
is($run, $in_block, 'who asks now gets the one of the block');
$session->query('BEGIN');
my $third = $session->query("SELECT activate.queue_run('people')");
$session->query('COMMIT');
$crm->script;
value("SELECT activate.cancel_run($hanging)");
$start = time;
is($waiter->wait, 'succeeded', 'who waited is told');
is(value("SELECT merged_into FROM activate.run WHERE run_id = $third"), $run, 'one run does the work of all that were queued');
is(value("SELECT count(*) FROM activate.runs WHERE run_id = $third"), '0', 'which the view runs shows once');
is($session->query("CALL activate.wait_for_run($third)"), 'succeeded', 'and which can be waited for by any of their numbers');
$waiter->stop;

my $many = join ' ', map { "SELECT activate.queue_run('others');" } 1 .. 50;
$node->safe_psql('postgres', $many);
wait_until('all of them', sub { value("SELECT count(*) FROM activate.run WHERE status IN ('queued', 'running')") eq '0' });
is(value("SELECT status FROM activate.runs WHERE sync = 'others' ORDER BY run_id DESC LIMIT 1"), 'succeeded', 'fifty queued at once are made');

# ------------------------------ what is to be sent does not fit in memory
value($_) for "ALTER DATABASE postgres SET work_mem = '64kB'", 'ALTER DATABASE postgres SET min_parallel_table_scan_size = 0',
  'ALTER DATABASE postgres SET parallel_setup_cost = 0', 'ALTER DATABASE postgres SET parallel_tuple_cost = 0',
  q{CREATE TABLE wide AS SELECT i AS id, repeat('w' || i, 100) AS text FROM generate_series(1, 5000) AS i},
  'ALTER TABLE wide ADD PRIMARY KEY (id)';
create_sync('wide', 'public.wide');
$crm->reset;
$crm->script({ hang => 1, times => -1 });
$run = queue('wide');
$crm->wait_for_requests(1);
my $files = grep { -f } glob $node->data_dir . '/base/pgsql_tmp/*';
cmp_ok($files, '>', 0, 'what does not fit in memory is in temporary files');
$crm->script;
value("SELECT activate.cancel_run($run)");
is(ended($run), 'cancelled', 'which go with the run');
wait_until('the end of its process', sub { worker() eq '' });
is(scalar(grep { -f } glob $node->data_dir . '/base/pgsql_tmp/*'), 0, 'all of them');
is(ended(queue('wide')), 'succeeded', 'and are read outside of any transaction');
is(scalar @{ $crm->records('wide') }, 5000, 'to their end');
value("ALTER DATABASE postgres RESET $_") for qw(work_mem min_parallel_table_scan_size parallel_setup_cost parallel_tuple_cost);
cmp_ok(value("SELECT n_tup_ins FROM pg_stat_all_tables WHERE relid = 'activate_data.wide'::regclass"), '>=', 5000,
	'autovacuum is told of what it wrote');

# ------------------------------------------ a database that is not in UTF-8
value("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0");
my $latin = Session->start($node, 'latin', options => '-c client_encoding=UTF8 -c client_min_messages=error');
$latin->query($_) for 'CREATE EXTENSION pg_activate',
  "CREATE SERVER \"\x{c3}\x{a9}\" FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url '@{[$crm->url]}')",
  'CREATE TABLE people (id int PRIMARY KEY, name text)', "INSERT INTO people VALUES (1, '\x{c3}\x{bc}'), (2, 'refused')",
  "SELECT activate.create_sync('\x{c3}\x{a4}', 'people', 'id', '\x{c3}\x{a9}', object => 'latin', options => '{\"max_rejected\": 10}')";
$crm->script({ reject_rows => [ { where => 'refused', error => "\x{e4}\x{20ac}" } ], times => -1 });
$run = $latin->query("SELECT activate.queue_run('\x{c3}\x{a4}')");
is($latin->query("CALL activate.wait_for_run($run)"), 'partial', 'in a database in LATIN1');
is($crm->record('latin', { id => 1 })->{fields}{name}, "\x{fc}", 'text arrives as it is');
is($latin->query("SELECT message FROM activate.pending"), "\x{c3}\x{a4}?", 'and answers come back as far as they can');
$latin->stop;

$session->stop;
done_testing();
