# Elasticsearch and OpenSearch, by a stand-in and their own files: what is sent
# for each mode, and what each answer means for each row.
use strict;
use warnings;

use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

use ConnectorTest;
use Prism;

my $json = JSON::PP->new->canonical->allow_nonref->allow_bignum->utf8;
my %status = (index => 201, create => 201, update => 200, delete => 200);

# Each action as it went, and what the state says of an _id: [status, type, reason, how often].
sub usual
{
	my ($request, $state) = @_;
	my @items;

	return { name => 'n', cluster_name => 'search', cluster_uuid => 'uuid-1', version => { number => '8.15.0' } } if $request->{path} eq '/';
	return { indices => [ { name => 'people', attributes => ['open'] } ], aliases => [ { name => 'current', indices => ['people'] } ], data_streams => [ { name => 'logs' } ] }
		if $request->{path} eq '/_resolve/index/*';
	return { 'people-000001' => { mappings => { properties => { email => { type => 'keyword' }, score => { type => 'long' }, old => { type => 'alias', path => 'email' } } } } }
		if $request->{path} =~ m{/_mapping\z};
	return [ 400, { 'Content-Type' => 'application/json' }, '{"error":{"type":"action_request_validation_exception","reason":"id is too long, must be no longer than 512 bytes"},"status":400}' ]
		if defined $state->{too_long} && $request->{body} =~ /"_id":"$state->{too_long}"/;
	my @lines = map { $json->decode($_) } split /\n/, $request->{body};
	while (my $line = shift @lines)
	{
		my ($action) = keys %$line;
		my $said = $state->{says}{ $line->{$action}{_id} };
		$said = undef if $said && defined $said->[3] && $said->[3]-- <= 0;
		shift @lines if $action ne 'delete';
		push @items, { $action => !$said ? { status => $status{$action}, result => 'updated' } : !defined $said->[1] ? { status => $said->[0], result => 'not_found' }
			: { status => $said->[0], error => { type => $said->[1], reason => $said->[2] } } };
	}
	return { errors => (grep { (values %$_)[0]{error} } @items) ? JSON::PP::true : JSON::PP::false, items => \@items };
}

my $t = ConnectorTest->start('elasticsearch', \&usual, spec => 'elasticsearch/elasticsearch-bulk.prism.json',
	secrets => { api_key => 'a2V5' }, conf => "pg_activate.debug_late_off = on\n");
my @error = ('Content-Type' => 'application/json');

is($t->sql(q{SELECT count(*) FROM activate.check_connector('{"extends": "elasticsearch"}') WHERE kind NOT IN ('request')}), 0,
	'nothing is wrong with the document');

# ------------------------------------------------------------ what there is

is($t->sql("CALL activate.refresh_destination('d', '{people}')"), '', 'what there is, is asked for');
is($t->sql("SELECT string_agg(object, ' ' ORDER BY object) FROM activate.objects('d') WHERE object NOT LIKE '{%'"), 'current logs people',
	'indices, aliases and data streams');
is($t->sql("SELECT string_agg(field || ' ' || title, ', ' ORDER BY field) FROM activate.fields('d', 'people') WHERE field !~ '^_'"),
	'email keyword, old alias, score long', 'fields of a mapping');
is($t->sql("SELECT string_agg(field, ' ') FROM activate.fields('d', 'people') WHERE NOT writable"), 'old', 'an alias is not written');
$t->vendor->clear;

# ------------------------------------------------------------- what is sent

$t->sql(q{CREATE TABLE people (id bigint PRIMARY KEY, email text, score numeric, tags text[], at timestamptz, ok boolean, doc jsonb, v int DEFAULT 0);
	INSERT INTO people VALUES (9007199254740993, 'zoë "q"', 12345678901234567890.12345, ARRAY['a', NULL], '2026-01-02 03:04:05.678+01', true, '{"a": [1, null]}'),
		(8, NULL, NULL, '{}', NULL, NULL, NULL), (9, 'c', 0.1, '{x}', '2026-01-02', false, '{}')});
my @mapping = (key => 'id', object => 'people', mapping => 'id AS "_id", email, score, tags, at, ok, doc, v');
$t->sync('s', 'people', @mapping, mode => 'mirror', on_removed => 'delete',
	options => '{"remove_after": 0, "max_rejected": 100, "max_removed": 100}');
