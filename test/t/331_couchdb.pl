# CouchDB: a server that speaks its protocol (PouchDB's) has what the model
# has, also after conflicts and a kill in mid run; the rest from a stand-in.
use strict;
use warnings;

use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

use ConnectorTest;
use Pouchdb;

use constant ROWS => 10_000;

my $json = JSON::PP->new->canonical->allow_nonref->allow_bignum->utf8;

# What a server without any other writer answers: made-up revisions.
sub usual
{
	my ($request, $state) = @_;
	my $body = $request->{json};
	return { rows => [ map { $state->{rev}{$_} ? { id => $_, key => $_, value => { rev => $state->{rev}{$_} } } : { key => $_, error => 'not_found' } } @{ $body->{keys} } ] }
		if $request->{path} =~ m{/_all_docs\z};
	return [ 201, [ map {
		my $known = $state->{rev}{ $_->{_id} };
		($known // '') eq ($_->{_rev} // '') ? do { $state->{rev}{ $_->{_id} } = ++$state->{n} . '-a'; { ok => JSON::PP::true, id => $_->{_id}, rev => "$state->{n}-a" } }
			: { id => $_->{_id}, error => 'conflict', reason => 'Document update conflict.' } } @{ $body->{docs} } ] ];
}

my $t = ConnectorTest->start('couchdb', \&usual, spec => '_handwritten/couchdb-bulk-docs.json',
	secrets => { username => 'activate', password => 'secret' }, conf => "pg_activate.debug_late_off = on\n");
my $couch = Pouchdb->start;

is($t->sql(q{SELECT count(*) FROM activate.check_connector('{"extends": "couchdb"}') WHERE kind NOT IN ('request')}), 0,
	'nothing is wrong with the document');
$t->destination('real', options => { base_url => $couch->url }, secrets => {});

# --------------------------------------------------------- the real server

$couch->ask(PUT => "/$_") foreach qw(people other);
my $rows = ROWS;

# What JavaScript's numbers can carry: the server is one.
$t->sql(<<END);
CREATE TABLE people (id bigint PRIMARY KEY, big bigint, amount numeric, name text, note text, active boolean, at timestamptz, day date, tags text[], doc jsonb, v int DEFAULT 0);
INSERT INTO people SELECT i, 9007199254740991 - i, i + 0.25, 'Zoë "' || i || '" \\ 東京 😀' || chr(9) || chr(10), CASE WHEN i % 2 = 0 THEN '' END, i % 2 = 0,
	'2026-03-29 01:30:00.5+00'::timestamptz + i * interval '1 minute', '2026-01-01'::date + (i % 300)::int,
	CASE i % 3 WHEN 0 THEN '{}' ELSE ARRAY['a,b', NULL, 'c"' || i] END::text[], jsonb_build_object('i', i, 'a', '[1, null]'::jsonb)
FROM generate_series(1, $rows) AS i;
END

sub stored_is_model
{
	my ($name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $docs = $couch->docs('people');
	my $wanted = $json->decode($t->sql(<<'END'));
SELECT json_object_agg(id, json_build_object('_id', id::text, 'big', big, 'amount', amount, 'name', name, 'note', note, 'active', active,
	'at', to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.FF1"Z"'), 'day', day, 'tags', tags, 'doc', doc)) FROM people
END
	my @differ;
	delete $_->{_rev} foreach values %$docs;
	foreach my $id (sort keys %{ { %$docs, %$wanted } })
	{
		my ($got, $want) = map { defined $_->{$id} ? $json->encode($_->{$id}) : 'nothing' } $docs, $wanted;
		push @differ, "$got\n$want" if $got ne $want;
	}
	return ok(!@differ && keys %$docs >= ROWS / 10, $name) || diag scalar(@differ), "\n", $differ[0] // '';
}

is($t->sql("CALL activate.refresh_destination('real')"), '', 'which databases there are, is asked for');
is($t->sql("SELECT string_agg(object, ' ' ORDER BY object) FROM activate.objects('real') WHERE object NOT LIKE '{%'"), 'other people', 'databases');

$t->sync('people', 'people', key => 'id', destination => 'real', object => 'people', mode => 'mirror', on_removed => 'delete',
	mapping => 'id AS "_id", big, amount, name, note, active, at, day, tags, doc',
	options => '{"remove_after": 0, "batch_size": 100, "max_removed": "100 %"}');

# given documents that somebody else made, then they are found, and become the model's
$couch->ask(POST => '/people/_bulk_docs', { docs => [ map { { _id => "$_", by => 'somebody' } } 1 .. 20 ] });

# given a server that is killed in mid run, then the run goes on
my $under_way = $t->activate->begin('people', set => { 'pg_activate.debug_retry_pause' => '2s' });
until ($t->activate->has_ended($under_way) || ($couch->ask(GET => '/people'))[1]{doc_count} > 1000) { sleep 0.05 }
$couch->stop('KILL');
ok(!$t->activate->has_ended($under_way), 'the server is killed in mid run');
$couch->restart;
my $run = $t->activate->end($under_way);
is("$run->{status} $run->{rejected}", 'succeeded 0', 'the run goes on when the server is back') or diag $run->{text};
cmp_ok($run->{retries}, '>', 0, 'by trying again');
stored_is_model(ROWS . ' documents are those of the model');

# revisions are remembered: no lookup for what is known
my $requests = $run->{requests};
$t->sql("UPDATE people SET note = 'changed' WHERE id <= 300");
$run = $t->run('people');
is("$run->{status} $run->{requests}", 'succeeded 3', 'changes go without asking for revisions again') or diag $run->{text};

sub revisions
{
	my (@ids) = @_;
	my ($status, $answer) = $couch->ask(POST => '/people/_all_docs', { keys => [ map { "$_" } @ids ] });
	return { map { $_->{key} => $_->{value}{rev} } @{ $answer->{rows} } };
}

# given documents that somebody else changed, deleted or made anew, then the run comes to terms with them
my $revisions = revisions(1 .. 9);
$couch->ask(POST => '/people/_bulk_docs', { docs => [ (map { { _id => "$_", _rev => $revisions->{$_}, by => 'somebody' } } 1 .. 5),
	map { { _id => "$_", _rev => $revisions->{$_}, _deleted => JSON::PP::true } } 6 .. 9 ] });
$couch->ask(POST => '/people/_bulk_docs', { docs => [ { _id => '9', by => 'somebody' } ] });
$t->sql("UPDATE people SET note = 'again' WHERE id <= 50");
$run = $t->run('people');
is("$run->{status} $run->{accepted}", 'succeeded 50', 'conflicts are settled in the same run') or diag $run->{text};
is(join(' ', map { ($couch->ask(GET => "/people/$_"))[1]{note} } 1 .. 10), join(' ', ('again') x 10), 'and the model is what counts');

# removals, also of what somebody changed or deleted meanwhile
$revisions = revisions(1, 2);
$couch->ask(POST => '/people/_bulk_docs', { docs => [ { _id => '1', _rev => $revisions->{1}, by => 'somebody' }, { _id => '2', _rev => $revisions->{2}, _deleted => JSON::PP::true } ] });
$t->sql('DELETE FROM people WHERE id <= 9000');
$run = $t->run('people');
is("$run->{status} $run->{removed} $run->{rejected}", 'succeeded 9000 0', 'removals') or diag $run->{text};
stored_is_model('are done');
$t->sql("INSERT INTO people (id, name) VALUES (1, 'back')");
$run = $t->run('people');
is("$run->{status} $run->{accepted}", 'succeeded 1', 'a row that is back') or diag $run->{text};
is(($couch->ask(GET => '/people/1'))[1]{name}, 'back', 'is a document again');
$t->activate->sums_hold('people');

# the other modes
$couch->ask(PUT => '/other/1', { by => 'somebody' });
$t->model('few', map { { id => $_, what => "w$_" } } 1 .. 3);
$t->sync('made', 'few', key => 'id', destination => 'real', object => 'other', mapping => 'id AS "_id", what', mode => 'insert');
is($t->run('made')->{accepted}, 3, 'insert');
is(join(' ', map { $_->{what} // $_->{by} } @{ $couch->docs('other') }{qw(1 2 3)}), 'somebody w2 w3', 'leaves alone what is there');
$couch->ask(PUT => '/third');
$couch->ask(PUT => '/third/1', { by => 'somebody' });
$t->sync('changed', 'few', key => 'id', destination => 'real', object => 'third', mapping => 'id AS "_id", what', mode => 'update');
is($t->run('changed')->{accepted}, 1, 'update');
$t->rows_become('changes what is there, and makes nothing', 'changed', { 1 => 'accepted', 2 => 'absent', 3 => 'absent' });

# given a database that is not there
$t->sync('nowhere', 'few', key => 'id', destination => 'real', object => 'nowhere', mapping => 'id AS "_id"');
$run = $t->run('nowhere');
is("$run->{status} $run->{rejected}", 'failed 0', 'a database that is not there stops the run');
like($run->{text}, qr/HTTP 404: no_db_file/, 'and is said to be missing');

# -------------------------------------------------- what a stand-in answers

$t->model('new', { id => 9007199254740993, amount => '12345678901234567890.12345' }, { id => 8, amount => '0.1' });
$t->sync('s', 'new', key => 'id', object => 'main', mapping => 'id AS "_id", amount, v', mode => 'mirror', on_removed => 'delete',
	options => '{"remove_after": 0, "max_rejected": 100, "max_removed": 100}');
sub both { my ($state) = @_; return { 8 => $state, 9007199254740993 => $state } }

$run = $t->means('first', 's', [], status => 'succeeded', requests => 2, rows => both('accepted'));
my @first = $t->requests;
is($first[0]{body}, '{"keys":["8","9007199254740993"]}', 'revisions are asked for together');
is($first[1]{body}, '{"docs":[{"_id":"8","amount":0.1,"v":1},{"_id":"9007199254740993","amount":12345678901234567890.12345,"v":1}]}', 'each digit of numbers');
is($first[1]{headers}{authorization}, 'Basic YWN0aXZhdGU6c2VjcmV0', 'who writes');
$t->means('a change', 's', [], status => 'succeeded', requests => 1, rows => both('accepted'));
like(($t->requests)[-1]{body}, qr/"_rev":"\d-a"/, 'by the revision that is remembered');

sub each_of { my ($eight, $other) = @_; return [ 201, [ { id => '8', %$eight }, { id => '9007199254740993', %$other } ] ] }
my $ok = { ok => JSON::PP::true, rev => '9-z' };

# revisions that the stand-in does not have any more
$t->means('partial', 's', [ each_of({ error => 'forbidden', reason => 'no v' }, $ok) ], rows => { 8 => 'refused forbidden', 9007199254740993 => 'accepted' });
$t->means('conflict', 's', [], status => 'succeeded', rows => both('accepted'));
$t->means('conflicts without end', 's', [ map { (each_of(({ error => 'conflict', reason => 'Document update conflict.' }) x 2),
	{ rows => [ map { { id => $_, key => $_, value => { rev => '3-x' } } } '8', '9007199254740993' ] }) } 1 .. 4 ], rows => both('rejected conflict'));
$t->means('throttle', 's', [ [ 429, { 'Retry-After' => 1 }, '{"error":"too_many_requests","reason":"slow down"}' ] ], status => 'succeeded', rows => both('accepted'));
$t->means('too large', 's', [ [ 413, {}, 'too large' ] ], status => 'succeeded', rows => both('accepted'));
$t->means('one too large', 's', [ [ 413, { 'Content-Type' => 'application/json' }, '{"error":"document_too_large","reason":"8"}' ], [ 413, { 'Content-Type' => 'application/json' }, '{"error":"document_too_large","reason":"8"}' ] ],
	rows => { 8 => 'refused document_too_large', 9007199254740993 => 'accepted' });
$t->means('a member that is not allowed', 's', [ map { [ 400, { 'Content-Type' => 'application/json' }, '{"error":"doc_validation","reason":"Bad special document member: _x"}' ] } 1 .. 3 ],
	rows => both('refused doc_validation'));
$t->means('expired credentials', 's', [ [ 401, { 'Content-Type' => 'application/json' }, '{"error":"unauthorized","reason":"Name or password is incorrect."}' ] ], status => 'failed', text => qr/Name or password is incorrect/);
$t->means('read-only', 's', [ [ 403, { 'Content-Type' => 'application/json' }, '{"error":"forbidden","reason":"You are not allowed to access this db."}' ] ], status => 'failed', text => qr/not allowed to access/);
$t->means('malformed', 's', [ [ 201, { 'Content-Type' => 'application/json' }, '[{"ok"' ] ], status => 'succeeded', rows => both('accepted'));
$t->means('half of the rows', 's', [ [ 201, [ { ok => JSON::PP::true, id => '8', rev => '9-z' } ] ] ], status => 'succeeded', rows => both('accepted'));
$t->means('a lost answer', 's', [ undef ], status => 'succeeded', rows => both('accepted'));
$t->sql('DELETE FROM new WHERE id = 8');
$run = $t->run('s');
is("$run->{status} $run->{removed}", 'succeeded 1', 'a removal');
like(($t->requests)[-1]{body}, qr/^\{"docs":\[\{"_id":"8","_rev":"[^"]+","_deleted":true\}\]\}$/, 'is a deleted revision');

my ($check) = @{ $t->rows("SELECT * FROM activate.check_destination('real')") };
ok($check->{ok}, 'check_destination') or diag explain $check;
$t->fits(sub { $_[0]{path} =~ m{^/main/} });
my ($one) = grep { $_->{path} =~ /_bulk_docs/ } $t->requests;
$t->broken({ %$one, body => '{"docs":{"_id":"8"}}' }, 'docs are no array');

done_testing();
