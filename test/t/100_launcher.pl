# The launcher is always there, starts a scheduler where the extension is, and
# nobody has to look after them.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use Destination;
use Processes;

# Promised is a tenth of it.
use constant ORPHANS_LEAVE => 10;

my $crm = Destination->start;
my $url = $crm->url;
my $p = Processes->start('main', <<END);
pg_activate.naptime = '1s'
max_prepared_transactions = 5
max_worker_processes = 16
log_line_prefix = '%m [%p] %b '
END
my $node = $p->node;

sub set
{
	my ($name, $value) = @_;
	$p->sql('postgres', "ALTER SYSTEM SET $name = $value");
	$node->reload;
	return;
}

$p->wait_for_one('launcher');
is(scalar($p->pids('scheduler')), 0, 'no scheduler where the extension is not');

my $begun = time;
$p->sql('postgres', 'CREATE EXTENSION pg_activate');
my $scheduler = $p->wait_for_one('scheduler', 'postgres');
cmp_ok(time - $begun, '<', 3, 'CREATE EXTENSION brings a scheduler at once');
is($p->sql('postgres', 'SELECT activate.worker_problem()'), '', 'the workers serve the database');

# A prepared transaction says nothing of itself; committing it does.
$p->sql('postgres', 'CREATE DATABASE prepared');
$p->sql('prepared', "BEGIN; CREATE EXTENSION pg_activate; PREPARE TRANSACTION 'x'");
is(join(' ', $p->pids('scheduler', 'prepared')), '', 'no scheduler for what is only prepared');
$p->sql('prepared', "COMMIT PREPARED 'x'");
$p->wait_for_one('scheduler', 'prepared');
pass('COMMIT PREPARED brings one');
$p->sql('postgres', 'DROP DATABASE prepared');

# ----------------------------------------------------------- signals

for my $signal (qw(TERM KILL))
{
	for my $kind (qw(launcher scheduler))
	{
		my $before = $p->wait_for_one($kind);
		my $killed = time;
		kill $signal, $before;
		$p->wait_for_one($kind, undef, $before);
		$scheduler = $p->wait_for_one('scheduler', 'postgres');
		pass(sprintf '%s back %.1f s after SIG%s', $kind, time - $killed, $signal);
	}
}

# ----------------------------------------------------------- what workers shows

$p->sql('postgres', <<END);
CREATE ROLE plain LOGIN;
CREATE ROLE watcher LOGIN IN ROLE pg_monitor;
CREATE ROLE own LOGIN;
GRANT USAGE ON SCHEMA activate TO plain, watcher, own;
CREATE SERVER crm FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url '$url', timeout '1 hour');
GRANT USAGE ON FOREIGN SERVER crm TO own;
CREATE TABLE model (id int PRIMARY KEY, name text);
INSERT INTO model VALUES (1, 'a');
ALTER TABLE model OWNER TO own;
SELECT activate.create_sync('s', 'model', 'id', 'crm', object => 's', owner => 'own');
END
$crm->script([ { hang => 1, times => -1 } ]);
my $launcher = $p->wait_for_one('launcher');
$p->sql('postgres', <<END);
SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE backend_type ~ 'pg_activate (launcher|scheduler)';
SELECT activate.queue_run('s');
END
my $run = $p->wait_for_one('run', 'postgres');
$p->wait_until('a request', sub { $crm->stats->{busy} == 1 });
is(join(' ', $p->pids('launcher'), $p->pids('scheduler')), "$launcher $scheduler", 'who is idle cannot be cancelled');
my $workers = q{SELECT string_agg(concat_ws(' ', kind, database, sync, state), ', ' ORDER BY kind) FROM activate.workers};
my $all = 'launcher running, run postgres s running, scheduler postgres running';
is($p->sql('postgres', $workers), $all, 'workers, as a superuser');
is($p->sql('postgres', "SET ROLE watcher; $workers"), $all, 'workers, as a member of pg_monitor');
is($p->sql('postgres', "SET ROLE own; $workers"), 'run postgres s running', 'workers, as the owner of the sync');
is($p->sql('postgres', "SET ROLE plain; $workers"), '', 'workers, as anybody else');
is($p->sql('postgres', "SET ROLE plain; SELECT count(*) FROM activate.worker_rows()"), '0', 'nor from the function behind it');
is($p->sql('postgres', "SELECT usename FROM pg_stat_activity WHERE pid = $run"), 'own', 'the run is connected as the owner');

# ----------------------------------------------------------- settings

set('pg_activate.enabled', 'off');
$p->wait_until('scheduler and run to leave', sub { !$p->pids('scheduler') && !$p->pids('run') });
is($p->sql('postgres', 'SELECT activate.worker_problem()'), 'pg_activate.enabled is off', 'pg_activate.enabled = off: all leave');
$crm->reset;
set('pg_activate.enabled', 'on');
$p->sql('postgres', "SELECT activate.queue_run('s')");
$p->wait_until('the run', sub { @{ $crm->records('s') } == 1 });
pass('and come back');

# What ALTER DATABASE and ALTER ROLE can set stops no worker.
my %hostile = (default_transaction_read_only => 'on', default_transaction_isolation => 'serializable',
	statement_timeout => '1ms', lock_timeout => '1ms', idle_in_transaction_session_timeout => '1ms',
	search_path => 'nowhere', row_security => 'off', exit_on_error => 'on', DateStyle => 'German',
	application_name => 'other', session_replication_role => 'replica');
