# The extension and its syncs come and go: dropped, created again, given away,
# in transactions that commit or don't.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use Warehouse;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "pg_activate.allowed_hosts = '127.0.0.1'\nautovacuum = off");
$node->start;

# given a schema that somebody else has prepared, then the extension is not installed into it
$node->safe_psql('postgres', q(CREATE ROLE attacker LOGIN; CREATE DATABASE prepared; GRANT CREATE ON DATABASE prepared TO attacker));
foreach my $schema (qw(activate activate_data))
{
	$node->safe_psql('prepared', "CREATE SCHEMA $schema", extra_params => [ '-U', 'attacker' ]);
	my ($status, undef, $err) = $node->psql('prepared', 'CREATE EXTENSION pg_activate', extra_params => [ '-v', 'VERBOSITY=verbose' ]);
	like($err, qr/42P06: schema "$schema" already exists/, "a prepared schema $schema is not adopted");
	$node->safe_psql('prepared', "DROP SCHEMA $schema", extra_params => [ '-U', 'attacker' ]);
}
is($node->safe_psql('prepared', q(SELECT count(*) FROM pg_namespace WHERE nspname ~ '^activate')), 0, 'nothing is left of the attempts');
$node->safe_psql('prepared', 'CREATE EXTENSION pg_activate');

my $warehouse = Warehouse->new($node, 'warehouse');

sub installed
{
	return $warehouse->sql(q(SELECT string_agg(format('%s %s', kind, name), ', ' ORDER BY kind, name) FROM (
		SELECT 'schema', nspname FROM pg_namespace WHERE nspname ~ '^activate'
		UNION ALL SELECT 'wrapper', fdwname FROM pg_foreign_data_wrapper
		UNION ALL SELECT 'server', srvname FROM pg_foreign_server
		UNION ALL SELECT 'mapping', umserver::text FROM pg_user_mapping
		UNION ALL SELECT 'event trigger', evtname FROM pg_event_trigger
		UNION ALL SELECT 'function', proname FROM pg_proc WHERE probin ~ 'pg_activate' OR proname ~ '^activate'
		UNION ALL SELECT 'relation', relname FROM pg_class WHERE relname ~ '^activate'
		UNION ALL SELECT 'type', typname FROM pg_type WHERE typname ~ '^_?activate') AS left_over (kind, name)));
}

# given the extension in use, then what is in its way is named
my ($status, undef, $err) = $warehouse->try('DROP EXTENSION pg_activate');
like($err, qr/2BP01: cannot drop extension pg_activate/, 'DROP EXTENSION is refused');
like($err, qr/$_/, "naming $_")
	foreach 'server crm depends on foreign-data wrapper activate', 'table activate_data.customers depends on schema activate_data';
is($warehouse->sql('SELECT activate.version() = extversion FROM pg_extension WHERE extname = $$pg_activate$$'), 't', 'version()');
($status, undef, $err) = $warehouse->try('ALTER EXTENSION pg_activate UPDATE');
like($err, qr/NOTICE: .*is already installed/, 'ALTER EXTENSION UPDATE');
$warehouse->refused('ALTER EXTENSION pg_activate SET SCHEMA shop', qr/0A000: extension "pg_activate" does not support SET SCHEMA/, 'SET SCHEMA');
$warehouse->refused('ALTER EXTENSION pg_activate DROP TABLE activate_data.customers', qr/55000: .*not a member/, 'sync tables are no members');

# given a DROP EXTENSION that is taken back, then all goes on, in the same session, too
$warehouse->sql(q(
	SELECT count(*) FROM activate.syncs;
	BEGIN; SET client_min_messages = warning; DROP EXTENSION pg_activate CASCADE; ROLLBACK;
	SET ROLE loader;
	CALL activate.run_sync('orders');
	BEGIN; SAVEPOINT s; RESET ROLE; DROP EXTENSION pg_activate CASCADE; ROLLBACK TO s; SELECT activate.sync_sql('orders'); COMMIT;
	CALL activate.run_sync('orders')));

