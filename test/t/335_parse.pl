# Connector parse: against a real Parse Server over this cluster, seen on its
# way there by the stand-in, which answers what a real one does not at will.
use strict;
use warnings;

use HTTP::Tiny;
use PostgreSQL::Test::Utils;
use Test::More;

use ConnectorTest;
use Parse;

my $http = HTTP::Tiny->new(timeout => 20, keep_alive => 0);
my $t = ConnectorTest->start('parse', sub {
	my ($request, $state) = @_;
	return undef if $state->{down};
	my %headers = map { $_ => $request->{headers}{$_} } grep { /^(?:x-parse-|content-type)/ } keys %{ $request->{headers} };
	my $answer = $http->request($request->{method}, $state->{to} . $request->{target},
		{ headers => \%headers, length $request->{body} ? (content => $request->{body}) : () });
	return undef if $answer->{status} == 599;
	return [ $answer->{status}, { 'Content-Type' => 'application/json' }, $answer->{content} ];
}, no_destination => 1, spec => '_handwritten/parse-batch.json', cluster => { conf => "listen_addresses = '127.0.0.1'\n" });
my $parse = Parse->start($t->activate->node, options => { allowCustomObjectId => JSON::PP::true });
$t->vendor->tell(to => $parse->url =~ s{/parse$}{}r);
my %server = (options => { base_url => $t->vendor->url . '/parse', application_id => 'app' }, secrets => { client_secret => 'master' });
$t->destination('d', %server);

