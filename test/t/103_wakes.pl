# Whoever was told to look looks, whatever comes between.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use Destination;
use Processes;
use Session;

# Far less than a naptime.
use constant SOON => 15;

my $crm = Destination->start;
my $url = $crm->url;

# The launcher and that of logical replication have one each: one is left.
my $p = Processes->start('main', <<END);
max_worker_processes = 3
log_line_prefix = '%m [%p] %b '
END
my $node = $p->node;

foreach my $database (qw(a b))
{
	$p->sql('postgres', "CREATE DATABASE $database");
	$p->sql($database, <<END);
CREATE EXTENSION pg_activate;
CREATE SERVER crm FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url '$url');
CREATE TABLE model (id int PRIMARY KEY, name text);
INSERT INTO model VALUES (1, 'a');
SELECT activate.create_sync('s', 'model', 'id', 'crm', object => '$database');
END
}

sub arrives
{
	my ($object, $name) = @_;
	my $begun = time;
	eval { $p->wait_until($name, sub { @{ $crm->records($object) } == 1 }, SOON) };
	return is($@, '', sprintf '%s: %.1f s', $name, time - $begun);
}

# Woken, and asked to leave before it could look.
{
	my ($queuer, $dropper) = map { Session->start($node, 'a') } 1 .. 2;

	# Of the two databases it is a that has the process.
	foreach my $database (qw(b a))
	{
		$p->sql($database, q{SELECT activate.pause_sync('s'); SELECT activate.resume_sync('s')});
		$p->wait_for_one('scheduler', $database);
	}
	$queuer->query('BEGIN; SELECT activate.queue_run($$s$$)');
	$dropper->send('BEGIN; DROP EXTENSION pg_activate CASCADE');
	$p->wait_until('the drop to wait', sub {
		$p->sql('postgres', q{SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'}) == 1 });
	$queuer->query('COMMIT');
	$dropper->wait;
	$p->sql('b', 'SELECT activate.queue_run($$s$$)');
	arrives('b', 'the only process is for another database meanwhile');
	$p->wait_until('no run', sub { !$p->pids('run') });
	$dropper->query('ROLLBACK');
	arrives('a', 'what was queued before the extension was not dropped');
}

# Asked to leave while it waits for a lock, which takes the latch for its own.
{
	my $locker = Session->start($node, 'a');

	$crm->reset;
	$p->sql($_, 'UPDATE model SET name = $$x$$') foreach qw(a b);
	$p->sql('a', q{SELECT activate.pause_sync('s'); SELECT activate.resume_sync('s')});
	my $scheduler = $p->wait_for_one('scheduler', 'a');
	$locker->query('BEGIN; LOCK TABLE activate.destination_state IN ACCESS EXCLUSIVE MODE');
	$p->sql('a', q{SELECT activate.pause_sync('s'); SELECT activate.resume_sync('s')});
	$p->wait_until('the scheduler to wait for a lock', sub {
		$p->sql('postgres', "SELECT wait_event_type FROM pg_stat_activity WHERE pid = $scheduler") eq 'Lock' });
	$p->sql('b', 'SELECT activate.queue_run($$s$$)');
	$p->wait_until('it to be asked to leave', sub {
		$p->sql('a', "SELECT state FROM activate.workers WHERE pid = $scheduler") eq 'leaving' });
	$locker->query('ROLLBACK');
	arrives('b', 'who waited for a lock leaves');
}

# A run worker that ends before it has a run to write that into: after five seconds.
$node->append_conf('postgresql.conf', "max_worker_processes = 8\n");
$node->restart;
{
	my $locker = Session->start($node, 'b');

	$p->wait_for_one('scheduler', 'b');
	$crm->reset;
	$p->sql('b', q{UPDATE model SET name = 'b'});
	$locker->query('BEGIN; LOCK TABLE activate.sync IN EXCLUSIVE MODE');
	$p->sql('b', 'SELECT activate.queue_run($$s$$)');
	my $run = $p->wait_for_one('run', 'b');
	$p->wait_until('the run to wait for a lock', sub {
		$p->sql('postgres', "SELECT wait_event_type FROM pg_stat_activity WHERE pid = $run") eq 'Lock' });
	kill 'TERM', $run;
	$p->wait_until('the run worker to end', sub { !$p->pids('run') });
	$locker->query('ROLLBACK');
	arrives('b', 'what was queued when its worker was terminated');
}

$node->stop('fast');
done_testing();
