# A dump holds everything but a right to send: a restored copy is silent
# until somebody says that it is no copy, and then it knows what was sent.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use Warehouse;

my $dumps = PostgreSQL::Test::Utils::tempdir();

sub new_node
{
	my ($name) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init;
	$node->append_conf('postgresql.conf', "pg_activate.allowed_hosts = '127.0.0.1'\nautovacuum = off\npg_activate.debug_late_off = on");
	$node->start;
	return $node;
}

my $node = new_node('main');
my $other = new_node('other');
my $warehouse = Warehouse->new($node, 'warehouse');

# given a dump taken while runs wait for an answer, then its claims are in it
my @runs = $warehouse->hang;
$node->command_ok([ 'pg_dump', '-f', "$dumps/live.sql", 'warehouse' ], 'pg_dump while runs are under way');
is($warehouse->sql(q(SELECT count(*) FROM activate.claim)), 3, 'which stay under way');
$warehouse->cancel(@runs);
is($warehouse->sql(q(SELECT count(*) FROM activate.claim)), 0, 'and leave no claims when they end');

# given the owner of a sync, then he can dump its table and needs nobody for that
$warehouse->sql(q(ALTER ROLE analyst LOGIN));
$node->command_ok([ 'pg_dump', '-U', 'analyst', '-t', 'activate_data.customers', '-f', "$dumps/own.sql", 'warehouse' ],
	'the owner dumps the table of his sync');
like(slurp_file("$dumps/own.sql"), qr/^COPY activate_data\.customers .*\n1\t/m, 'with its rows');
$node->command_fails([ 'pg_dump', '-U', 'stranger', '-t', 'activate_data.customers', '-f', "$dumps/strange.sql", 'warehouse' ],
	'and nobody else');
$warehouse->sql(q(ALTER ROLE analyst NOLOGIN));

$node->command_ok([ 'pg_dump', '-f', "$dumps/plain.sql", 'warehouse' ], 'pg_dump');
$node->command_ok([ 'pg_dump', '-Fc', '-f', "$dumps/custom", 'warehouse' ], 'pg_dump -Fc');
$node->command_ok([ 'pg_dumpall', '--globals-only', '-f', "$dumps/globals.sql" ], 'pg_dumpall --globals-only');
unlike(slurp_file("$dumps/plain.sql"), qr/^COPY activate\.credential/m, 'bindings of credentials are not dumped: they are made anew');

# pg_restore -j fills the tables of an extension without regard to foreign keys
is($warehouse->sql(q(SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND connamespace = 'activate'::regnamespace)),
	0, 'no foreign keys between tables that are dumped');

# given another cluster, or another database of the same one
$other->command_ok([ 'psql', '-Xq', '-f', "$dumps/globals.sql", 'postgres' ], 'roles are restored');

sub restored
{
	my ($in, $database, $name, @command) = @_;
	if ($name !~ /clean/)
	{
		$in->safe_psql('postgres', "CREATE DATABASE $database");
	}
	$in->command_ok(\@command, "$name: restored");
	my $copy = $warehouse->copy($in, $database);
	is($copy->sql('SELECT count(*) FROM activate.claim'), $name =~ /live/ ? 3 : 0, "$name: claims");
	$copy->holds_still($name);
	$copy->goes_on($name);
	return;
}

my @psql = ('psql', '-Xq', '-v', 'ON_ERROR_STOP=1');
restored($other, 'a', 'other cluster, psql', @psql, '-f', "$dumps/plain.sql", 'a');
restored($other, 'b', 'other cluster, pg_restore', 'pg_restore', '-e', '-j', '2', '-d', 'b', "$dumps/custom");
restored($other, 'a', 'other cluster, pg_restore clean', 'pg_restore', '-e', '--clean', '--if-exists', '-d', 'a', "$dumps/custom");
restored($other, 'c', 'other cluster, live dump', @psql, '-f', "$dumps/live.sql", 'c');
restored($node, 'd', 'same cluster, psql', @psql, '-f', "$dumps/plain.sql", 'd');
restored($node, 'e', 'same cluster, pg_restore', 'pg_restore', '-e', '-j', '2', '-d', 'e', "$dumps/custom");
restored($node, 'f', 'same cluster, live dump', @psql, '-f', "$dumps/live.sql", 'f');

# given a sandbox, then a dump of it has what came along closed, too
my $sandbox = $warehouse->copy($other, 'a');
is($sandbox->sql(q(SELECT activate.confirm_cluster('sandbox'))), 3, 'sandbox');
$other->command_ok([ 'pg_dump', '-f', "$dumps/sandbox.sql", 'a' ], 'pg_dump of a sandbox');
$node->safe_psql('postgres', 'CREATE DATABASE h');
$node->command_ok([ @psql, '-f', "$dumps/sandbox.sql", 'h' ], 'sandbox: restored');
my $closed = $warehouse->copy($node, 'h');
is($closed->loader(q(SELECT activate.confirm_cluster('move'))), 3, 'sandbox: moved');
$closed->holds_still('sandbox, dumped and restored', qr/55000: sync "\w+": destination "(crm|hook)" is closed/);
$closed->sql(q(ALTER USER MAPPING FOR PUBLIC SERVER crm OPTIONS (SET api_key 'literal secret')));
$closed->run('customers');
$closed->refused(q(CALL activate.run_sync('orders')), qr/destination "hook" is closed/, 'sandbox: the other one stays closed', 'loader');

