# pg_upgrade carries everything to the new cluster, which sends nothing until
# somebody says that it took the old one's place.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use Warehouse;

sub new_node
{
	my ($name) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init;
	$node->append_conf('postgresql.conf', "pg_activate.allowed_hosts = '127.0.0.1'\nautovacuum = off\npg_activate.debug_late_off = on");
	return $node;
}

my $old = new_node('old');
my $new = new_node('new');
$old->start;
my $warehouse = Warehouse->new($old, 'warehouse');

# given a server that goes down while runs wait for an answer, then their claims stay
my @runs = $warehouse->hang;
$old->stop('immediate');
$_->{handle}->finish foreach @runs;
$old->start;
is($warehouse->sql('SELECT count(*) FROM activate.claim'), 3, 'claims survive a crash');
is($warehouse->sql(q(SELECT count(*) FROM activate.credential)), 2, 'credentials are bound');
my $bindings = $warehouse->sql('SELECT system_identifier FROM activate.credential LIMIT 1');
$old->stop;

my $bindir = $old->config_data('--bindir');
my @upgrade = ('pg_upgrade', '--no-sync', '--old-datadir', $old->data_dir, '--new-datadir', $new->data_dir,
	'--old-bindir', $bindir, '--new-bindir', $bindir, '--socketdir', $new->host,
	'--old-port', $old->port, '--new-port', $new->port);
chdir PostgreSQL::Test::Utils::tempdir();
command_ok([ @upgrade, '--check' ], 'pg_upgrade --check');
command_ok(\@upgrade, 'pg_upgrade');
$new->start;

my $upgraded = $warehouse->copy($new, 'warehouse');
is($upgraded->sql('SELECT count(*) FROM activate.claim'), 3, 'claims are carried along');
$upgraded->holds_still('upgraded');
$upgraded->goes_on('upgraded');
is($upgraded->sql("SELECT count(*) FROM activate.credential WHERE system_identifier <> $bindings"), 2, 'credentials are bound anew');
$upgraded->sql(q(CREATE USER MAPPING FOR loader SERVER crm OPTIONS (api_key 'x')));
is($upgraded->sql("SELECT count(*) FROM activate.credential WHERE system_identifier = $bindings"), 0,
	'bindings of the old cluster, which mean nothing in the new one, go');

# given the upgraded cluster, then it can be dumped and the extension is whole
$new->command_ok([ 'pg_dump', '-f', '/dev/null', 'warehouse' ], 'pg_dump');
$upgraded->sql(q(DROP EXTENSION pg_activate CASCADE; CREATE EXTENSION pg_activate));
is($upgraded->sql(q(SELECT count(*) FROM pg_class WHERE relnamespace = 'activate_data'::regnamespace)), 0, 'and dropped and created again');

done_testing();