my $hostile = join ' ', map { "ALTER DATABASE shop SET $_ = '$hostile{$_}'; ALTER ROLE own SET $_ = '$hostile{$_}';" } sort keys %hostile;
$p->sql('postgres', 'CREATE DATABASE shop');
$p->sql('shop', <<END);
CREATE EXTENSION pg_activate;
GRANT USAGE ON SCHEMA activate TO own;
CREATE SERVER crm FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url '$url');
GRANT USAGE ON FOREIGN SERVER crm TO own;
CREATE TABLE model (id int PRIMARY KEY, name text);
INSERT INTO model VALUES (1, 'a');
ALTER TABLE model OWNER TO own;
SELECT activate.create_sync('t', 'model', 'id', 'crm', object => 't', owner => 'own');
END
$scheduler = $p->wait_for_one('scheduler', 'shop');
$p->sql('postgres', "$hostile ALTER ROLE own SET role = 'plain'; GRANT plain TO own; SELECT pg_terminate_backend($scheduler)");
$p->sql('shop', <<END);
SET statement_timeout = 0; SET lock_timeout = 0; SET default_transaction_read_only = off; SET search_path = public;
SET default_transaction_isolation = 'read committed'; SET idle_in_transaction_session_timeout = 0;
SELECT activate.queue_run('t');
END
$p->wait_until('the run', sub { @{ $crm->records('t') } == 1 });
is($p->sql('postgres', q{SELECT string_agg(DISTINCT application_name, ', ') FROM pg_stat_activity WHERE datname = 'shop' AND backend_type ~ '^pg_activate'}),
	'pg_activate scheduler', 'settings of roles and databases stop no worker');

# Only the databases named, whether they are there or not; what is broken is
# tried less and less often.
$p->sql('postgres', 'CREATE DATABASE "Broken"');
$p->sql('Broken', 'CREATE EXTENSION pg_activate');
$scheduler = $p->wait_for_one('scheduler', 'Broken');
my $folder = $node->data_dir . '/base/' . $p->sql('postgres', q{SELECT oid FROM pg_database WHERE datname = 'Broken'});
rename "$folder/PG_VERSION", "$folder/PG_VERSION.away" or die $!;
set('log_min_messages', 'debug1');
my $from = -s $node->logfile;
kill 'TERM', $scheduler;
set('pg_activate.databases', q{'nope, "Broken"'});
$p->wait_until('schedulers of other databases to leave', sub { !$p->pids('scheduler') });
is($p->sql('postgres', 'SELECT activate.worker_problem()'), 'pg_activate.databases does not name this database',
	'a database that is not named is not served');
$p->wait_until('the error', sub { $p->sql('postgres', q{SELECT last_error FROM activate.workers WHERE database = 'Broken' AND state = 'failed'}) =~ /not a valid data directory/ });
pass('workers says what is wrong with a database');
my $until = time + 30;
$p->wait_until('thirty seconds to pass', sub { time > $until }, 60);
my $log = slurp_file($node->logfile, $from);
my $starts = () = $log =~ /starting background worker process "pg_activate/g;
cmp_ok($starts, '<', 10, "$starts starts in 30 s");
cmp_ok($starts, '>', 1, 'but it is tried again');
my @lines = grep { /\] (?:pg_activate|postmaster .*background worker)/ && /(?:LOG|WARNING|ERROR|FATAL):/ } split /\n/, $log;
cmp_ok(scalar @lines, '<=', 2, 'and the log has two lines of it at most') or diag join "\n", @lines;
rename "$folder/PG_VERSION.away", "$folder/PG_VERSION" or die $!;
set('log_min_messages', 'warning');
set('pg_activate.databases', q{'*'});
$p->wait_for_one('scheduler', 'postgres');
pass('served again');

# ----------------------------------------------------------- versions

$p->sql('postgres', "UPDATE pg_extension SET extversion = '0.9' WHERE extname = 'pg_activate'");
$p->wait_until('the scheduler to leave', sub { !$p->pids('scheduler', 'postgres') });
like($p->sql('postgres', q{SELECT concat_ws(': ', state, last_error) FROM activate.workers WHERE database = 'postgres'}),
	qr/^stopped: the extension is of version 0.9, the library of version 1.0/, 'a schema of another version is let be');
$p->sql('postgres', "BEGIN; UPDATE pg_extension SET extversion = '1.0' WHERE extname = 'pg_activate'; ALTER EXTENSION pg_activate UPDATE; COMMIT");
$p->wait_for_one('scheduler', 'postgres');
pass('until it is updated');

# ----------------------------------------------------------- orphans

$p->wait_for_one('scheduler', 'shop');
$crm->script([ { hang => 1, times => -1 } ]);
$p->sql('postgres', "UPDATE model SET name = 'b'; SELECT activate.queue_run('s')");
$run = $p->wait_for_one('run', 'postgres');
$p->wait_until('a request', sub { $crm->stats->{busy} == 1 });
# Somebody else's children now, who may take his time to notice their end.
sub is_alive
{
	my ($pid) = @_;
	open my $file, '<', "/proc/$pid/stat" or return 0;
	return (readline($file) // '') !~ /\) [ZX] /;
}

my @orphans = map { $p->pids($_) } qw(launcher scheduler run);
$begun = time;
$node->kill9;
$p->wait_until('the orphans to leave', sub { !grep { is_alive($_) } @orphans }, ORPHANS_LEAVE);
pass(sprintf '%d processes gone %.2f s after kill -9 of the postmaster', scalar @orphans, time - $begun);

done_testing();