# given a restore of the schema only, then syncs are made anew in place of the tables that are left
$node->command_ok([ 'pg_dump', '--schema-only', '-f', "$dumps/schema.sql", 'warehouse' ], 'pg_dump --schema-only');
$other->safe_psql('postgres', 'CREATE DATABASE g');
$other->command_ok([ @psql, '-f', "$dumps/schema.sql", 'g' ], 'schema only: restored');
my $empty = $warehouse->copy($other, 'g');
is($empty->sql('SELECT count(*) FROM activate.syncs'), 0, 'schema only: no syncs');
$empty->refused(q(ALTER SERVER crm OPTIONS (SET connector 'webhook', DROP tenant, ADD base_url 'https://elsewhere.example.com')),
	qr/28000: server "crm" has credentials that were stored for a host that is not known any more/, 'schema only: no secret moves');
my $create = q(SELECT activate.create_sync('customers', 'shop.customer', 'id', 'hook', object => 'customers', owner => 'analyst'));
$empty->refused($create, qr/42P07: sync "customers" cannot have its table: activate_data\.customers exists already.*HINT:  DROP TABLE activate_data\.customers;/s,
	'schema only: a table without a sync is in the way', 'loader');
$empty->refused(q(SELECT activate.create_sync('other', 'shop.customer', 'id', 'hook', object => 'customers', owner => 'analyst')),
	qr/42P07: .* activate_data\.activate_key_2 exists already.*HINT:  DROP TABLE activate_data\.orders;/s, 'schema only: or its index', 'loader');
$empty->loader('DROP TABLE activate_data.customers, activate_data.orders, activate_data.relations');
$empty->loader($create);

# given a sync of each mode and each option that keeps something, then a copy plans what the original plans
my $url = $warehouse->destination->url;
$node->safe_psql('postgres', 'CREATE DATABASE kinds');
$node->safe_psql('kinds', <<"END");
CREATE EXTENSION pg_activate;
CREATE SERVER hook FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url '$url');
CREATE TABLE person (id int PRIMARY KEY, name text, score numeric, boss int, since timestamptz DEFAULT now());
INSERT INTO person SELECT i, 'p' || i, i, greatest(i - 1, 1) FROM generate_series(1, 10) AS i;
SELECT activate.create_sync('keeps', 'person', 'id', 'hook', object => 'keeps', mapping => 'name, score, since',
	mode => 'mirror', on_removed => 'update', options => '{"keep_payload": true, "changed_fields_only": true, "nulls": "omit",
	"removed_mapping": "false AS active", "ignore_fields": ["score"], "insert_mapping": "1 AS new", "on_model_change": "refuse"}');
SELECT activate.create_sync('whole', 'SELECT * FROM person ORDER BY score DESC', 'id', 'hook', object => 'whole',
	mapping => 'name, score', mode => 'replace');
SELECT activate.create_sync('refers', 'person', 'id', 'hook', object => 'refers', mapping => \$\$ name, activate.external_id('keeps', boss) AS boss \$\$);
SELECT activate.create_sync('events', 'person', 'id', 'hook', object => 'events', mapping => 'name', mode => 'append',
	options => '{"first_run": "baseline"}');
SELECT activate.create_sync('later', 'person', 'id', 'hook', object => 'later', mapping => 'name', mode => 'append',
	options => '{"first_run": "baseline"}', schedule => 'after events');
SELECT activate.create_sync('tried', 'person', 'id', 'hook', object => 'tried', mapping => 'name', options => '{"canary": 10, "delivery": "at_most_once"}');
CALL activate.run_sync('keeps');
CALL activate.run_sync('whole');
CALL activate.run_sync('refers');
CALL activate.run_sync('events');
INSERT INTO person VALUES (11, 'p11', 11, 12);
CALL activate.run_sync('refers');
END
$warehouse->destination->script({ reject_rows => { where => 'p7', error => 'no' } });
$node->psql('kinds', q(CALL activate.run_sync('tried')));
$node->safe_psql('kinds', q(UPDATE person SET name = 'changed', score = -1 WHERE id = 3; DELETE FROM person WHERE id = 5));
my $plans = q(SELECT s.name, p.added, p.changed, p.removed, p.unchanged, p.to_send, p.requests, p.guard, p.changed_fields,
	(SELECT string_agg(r.*::text, ' ') FROM activate.preview_sync(s.name, 20) AS r)
	FROM activate.sync AS s CROSS JOIN activate.plan_sync(s.name) AS p ORDER BY s.name);
my $planned = $node->safe_psql('kinds', $plans);
like($planned, qr/^\Q$_->[0]|$_->[1]|\E/m, "$_->[0]: planned")
	foreach [ 'events', '1|0|0|9|1|1|ok' ], [ 'keeps', '1|1|1|8|3|1|ok' ], [ 'later', '0|0|0|10|0|0|ok' ],
	[ 'refers', '1|1|0|8|1|1|ok' ], [ 'tried', '2|1|0|7|2|1|rows of its canary were refused' ], [ 'whole', '1|1|1|8|3|1|ok' ];
$node->command_ok([ 'pg_dump', '-f', "$dumps/kinds.sql", 'kinds' ], 'every kind: pg_dump');
$other->safe_psql('postgres', 'CREATE DATABASE kinds');
$other->command_ok([ @psql, '-f', "$dumps/kinds.sql", 'kinds' ], 'every kind: restored');
is($other->safe_psql('kinds', $plans), $planned, 'every kind: the copy plans what the original plans');
my $documents = 'SELECT activate.export()::text || string_agg(activate.sync_sql(name), E\'\n\' ORDER BY name) FROM activate.sync';
is($other->safe_psql('kinds', $documents), $node->safe_psql('kinds', $documents), 'every kind: and is defined as it is');

# given the original, then copies have changed nothing for it
$warehouse->goes_on('original', confirmed => 1);

done_testing();
