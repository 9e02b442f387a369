# A copy does not send: template copies, physical copies, standbys, and what
# the settings say about hosts and environments.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use Warehouse;

my $names = PostgreSQL::Test::Utils::tempdir();

sub write_file
{
	my ($name, $text) = @_;
	open my $out, '>', "$names/$name" or die "$name: $!";
	print $out "$text\n";
	close $out;
	return;
}

# Starts a server that believes to be on a host of that name.
sub start_on
{
	my ($node, $host) = @_;
	write_file($node->name, $host);
	local %ENV = (%ENV, LD_PRELOAD => $ENV{ACT_SHIM}, ACT_SHIM_HOSTNAME_FILE => "$names/" . $node->name);
	$node->start;
	return;
}

sub configure
{
	my ($node, @lines) = @_;
	$node->append_conf('postgresql.conf', join("\n", '', @lines, ''));
	$node->reload;
	return;
}

my $node = PostgreSQL::Test::Cluster->new('primary');
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf', "pg_activate.allowed_hosts = '127.0.0.1'\nautovacuum = off\npg_activate.debug_late_off = on");
start_on($node, 'db1');
my $warehouse = Warehouse->new($node, 'warehouse');
my $d = $warehouse->destination;
my @runs = $warehouse->hang;
$warehouse->cancel(@runs);

# given nothing but syncs, then confirm_cluster says what it wants
$warehouse->refused(q(SELECT activate.confirm_cluster(NULL)), qr/22004.*HINT/s, 'confirm_cluster: null');
$warehouse->refused(q(SELECT activate.confirm_cluster('mvoe')), qr/22023.*HINT:  Perhaps you meant: SELECT activate\.confirm_cluster\('move'\)/s, 'unknown');
$warehouse->refused(q(SELECT activate.confirm_cluster('x')), qr/22023.*HINT:  'move': .*'sandbox': .*'recovered': /s, 'unknown, and near nothing');
is($warehouse->loader(q(SELECT activate.confirm_cluster('move'))), 0, 'nothing to move at home');
is($warehouse->sql(q(SELECT count(*) FROM activate.events WHERE kind = 'fence')), 0, 'which is no event');

# given a template copy, then it holds still; each owner moves his own
$node->safe_psql('postgres', 'CREATE DATABASE template_copy TEMPLATE warehouse');
my $copy = $warehouse->copy($node, 'template_copy');
$copy->sql(q(
	CREATE TABLE shop.mine (id int PRIMARY KEY, v text); INSERT INTO shop.mine VALUES (1, 'x');
	CREATE USER MAPPING FOR CURRENT_USER SERVER hook OPTIONS (bearer_token 'y');));
$warehouse->sql(q(CREATE TABLE shop.mine (id int PRIMARY KEY, v text)));
$copy->holds_still('template copy', qr/55000: sync "\w+" may not send from here.*another database of this cluster.*confirm_cluster/s);
$copy->sql(q(SET client_min_messages = error; SELECT activate.create_sync('mine', 'shop.mine', 'id', 'hook', object => 'mine');
	UPDATE activate.sync SET database_oid = 1 WHERE name = 'mine'));
is($copy->node->safe_psql('template_copy', q(SELECT activate.confirm_cluster('move')), extra_params => [ '-U', 'stranger' ]), 0,
	'who owns nothing moves nothing');
$copy->holds_still('moved by a stranger');
is($copy->loader(q(SELECT activate.confirm_cluster('move'))), 3, 'who owns some moves those');
is($copy->sql(q(SELECT database_oid FROM activate.sync WHERE name = 'mine')), 1, 'and not that of others');
like($copy->sql(q(SELECT kind || ': ' || message FROM activate.events WHERE kind = 'fence')),
	qr/^fence: 3 syncs send from host "db1" from now on, confirmed by loader$/, 'which is an event');
is($copy->sql(q(SELECT activate.confirm_cluster('move'))), 1, 'a superuser moves all');
$copy->sql(q(SELECT activate.drop_sync('mine')));
$copy->goes_on('template copy', confirmed => 1);

# given a template copy that is a sandbox, then nothing that came along opens a destination
$node->safe_psql('postgres', 'CREATE DATABASE sandbox TEMPLATE warehouse');
my $sandbox = $warehouse->copy($node, 'sandbox');
$sandbox->sql(q(CREATE SERVER plain FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url 'http://127.0.0.1:1');
	CREATE SERVER unused FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url 'http://127.0.0.1:1');
	CREATE USER MAPPING FOR PUBLIC SERVER unused OPTIONS (bearer_token 'x')));
