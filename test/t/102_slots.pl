# However few processes there are, everybody gets on, in turn, and it is said
# what is short.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use Destination;
use Processes;
use Session;

my $crm = Destination->start;
my $url = $crm->url;

# The launcher and that of logical replication have one each: one is left.
my $p = Processes->start('main', <<END);
pg_activate.naptime = '1s'
max_worker_processes = 3
log_line_prefix = '%m [%p] %b '
END
my $node = $p->node;
my @databases = qw(a b c);

sub set
{
	my ($name, $value) = @_;
	$p->sql('postgres', "ALTER SYSTEM SET $name = $value");
	$node->reload;
	return;
}

sub prepare
{
	my ($database, @syncs) = @_;
	$p->sql('postgres', "CREATE DATABASE $database");
	$p->sql($database, <<END);
CREATE EXTENSION pg_activate;
CREATE SERVER crm FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url '$url', timeout '1 hour');
CREATE TABLE model (id int PRIMARY KEY, name text);
INSERT INTO model VALUES (1, 'a');
END
	$p->sql($database, "SELECT activate.create_sync('$_', 'model', 'id', 'crm', object => '${database}_$_')") foreach @syncs;
	return;
}

# ----------------------------------------------------------- one process for all

$p->wait_for_one('launcher');
prepare($_, qw(s t)) foreach @databases;

sub records
{
	my $count = 0;
	foreach my $database (@databases)
	{
		$count += @{ $crm->records("${database}_$_") } foreach qw(s t);
	}
	return $count;
}

my $begun = time;
$p->sql($_, "SELECT activate.queue_run('s'), activate.queue_run('t')") foreach @databases;
$p->wait_until('a run of each sync of each database', sub { records() == 6 }, 90);
pass(sprintf 'with one process: six runs in three databases in %.1f s', time - $begun);

# A run that takes the only process for itself.
my $from = -s $node->logfile;
$begun = time;
$crm->reset;
$crm->script([ { hang => 1 } ]);
$p->sql($_, "UPDATE model SET name = 'b'; SELECT activate.queue_run('s'), activate.queue_run('t')") foreach @databases;
$p->wait_until('a request', sub { $crm->stats->{busy} == 1 });
$p->wait_until('the log to say it', sub {
	slurp_file($node->logfile, $from) =~ /launcher LOG:.* wait for a worker process: raise max_worker_processes/ });
like($p->sql('a', q{SELECT string_agg(concat_ws(' ', kind, database, sync, state), E'\\n') FROM activate.workers WHERE pid IS NULL}),
	qr/^(?:scheduler [abc]|run [abc] [st]) waiting for a worker process: raise max_worker_processes$/m,
	'a shortage that lasts is said in the log, and workers says what waits');
foreach my $database (@databases)
{
	$p->sql($database, "SELECT activate.cancel_run(run_id) FROM activate.runs WHERE status = 'running'");
}
$p->wait_until('all others', sub { records() >= 5 }, 90);
my @lines = grep { /\] (?:pg_activate|postmaster .*background worker)/ && /(?:LOG|WARNING|ERROR|FATAL):/ }
  split /\n/, slurp_file($node->logfile, $from);
cmp_ok(scalar @lines, '<=', 2 * (1 + int((time - $begun) / 60)), 'two lines a minute at most') or diag join "\n", @lines;

# ----------------------------------------------------------- one run at a time

$node->append_conf('postgresql.conf', "max_worker_processes = 16\npg_activate.max_workers = 1\n");
$node->restart;
$p->wait_for_one('scheduler', $_) foreach @databases;
$crm->reset;
$crm->script([ { hang => 1 } ]);
$p->sql('a', <<END);
UPDATE model SET name = 'c';
SELECT activate.create_sync('low', 'model', 'id', 'crm', object => 'a_low', options => '{"priority": -5}'),
	activate.create_sync('high', 'model', 'id', 'crm', object => 'a_high', options => '{"priority": 5}');
SELECT activate.queue_run('s');
END
$p->wait_until('a request', sub { $crm->stats->{busy} == 1 });
my $run = $p->wait_for_one('run', 'a');
$p->sql('a', "SELECT activate.queue_run('low'), activate.queue_run('t'), activate.queue_run('high')");
my $waiting = q{SELECT string_agg(sync, ' ' ORDER BY sync) FROM activate.workers WHERE state = 'waiting for another run to end: raise pg_activate.max_workers'};
$p->wait_until('all to be asked for', sub { $p->sql('a', $waiting) eq 'high low t' });
is(join(' ', $p->pids('run')), $run, 'no more runs than pg_activate.max_workers');
$p->sql('b', "UPDATE model SET name = 'c'; SELECT activate.queue_run('s')");
$p->wait_until('that of another database, too', sub { $p->sql('a', $waiting) eq 'high low s t' });
$p->sql('a', "SELECT activate.cancel_run(run_id) FROM activate.runs WHERE status = 'running'");
$p->wait_until('all runs', sub { @{ $crm->requests } >= 5 });
my @order = map { $_->{path} =~ m{/(\w+)$} } @{ $crm->requests };
my @of_a = grep { /^a_(?:high|t|low)$/ } @order;
is(join(' ', @of_a), 'a_high a_t a_low', 'in a database by priority');

# ----------------------------------------------------------- a start that never comes

set('pg_activate.max_workers', 4);
set('pg_activate.debug_faults', q{'before_attach:wait'});
my $scheduler = $p->wait_for_one('scheduler', 'c');
kill 'TERM', $scheduler;
$p->wait_until('the launcher to give it up', sub {
	$p->sql('a', q{SELECT concat_ws(': ', state, last_error) FROM activate.workers WHERE database = 'c'}) eq
	  'failed: its process did not start within 10 seconds' }, 60);
pass('a scheduler that is registered but does not come is given up');
set('pg_activate.debug_faults', q{''});
$p->wait_for_one('scheduler', 'c', $scheduler);
pass('and started again');

$node->stop('fast');
done_testing();