my $careful = '{"max_removed": 100, "max_rejected": 100, "remove_after": "0s"}';
sub there { my ($class, $name) = @_; my %all = map { $_->{$name} => $_ } $parse->objects($class); return \%all }
sub asked
{
	my ($since) = @_;
	my @all = $t->requests;
	my %count;
	foreach my $request (@all[$since .. $#all])
	{
		next unless $request->{json};
		$count{lookup}++ if $request->{json}{_method};
		$count{ $_->{method} }++ foreach @{ $request->{json}{requests} // [] };
	}
	return join ' ', map { "$_ $count{$_}" } sort keys %count;
}
sub since { my @all = $t->requests; return scalar @all }

# ------------------------------------------------------------------ check, catalogue
is($t->sql("SELECT count(*) FROM activate.check_connector('{\"extends\": \"parse\"}', object_name => 'Team') WHERE kind <> 'request'"), 0, 'the document has no problem');
is($t->sql("SELECT ok FROM activate.check_destination('d')"), 't', 'the application and its key are checked');
my (undef, $team) = $parse->ask(POST => '/classes/Team', { name => 'red' });
$parse->ask(POST => '/classes/Person', { email => 'bob@example.com', name => 'Robert', other => 'stays', born => { __type => 'Date', iso => '1999-01-01T00:00:00.000Z' },
	team => { __type => 'Pointer', className => 'Team', objectId => $team->{objectId} }, tags => ['x'], score => 1.5, vip => JSON::PP::false });
$t->sql("CALL activate.refresh_destination('d', '{Person}')");
is($t->sql("SELECT string_agg(field || ' ' || type, ', ' ORDER BY field) FROM activate.fields('d', 'Person') WHERE field IN ('born', 'email', 'team', 'tags', 'score', 'vip', 'objectId')"),
	'born timestamp, email text, objectId text, score number, tags array, team json, vip boolean', 'fields are those of the schema');
like($t->sql("SELECT string_agg(object, ' ' ORDER BY object) FROM activate.objects('d')"), qr/Person.*Team/, 'and classes its objects');

# ------------------------------------------------------------------ a first sync
$t->sql(qq{CREATE TABLE people (id int PRIMARY KEY, email text, name text, born timestamptz, team text, tags text[], score numeric, vip bool, doc jsonb, big int8, v int DEFAULT 0);
	INSERT INTO people VALUES (1, 'ada\@example.com', 'Ada "C"', '1815-12-10 01:02:03.456789+00', '$team->{objectId}', '{math,"a b"}', 71.25, true, '{"x": [1]}', 9007199254740991),
		(2, 'bob\@example.com', 'Bob', NULL, NULL, '{}', 0.1, false, NULL, 2), (3, 'eve\@example.com', 'É', '2026-01-01', NULL, NULL, NULL, NULL, NULL, NULL)});
$t->sql(qq{SELECT activate.create_sync('people', 'public.people', key => 'id', destination => 'd', object => 'Person', match => 'email', mapping => \$\$
	email, name, born, tags, score, vip, doc, big, v,
	CASE WHEN team IS NOT NULL THEN jsonb_build_object('__type', 'Pointer', 'className', 'Team', 'objectId', team) END AS team\$\$,
	mode => 'mirror', on_removed => 'delete', options => '$careful')});
$t->{table}{people} = 'people';
my $since = since();
my $run = $t->run('people');
is("$run->{status} $run->{accepted} " . asked($since), 'succeeded 3 POST 2 PUT 1 lookup 1', 'what is there is updated, the rest made, in one batch') || diag $run->{text};
my $people = there('Person', 'email');
is(scalar(keys %$people), 3, 'no duplicates');
is_deeply([ @{ $people->{'ada@example.com'} }{qw(name born team tags score vip doc big)} ],
	[ 'Ada "C"', { __type => 'Date', iso => '1815-12-10T01:02:03.456Z' }, { __type => 'Pointer', className => 'Team', objectId => $team->{objectId} },
		[ 'math', 'a b' ], 71.25, JSON::PP::true, { x => [1] }, 9007199254740991 ], 'dates, pointers, arrays and objects arrive as what they are');
is_deeply([ map { exists $people->{'bob@example.com'}{$_} ? 1 : 0 } qw(born team other name) ], [ 0, 0, 1, 1 ], 'null unsets a field, and others stay');
is($t->activate->row('people', 2)->{activate_external_id}, $people->{'bob@example.com'}{objectId}, 'ids are kept');

# ------------------------------------------------------------------ changes, by id
$since = since();
$t->sql("UPDATE people SET email = 'ada2\@example.com' WHERE id = 1; UPDATE people SET name = NULL WHERE id = 3");
$run = $t->run('people');
is("$run->{accepted} " . asked($since), '2 PUT 2', 'what is known is not looked up');
my $ada = there('Person', 'email')->{'ada2@example.com'};
is($ada->{objectId}, $people->{'ada@example.com'}{objectId}, 'and another match is a change of the same object');
$parse->ask(DELETE => "/classes/Person/$ada->{objectId}");
$since = since();
$t->sql('UPDATE people SET v = v + 1 WHERE id = 1');
$run = $t->run('people');
is("$run->{accepted} " . asked($since), '1 POST 1 PUT 1 lookup 1', 'an object that somebody deleted is made anew, in the same run');
$t->sql('DELETE FROM people WHERE id = 1');
$since = since();
$run = $t->run('people');
is("$run->{accepted} " . asked($since), '1 DELETE 1', 'a row that left is deleted');
is(join(' ', sort keys %{ there('Person', 'email') }), 'bob@example.com eve@example.com', 'and no other');
my $bob = there('Person', 'email')->{'bob@example.com'};
$parse->ask(DELETE => "/classes/Person/$bob->{objectId}");
$t->sql('DELETE FROM people WHERE id = 2');
$run = $t->run('people');
is("$run->{status} $run->{accepted}", 'succeeded 1', 'one that is not there is as good as deleted') || diag $run->{text};

# ------------------------------------------------------------------ many; partial failure
$t->sql("INSERT INTO people (id, email, name) SELECT 100 + i, 'p' || i, 'n' FROM generate_series(1, 60) i");
$since = since();
$run = $t->run('people');
is("$run->{accepted} " . asked($since), '60 POST 60 lookup 1', 'many are made');
is(scalar(grep { $_->{path} eq '/parse/batch' } ($t->requests)[$since .. since() - 1]), 2, 'fifty at a time');
$t->sql("CREATE TABLE odd (id int PRIMARY KEY, name text, n jsonb, v int DEFAULT 0); INSERT INTO odd VALUES (1, 'a', '1'), (2, 'b', '\"text\"'), (3, 'c', '3')");
$parse->ask(POST => '/classes/Odd', { name => 'z', n => 0 });
$t->sync('odd', 'odd', key => 'id', object => 'Odd', match => 'name', mapping => 'name, n, v', options => $careful);
$run = $t->run('odd');
$t->rows_become('a value of another type than the class has', 'odd', { 1 => 'accepted', 2 => 'refused 111', 3 => 'accepted' });
$t->sql("UPDATE odd SET n = '2'");
$run = $t->run('odd');
my %all = map { $_ => 'accepted' } 1 .. 3;
$t->rows_become('which goes again when it changes', 'odd', \%all);

# ------------------------------------------------------------------ match by two fields, custom ids, users, on_removed clear
$t->sql("CREATE TABLE stock (site text, sku int, qty int, PRIMARY KEY (site, sku)); INSERT INTO stock VALUES ('a', 1, 1), ('a', 2, 2), ('b', 1, 3)");
$t->sync('stock', 'stock', key => 'site, sku', object => 'Stock', match => 'site, sku', mapping => 'site, sku, qty', mode => 'mirror', on_removed => 'clear', options => $careful);
$run = $t->run('stock');
is("$run->{status} $run->{accepted}", 'succeeded 3', 'a combination is a match') || diag $run->{text};
$t->sql("UPDATE stock SET qty = 20 WHERE sku = 2; DELETE FROM stock WHERE site = 'b'");
$run = $t->run('stock');
is(join(' ', sort map { "$_->{site}$_->{sku}" . ($_->{qty} // '-') } $parse->objects('Stock')), 'a11 a220 b1-', 'and rows that left are cleared') || diag $run->{text};
$t->sql("CREATE TABLE own (id text PRIMARY KEY, name text, v int DEFAULT 0); INSERT INTO own VALUES ('own1', 'a'), ('own2', 'b')");
$t->sync('own', 'own', key => 'id', object => 'Own', match => '"objectId"', mapping => 'id AS "objectId", name, v', mode => 'mirror', on_removed => 'delete', options => $careful);
$run = $t->run('own');
$t->sql("UPDATE own SET name = 'c' WHERE id = 'own1'; DELETE FROM own WHERE id = 'own2'");
$run = $t->run('own');
is(join(' ', map { "$_->{objectId} $_->{name}" } $parse->objects('Own')), 'own1 c', 'object ids of one\'s own are a match') || diag $run->{text};
$t->sql("CREATE TABLE accounts (id int PRIMARY KEY, name text, plan text, v int DEFAULT 0); INSERT INTO accounts VALUES (1, 'ada', 'pro'), (2, 'nobody', 'free')");
$parse->ask(POST => '/users', { username => 'ada', password => 'secret' });
$t->sync('accounts', 'accounts', key => 'id', object => '_User', match => 'username', mapping => 'name AS username, plan, v', mode => 'update');
$run = $t->run('accounts');
is("$run->{accepted} $run->{absent} " . join(' ', map { "$_->{username} $_->{plan}" } $parse->objects('_User')), '1 1 ada pro', 'users are a class; an update makes none') || diag $run->{text};

# ------------------------------------------------------------------ what answers mean
my @ok = map { { success => { updatedAt => '2026-01-01T00:00:00.000Z' } } } 1 .. 3;
my $error = sub { my ($code) = @_; return { error => { code => $code, error => 'so it is' } } };
$t->means('a limit of the rate', 'odd', [ [ 429, { 'Retry-After' => 1 }, '{"error":"Too many requests."}' ] ], status => 'succeeded', requests => 2, rows => \%all);
$t->means('a row that was throttled', 'odd', [ [ 200, [ $ok[0], $error->(155), $ok[2] ] ], [ 200, [ $ok[0] ] ] ], rows => { %all });
$t->means('a trigger that says no', 'odd', [ [ 200, [ $ok[0], $error->(142), $ok[2] ] ] ], rows => { %all, 2 => 'refused 142' });
$t->means('a duplicate of another field', 'odd', [ [ 200, [ $ok[0], $error->(137), $ok[2] ] ] ], rows => { %all, 2 => 'rejected 137' });
$t->means('an error within', 'odd', [ [ 200, [ $ok[0], $ok[1], $error->(1) ] ], [ 200, [ $ok[0] ] ] ], rows => { %all });
$t->means('a batch that is too long', 'odd', [ [ 400, { code => 107, error => 'Batch request contains 3 sub-requests, which exceeds the limit of 2.' } ] ],
	status => 'succeeded', rows => \%all);
$t->means('a path of another mount', 'odd', [ [ 400, { code => 107, error => 'cannot route batch path /parse/classes/Odd' } ] ], status => 'failed', text => qr/cannot route batch path/);
$t->sql("ALTER USER MAPPING FOR PUBLIC SERVER d OPTIONS (SET client_secret 'wrong')");
$t->sql("ALTER SERVER d OPTIONS (SET application_id 'other')");
$run = $t->means('another application', 'odd', [], status => 'failed', text => qr/unauthorized/);
$t->sql("ALTER SERVER d OPTIONS (SET application_id 'app')");
$t->sql("ALTER USER MAPPING FOR PUBLIC SERVER d OPTIONS (SET client_secret 'master')");
$t->means('the right one', 'odd', [], status => 'succeeded', rows => \%all);

# ------------------------------------------------------------------ a restart of the server
$parse->stop;
$t->sql('UPDATE people SET v = v + 1');
$run = $t->run('people');
isnt($run->{status}, 'succeeded', 'a server that is away takes nothing');
$parse->restart;
$t->sql("SELECT activate.retry_rows('people')");
$run = $t->run('people');
is(join(' ', sort map { "$_->{email}=$_->{v}" } $parse->objects('Person')), join(' ', sort split / /, $t->sql("SELECT string_agg(email || '=' || v, ' ') FROM people")),
	'and is caught up with when it is back') || diag $run->{text};

# ------------------------------------------------------------------ the contract of batches
my $batches = sub { $_[0]{path} eq '/parse/batch' };
$t->fits($batches);
my ($batch) = grep { $batches->($_) } $t->requests;
$t->broken({ %$batch, body => $batch->{body} =~ s/"method":"(?:PUT|POST)"/"method":"PATCH"/r }, 'a method that there is not');
$t->broken({ %$batch, headers => { 'content-type' => 'application/json' } }, 'without an application');
$t->means('a malformed answer', 'odd', [ [ 200, {}, '<html>hello</html>' ] ], rows => \%all);

done_testing();