# given DROP SYNC and CREATE SYNC in one transaction, then the new one begins anew
my $sql = $warehouse->loader(q(SELECT activate.sync_sql('relations')));
my $before = $warehouse->last_request;
$warehouse->loader(qq(BEGIN; SELECT activate.drop_sync('relations'); ROLLBACK; CALL activate.run_sync('relations')));
is_deeply($warehouse->sent($before), [], 'a drop taken back has forgotten nothing');
$warehouse->loader(qq(BEGIN; SELECT activate.drop_sync('relations'); $sql COMMIT));
is($warehouse->sql(q(SELECT count(*) FROM activate.run WHERE sync_id NOT IN (SELECT sync_id FROM activate.sync))), 0, 'nothing is kept of a dropped sync');
is($warehouse->sql(q(SELECT count(*) FROM activate.event WHERE sync_id NOT IN (SELECT sync_id FROM activate.sync))), 0, 'nor its events');
$warehouse->run('relations');
is_deeply($warehouse->sent($before), [ 'upsert {"relation":"shop.customer"}', 'upsert {"relation":"shop.orders"}' ], 'made again, it sends all');
$before = $warehouse->last_request;
$warehouse->loader(qq(BEGIN; SELECT activate.drop_sync('relations'); SAVEPOINT s; $sql ROLLBACK TO s; $sql COMMIT;
	BEGIN; SELECT activate.create_sync('never', 'shop.orders', 'region, number', 'hook', object => 'never', owner => 'analyst'); ROLLBACK));
is($warehouse->sql(q(SELECT to_regclass('activate_data.never') IS NULL AND NOT EXISTS (SELECT FROM activate.sync WHERE name = 'never'))), 't',
	'a create taken back leaves nothing');
$warehouse->run('relations');
is(scalar @{ $warehouse->sent($before) }, 2, 'also made again in a subtransaction');

# given a definition that is being changed, then a run that begins waits and goes by the new one
sub run_meanwhile
{
	my ($change, $end) = @_;
	my $session = $node->background_psql('warehouse', verbose => 0);
	$session->query_safe("SET client_min_messages = error; BEGIN; $change");
	my $run = $warehouse->start_run('relations');
	$node->poll_query_until('warehouse', q(SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query ~ '^CALL'))
		or die 'the run does not wait';
	$session->query_safe($end);
	$session->quit;
	$run->{handle}->finish;
	return ${ $run->{err} };
}
$before = $warehouse->last_request;
is(run_meanwhile(q(SELECT activate.alter_sync('relations', object => 'moved');), 'COMMIT'), '', 'a run waits for an alter_sync');
is_deeply([ map { $_->{path} } @{ $warehouse->destination->requests($before) } ], ['/moved'], 'and goes by what it changed');
$before = $warehouse->last_request;
like(run_meanwhile(q(SELECT activate.drop_sync('relations');), 'COMMIT'), qr/sync "relations" does not exist/, 'and for a drop_sync');
$warehouse->loader($sql);
like(run_meanwhile(q(SELECT activate.pause_sync('relations');), 'COMMIT'), qr/sync "relations" is paused/, 'and for a pause_sync');
$warehouse->loader(q(SELECT activate.resume_sync('relations')));
is_deeply($warehouse->sent($before), [], 'sending nothing');
is(run_meanwhile(q(SELECT activate.drop_sync('relations');), 'ROLLBACK'), '', 'a drop taken back lets it go on');