my @keys = qw(8 9 9007199254740993);
sub all { my (@states) = @_; return { map { $keys[$_] => $states[$_] // $states[0] } 0 .. 2 } }

$t->means('first', 's', [], status => 'succeeded', requests => 1, rows => all('accepted'));
my ($first) = $t->requests;
is($first->{path}, '/people/_bulk', 'one request to the index');
is($first->{headers}{authorization}, 'ApiKey a2V5', 'who writes');
is($first->{headers}{'content-type'}, 'application/x-ndjson', 'lines of JSON');
is($first->{body}, <<'END', 'documents are merged, values as they are, each digit of numbers');
{"update":{"_id":"8","retry_on_conflict":3}}
{"doc":{"email":null,"score":null,"tags":[],"at":null,"ok":null,"doc":null,"v":1},"doc_as_upsert":true}
{"update":{"_id":"9","retry_on_conflict":3}}
{"doc":{"email":"c","score":0.1,"tags":["x"],"at":"2026-01-02T00:00:00Z","ok":false,"doc":{},"v":1},"doc_as_upsert":true}
{"update":{"_id":"9007199254740993","retry_on_conflict":3}}
{"doc":{"email":"zoë \"q\"","score":12345678901234567890.12345,"tags":["a",null],"at":"2026-01-02T02:04:05.678Z","ok":true,"doc":{"a": [1, null]},"v":1},"doc_as_upsert":true}
END

# ------------------------------------------------------ what answers mean

sub says { my (%says) = @_; $t->vendor->tell(says => \%says); return }

says(8 => [ 400, 'document_parsing_exception', 'failed to parse field [score] of type [long]' ], 9 => [ 429, 'es_rejected_execution_exception', 'queue is full', 3 ]);
my $run = $t->means('partial failure', 's', []);
is($t->states('s')->{8}, 'refused document_parsing_exception', 'a value that does not fit the mapping is refused for good');
is($t->states('s')->{9007199254740993}, 'accepted', 'the others are accepted');
is("$run->{accepted} $run->{rejected} $run->{delayed}", '2 1 0', 'a full queue is waited for');
says();
$t->means('after the mapping was altered', 's', [], status => 'succeeded', rows => all('accepted'));
says(8 => [ 409, 'version_conflict_engine_exception', 'conflict' ], 9 => [ 503, 'unavailable_shards_exception', 'no shard' ],
	9007199254740993 => [ 400, 'illegal_argument_exception', 'Limit of total fields [1000] has been exceeded' ]);
$run = $t->means('conflict, no shard, no room', 's', []);
is($t->states('s')->{9007199254740993}, 'rejected illegal_argument_exception', 'what the index may take later is tried again');
is("$run->{accepted} $run->{rejected} $run->{delayed}", '0 1 2', 'a conflict and a shard that is away are for the next run');
says();
$t->means('then', 's', [], status => 'succeeded', rows => all('accepted'));
my $body = sub { my ($type, $reason, $code) = @_; return $json->encode({ error => { type => $type, reason => $reason }, status => $code }) };
$t->means('throttle', 's', [ [ 429, { @error, 'Retry-After' => 1 }, $body->('circuit_breaking_exception', 'Data too large', 429) ] ],
	status => 'succeeded', requests => 2, rows => all('accepted'));
$t->means('too large', 's', [ [ 413, {}, '' ] ], status => 'succeeded', rows => all('accepted'));
$t->vendor->tell(too_long => '8');
$t->means('one id too long', 's', [],
	rows => all('rejected action_request_validation_exception', 'accepted', 'accepted'));
$t->vendor->tell(too_long => undef);
$t->means('full disk', 's', [ [ 403, {@error}, $body->('cluster_block_exception', 'index [people] blocked by: [FORBIDDEN/12/index read-only / allow delete (api)];', 403) ] ],
	status => 'succeeded', requests => 2, rows => all('accepted'));
$t->means('expired key', 's', [ [ 401, {@error}, $body->('security_exception', 'unable to authenticate with provided credentials', 401) ] ],
	status => 'failed', text => qr/unable to authenticate/);
$t->means('no right', 's', [ [ 403, {@error}, $body->('security_exception', 'action [indices:data/write/bulk] is unauthorized', 403) ] ],
	status => 'failed', text => qr/is unauthorized/);
$t->means('no index', 's', [ { errors => JSON::PP::true, items => [ map { { update => { status => 404, error => { type => 'index_not_found_exception', reason => 'no such index [people]' } } } } @keys ] } ],
	status => 'failed', text => qr/index does not exist/);
$t->means('gateway', 's', [ [ 502, {}, '<html>' ] ], status => 'succeeded', requests => 2, rows => all('accepted'));
$t->means('malformed', 's', [ [ 200, {@error}, '{"items":[' ] ], status => 'succeeded', requests => 2, rows => all('accepted'));
$t->means('one item short', 's', [ { errors => JSON::PP::false, items => [ { update => { status => 200 } } ] } ], status => 'succeeded', requests => 2, rows => all('accepted'));
$t->means('a lost answer', 's', [ undef ], status => 'succeeded', requests => 2, rows => all('accepted'));

# ----------------------------------------------------- removals, other modes

says(9 => [404]);
$t->sql('DELETE FROM people WHERE id <> 8; UPDATE people SET email = $$x$$');
$run = $t->run('s');
is("$run->{status} $run->{removed} $run->{changed}", 'succeeded 2 1', 'changes and removals') or diag $run->{text};
my ($mixed) = ($t->requests)[-1];
like($mixed->{body}, qr/^\{"delete":\{"_id":"9"\}\}$/m, 'share a request');
like($mixed->{body}, qr/^\{"update":\{"_id":"8"/m, 'of both kinds');
is(scalar(keys %{ $t->states('s') }), 1, 'a document that was gone already is no error');
says();
$t->sync('cleared', 'people', @mapping, mode => 'mirror', on_removed => 'clear', options => '{"remove_after": 0, "max_removed": 100}');
$t->run('cleared');
$t->sql(q{INSERT INTO people VALUES (9, 'c')});
$t->run('cleared');
$t->sql('DELETE FROM people WHERE id = 9');
is($t->run('cleared')->{status}, 'succeeded', 'clear');
like(($t->requests)[-1]{body}, qr/^\{"update":\{"_id":"9","retry_on_conflict":3\}\}\n\{"doc":\{"email":null,.*\}\}\n\z/, 'sets fields to null');

$t->sync('updated', 'people', @mapping, mode => 'update');
says(8 => [ 404, 'document_missing_exception', '[8]: document missing' ]);
$t->run('updated');
$t->rows_become('update: a document that is not there is absent', 'updated', { 8 => 'absent document_missing_exception' });
unlike(($t->requests)[-1]{body}, qr/doc_as_upsert/, 'and is not made');

$t->sync('events', 'people', key => 'id', object => 'logs', mapping => 'id AS "_id", email, at AS "@timestamp"', mode => 'append', options => '{"first_run": "send"}');
says(8 => [ 409, 'version_conflict_engine_exception', '[8]: version conflict, document already exists (current version [1])' ]);
is($t->run('events')->{accepted}, 1, 'append: an event that is there already counts');
is(($t->requests)[-1]{body}, qq({"create":{"_id":"8"}}\n{"email":"x","\@timestamp":null}\n), 'it is made, never changed');
says();
$t->sync('routed', 'people', key => 'id', object => 'people', match => '_id, _routing', mapping => q{id AS "_id", 'r' || id AS "_routing", email});
$t->run('routed');
is(($t->requests)[-1]{body}, qq({"update":{"_id":"8","routing":"r8","retry_on_conflict":3}}\n{"doc":{"email":"x"},"doc_as_upsert":true}\n), 'routing');

# ------------------------------------------------ other servers and credentials

$t->destination('aws', options => { aws_region => 'eu-west-1', pipeline => 'clean', refresh => 'wait_for' },
	secrets => { access_key_id => 'AKIDEXAMPLE', secret_access_key => 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY', session_token => 'st' });
$t->destination('basic', secrets => { username => 'elastic', password => 'secret' });
foreach my $case ([ 'aws', qr{^AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/\d{8}/eu-west-1/es/aws4_request} ], [ 'basic', qr/^Basic ZWxhc3RpYzpzZWNyZXQ=$/ ])
{
	my ($name, $authorization) = @$case;
	$t->sync("to_$name", 'people', destination => $name, @mapping);
	is($t->run("to_$name")->{status}, 'succeeded', $name);
	like(($t->requests)[-1]{headers}{authorization}, $authorization, 'is authorized');
}
my ($aws) = grep { $_->{query}{pipeline} } $t->requests;
is("$aws->{query}{pipeline} $aws->{query}{refresh}", 'clean wait_for', 'pipeline and refresh');
is($t->sql("SELECT bool_and(ok) FROM activate.check_destination('d')"), 't', 'check_destination');

# ------------------------------------------------------- the vendors' files

my $bulk = sub { $_[0]{path} =~ /_bulk\z/ };
$t->fits($bulk);
$t->broken({ %$first, method => 'GET' }, 'a bulk that is read');
SKIP:
{
	my $spec = 'opensearch/opensearch-bulk.prism.json';
	skip "no $spec", 2 unless Prism->has($spec);
	my $prism = Prism->start($spec);
	$prism->accepts($first, 'OpenSearch');
	$prism->refuses({ %$first, method => 'GET' }, 'OpenSearch: a bulk that is read');
}

done_testing();