my (undef, $count, $said) = $sandbox->try(q(SELECT activate.confirm_cluster('sandbox')), 'loader');
is($count, 3, 'sandbox: three syncs');
like($said, qr/NOTICE: .*closed until their credentials are set here: "crm", "hook"\n.*HINT:  ALTER USER MAPPING/s, 'sandbox: which destinations');
like($sandbox->sql(q(SELECT message FROM activate.events WHERE kind = 'fence')), qr/as a sandbox: closed .*"crm", "hook"$/, 'sandbox: an event');
my $closed = qr/55000: sync "\w+": destination "\w+" is closed: this server is a sandbox.*HINT:  ALTER USER MAPPING FOR \w+ SERVER (crm|hook) OPTIONS \(SET (api_key|bearer_token) '\.\.\.'\)/s;
$sandbox->holds_still('sandbox', $closed);
$sandbox->refused(q(SELECT * FROM activate.check_destination('crm')), qr/55000: destination "crm" is closed/, 'sandbox: nor checked');
is($sandbox->loader(q(SELECT activate.confirm_cluster('move'))), 0, 'sandbox: they are at home');
$sandbox->holds_still('sandbox, moved', $closed);
$sandbox->loader(q(SELECT count(*) FROM activate.preview_requests('customers')));

# a destination that no sync uses has its credentials from there, too
$sandbox->sql(q(SELECT activate.confirm_cluster('sandbox')));
$sandbox->refused(q(SELECT * FROM activate.check_destination('unused')), qr/55000: destination "unused" is closed/, 'sandbox: without a sync, too');
$sandbox->sql(q(ALTER SERVER plain OPTIONS (ADD timeout '5s'); ALTER SERVER unused OPTIONS (ADD timeout '5s')));
$sandbox->refused(q(SELECT * FROM activate.check_destination('unused')), qr/55000: credentials of destination "unused" are closed/, 'sandbox: nor by its server alone');

# who may only use the server opens it for himself
$sandbox->loader(q(CREATE USER MAPPING FOR loader SERVER crm OPTIONS (api_key 'own')));
like($sandbox->loader(q(SELECT ok FROM activate.check_destination('crm'))), qr/^t$/, 'sandbox: a mapping of his own serves himself');
$sandbox->holds_still('sandbox, somebody else has credentials', $closed);

# renaming opens nothing, nor does what has no options
$sandbox->sql(q(ALTER SERVER crm RENAME TO renamed; ALTER SERVER renamed OWNER TO loader; ALTER SERVER renamed OWNER TO CURRENT_USER));
$sandbox->refused(q(SELECT * FROM activate.check_destination('renamed')), qr/55000: destination "renamed" is closed/, 'sandbox: renamed');
$sandbox->sql(q(ALTER SERVER renamed RENAME TO crm));
$sandbox->holds_still('sandbox, renamed and back', $closed);

# the owner opens the server, and with it no secret
$sandbox->sql(q(ALTER SERVER crm OPTIONS (SET timeout '1 hour'); ALTER SERVER hook OPTIONS (SET timeout '1 hour')));
$sandbox->holds_still('sandbox, servers altered', qr/55000: sync "\w+": credentials of destination "(crm|hook)" are closed.*HINT:  ALTER USER MAPPING FOR (PUBLIC|analyst) SERVER/s);
$sandbox->sql(q(ALTER USER MAPPING FOR PUBLIC SERVER crm OPTIONS (SET api_key 'literal secret')));
$sandbox->refused(q(CALL activate.run_sync('orders')), qr/55000: sync "\w+": credentials of destination "hook" are closed/, 'sandbox: each for itself', 'loader');
$sandbox->sql(q(SET ROLE analyst; ALTER USER MAPPING FOR analyst SERVER hook OPTIONS (SET bearer_token 'hook secret')));
$sandbox->sql(q(DROP USER MAPPING FOR loader SERVER crm));
$sandbox->goes_on('sandbox', confirmed => 1);

# said at home, it closes what is the caller's own; without credentials any option of the server opens it
(undef, $count, $said) = $sandbox->try(q(SELECT activate.confirm_cluster('sandbox')), 'loader');
like($said, qr/closed until their credentials are set here: "hook"\n/, 'sandbox at home: closes what is his own');
is($sandbox->sql(q(SELECT string_agg(destination, ',') FROM activate.destination_state WHERE closed)), 'hook', 'sandbox at home: and no more');
$sandbox->sql(q(GRANT USAGE ON FOREIGN SERVER plain TO analyst));
$sandbox->loader(q(SELECT activate.create_sync('plain', 'shop.customer', 'id', 'plain', object => 'plain', mapping => 'name', owner => 'analyst')));
$sandbox->sql(q(SELECT activate.confirm_cluster('sandbox')));
$sandbox->refused(q(CALL activate.run_sync('plain')),
	qr{55000: destination "plain" is closed: .*HINT:  Its owner opens it: ALTER SERVER plain OPTIONS}s, 'sandbox: without credentials', 'loader');
