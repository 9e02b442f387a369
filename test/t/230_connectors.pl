# Connectors of one's own: a run goes by the document that it began with, a
# dump carries them with what uses them, and two who make one at once do not
# get in each other's way.
use strict;
use warnings;

use IPC::Run;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use Activate;
use Destination;

my $d = Destination->start;
my $a = Activate->start('main');
my $node = $a->node;

sub document
{
	my ($path, %member) = @_;
	return encode_json({ title => 'Ours', takes_key => JSON::PP::true, options => { base_url => { kind => 'url', required => JSON::PP::true } },
		operations => { upsert => { idempotent => JSON::PP::true, batch => { max_rows => 1 }, request => { path => $path,
			body => { rows => [ { op => 'upsert', key => '{{row.key}}', fields => '{{row.fields}}' } ] } } } }, %member });
}

my ($old, $new) = (document('/old/{{sync.object}}'), document('/new/{{sync.object}}'));
$a->sql("SELECT activate.create_connector('ours', '$old')");
$a->sql(q(SELECT activate.create_connector('mine', '{"extends": "ours", "title": "Mine"}')));
$a->server('crm', $d, connector => 'ours', concurrency => 1);
$a->server('more', $d, connector => 'mine');
$a->sql('CREATE TABLE people (id int PRIMARY KEY, name text)');
$a->sql(q(INSERT INTO people SELECT i, 'name ' || i FROM generate_series(1, 4) AS i));
$a->sql(q(SELECT activate.create_sync('people', 'people', 'id', 'crm', object => 'people', mapping => 'name')));
$a->sql(q(SELECT activate.create_sync('others', 'people', 'id', 'more', object => 'others', mapping => 'name')));

# given a run under way, then it ends with the document that it began with
$d->script({ delay_ms => 1500 });
my $under_way = $a->begin('people');
$d->wait_for_requests(1);
my ($status, $out, $err) = $node->psql('postgres', "SET client_min_messages = notice; SELECT activate.alter_connector('ours', '$new')");
like($err, qr/2 syncs go by connector "ours": "others", "people"/, 'altering says which syncs go by it, through another document, too');
my $run = $a->end($under_way);
is("$run->{status} $run->{accepted}", 'succeeded 4', 'the run goes on to its end');
is(scalar(grep { $_->{path} eq '/old/people' } @{ $d->requests }), 4, 'by the document that it began with');
$a->sql(q(UPDATE people SET name = name || '!' WHERE id = 1));
is($a->run('people')->{accepted}, 1, 'the next one sends what changed, and not what was accepted,');
is($d->requests->[-1]{path}, '/new/people', 'by the new document');
is($a->run('others')->{accepted}, 4, 'and so does a sync of what extends it');
is($d->requests->[-1]{path}, '/new/others', 'which was altered with it');

# given a document by which one that extends it could not be, then it is not taken
($status, $out, $err) = $node->psql('postgres', q(SELECT activate.alter_connector('mine', '{"extends": "ours", "operations": {"insert": {"like": "upsert"}}}')));
is($status, 0, 'what extends another can be altered');
($status, $out, $err) = $node->psql('postgres', "SELECT activate.alter_connector('ours', '" . document('/x', operations => { update => { request => { path => '/x' } } }) . "')");
like($err, qr/would no longer work: "mine", "more", "others", "people"/, 'what goes by a document is looked at with it');
($status, $out, $err) = $node->psql('postgres', q(SELECT activate.drop_connector('ours')));
like($err, qr/Destinations: "crm", "more"\. Connectors that extend it: "mine"/, 'what is used is not dropped');

# given two who make the same one, then one is told so
my $first = $node->background_psql('postgres');
$first->query_safe("BEGIN; SELECT activate.create_connector('twice', '$old')");
my $text = '';
my $second = IPC::Run::start([ 'psql', '-XAtq', '-v', 'VERBOSITY=verbose', '-d', $node->connstr('postgres'), '-c',
	"SELECT activate.create_connector('twice', '$old')" ], '>', \$text, '2>', \$text, IPC::Run::timeout(60));
$node->poll_query_until('postgres', q(SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%twice%'));
$first->query_safe('COMMIT');
$first->quit;
$second->finish;
like($text, qr/42710: connector "twice" already exists/, 'two at once: the second one is told');
$a->sql(q(SELECT activate.drop_connector('twice')));

# given a dump, then it has the documents; servers are restored before them
my $dumps = PostgreSQL::Test::Utils::tempdir();
my $state = q(SELECT (SELECT json_agg(c ORDER BY c.name)::text FROM activate.connector AS c WHERE NOT c.builtin) || (SELECT count(*) FROM activate.connector)
	|| (SELECT string_agg(destination || connector, ',' ORDER BY 1) FROM activate.destinations));
my $wanted = $a->sql($state);
$node->command_ok([ 'pg_dump', '-f', "$dumps/plain.sql", 'postgres' ], 'pg_dump');
$node->command_ok([ 'pg_dump', '-Fc', '-f', "$dumps/custom", 'postgres' ], 'pg_dump -Fc');
foreach my $how ('plain', 'custom')
{
	$node->safe_psql('postgres', "CREATE DATABASE $how");
	$node->command_ok($how eq 'plain' ? [ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f', "$dumps/plain.sql", $how ] :
		[ 'pg_restore', '-e', '-j', '2', '-d', $how, "$dumps/custom" ], "$how: restored");
	is($node->safe_psql($how, $state), $wanted, "$how: with the same connectors and no built-in one twice");
	is($node->safe_psql($how, q(SELECT request ->> 'url' FROM activate.check_connector('{"extends": "mine"}', object_name => 'x') WHERE kind = 'request' LIMIT 1)),
		'https://api.example.com/new/x', "$how: which can be used");
	is($node->safe_psql($how, q(SELECT activate.alter_connector('mine', '{"extends": "ours"}'); SELECT spec FROM activate.connector WHERE name = 'mine')) =~ s/^\n//r,
		'{"extends": "ours"}', "$how: and altered");
}

done_testing();
