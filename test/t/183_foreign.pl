# Models are foreign tables over another server: the hub of a managed
# warehouse. What crosses the network, and what happens when it breaks.
use strict;
use warnings;

use Activate;
use Destination;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $a = Activate->start('hub');
my $d = Destination->start;
$a->server('d', $d);

my $warehouse = PostgreSQL::Test::Cluster->new('warehouse');
$warehouse->init(extra => [ '--encoding', 'UTF8', '--locale', 'C.UTF-8' ]);
$warehouse->append_conf('postgresql.conf', "log_statement = all\nlog_min_duration_statement = -1");
unlink $warehouse->data_dir . '/pg_hba.conf';
$warehouse->append_conf('pg_hba.conf', "local all reader scram-sha-256\nlocal all all trust\n");
$warehouse->start;
$warehouse->safe_psql('postgres', <<'END');
CREATE ROLE reader LOGIN PASSWORD 'pw';
CREATE TABLE people (id int PRIMARY KEY, name text, secret text, at timestamptz DEFAULT '2026-01-01 00:00+00');
INSERT INTO people SELECT i, 'n' || i, 'hidden' FROM generate_series(1, 300) AS i;
CREATE FUNCTION slow(int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN IF $1 > 150 AND current_setting('app.slow', true) = 'on' THEN PERFORM pg_sleep(0.2); END IF; RETURN $1; END $$;
CREATE VIEW slowly AS SELECT slow(id) AS id, name FROM people;
GRANT SELECT ON people, slowly TO reader;
END

my ($host, $port) = ($warehouse->host, $warehouse->port);
$a->sql(<<"END");
CREATE EXTENSION postgres_fdw;
CREATE ROLE team;
GRANT USAGE ON SCHEMA activate TO team;
CREATE SCHEMA hub AUTHORIZATION team;
CREATE SERVER warehouse FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '$host', port '$port', dbname 'postgres', fetch_size '10');
GRANT USAGE ON FOREIGN SERVER d, warehouse TO team;
SET ROLE team;
CREATE FOREIGN TABLE hub.people (id int, name text, secret text, at timestamptz) SERVER warehouse OPTIONS (schema_name 'public', table_name 'people');
CREATE FOREIGN TABLE hub.slowly (id int, name text) SERVER warehouse OPTIONS (schema_name 'public');
CREATE TABLE hub.all_people (id int, name text, secret text, at timestamptz) PARTITION BY RANGE (id);
CREATE TABLE hub.own PARTITION OF hub.all_people FOR VALUES FROM (1000) TO (2000);
CREATE FOREIGN TABLE hub.far PARTITION OF hub.all_people FOR VALUES FROM (0) TO (1000) SERVER warehouse OPTIONS (schema_name 'public', table_name 'people');
INSERT INTO hub.own VALUES (1001, 'here', NULL, NULL);
END

sub create
{
	my ($name, $model, $mapping) = @_;
	return $a->sql("SET client_min_messages = error; SELECT activate.create_sync('$name', '$model', 'id', 'd', '$name', mapping => '$mapping', mode => 'mirror', on_removed => 'delete',"
		. " owner => 'team', options => '{\"remove_after\": \"0 s\", \"max_removed\": 1000, \"max_changed\": 1000}')");
}

sub count { return scalar @{ $d->records($_[0]) } }

sub fails
{
	my ($name, $sqlstate, $message, $what) = @_;
	my $before = $d->lines('records', $name);
	my $run = $a->run($name);
	is_deeply([ @$run{qw(sqlstate status requests)} ], [ $sqlstate, 'failed', 0 ], "$what: the run fails and sends nothing") or diag($run->{text});
	like($run->{text}, $message, "$what: it is said") if $message;
	is($d->lines('records', $name), $before, "$what: nothing is lost");
	return;
}

sub succeeds
{
	my ($name, $counts, $what) = @_;
	my $run = $a->run($name);
	is("@$run{qw(status rows_in_model added changed removed)}", "succeeded $counts", $what) or diag($run->{text});
	return;
}

# given an owner without a user mapping, or one without a password, then the
# run says so; with one it goes
create('people', 'hub.people', 'name, at');
fails('people', '42704', qr/user mapping/, 'the owner has no user mapping');
$a->sql("CREATE USER MAPPING FOR team SERVER warehouse OPTIONS (user '" . (getpwuid $<)[0] . "')");
fails('people', '2F003', qr/password/, 'a user mapping without a password');
$a->sql("ALTER USER MAPPING FOR team SERVER warehouse OPTIONS (SET user 'reader', ADD password 'wrong')");
fails('people', '08001', qr/authentication failed/, 'a wrong password');
$a->sql("ALTER USER MAPPING FOR team SERVER warehouse OPTIONS (SET password 'pw')");
succeeds('people', '300 300 0 0', 'the owner reads with the rights of the mapped user');
is($d->record('people', { id => 7 })->{fields}{at}, '2026-01-01T00:00:00+00:00', 'values are as they are there');

# given mapped columns, then only key and mapped columns cross the network, in
# one transaction that only reads
my $from = -s $warehouse->logfile;
$warehouse->safe_psql('postgres', "UPDATE people SET name = 'x' WHERE id = 7; DELETE FROM people WHERE id = 8; INSERT INTO people VALUES (301, 'new')");
succeeds('people', '300 1 1 1', 'what changed there is sent');
my $log = slurp_file($warehouse->logfile, $from);
my @cursors = $log =~ /(DECLARE c\d+ CURSOR FOR\s+SELECT .*)/g;
is(scalar @cursors, 1, 'one query a run') or diag("@cursors");
unlike("@cursors", qr/secret/, 'columns that are not mapped stay where they are');
like("@cursors", qr/SELECT id, name, at FROM public.people/, 'the others come');
is(scalar(() = $log =~ /(?:INSERT|UPDATE|DELETE|CREATE|LOCK)/g), 3, 'nothing is written there but what we wrote');