$sandbox->sql(q(ALTER SERVER plain OPTIONS (ADD environment 'tests')));
$sandbox->refused(q(CALL activate.run_sync('plain')), qr/PA001/, 'sandbox: opened, it is tried', 'loader');

# given the switch, then nothing is sent by anybody
configure($node, 'pg_activate.enabled = off');
$warehouse->holds_still('switched off', qr/55000: pg_activate is switched off on this server.*HINT:  .*ALTER SYSTEM SET pg_activate.enabled = on/s);
$warehouse->refused(q(SELECT * FROM activate.check_destination('crm')), qr/55000: pg_activate is switched off/, 'nor checked');
configure($node, 'pg_activate.enabled = on');

# given another environment than the destination's
$warehouse->sql(q(ALTER SERVER crm OPTIONS (ADD environment 'production'); ALTER SERVER hook OPTIONS (ADD environment 'production')));
configure($node, q(pg_activate.environment = 'staging'));
$warehouse->holds_still('staging', qr/55000: sync "\w+": destination "\w+" belongs to another environment.*"production".*"staging"/s);
configure($node, q(pg_activate.environment = 'production'));

# given a list of hosts without this one, then its syncs hold still, and the hint helps
configure($node, q(pg_activate.hosts = 'db7, db8'));
$warehouse->holds_still('unlisted', qr/55000: .*pg_activate\.hosts \(db7, db8\) does not name this host, "db1".*HINT: [^\n]*ALTER SYSTEM SET pg_activate\.hosts/s);
configure($node, q(pg_activate.hosts = ''));

# given a physical copy on another host, made while runs wait for an answer, then it holds still
@runs = $warehouse->hang;
$node->backup('base');
$warehouse->cancel(@runs);
my $clone = PostgreSQL::Test::Cluster->new('clone');
$clone->init_from_backup($node, 'base');
start_on($clone, 'db2');
my $cloned = $warehouse->copy($clone, 'warehouse');
is($cloned->sql('SELECT count(*) FROM activate.claim'), 3, 'physical copy: claims');
$cloned->holds_still('physical copy', qr/55000: .*It may run on host "db1", and this is "db2".*confirm_cluster\('move'\)/s);
configure($clone, q(pg_activate.hosts = 'db1, db3'));
$cloned->holds_still('physical copy with a list', qr/does not name this host, "db2"/);
is($cloned->loader(q(SELECT activate.confirm_cluster('move'))), 3, 'syncs can be moved');
$cloned->holds_still('but the list holds', qr/does not name this host, "db2"/);
configure($clone, q(pg_activate.hosts = ''));
$cloned->goes_on('physical copy, moved', confirmed => 1);
$clone->stop;

# given a host that is called otherwise, as containers are, then * lets it send
my $container = PostgreSQL::Test::Cluster->new('container');
$container->init_from_backup($node, 'base');
start_on($container, 'c0ffee');
my $contained = $warehouse->copy($container, 'warehouse');
$contained->holds_still('container', qr/this is "c0ffee"/);
configure($container, q(pg_activate.hosts = 'db1, *'));
$contained->goes_on('container', confirmed => 1);
# but not what is no copy of the same cluster and database
$container->safe_psql('postgres', 'CREATE DATABASE template_copy_2 TEMPLATE warehouse');
$warehouse->copy($container, 'template_copy_2')->holds_still('template copy in a container');
$container->stop;

# given a copy that looks like the original, recovered to an older state, then a person sees what goes out first
my $recovered = PostgreSQL::Test::Cluster->new('recovered');
$recovered->init_from_backup($node, 'base');
start_on($recovered, 'db1');
my $restored = $warehouse->copy($recovered, 'warehouse');
# what the lost server sent since: a changed row, and one that the recovered state does not have
$warehouse->sql(q(UPDATE shop.customer SET name = 'sent since' WHERE id = 2; UPDATE shop.orders SET amount = 99 WHERE number = 1));
$warehouse->run($_) foreach @Warehouse::SYNCS;
$restored->loader(q(SET ROLE analyst; CREATE TABLE shop.empty (id int PRIMARY KEY); RESET ROLE;
	SET client_min_messages = error; SELECT activate.create_sync('empty', 'shop.empty', 'id', 'hook', object => 'empty', owner => 'analyst')));
