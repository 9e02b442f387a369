# A run of a million rows keeps to its memory: what is to be sent is in files,
# and what was sent is forgotten.
# Runs alone: it measures.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use Destination;
use Session;

# Of the process alone, without what it shares with others.
use constant LIMIT_MB => 150;

plan skip_all => 'needs /proc/PID/status' unless -r "/proc/$$/status";

my $crm = Destination->start;
$crm->config({ log => 0 });
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', <<END);
autovacuum = off
fsync = off
shared_buffers = 256MB
max_wal_size = 4GB
pg_activate.allowed_hosts = '127.0.0.1'
END
$node->start;
my $url = $crm->url;
$node->safe_psql('postgres', <<END);
CREATE EXTENSION pg_activate;
CREATE SERVER crm FOREIGN DATA WRAPPER activate
	OPTIONS (connector 'webhook', base_url '$url', batch_size '1000', concurrency '4');
CREATE TABLE model (id bigint PRIMARY KEY, email text, name text, plan text, score float8, seats int,
	updated_at timestamptz, country text);
INSERT INTO model SELECT i, 'user' || i || '\@example' || i % 500 || '.com', 'First' || i % 1000 || ' Last' || i % 7919,
		(ARRAY['free', 'pro', 'team', 'enterprise'])[1 + i % 4], (i * 2654435761 % 1000003) / 1000.0, i % 50,
		'2026-01-01'::timestamptz + make_interval(secs => i * 0.37), (ARRAY['DE', 'US', 'FR', 'JP'])[1 + i % 4]
	FROM generate_series(1, 1000000) i;
VACUUM ANALYZE model;
SELECT activate.create_sync('people', 'public.model', 'id', 'crm', object => 'people', options => '{"max_changed": null}');
END

# Pages of its own, in kB, as the kernel counts them.
sub own_memory
{
	my ($pid) = @_;
	open my $status, '<', "/proc/$pid/status" or return 0;
	my ($kb) = join('', <$status>) =~ /^RssAnon:\s+(\d+)/m;
	return $kb // 0;
}

# The largest seen while the session is busy.
sub peak
{
	my ($session, $sql) = @_;
	my ($max, $start) = (0, time);
	$session->send($sql);
	while ($session->is_busy)
	{
		my $now = own_memory($session->pid);
		$max = $now if $now > $max;
		sleep 0.005;
	}
	is($session->wait, '', $sql);
	return ($max / 1024, time - $start);
}

foreach my $case (
	[ 'the first sync', '' ],
	[ 'a sync without changes', '' ],
	# Then the join is by a hash table, while the sort fills.
	[ 'a sync of 20 % changed, in random order', <<'END' ])
CREATE TABLE mixed (LIKE model INCLUDING ALL);
INSERT INTO mixed SELECT id, email, name, plan, score + (id % 5 = 0)::int, seats, updated_at, country FROM model ORDER BY hashint8(id);
DROP TABLE model;
ALTER TABLE mixed RENAME TO model;
VACUUM ANALYZE model, activate_data.people;
END
{
	my ($name, $change) = @$case;
	$node->safe_psql('postgres', $change) if $change;
	my $session = Session->start($node, 'postgres', options => '-c work_mem=64MB -c pg_activate.progress_interval=0');
	my ($mb, $seconds) = peak($session, "CALL activate.run_sync('people')");
	ok($mb < LIMIT_MB, sprintf '%s: %.0f MB (limit %d MB), %.1f s', $name, $mb, LIMIT_MB, $seconds);
	$session->stop;
}
is($node->safe_psql('postgres', 'SELECT count(*), count(activate_fingerprint) FROM activate_data.people'),
	'1000000|1000000', 'every row is accepted');
is($crm->stats->{rows}, 1200000, 'each row was sent once, and once more where it changed');

done_testing();
