# Whatever becomes of the extension, other people's DDL goes on: without its
# library, in sessions that did not load it, prepared, restored, and with a
# thousand syncs.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $dumps = PostgreSQL::Test::Utils::tempdir();
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "max_prepared_transactions = 2\nautovacuum = off\nmax_locks_per_transaction = 256");
$node->start;

# One session each: it has the library only if it comes to need it.
sub sql
{
	my ($sql, $database) = @_;
	my ($out, $err) = ('', '');
	my $status = $node->psql($database // 'postgres', $sql, stdout => \$out, stderr => \$err, on_error_stop => 1,
		extra_params => [ '-v', 'SHOW_CONTEXT=never' ]);
	return ($status, $out // '', $err // '');
}

sub value { return (sql(@_))[1] }

$node->safe_psql('postgres', <<'END');
CREATE EXTENSION pg_activate;
CREATE SERVER crm FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url 'http://127.0.0.1:9/');
CREATE SCHEMA shop;
CREATE TABLE shop.health (id int PRIMARY KEY, email text, score int);
CREATE VIEW shop.high AS SELECT id, email FROM shop.health WHERE score > 5;
SET client_min_messages = warning;
SELECT activate.create_sync('health', 'shop.health', 'id', 'crm', mapping => 'email, score', schedule => '1 hour');
SELECT activate.create_sync('high', 'shop.high', 'id', 'crm', mapping => 'email', options => '{"on_model_change": "refuse"}');
END

my $problem = q{SELECT string_agg(name || ': ' || split_part(model_problem, ' (', 1), ', ' ORDER BY name) FROM activate.sync_state JOIN activate.sync USING (sync_id) WHERE model_problem IS NOT NULL};

# given a session that never heard of the extension, then its changes are seen
my ($status, undef, $err) = sql('ALTER TABLE shop.health RENAME email TO mail');
is($status, 0, 'without preload: the command goes through');
like($err, qr/^\S+ WARNING:  sync "health" waits until its model can be read again$/m, 'and its session is told');
is(value($problem), 'health: mapping field "email": column "email" does not exist', 'the sync waits');
is((sql('ALTER TABLE shop.health RENAME mail TO email'))[2], '', 'back, nobody is told anything');
is(value($problem), '', 'and the sync does not wait any more');

# given a transaction that is prepared, then it can be, and what it breaks is found by a run
($status, undef, $err) = sql(q{BEGIN; ALTER TABLE shop.health RENAME email TO mail; PREPARE TRANSACTION 'p'});
is($status, 0, 'a transaction that breaks a model can be prepared');
like($err, qr/WARNING:  sync "health" waits/, 'its session is told');
$node->safe_psql('postgres', q{COMMIT PREPARED 'p'});
is(value($problem), '', 'but nothing is written down');
($status, undef, $err) = sql(q{CALL activate.run_sync('health')});
like($err, qr/column "email" does not exist/, 'a run finds it');
is(value($problem), 'health: mapping field "email": column "email" does not exist', 'and the sync waits');
$node->safe_psql('postgres', 'ALTER TABLE shop.health RENAME mail TO email');
($status, undef, $err) = sql(q{BEGIN; ALTER VIEW shop.high RENAME TO low; PREPARE TRANSACTION 'p'});
isnt($status, 0, 'on_model_change refuse refuses to prepare, too');
like($err, qr/ERROR:  cannot change shop\.high because sync "high" could not read it any more/, 'and says why');