is($restored->loader(q(SELECT activate.confirm_cluster('recovered'))), 4, 'recovered: said of syncs that are at home, too');
like($restored->sql(q(SELECT message FROM activate.events WHERE kind = 'fence')), qr/^4 syncs .* as recovered: every row is in doubt/, 'which is an event');
like($restored->run('empty'), qr/^$/, 'recovered: a run that has nothing to send is not held');
$restored->change('recovered');
is($restored->loader(q(SELECT changed FROM activate.plan_sync('orders'))), 5, 'recovered: plan_sync knows');
$restored->refused(q(CALL activate.run_sync('customers', keys => '[1]')),
	qr/55000: sync "customers" sends nothing before a run of all its rows was approved.*HINT:  CALL activate\.run_sync\('customers'\);.*approve_run/s,
	'recovered: named keys wait, too', 'loader');
my $sent = $d->stats->{requests};
foreach my $sync (@Warehouse::SYNCS, @Warehouse::SYNCS)
{
	$restored->refused("CALL activate.run_sync('$sync')",
		qr/PA002: run \d+ of sync "$sync" is held: this server was confirmed as recovered.*DETAIL:  It would send \d+ rows: .*HINT: .*approve_run.*each run is held until one was approved/s,
		"recovered: $sync is held", 'loader');
}
is($d->stats->{requests}, $sent, 'recovered: nothing was sent');
like($restored->loader(q(SELECT guard FROM activate.plan_sync('orders'))), qr/confirmed as recovered/, 'recovered: plan_sync says so');
is($restored->loader(q(SELECT string_agg(state, ',') FROM activate.explain_row('customers', '8'))), 'doubt', 'recovered: a row is in doubt');
like($restored->loader(q(SELECT explanation FROM activate.explain_row('customers', '8'))), qr/confirmed as recovered/, 'recovered: explain_row says why');
is($restored->loader(q(SELECT string_agg(sync || ' ' || (details ->> 'rows'), ',' ORDER BY sync) FROM activate.events WHERE kind = 'in_doubt')),
	'customers 8,orders 6,relations 2', 'recovered: one event for each sync');
# a model that went on is another diff: what was approved is not what would go out
$restored->loader(q(SELECT activate.approve_run(max(run_id)) FROM activate.runs WHERE sync = 'orders' AND status = 'held'));
$restored->sql(q(UPDATE shop.orders SET amount = 5 WHERE (region, number) = ('south', 2)));
$restored->refused(q(CALL activate.run_sync('orders')), qr/PA002/, 'recovered: only what was approved goes out', 'loader');
$restored->loader(q(SELECT activate.discard_run(max(run_id)) FROM activate.runs WHERE sync = 'customers' AND status = 'held'));
$restored->refused(q(CALL activate.run_sync('customers')), qr/PA002/, 'recovered: a discarded run releases nothing', 'loader');
$restored->loader(q(SELECT activate.approve_run(run_id) FROM activate.runs WHERE status = 'held'));
$restored->goes_on('recovered', confirmed => 1, doubt => 1);
is($restored->sql(q(SELECT string_agg(name, ',') FROM activate.sync WHERE hold_next)), 'empty', 'recovered: only what was approved is released');
$restored->sql(q(INSERT INTO shop.empty VALUES (1)));
$restored->refused(q(CALL activate.run_sync('empty')), qr/PA002/, 'recovered: the first run that has something to send is held', 'loader');
$recovered->stop;

# given a server set back to a point in time, whatever is said of standbys, then every row is in doubt
my $set_back = PostgreSQL::Test::Cluster->new('set_back');
$set_back->init_from_backup($node, 'base');
$set_back->append_conf('postgresql.conf', "restore_command = 'false'\nrecovery_target = 'immediate'\nrecovery_target_action = 'promote'");
$set_back->append_conf('postgresql.conf', "synchronous_standby_names = 'gone'");
append_to_file($set_back->data_dir . '/recovery.signal', '');
start_on($set_back, 'db1');
$set_back->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()') or die 'not recovered';
my $earlier = $warehouse->copy($set_back, 'warehouse');
is(($earlier->try(q(SET synchronous_commit = local; CALL activate.run_sync('relations')), 'loader'))[0], 0, 'set back: a run');
is($earlier->sql(q(SELECT count(*) FROM activate.event WHERE kind = 'in_doubt')), 1, 'set back: every row is in doubt');
$set_back->stop('immediate');