# given a table that changes hands, then the sync does
$warehouse->sql(q(CREATE ROLE heir NOLOGIN; GRANT USAGE ON SCHEMA activate, shop TO heir; GRANT USAGE ON FOREIGN SERVER crm TO heir));
$warehouse->refused('DROP ROLE analyst', qr/2BP01: role "analyst" cannot be dropped.*owner of table activate_data\.customers/s, 'DROP ROLE of an owner is refused');
$warehouse->refused('ALTER TABLE activate_data.customers OWNER TO loader', qr/42501/, 'an owner cannot push his table onto others', 'loader');
$warehouse->sql('ALTER TABLE activate_data.customers OWNER TO heir');
is($warehouse->sql(q(SELECT owner FROM activate.syncs WHERE sync = 'customers')), 'heir', 'the owner of the table is the owner of the sync');
$warehouse->refused(q(CALL activate.run_sync('customers')), qr/42501: permission denied for sync "customers".*GRANT heir TO loader/s, 'who was it is it no more', 'loader');
$warehouse->sql('GRANT heir TO loader');
$warehouse->refused(q(CALL activate.run_sync('customers')), qr/42501: .*HINT:  GRANT SELECT.* TO heir/s, 'the new owner must be able to read the model', 'loader');
$warehouse->sql('REASSIGN OWNED BY analyst TO heir');
is($warehouse->sql(q(SELECT string_agg(DISTINCT owner, ', ') FROM activate.syncs)), 'heir', 'REASSIGN OWNED gives all syncs away');
$before = $warehouse->last_request;
$warehouse->run($_) foreach qw(customers orders);
is_deeply($warehouse->sent($before), ['upsert {"id":3}'], 'the heir sends what is in doubt, and nothing again');
$warehouse->sql(q(DROP OWNED BY analyst; REASSIGN OWNED BY heir TO CURRENT_USER));
$warehouse->sql(q(GRANT CREATE ON DATABASE warehouse TO heir; ALTER TABLE activate_data.customers OWNER TO heir; DROP ROLE analyst));

# given tables that are gone, then only the rest must be removed
$warehouse->sql('DROP OWNED BY heir');
$warehouse->refused(q(CALL activate.run_sync('customers')), qr/42P01|42501/, 'a sync without its table', 'loader');
$warehouse->refused(q(CALL activate.run_sync('customers')), qr/42P01: /, 'does not run');
is($warehouse->sql(q(SELECT coalesce(s.owner, 'nobody'), t.health FROM activate.syncs AS s JOIN activate.status AS t USING (sync) WHERE sync = 'customers')),
	'nobody|failing', 'and belongs to nobody, as who can remove it sees');
$warehouse->sql(q(SELECT activate.drop_sync('customers')));
is($warehouse->sql(q(SELECT count(*) FROM activate.sync WHERE name = 'customers')), 0, 'but can be removed');

# given CASCADE, then nothing is left, and all can be made again, in one transaction and session
$warehouse->sql('SET client_min_messages = warning; DROP EXTENSION pg_activate CASCADE');
is(installed(), '', 'DROP EXTENSION CASCADE leaves nothing');
$warehouse->sql('CREATE EXTENSION pg_activate');
my $fresh = installed();
my $url = $warehouse->destination->url;
is($warehouse->sql(qq(
	SET client_min_messages = error;
	BEGIN; DROP EXTENSION pg_activate CASCADE; CREATE EXTENSION pg_activate; COMMIT;
	CREATE SERVER hook FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url '$url');
	CREATE USER MAPPING FOR PUBLIC SERVER hook OPTIONS (bearer_token 'z');
	CREATE TABLE m (id int PRIMARY KEY, v text); INSERT INTO m VALUES (1, 'a');
	SELECT activate.create_sync('m', 'm', 'id', 'hook', object => 'm');
	CALL activate.run_sync('m');
	BEGIN; DROP EXTENSION pg_activate CASCADE; CREATE EXTENSION pg_activate;
	CREATE SERVER hook FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url '$url');
	CREATE USER MAPPING FOR PUBLIC SERVER hook OPTIONS (bearer_token 'z');
	SELECT activate.create_sync('m', 'm', 'id', 'hook', object => 'm'); COMMIT;
	CALL activate.run_sync('m');
	SELECT run_id, accepted FROM activate.runs)), "1\n1\n1|1", 'dropped, made and used again in one session');
$warehouse->sql('SET client_min_messages = warning; DROP EXTENSION pg_activate CASCADE; CREATE EXTENSION pg_activate');
is(installed(), $fresh, 'as new');

done_testing();
