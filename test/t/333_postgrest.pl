# Connector postgrest: tables and views by PostgREST's documentation, over a
# database that its rows arrive in.
use strict;
use warnings;

use HTTP::Tiny;
use PostgreSQL::Test::Utils;
use Test::More;

use ConnectorTest;
use Postgrest;

my $t = ConnectorTest->start('postgrest', sub {
	my ($request, $state) = @_;
	my $token = $state->{token} // 'jwt';
	return [ 401, { 'WWW-Authenticate' => 'Bearer error="invalid_token"' }, '{"code":"PGRST303","details":null,"hint":null,"message":"JWT expired"}' ]
		if ($request->{headers}{authorization} // '') ne "Bearer $token";
	return Postgrest::answer($request, $state->{connstr});
}, secrets => { access_token => 'jwt' });
my $target = 'target';

$t->sql("CREATE DATABASE $target");
my $node = $t->activate->node;
my $connstr = $node->connstr($target);
$t->vendor->tell(connstr => $connstr);
sub there { return $node->safe_psql($target, $_[0]) }

there(q{
	CREATE TABLE contacts (email text PRIMARY KEY, name text, score numeric, big int8, at timestamptz, tags text[], doc jsonb,
		v int, note text DEFAULT 'kept', CHECK (score < 1000));
	COMMENT ON TABLE contacts IS 'People to write to';
	CREATE SCHEMA api;
	CREATE TABLE api.stock (site text, "sku no" text, qty int8, v int, PRIMARY KEY (site, "sku no"));
	CREATE TABLE team (id int PRIMARY KEY);
	CREATE TABLE member (id int PRIMARY KEY, team int REFERENCES team, v int);
	CREATE TABLE twins (id int PRIMARY KEY, email text, v int);
	CREATE TABLE log (id int, what text);
});

# ------------------------------------------------------------------ check, catalogue
is($t->sql("SELECT count(*) FROM activate.check_connector('{\"extends\": \"postgrest\"}') WHERE kind NOT IN ('request')"), 0, 'the document has no problem');
is($t->sql("SELECT ok FROM activate.check_destination('d')"), 't', 'the root is the check');
$t->sql("CALL activate.refresh_destination('d', '{contacts}')");
like($t->sql("SELECT string_agg(object, ' ' ORDER BY object) FROM activate.objects('d')"), qr/contacts.*team/, 'tables are objects');

is($t->sql("SELECT string_agg(field || ' ' || type, ', ' ORDER BY field) FROM activate.fields('d', 'contacts') WHERE field IN ('big', 'doc', 'email', 'score')"),
	'big integer, doc json, email text, score number', 'and columns fields, of their types');

# ------------------------------------------------------------------ upsert, and exactness
$t->sql(q{CREATE TABLE people (id int PRIMARY KEY, email text, name text, score numeric, big int8, at timestamptz, tags text[], doc jsonb, v int DEFAULT 0);
	INSERT INTO people VALUES (1, 'ada@example.com', 'Ada, "Countess"', 12345678901234.567890123, 9007199254740993, '2026-01-02 03:04:05.678901+00', '{a,"b c",NULL}', '{"x": 9007199254740993.1}'),
		(2, 'bob&co=1@example.com', NULL, 7, -1, NULL, NULL, NULL), (3, 'émile@example.com', 'É', 0.10, 0, '0001-02-03 04:05:06+00', '{}', '[]');
	UPDATE people SET score = 999.5678901234567890123 WHERE id = 1});
$t->sql(q{SELECT activate.create_sync('people', 'public.people', key => 'email', destination => 'd', object => 'contacts',
	mapping => 'email, name, score, big, at, tags, doc, v', mode => 'mirror', on_removed => 'delete',
	options => '{"max_removed": 100, "max_rejected": 100, "remove_after": "0s"}')});
$t->{table}{people} = 'people';
my $run = $t->run('people');
is("$run->{status} $run->{accepted}", 'succeeded 3', 'a first sync') || diag $run->{text};
my ($first) = grep { $_->{method} eq 'POST' } $t->requests;
is($first->{target}, '/contacts?on_conflict=email', 'on_conflict is the match');
is($first->{headers}{prefer}, 'resolution=merge-duplicates,return=minimal', 'and duplicates are merged');
my $columns = 'email, name, score, big, at, tags, doc';
is(there("SELECT json_agg(q ORDER BY email) FROM (SELECT $columns FROM contacts) q"),
	$t->sql("SELECT json_agg(q ORDER BY email) FROM (SELECT $columns FROM people) q"), 'every value arrives exactly');
$t->sql("UPDATE people SET name = 'Bob', at = NULL WHERE id = 2; UPDATE people SET score = NULL WHERE id = 3");
$run = $t->run('people');
is($run->{accepted}, 2, 'what changed goes again');
is(there("SELECT string_agg(coalesce(name, '-') || coalesce(score::text, '-') || note, ' ' ORDER BY email) FROM contacts WHERE email <> 'ada\@example.com'"),
	'Bob7kept É-kept', 'null is null, and other columns stay');
$t->sql('DELETE FROM people WHERE id = 2');
$run = $t->run('people');
is("$run->{status} $run->{accepted}", 'succeeded 1', 'a row that left') || diag $run->{text};
is(there('SELECT count(*) FROM contacts'), 2, 'is deleted, and no other');
my ($deleted) = grep { $_->{method} eq 'DELETE' } $t->requests;
is($deleted->{target}, '/contacts?email=eq.bob%26co%3D1%40example.com', 'by its match, whatever is in it');

# ------------------------------------------------------------------ whole refusals
$t->sql("INSERT INTO people (id, email, score) SELECT 10 + i, 'p' || i, i FROM generate_series(1, 20) i; UPDATE people SET score = 5000 WHERE id = 17");
$run = $t->run('people');
is("$run->{accepted} $run->{rejected}", '19 1', 'a batch that is refused for one row is searched for it');
like($t->sql("SELECT key::text || ' ' || state || ' ' || code || ' ' || message FROM activate.rejections WHERE sync = 'people'"),
	qr/^\{"email": "p7"\} refused 23514 HTTP 400: new row for relation "contacts" violates check constraint/, 'which is refused for good, in PostgreSQL\'s words');
$t->sql('DELETE FROM people WHERE id > 10');
$t->run('people');

$t->sql('CREATE TABLE ships (id int PRIMARY KEY, team int, v int DEFAULT 0); INSERT INTO ships VALUES (1, 1), (2, 2)');
there('INSERT INTO team VALUES (1)');
$t->sync('ships', 'ships', key => 'id', object => 'member', match => 'id', mapping => 'id, team, v', options => '{"max_rejected": 100}');
$t->run('ships');
$t->rows_become('a reference to what is not there yet', 'ships', { 1 => 'accepted', 2 => 'rejected 23503' });
there('INSERT INTO team VALUES (2)');
$t->sql("SELECT activate.retry_rows('ships')");
$t->run('ships');
$t->rows_become('is tried again, as it may be there by then', 'ships', { 1 => 'accepted', 2 => 'accepted' });

# ------------------------------------------------------------------ what answers mean
my %both = (1 => 'accepted', 2 => 'accepted');
my $e = sub { my ($code, $message) = @_; return qq({"code":"$code","details":null,"hint":null,"message":"$message"}) };
my %type = ('Content-Type' => 'application/json; charset=utf-8');
$t->means('a gateway\'s 429', 'ships', [ [ 429, { 'Retry-After' => 1 }, '' ] ], status => 'succeeded', requests => 2, rows => \%both);
$t->means('a deadlock', 'ships', [ [ 500, \%type, $e->('40P01', 'deadlock detected') ] ], status => 'succeeded', rows => \%both);
$t->means('a statement timeout halves', 'ships', [ [ 500, \%type, $e->('57014', 'canceling statement due to statement timeout') ] ],
	status => 'succeeded', requests => 3, rows => \%both);
$t->means('keys that differ halve', 'ships', [ [ 400, \%type, $e->('PGRST102', 'All object keys must match') ] ], status => 'succeeded', requests => 3, rows => \%both);
$t->means('no column', 'ships', [ [ 400, \%type, $e->('PGRST204', 'Could not find the column') ] ], status => 'failed', text => qr/Could not find the column/);
$t->means('no unique constraint', 'ships', [ [ 400, \%type, $e->('42P10', 'there is no unique or exclusion constraint matching') ] ],
	status => 'failed', text => qr/no unique or exclusion/);
$t->means('no privilege', 'ships', [ [ 403, \%type, $e->('42501', 'permission denied for table member') ] ], status => 'failed', text => qr/permission denied/);
my $policy = [ 403, \%type, $e->('42501', 'new row violates row-level security policy for table \"member\"') ];
$t->means('a policy of rows', 'ships', [ $policy, $policy ], rows => { 1 => 'rejected 42501', 2 => 'accepted' });
$t->vendor->tell(token => 'renewed');
$run = $t->means('an expired token', 'ships', [], status => 'failed', text => qr/JWT expired/);
$t->sql("ALTER USER MAPPING FOR PUBLIC SERVER d OPTIONS (SET access_token 'renewed')");
$t->means('a new one', 'ships', [], status => 'succeeded', rows => \%both);
$t->means('a malformed answer', 'ships', [ [ 502, {}, '<html>' ] ], status => 'succeeded', rows => \%both);

# ------------------------------------------------------------------ update, and what is absent
there("INSERT INTO api.stock VALUES ('LYS', 'A 1', 1), ('LYS', 'B', 2), ('PAR', 'A 1', 3)");
$t->sql(q{CREATE TABLE stock (id int PRIMARY KEY, site text, "sku no" text, qty int8, v int DEFAULT 0);
	INSERT INTO stock VALUES (1, 'LYS', 'A 1', 10), (2, 'QQQ', 'A 1', 20)});
$t->sync('stock', 'stock', key => 'id', object => 'api.stock', match => 'site, "sku no"', mapping => 'site, "sku no", qty, v', mode => 'update');
$run = $t->run('stock');
is("$run->{accepted} $run->{absent}", '1 1', 'an update of what is not there is absent') || diag $run->{text};
is(there('SELECT string_agg(qty::text, \' \' ORDER BY site, "sku no") FROM api.stock'), '10 2 3', 'one that is changes that row of the schema, by all of its match');
my ($patch) = grep { $_->{method} eq 'PATCH' } $t->requests;
is($patch->{headers}{'content-profile'}, 'api', 'a schema is a profile');
$t->sync('all_stock', 'stock', key => 'site, "sku no"', object => 'api.stock', match => 'site, "sku no"', mapping => 'site, "sku no", qty, v', mode => 'mirror', on_removed => 'delete',
	options => '{"max_removed": 100, "remove_after": "0s"}');
$run = $t->run('all_stock');
is($run->{accepted}, 2, 'a combination is a match of upserts, too') || diag $run->{text};
$t->sql('DELETE FROM stock WHERE id = 1');
$run = $t->run('all_stock');
is(there('SELECT string_agg(site || "sku no" || qty, \' \' ORDER BY site, "sku no") FROM api.stock'), 'LYSB2 PARA 13 QQQA 120', 'and of deletes');

# Updates that a match is not unique for change nothing.
there("INSERT INTO twins VALUES (1, 'x'), (2, 'x'), (3, 'y')");
$t->sql("CREATE TABLE twin (id int PRIMARY KEY, email text, v int DEFAULT 0); INSERT INTO twin VALUES (1, 'x', 5), (2, 'y', 5)");
$t->sync('twin', 'twin', key => 'id', object => 'twins', match => 'email', mapping => 'email, v', mode => 'update', options => '{"max_rejected": 100}');
$t->run('twin');
$t->rows_become('a match of several rows', 'twin', { 1 => 'refused match_not_unique', 2 => 'accepted' });
is(there('SELECT string_agg(coalesce(v, 0)::text, \' \' ORDER BY id) FROM twins'), '0 0 5', 'changes none of them');

# ------------------------------------------------------------------ on_removed clear; insert
$t->sql("CREATE TABLE c (id int PRIMARY KEY, team int, v int DEFAULT 0); INSERT INTO c VALUES (1, 1), (2, 2)");
$t->sync('c', 'c', key => 'id', object => 'member', match => 'id', mapping => 'id, team, v', mode => 'mirror', on_removed => 'clear',
	options => '{"max_removed": 100, "remove_after": "0s"}');
$t->run('c');
$t->sql('DELETE FROM c WHERE id = 2');
$run = $t->run('c');
is(there('SELECT string_agg(coalesce(team::text, \'-\'), \' \' ORDER BY id) FROM member'), '1 -', 'columns of a row that left are cleared') || diag $run->{text};
$t->sql("CREATE TABLE l (id int PRIMARY KEY, what text, v int DEFAULT 0); INSERT INTO l VALUES (1, 'a'), (2, 'b')");
$t->sync('l', 'l', key => 'id', object => 'log', mapping => 'id, what', mode => 'insert');
$run = $t->run('l');
is(there("SELECT string_agg(what, ' ' ORDER BY id) FROM log"), 'a b', 'inserts need no match') || diag $run->{text};

# ------------------------------------------------------------------ what it refuses, and Supabase
my $http = HTTP::Tiny->new;
my %head = ('Content-Type' => 'application/json', Authorization => 'Bearer renewed');
is($http->post($t->vendor->url . '/member', { headers => \%head, content => '[{"id":8},{"id":9,"team":1}]' })->{status}, 400, 'the stand-in refuses keys that differ');
is($http->request('DELETE', $t->vendor->url . '/member', { headers => \%head })->{status}, 599, 'and a request about a whole table');
$t->vendor->tell(token => 'sb_secret_x');
$t->destination('supabase', secrets => { api_key => 'sb_secret_x' }, options => {});
is($t->sql("SELECT ok FROM activate.check_destination('supabase')"), 't', 'Supabase\'s key');
my @all = $t->requests;
is($all[-1]{headers}{apikey}, 'sb_secret_x', 'stands in apikey, too');

done_testing();