# given a standby, then it is told apart before anything is tried
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
start_on($standby, 'db3');
my $waiting = $warehouse->copy($standby, 'warehouse');
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
$waiting->holds_still('standby', qr/25006: a standby does not run syncs.*HINT:  Run it on the primary/s);
$waiting->refused(q(SELECT activate.confirm_cluster('move')), qr/25006/, 'confirm_cluster on a standby');
$waiting->sql(q(SELECT * FROM activate.status, activate.pending, activate.runs LIMIT 1));
is($waiting->sql(q(SELECT count(*) FROM activate.pending)), $warehouse->sql(q(SELECT count(*) FROM activate.pending)), 'views can be read there');
is($waiting->sql(q(SELECT DISTINCT activate.sync_home_problem(system_identifier, database_oid, host) FROM activate.sync)),
	'It may run on host "db1", and this is "db3".', 'and why it may not run there');

# given its promotion, then it goes on where it is listed, with every row in doubt that the lost primary may have sent
$warehouse->sql(q(UPDATE shop.customer SET name = 'n2', mood = 'fine' WHERE id IN (2, 4); UPDATE shop.orders SET amount = number / 10.0;
	UPDATE shop.relation SET note = 'o' WHERE kind = 'shop.mood'::regtype));
$warehouse->run($_) foreach @Warehouse::SYNCS;
@runs = $warehouse->hang;
$warehouse->cancel(@runs);
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
$standby->stop;
$warehouse->sql(q(UPDATE shop.customer SET name = 'only the primary knew' WHERE id = 8));
$warehouse->run('customers');
is($d->fields('customers')->{'{"id":8}'}{name}, 'only the primary knew', 'the destination has what the standby never knew');
$node->stop;
start_on($standby, 'db3');
$standby->promote;
$standby->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()') or die 'not promoted';
$waiting->holds_still('promoted on another host', qr/It may run on host "db1", and this is "db3"/);
$standby->backup('promoted');
is($waiting->loader(q(SELECT activate.confirm_cluster('move'))), 3, 'it can be moved');
$waiting->goes_on('promoted', confirmed => 1, doubt => 1);
is($waiting->sql(q(SELECT string_agg(sync, ',' ORDER BY sync) FROM activate.event WHERE kind = 'in_doubt' AND message ~ 'a standby was promoted')),
	'customers,orders', 'promoted: one event for each sync (relations was made anew since)');

# given many rows that were archived, then to archive them again is not held as a removal
$waiting->loader(q(SET ROLE analyst; CREATE TABLE shop.many AS SELECT i AS id FROM generate_series(1, 200) i; RESET ROLE;
	SELECT activate.create_sync('many', 'shop.many', 'id', 'hook', object => 'many', owner => 'analyst', mapping => 'id',
		mode => 'mirror', on_removed => 'archive', options => '{"max_removed": "50%"}')));
$waiting->run('many');
$waiting->sql(q(DELETE FROM shop.many WHERE id > 101));
$waiting->run('many');
$waiting->loader(q(SELECT activate.alter_sync('many', options => '{"max_removed": null}')));
$waiting->sql(q(UPDATE activate.sync SET timeline = 1 WHERE name = 'many'));
my $before = $waiting->last_request;
$waiting->run('many');
is_deeply([ map { scalar @$_ } @{ $waiting->by_op($before) }{qw(archive upsert)} ], [ 99, 101 ], 'in doubt: archived again, upserted again');

# given claims that were synchronous, then only what they say is in doubt
my $synchronous = PostgreSQL::Test::Cluster->new('synchronous');
$synchronous->init_from_backup($standby, 'promoted');
$synchronous->append_conf('postgresql.conf', "synchronous_standby_names = 'gone'\npg_activate.hosts = 'db1, db4'");
start_on($synchronous, 'db4');
my $certain = $warehouse->copy($synchronous, 'warehouse');
my $start = $certain->last_request;
is(($certain->try(q(SET synchronous_commit = local; CALL activate.run_sync('relations')), 'loader'))[0], 0, 'synchronous: a run');
is_deeply($certain->sent($start), ['upsert {"relation":"shop.orders"}'], 'synchronous: what is certain is not sent again');
is($certain->sql(q(SELECT count(*) FROM activate.event WHERE kind = 'in_doubt')), 0, 'synchronous: no event');
is($certain->sql(q(SELECT timeline FROM activate.sync WHERE name = 'relations')), 2, 'synchronous: the timeline is known now');
$synchronous->stop('immediate');

done_testing();
