# Statements that need a database, or the extension, to themselves get it at
# once, and the workers come back.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use Destination;
use Processes;
use Session;

# Promised is that they are not waited for; half a second is psql and copying.
use constant AT_ONCE => 3;

my $p = Processes->start('main', <<END);
pg_activate.naptime = '1s'
deadlock_timeout = '10ms'
max_worker_processes = 16
fsync = off
log_line_prefix = '%m [%p] %b '
END
my $node = $p->node;

sub at_once
{
	my ($name, $sql) = @_;
	my $seconds = $p->timed('postgres', $sql);
	return cmp_ok($seconds, '<', AT_ONCE, sprintf '%s: %.2f s', $name, $seconds);
}

$p->sql('postgres', 'CREATE DATABASE shop');
$p->sql('shop', 'CREATE EXTENSION pg_activate');
my $scheduler = $p->wait_for_one('scheduler', 'shop');

at_once('CREATE DATABASE from a template with a scheduler', 'CREATE DATABASE copy TEMPLATE shop');
$scheduler = $p->wait_for_one('scheduler', 'shop', $scheduler);
pass('the scheduler of the template is back');
$p->wait_for_one('scheduler', 'copy');
pass('the copy is looked into');

at_once('ALTER DATABASE RENAME', 'ALTER DATABASE shop RENAME TO store');
$scheduler = $p->wait_for_one('scheduler', 'store', $scheduler);
is($p->sql('store', "SELECT database FROM activate.workers WHERE pid = $scheduler"), 'store', 'and is known by its new name');

{
	my $session = Session->start($node, 'postgres');
	$session->query('BEGIN; ALTER DATABASE store RENAME TO other; ROLLBACK');
	$scheduler = $p->wait_for_one('scheduler', 'store', $scheduler);
	pass('back after a RENAME that was rolled back');
	$session->stop;
}

$p->sql('postgres', "SET allow_in_place_tablespaces = on; CREATE TABLESPACE place LOCATION ''");
at_once('ALTER DATABASE SET TABLESPACE', 'ALTER DATABASE store SET TABLESPACE place');
$scheduler = $p->wait_for_one('scheduler', 'store', $scheduler);
pass('back after SET TABLESPACE');

# Whoever may not do it does not disturb anybody.
$p->sql('postgres', 'CREATE ROLE nobody LOGIN');
foreach my $sql ('DROP DATABASE store', 'ALTER DATABASE store RENAME TO x', 'CREATE DATABASE x TEMPLATE store',
	'ALTER DATABASE store SET TABLESPACE pg_default')
{
	my ($status) = $node->psql('postgres', "SET ROLE nobody; $sql");
	isnt($status, 0, "nobody may not: $sql");
}
is(join(' ', $p->pids('scheduler', 'store')), $scheduler, 'and the scheduler has not moved');

# Somebody else is connected: it fails, and all is as before.
{
	my $session = Session->start($node, 'store');
	my ($status, $out, $err) = $node->psql('postgres', 'DROP DATABASE store');
	like($err, qr/is being accessed by other users/, 'DROP DATABASE fails for another session');
	like($err, qr/There is 1 other session/, 'which is the only one');
	$scheduler = $p->wait_for_one('scheduler', 'store', $scheduler);
	pass('back after a DROP DATABASE that failed');
	$session->stop;
}

$p->wait_for_one('scheduler', 'copy');
at_once('DROP DATABASE', 'DROP DATABASE copy');
$p->sql('postgres', 'CREATE ROLE keeper CREATEDB; ALTER DATABASE store OWNER TO keeper');
at_once('DROP DATABASE WITH (FORCE) by an owner who is no superuser', 'SET ROLE keeper; DROP DATABASE store WITH (FORCE)');
is(join(' ', $p->pids('scheduler')), '', 'nobody is left');

# Databases made one after the other from template1 and dropped again.
{
	my $slowest = 0;
	foreach my $i (1 .. 50)
	{
		my $seconds = $p->timed('postgres', "CREATE DATABASE many$i");
		$slowest = $seconds if $seconds > $slowest;
		$p->sql('postgres', "DROP DATABASE many$i") if $i % 2;
	}
	cmp_ok($slowest, '<', AT_ONCE, sprintf 'fifty CREATE DATABASE, the slowest took %.2f s', $slowest);
	$p->sql('postgres', 'DROP DATABASE many' . 2 * $_) foreach 1 .. 25;
}

# The extension.
$p->sql('postgres', 'CREATE DATABASE shop');
$p->sql('shop', 'CREATE EXTENSION pg_activate');
$scheduler = $p->wait_for_one('scheduler', 'shop');

$p->sql('shop', 'BEGIN; DROP EXTENSION pg_activate CASCADE; ROLLBACK');
is(join(' ', $p->pids('scheduler', 'shop')), $scheduler, 'a DROP EXTENSION that is rolled back changes nothing');

$p->sql('shop', 'BEGIN; DROP EXTENSION pg_activate CASCADE; CREATE EXTENSION pg_activate; COMMIT');
$scheduler = $p->wait_for_one('scheduler', 'shop', $scheduler);
pass('dropped and created in one transaction: another scheduler');