# ---------------------------------------------------------------- dump, restore
$node->command_ok([ 'pg_dump', '-Fc', '-f', "$dumps/custom", 'postgres' ], 'pg_dump');
unlike(`pg_restore -f - $dumps/custom`, qr/sync_relation/, 'what models read is not dumped');
$node->safe_psql('postgres', 'CREATE DATABASE copy');
$node->command_ok([ 'pg_restore', '-d', 'copy', "$dumps/custom" ], 'pg_restore');
$node->command_ok([ 'pg_restore', '--clean', '--if-exists', '-d', 'copy', "$dumps/custom" ], 'pg_restore --clean drops models before their syncs');
$node->command_ok([ 'pg_restore', '--clean', '--if-exists', '-d', 'postgres', "$dumps/custom" ], 'in the database that it came from, too');
$node->command_ok([ 'pg_restore', '--clean', '--if-exists', '--single-transaction', '-d', 'postgres', "$dumps/custom" ], 'and in one transaction');
is(value('SELECT count(*) FROM activate.sync'), '2', 'all syncs are there');
$node->safe_psql('postgres', q{SET client_min_messages = warning; SELECT activate.confirm_cluster('move')});
is((sql('DROP TABLE shop.health CASCADE'))[0], 0, 'restored, nothing is known of the models yet');
$node->safe_psql('postgres', <<'END');
CREATE TABLE shop.health (id int PRIMARY KEY, email text, score int);
CREATE VIEW shop.high AS SELECT id, email FROM shop.health WHERE score > 5;
SET client_min_messages = warning;
SELECT activate.alter_sync('health', schedule => 'manual'), activate.alter_sync('high', schedule => 'manual');
END
like((sql('ALTER TABLE shop.health RENAME email TO mail'))[2], qr/WARNING:  sync "health" waits/, 'until somebody looks at them again');
$node->safe_psql('postgres', 'ALTER TABLE shop.health RENAME mail TO email');

# a copy that may not send is nobody's concern
$node->safe_psql('postgres', 'CREATE DATABASE sandbox TEMPLATE postgres');
is((sql('ALTER TABLE shop.health RENAME email TO mail; DROP VIEW shop.high', 'sandbox'))[2], '', 'in a copy nobody is told, and nothing refused');

# -------------------------------------------------------------- many, and others
$node->safe_psql('postgres', <<'END');
SET client_min_messages = warning;
CREATE SCHEMA many;
DO $$ BEGIN
	FOR i IN 1 .. 1000 LOOP
		EXECUTE format('CREATE TABLE many.t%s (id int PRIMARY KEY, v text)', i);
		PERFORM activate.create_sync('many' || i, 'many.t' || i, 'id', 'crm', mapping => 'v');
		IF i % 20 = 0 THEN COMMIT; END IF;
	END LOOP;
END $$;
END
my $ddl = 'CREATE TABLE other (id int, v text); ALTER TABLE other ADD COLUMN w int; DROP TABLE other;' x 100;

# Processor time of a session's commands, in seconds; the best of some.
sub cost
{
	my ($before) = @_;
	my $best;
	foreach (1 .. 5)
	{
		my ($out) = $node->safe_psql('postgres', <<"END");
SET synchronous_commit = off;
$before
$ddl
SELECT pg_read_file('/proc/self/schedstat') AS a \\gset
$ddl
SELECT split_part(pg_read_file('/proc/self/schedstat'), ' ', 1)::bigint - split_part(:'a', ' ', 1)::bigint;
END
		$best = $out / 1e9 if !defined $best || $out / 1e9 < $best;
	}
	return $best;
}

SKIP:
{
	skip 'needs /proc/self/schedstat', 1 unless -r '/proc/self/schedstat';
	my $without = cost('SET session_replication_role = replica;');
	my $with = cost('');
	note sprintf '300 commands about other tables: %.0f ms, without the event triggers %.0f ms', $with * 1000, $without * 1000;
	cmp_ok($with, '<', 3 * $without, sprintf 'with 1000 syncs, commands about other tables cost %.2f times as much', $with / $without);
}
my $start = time;
my (undef, undef, $told) = sql('DROP SCHEMA many CASCADE');
my $took = time - $start;
is(scalar(() = $told =~ /WARNING:  sync "many/g), 10, 'of many syncs some are named');
like($told, qr/WARNING:  190 more syncs wait until their models can be read again/, 'of others the number is told, and there is an end to it');
note sprintf 'DROP SCHEMA with the models of 1000 syncs: %.1f s', $took;

# ------------------------------------------------------------ without the library
$node->safe_psql('postgres', q{UPDATE pg_proc SET probin = '/nowhere/pg_activate.so' WHERE proname IN ('activate_note_ddl', 'activate_note_drop')});
($status, undef, $err) = sql('CREATE TABLE other (id int); ALTER TABLE other ADD COLUMN v text; DROP VIEW shop.high; DROP TABLE other; GRANT SELECT ON shop.health TO PUBLIC');
is($status, 0, 'without the library all commands go through');
like($err, qr/WARNING:  pg_activate cannot see what this command does to the models of syncs: could not access file/, 'with a warning');
done_testing();
