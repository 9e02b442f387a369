# One bad row stops nobody: with parallel workers, in a large model, in a
# background worker, in other encodings; and whoever cancels is heard.
use strict;
use warnings;

use Test::More;
use Time::HiRes qw(time);

use Activate;
use Destination;
use Scheduled;

my $activate = Activate->start('main');
my $crm = Destination->start;
$activate->server('crm', $crm);

sub create_sync
{
	my ($sync, $model, $mapping, $options) = @_;
	$options //= '{"max_invalid": null}';
	$activate->sql("SELECT activate.create_sync('$sync', '$model', 'id', 'crm', object => '$sync', mapping => \$m\$$mapping\$m\$, options => '$options')");
	return;
}

sub told
{
	my ($sync) = @_;
	return $activate->sql("SELECT i.key, i.code, i.message FROM activate.invalid_row i JOIN activate.sync s USING (sync_id) WHERE s.name = '$sync' ORDER BY i.key::text");
}

# ----------------------------------------------------------------- parallel
my $major = int($activate->sql(q{SELECT current_setting('server_version_num')::int / 10000}));
my %parallel = (
	min_parallel_table_scan_size => 0,
	parallel_setup_cost => 0,
	parallel_tuple_cost => 0,
	max_parallel_workers_per_gather => 2,
	enable_indexscan => 'off');
my $settings = join '; ', map { "SET $_ = '$parallel{$_}'" } sort keys %parallel;

$activate->sql(<<'END');
CREATE TABLE numbers (id int, part text, whole int);
INSERT INTO numbers SELECT i, i, i - 4000 FROM generate_series(1, 5000) i;
ALTER TABLE numbers SET (parallel_workers = 2);
CREATE FUNCTION lenient(part text) RETURNS int LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
BEGIN
	BEGIN
		RETURN part::int;
	EXCEPTION WHEN data_exception THEN
		RETURN NULL;
	END;
END $$;
CREATE FUNCTION strict_ratio(whole int) RETURNS int LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
BEGIN
	RETURN 100000 / whole;
END $$;
ANALYZE numbers;
END

like($activate->sql("$settings; EXPLAIN SELECT lenient(part), strict_ratio(whole) FROM numbers"), qr/Gather/, 'the settings make plans parallel');
my (undef, undef, $complaint) = $activate->node->psql('postgres', "$settings; SELECT count(lenient(part)) FROM numbers");
like($complaint, qr/cannot start subtransactions during a parallel operation/, 'where a subtransaction is an error')
	if $major < 17;

create_sync('lenient', 'public.numbers', 'lenient(part) AS part');
my $run = $activate->run('lenient', set => \%parallel);
is($run->{status}, 'succeeded', 'given a parallel safe function with an EXCEPTION clause, then the diff is done without workers')
	or diag $run->{text};
is($run->{accepted}, 5000, 'and everything is sent');

create_sync('ratio', 'public.numbers', 'strict_ratio(whole) AS ratio');
$run = $activate->run('ratio', set => \%parallel);
is("$run->{status} $run->{accepted} $run->{invalid}", 'partial 4999 1', 'given a row that raises in a parallel worker, then the others go');
is(told('ratio'), '{"id": 4000}|mapping|mapping field "ratio": division by zero', 'and it is named');

create_sync('both', 'public.numbers', 'lenient(part) AS part, strict_ratio(whole) AS ratio');
$run = $activate->run('both', set => \%parallel);
is("$run->{status} $run->{accepted} $run->{invalid}", 'partial 4999 1', 'and both at once');

# ------------------------------------------------------------------- cancel
$activate->sql(<<'END');
CREATE TABLE slow (id int PRIMARY KEY);
INSERT INTO slow SELECT i FROM generate_series(1, 3) i;
CREATE FUNCTION slow(id int) RETURNS int LANGUAGE plpgsql STABLE AS $$
BEGIN
	IF id = 2 THEN RAISE EXCEPTION 'two'; END IF;
	IF id = 3 THEN PERFORM pg_sleep(600); END IF;
	RETURN id;
END $$;
END
create_sync('slow', 'public.slow', 'slow(id) AS slow');
my $under_way = $activate->begin('slow');
my $until = time + 60;
my $sleeping;
while (!defined $sleeping || $sleeping eq '')
{
	die 'the careful diff does not get that far' if time > $until;
	$sleeping = $activate->sql("SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep'");
}
my $began = time;
$activate->sql("SELECT pg_cancel_backend($sleeping)");
$run = $activate->end($under_way);
is("$run->{sqlstate} $run->{status}", '57014 cancelled', 'a cancel during the careful diff ends the run');
cmp_ok(time - $began, '<', 10, 'at once');
is(told('slow'), '', 'and is nobody\'s bad value');

