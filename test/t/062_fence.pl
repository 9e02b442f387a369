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
$node->append_conf('postgresql.conf', "pg_activate.allowed_hosts = '127.0.0.1'\nautovacuum = off");
start_on($node, 'db1');
my $warehouse = Warehouse->new($node, 'warehouse');
my $d = $warehouse->destination;
my @runs = $warehouse->hang;
$warehouse->cancel(@runs);

# given nothing but syncs, then confirm_cluster says what it wants
$warehouse->refused(q(SELECT activate.confirm_cluster(NULL)), qr/22004.*HINT/s, 'confirm_cluster: null');
$warehouse->refused(q(SELECT activate.confirm_cluster('mvoe')), qr/22023.*HINT:  SELECT activate\.confirm_cluster\('move'\)/s, 'unknown');
$warehouse->refused("SELECT activate.confirm_cluster('$_')", qr/0A000: confirm_cluster\('$_'\) is not supported/, $_)
	foreach qw(sandbox recovered);
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

# given its promotion, then it goes on where it is listed, with what was under way in doubt
$warehouse->sql(q(UPDATE shop.relation SET note = note));
$node->stop;
$standby->promote;
$standby->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()') or die 'not promoted';
$waiting->holds_still('promoted on another host', qr/It may run on host "db1", and this is "db3"/);
write_file('standby', 'db1');
$waiting->goes_on('promoted on the recorded host', confirmed => 1);

done_testing();