# given keys that are named, then they are found there, too
$warehouse->safe_psql('postgres', "UPDATE people SET name = 'y' WHERE id IN (9, 10)");
my $run = $a->run('people', args => "keys => '[9]'");
is_deeply([ @$run{qw(status accepted)} ], [ 'succeeded', 1 ], 'one key') or diag($run->{text});
succeeds('people', '300 0 1 0', 'then the other');

# given a foreign partition beside one of our own
create('mixed', 'hub.all_people', 'name');
succeeds('mixed', '301 301 0 0', 'a foreign partition beside one of our own');

# given the warehouse stopped, then runs fail; started again, all goes on
$warehouse->stop('fast');
fails('people', '08001', qr/could not connect to server "warehouse"/, 'the warehouse is stopped');
fails('mixed', '08001', qr/could not connect to server "warehouse"/, 'one partition is not there');
$warehouse->start;
succeeds('people', '300 0 0 0', 'the warehouse is back');

# given a connection that breaks in mid scan, then what came does not count
create('slowly', 'hub.slowly', 'name');
succeeds('slowly', '300 300 0 0', 'a view of the warehouse');
$warehouse->safe_psql('postgres', "ALTER ROLE reader SET app.slow = 'on'");
foreach my $how ('terminate', 'immediate')
{
	my $under_way = $a->begin('slowly');
	$warehouse->poll_query_until('postgres', "SELECT count(*) > 0 FROM pg_stat_activity WHERE usename = 'reader' AND query LIKE 'FETCH%' AND wait_event = 'PgSleep'")
	  or die 'no scan';
	if ($how eq 'terminate')
	{
		$warehouse->safe_psql('postgres', "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'reader'");
	}
	else
	{
		$warehouse->stop('immediate');
	}
	$run = $a->end($under_way);
	like($run->{sqlstate}, qr/^(?:08006|57P01|57P02)$/, "broken in mid scan ($how): the error is the connection's") or diag($run->{text});
	is_deeply([ @$run{qw(status added changed removed requests)} ], [ 'failed', 0, 0, 0, 0 ], 'the run fails, nothing counts as removed');
	is(count('slowly'), 300, 'nothing is lost');
	$warehouse->start if $how eq 'immediate';
}

# given a scan that is cancelled or exceeds its time here
$a->sql("SELECT activate.alter_sync('slowly', options => '{\"max_run_time\": \"1 s\"}')");
$run = $a->run('slowly');
is_deeply([ @$run{qw(sqlstate status requests)} ], [ 'PA003', 'cancelled', 0 ], 'max_run_time ends a scan of the warehouse') or diag($run->{text});
$a->sql("SELECT activate.alter_sync('slowly', options => '{\"max_run_time\": null}')");
$warehouse->safe_psql('postgres', 'ALTER ROLE reader RESET app.slow');
$warehouse->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'reader'});
succeeds('slowly', '300 0 0 0', 'the next run is right');

# given columns that changed there, then the run says which, and heals
$warehouse->safe_psql('postgres', 'ALTER TABLE people RENAME name TO full_name');
fails('people', '42703', qr/column "name" does not exist/, 'a column renamed there');
$a->sql("ALTER FOREIGN TABLE hub.people ALTER name OPTIONS (column_name 'full_name')");
succeeds('people', '300 0 0 0', 'told of its name');
$warehouse->safe_psql('postgres', 'DROP VIEW slowly; ALTER TABLE people ALTER full_name TYPE int USING id');
succeeds('people', '300 0 300 0', 'another type there is text here');
$warehouse->safe_psql('postgres', "ALTER TABLE people ALTER at TYPE text USING 'no time'");
fails('people', '22007', qr/invalid input syntax.*no time/, 'what is no value of the type here');
$warehouse->safe_psql('postgres', 'ALTER TABLE people ALTER at TYPE timestamptz USING NULL');
$warehouse->safe_psql('postgres', 'REVOKE SELECT ON people FROM reader');
fails('people', '42501', qr/permission denied for table people/, 'rights taken away there');
$warehouse->safe_psql('postgres', 'GRANT SELECT ON people TO reader');
succeeds('people', '300 0 300 0', 'given back');

# given nothing in the warehouse, then the guard holds the run
$warehouse->safe_psql('postgres', 'CREATE TABLE kept AS TABLE people; TRUNCATE people');
$run = $a->run('people');
is_deeply([ @$run{qw(status requests)} ], [ 'held', 0 ], 'emptied there: held');
$warehouse->safe_psql('postgres', 'INSERT INTO people TABLE kept');
succeeds('people', '300 0 0 0', 'filled again: nothing to do');

# given the worker, then it reads as the owner, who may not log in here
$a->node->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_activate'\npg_activate.allowed_hosts = '*'");
$a->node->restart;
$warehouse->safe_psql('postgres', 'UPDATE people SET full_name = -1 WHERE id = 1');
my $id = $a->sql("SELECT activate.queue_run('people')");
ok($a->node->poll_query_until('postgres', "SELECT status = 'succeeded' FROM activate.run WHERE run_id = $id"), 'by the worker');
is($d->record('people', { id => 1 })->{fields}{name}, '-1', 'with the rights of the owner');

$a->sums_hold('foreign');
$warehouse->stop;
done_testing();