$run = $activate->run('slow', set => { statement_timeout => '500ms' });
is($run->{sqlstate}, '57014', 'so does statement_timeout');

# ---------------------------------------------------------------- a million
$activate->sql(<<'END');
CREATE TABLE million (id int PRIMARY KEY, name text, part int, whole int);
INSERT INTO million SELECT i, 'name of ' || i, i, 1 FROM generate_series(1, 1000000) i;
VACUUM ANALYZE million;
END
create_sync('million', 'public.million', 'name, part / whole AS ratio', '{}');
$activate->sql(q{SELECT activate.reset_sync('million', 'baseline')});
$began = time;
$run = $activate->run('million');
my $fine = time - $began;
is($run->{status}, 'succeeded', 'a million rows, all of them fine');
$activate->sql('UPDATE million SET whole = 0 WHERE id = 500000');
$began = time;
$run = $activate->run('million');
my $bad = time - $began;
is("$run->{status} $run->{invalid} $run->{added} $run->{changed}", 'partial 1 0 0', 'and with a bad one');
is(told('million'), '{"id": 500000}|mapping|mapping field "ratio": division by zero', 'which is named');
is($activate->sql('SELECT activate_state, activate_fingerprint IS NOT NULL FROM activate_data.million WHERE id = 500000'), 'accepted|t',
	'what was accepted of it stays');
note sprintf 'a million rows: %.1f s, with a bad one %.1f s', $fine, $bad;
$activate->sql('UPDATE million SET whole = 0 WHERE id <= 100000');
$began = time;
$run = $activate->run('million');
is("$run->{status} $run->{invalid}", 'held 100001', 'a tenth of them: the run is held');
note sprintf 'with 100001 bad ones %.1f s', time - $began;
$activate->sql(q{SELECT activate.drop_sync('million'); DROP TABLE million});

# ---------------------------------------------------------------- encodings
sub in_database
{
	my ($database, $sql) = @_;
	my ($status, $out, $error) = $activate->node->psql($database, $sql, extra_params => [ '-v', 'ON_ERROR_STOP=1' ]);
	is($status, 0, "$database: $sql") or diag $error;
	return $out;
}

my $url = $crm->url;
for my $encoding (qw(SQL_ASCII LATIN1))
{
	my $database = lc $encoding;
	my $client = $encoding eq 'SQL_ASCII' ? 'SQL_ASCII' : 'UTF8';
	$activate->sql("CREATE DATABASE $database ENCODING '$encoding' LOCALE 'C' TEMPLATE template0");
	$activate->sql("ALTER DATABASE $database SET pg_activate.allowed_hosts = '*'");
	in_database($database, <<"END");
SET client_min_messages = error;
SET client_encoding = '$client';
CREATE EXTENSION pg_activate;
CREATE SERVER crm FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url '$url');
CREATE TABLE model (id int PRIMARY KEY, name text, whole int);
INSERT INTO model VALUES (1, 'plain', 1), (2, E'caf\\xe9', 1), (3, 'zero', 0), (4, 'ok', 1);
SELECT activate.create_sync('s', 'model', 'id', 'crm', object => '$database',
	mapping => 'name, 1 / whole AS "caf\xc3\xa9"', options => '{"max_invalid": null}');
END
	in_database($database, "SET client_min_messages = error; CALL activate.run_sync('s')");
	is(in_database($database, "SET client_encoding = '$client'; SELECT key->>'id', code, message FROM activate.invalid_row ORDER BY key::text"),
		join("\n", ($encoding eq 'SQL_ASCII' ? '2|value|mapping field "name": bytes that are not valid UTF-8' : ()),
			"3|mapping|mapping field \"caf\xc3\xa9\": division by zero"),
		"$encoding: what cannot be sent is named in words that can be read");
}

$activate->sums_hold('careful');
$activate->node->stop('fast');

# ------------------------------------------------------ a background worker
my $s = Scheduled->start('worker', "autovacuum = off\n");
$s->value(<<'END');
CREATE TABLE people (id int PRIMARY KEY, whole int);
INSERT INTO people SELECT i, i - 5 FROM generate_series(1, 10) i;
END
$s->value(q{SELECT activate.create_sync('people', 'public.people', 'id', 'crm', object => 'people', mapping => '60 / whole AS score')});
my $id = $s->value(q{SELECT activate.queue_run('people')});
my $status;
$s->wait_until('the run', sub { ($status = $s->value("SELECT status FROM activate.run WHERE run_id = $id")) !~ /queued|running/ });
is($status, 'partial', 'a run by a worker goes on, too');
is($s->value("SELECT accepted, invalid FROM activate.run WHERE run_id = $id"), '9|1', 'without the bad row');
is($s->value('SELECT key, message FROM activate.rejections'), '{"id": 5}|mapping field "score": division by zero', 'which is told');
$s->node->stop('fast');

done_testing();