my %drop = ('DROP EXTENSION' => 'DROP EXTENSION pg_activate CASCADE',
	'DROP SCHEMA' => 'DROP SCHEMA public CASCADE; CREATE SCHEMA public',
	'DROP OWNED' => 'DROP OWNED BY maker CASCADE');
$p->sql('shop', 'CREATE ROLE maker SUPERUSER');
foreach my $name (sort keys %drop)
{
	my $begun = time;
	$p->sql('shop', $drop{$name});
	$p->wait_until("$name: the scheduler to leave", sub { !$p->pids('scheduler', 'shop') });
	cmp_ok(time - $begun, '<', AT_ONCE, "$name: the scheduler leaves at once");
	$p->sql('shop', 'SET ROLE maker; CREATE EXTENSION pg_activate');
	$p->wait_for_one('scheduler', 'shop');
}

# While one session drops and creates, others change what the workers look at.
{
	my @load = map { Session->start($node, 'shop') } 1 .. 2;
	my $from = -s $node->logfile;
	$_->send(<<'END') foreach @load;
DO $$ BEGIN
FOR i IN 1 .. 100000 LOOP
	EXIT WHEN to_regclass('public.finished') IS NOT NULL;
	BEGIN
		PERFORM count(*) FROM activate.sync, activate.run;
		PERFORM * FROM activate.workers;
	EXCEPTION WHEN OTHERS THEN NULL;
	END;
	COMMIT;
END LOOP;
END $$
END
	my $begun = time;
	foreach (1 .. 100)
	{
		$p->sql('shop', 'DROP EXTENSION pg_activate CASCADE');
		$p->sql('shop', 'CREATE EXTENSION pg_activate');
	}
	note sprintf '100 times in %.1f s', time - $begun;
	$p->sql('shop', 'CREATE TABLE public.finished ()');
	$_->wait foreach @load;
	my $log = slurp_file($node->logfile, $from);
	unlike($log, qr/deadlock/i, '100 times dropped and created under load: no deadlock');
	unlike($log, qr/PANIC|terminated by signal/, 'and nobody died');
	my @errors = grep { /(?:ERROR|FATAL|WARNING):/ && /pg_activate (?:scheduler|run|launcher)/ } split /\n/, $log;
	is(join("\n", @errors), '', 'nor had a worker anything to complain of');
	$p->wait_for_one('scheduler', 'shop');
	pass('the scheduler is there in the end');
}

# The same with a run that waits for an answer that does not come.
{
	my $crm = Destination->start;
	my $url = $crm->url;
	my $database = 'busy';

	$p->sql('postgres', "CREATE DATABASE $database");
	$p->sql($database, <<END);
CREATE EXTENSION pg_activate;
CREATE SERVER crm FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url '$url', timeout '1 hour');
CREATE TABLE model (id int PRIMARY KEY, name text);
INSERT INTO model VALUES (1, 'a');
SELECT activate.create_sync('s', 'model', 'id', 'crm', object => 's');
END
	# Returns the run worker, whose request has been received.  Interrupted
	# again and again a run would take its time.
	my $busy = sub {
		my ($before) = @_;
		$p->sql($database, "SELECT activate.queue_run('s')");
		my $run = $p->wait_for_one('run', $database, $before);
		$p->wait_until('a request', sub { $crm->stats->{busy} == 1 });
		return $run;
	};
	$crm->script([ { hang => 1, times => -1 } ]);
	my $run = $busy->(0);

	at_once('CREATE DATABASE from a template with a run', "CREATE DATABASE copy TEMPLATE $database");
	$run = $busy->($run);
	at_once('ALTER DATABASE RENAME with a run', "ALTER DATABASE $database RENAME TO renamed");
	$database = 'renamed';
	$run = $busy->($run);
	at_once('ALTER DATABASE SET TABLESPACE with a run', "ALTER DATABASE $database SET TABLESPACE place");
	$run = $busy->($run);
	{
		my $session = Session->start($node, $database);
		my ($status) = $node->psql('postgres', "DROP DATABASE $database");
		isnt($status, 0, 'DROP DATABASE fails for another session');
		$run = $busy->($run);
		pass('the run is back');
		$session->stop;
	}
	$p->sql($database, 'BEGIN; DROP EXTENSION pg_activate CASCADE; ROLLBACK');
	is(join(' ', $p->pids('run', $database)), $run, 'a DROP EXTENSION that is rolled back leaves the run alone');
	my $begun = time;
	$p->sql($database, 'DROP EXTENSION pg_activate CASCADE');
	$p->wait_until('the run to leave', sub { !$p->pids('run', $database) });
	cmp_ok(time - $begun, '<', AT_ONCE, 'DROP EXTENSION: the run leaves at once');
	$p->wait_until('the scheduler to leave', sub { !$p->pids('scheduler', $database) });

	# The copy has it all, but does not send.
	$p->wait_for_one('scheduler', 'copy');
	at_once('DROP DATABASE of the copy', 'DROP DATABASE copy');

	$p->sql($database, <<END);
CREATE EXTENSION pg_activate;
CREATE SERVER crm FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url '$url', timeout '1 hour');
SELECT activate.create_sync('s', 'model', 'id', 'crm', object => 's');
END
	$run = $busy->($run);
	at_once('DROP DATABASE with a run', "DROP DATABASE $database");
	is(join(' ', $p->pids('run')), '', 'the run is gone');
}

$node->stop('fast');
done_testing();
