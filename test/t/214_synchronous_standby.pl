# Where commits wait for a synchronous standby, no request goes out before the
# standby knows of it; nothing else of a run waits.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use Test::More;
use Time::HiRes qw(sleep time);

use Destination;
use Session;

my $crm = Destination->start;
my $url = $crm->url;
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf', "autovacuum = off\npg_activate.allowed_hosts = '*'\nwal_receiver_status_interval = '1s'\n");
$node->start;
$node->safe_psql('postgres', <<"END");
CREATE EXTENSION pg_activate;
CREATE SERVER crm FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url '$url', batch_size '5');
CREATE TABLE people (id int PRIMARY KEY, v text);
INSERT INTO people SELECT i, 'v' FROM generate_series(1, 50) i;
SET client_min_messages = warning;
SELECT activate.create_sync('people', 'public.people', 'id', 'crm', object => 'people', mapping => 'v');
END
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$node->safe_psql('postgres', q{ALTER SYSTEM SET synchronous_standby_names = 'standby'});
$node->reload;
$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_replication WHERE sync_state = 'sync'}) or die 'no synchronous standby';

my $session = Session->start($node, 'postgres', options => '-c pg_activate.progress_interval=0 -c client_min_messages=warning -c synchronous_commit=remote_apply');

# given a standby that follows, then a run succeeds as ever
is($session->query(q{CALL activate.run_sync('people')}), '', 'a run succeeds');
is(scalar @{ $crm->records('people') }, 50, 'everything is there');

# given requests that have reached the destination, then the standby has their claims
$node->safe_psql('postgres', q{UPDATE people SET v = 'w'});
$crm->script({ hang => 1, times => -1 });
my $seen = $crm->stats->{requests};
$session->send(q{CALL activate.run_sync('people')});
$crm->wait_for_requests($seen + 1);
cmp_ok($standby->safe_psql('postgres', 'SELECT coalesce(sum(cardinality(ops)), 0) FROM activate.claim'), '>=', 5,
	'what has reached the destination the standby knows to be under way');

# given a standby that stops in mid run, then the run does not hang
$standby->stop('immediate');
my $start = time;
$node->safe_psql('postgres', "SELECT pg_cancel_backend(@{[$session->pid]})");
like($session->wait, qr/57014/, 'the standby is gone: a cancel is heard');
cmp_ok(time - $start, '<', 1, sprintf 'at once: %.0f ms', 1000 * (time - $start));
is($node->safe_psql('postgres', q{SELECT status FROM activate.run ORDER BY run_id DESC LIMIT 1}), 'cancelled', 'and written down');

# given a standby that comes back while a run waits for it, then the run goes on
$crm->script;
$session->send(q{CALL activate.run_sync('people', keys => '[1, 2, 3]')});
$node->poll_query_until('postgres', q{SELECT count(*) > 0 FROM activate.claim}) or die 'no claim';
$standby->start;
unlike($session->wait, qr/standby/, 'the standby is back: the run that waited for it goes on');

$session->stop;
$standby->stop;
done_testing();
