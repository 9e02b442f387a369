# Asking a destination what it has holds nothing of the database, ends when it
# is told to, keeps to the destination's limits, and what it told outlives a
# dump. A pinned account is asked for by workers, too.
use strict;
use warnings;

use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use Destination;
use Session;

use constant AT_ONCE => 1;

my $crm = Destination->start;
my $url = $crm->url;
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', <<END);
shared_preload_libraries = 'pg_activate'
autovacuum = off
pg_activate.allowed_hosts = '*'
pg_activate.debug_late_off = on
END
$node->start;

my $spec = encode_json({
	options => { base_url => { kind => 'url', required => JSON::PP::true } },
	account => { request => { method => 'GET', path => '/account' }, id => '/id' },
	discover => {
		objects => { request => { method => 'GET', path => '/objects' }, items => '/objects', object => '/id', title => '/title' },
		fields => { request => { method => 'GET', path => '/fields/{{sync.object}}' }, items => '/fields', field => '/name', type => '/type' }
	},
	operations => { upsert => { idempotent => JSON::PP::true, batch => { max_rows => 100 },
		request => { path => '/{{sync.object}}',
			body => { rows => { '$rows' => { op => '{{row.op}}', key => '{{row.key}}', fields => '{{row.fields}}' } } } },
		answer => { by => 'none' } } }
});
$node->safe_psql('postgres', <<END);
CREATE EXTENSION pg_activate;
INSERT INTO activate.connector (name, spec) VALUES ('crm', \$\$$spec\$\$);
CREATE SERVER crm FOREIGN DATA WRAPPER activate OPTIONS (connector 'crm', base_url '$url', timeout '1 hour');
CREATE TABLE people (id int PRIMARY KEY, name text);
INSERT INTO people VALUES (1, 'Ann');
END

sub value { return $node->safe_psql('postgres', $_[0]) }

sub answer
{
	my ($path, $body, %more) = @_;
	return { match => { path => $path, method => 'GET' }, times => -1, status => 200,
		headers => { 'Content-Type' => 'application/json' }, body => encode_json($body), %more };
}

my @objects = (answer('/objects', { objects => [ { id => 'contacts', title => 'Contacts' } ] }));
my @fields = (answer('/fields/contacts', { fields => [ { name => 'name', type => 'text' }, { name => 'born', type => 'date' } ] }));

# given a destination that does not answer, then nothing is held while it is asked
my $session = Session->start($node, 'postgres');
my $pid = $session->pid;
$crm->script([ @objects, { match => { path => '/fields/contacts' }, hang => 1, times => -1 } ]);
$session->send("CALL activate.refresh_destination('crm', '{contacts}')");
$crm->wait_for_requests(2);
is(value("SELECT backend_xid, backend_xmin FROM pg_stat_activity WHERE pid = $pid"), '|', 'no snapshot and no transaction id is held');
is(value("SELECT count(*) FROM pg_locks WHERE pid = $pid AND locktype = 'relation'"), 0, 'nor a lock on a table');
is(value("SELECT object FROM activate.objects('crm')"), 'contacts', 'what one answer told is there before the next');

# when it is cancelled, then at once
my $begun = time;
value("SELECT pg_cancel_backend($pid)");
like($session->wait, qr/57014/, 'a cancel ends it');
ok(time - $begun < AT_ONCE, 'at once');
is($session->query("SELECT name FROM pg_backend_memory_contexts WHERE name LIKE 'pg\\_activate%'"), '', 'no memory is left');

# the same of check_sync
value("SELECT activate.create_sync('people', 'public.people', 'id', 'crm', 'contacts', match => 'id', mapping => 'id, name')");
$crm->reset;
$crm->script([ { match => { path => '/account' }, hang => 1, times => -1 } ]);
$session->send("CALL activate.check_sync('people')");
$crm->wait_for_requests(1);
is(value("SELECT backend_xid, backend_xmin FROM pg_stat_activity WHERE pid = $pid"), '|', 'check_sync holds nothing, either');
value("SELECT pg_cancel_backend($pid)");
like($session->wait, qr/57014/, 'and can be cancelled');

# given a destination that limits its rate, then it is asked again when it says
$crm->reset;
$crm->script([ { match => { path => '/objects' }, times => 1, status => 429, headers => { 'Retry-After' => '1' } }, @objects, @fields ]);
$begun = time;
is($session->query("SET client_min_messages = error; CALL activate.refresh_destination('crm')"), '', 'a limit of the rate is waited for');
cmp_ok(time - $begun, '>=', 0.9, 'as long as it says');
is(scalar(grep { $_->{path} eq '/objects' } @{ $crm->requests }), 2, 'and the request is made once more');
is(value("SELECT field, type FROM activate.fields('crm', 'contacts')"), "name|text\nborn|date", 'fields of objects that syncs use are asked for');

# given one that fails for the moment, then it is asked again; for good, then what was told stays
$crm->reset;
$crm->script([ { match => { path => '/objects' }, times => 2, status => 503 }, @objects, @fields ]);
is($session->query("CALL activate.refresh_destination('crm')"), '', 'a failure for the moment is nobody\'s concern');
$crm->script([ @objects, { match => { path => '/fields/contacts' }, times => -1, status => 404, body => 'gone' } ]);
like($session->query("SET client_min_messages = warning; CALL activate.refresh_destination('crm')"), qr/does not tell the fields of object "contacts"/,
	'fields that are not told are a warning');
is(value("SELECT count(*) FROM activate.fields('crm', 'contacts')"), 2, 'and what was told before stays');

# two at a time
$crm->script([ @objects, @fields ]);
my $other = Session->start($node, 'postgres', options => '-c client_min_messages=error');
$other->send("CALL activate.refresh_destination('crm')") for 1;
$session->query("SET client_min_messages = error; CALL activate.refresh_destination('crm')");
is($other->wait, '', 'two sessions may ask at a time');

# given an account that is pinned, then workers hold to it
value("ALTER SERVER crm OPTIONS (ADD account '7')");
$crm->reset;
$crm->script([ answer('/account', { id => 8 }) ]);
my $run = value("SELECT activate.queue_run('people')");
is(value("CALL activate.wait_for_run($run)"), 'failed', 'a worker\'s run fails, too, where the account is another');
is(scalar(@{ $crm->requests }), 1, 'before its first row');
is(value("SELECT state FROM activate.pending WHERE sync = 'people'"), '', 'no row is charged');
$crm->script([ answer('/account', { id => 7 }) ]);
$run = value("SELECT activate.queue_run('people')");
is(value("CALL activate.wait_for_run($run)"), 'succeeded', 'and goes where it is the right one');
$crm->script([ { match => { path => '/account' }, times => 1, status => 503 }, answer('/account', { id => 7 }) ]);
value("UPDATE people SET name = 'Anne'");
$run = value("SELECT activate.queue_run('people')");
is(value("CALL activate.wait_for_run($run)"), 'succeeded', 'a failure for the moment ends no run');

# given a dump, then the copy knows what the destination told
my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump.sql';
my $told = "SELECT f.* FROM activate.destination_field AS f ORDER BY object, position";
my $before = value($told);
isnt($before, '', 'given fields');
$node->command_ok([ 'pg_dump', '-f', $dump, 'postgres' ], 'when it is dumped');
$node->safe_psql('postgres', 'CREATE DATABASE copy');
$node->command_ok([ 'psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-f', $dump, 'copy' ], 'and restored');
is($node->safe_psql('copy', $told), $before, 'then the copy knows what the destination told');

$session->stop;
$other->stop;
$node->stop;
done_testing();
