# What later tests are held against is itself seen to work: the stand-in for
# vendors, their own files as judges, and servers from Debian and npm.
use strict;
use warnings;

use HTTP::Tiny;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

use Clickhouse;
use Pouchdb;
use Prism;
use Vendor;

my $http = HTTP::Tiny->new;
my $vendor = Vendor->start(sub {
	my ($request, $state) = @_;
	$state->{seen}++;
	return [404] if $state->{gone};
	return [ 429, { 'Retry-After' => 1 }, 'slow' ] if $request->{path} eq '/slow';
	die 'no such thing' if $request->{path} eq '/die';
	return { got => $request->{json}, query => $request->{query} };
});
my $answer = $http->post($vendor->url . '/a?b=c%20d', { content => '{"x":[1,12345678901234567890]}', headers => { 'content-type' => 'application/json' } });
is($answer->{content}, '{"got":{"x":[1,12345678901234567890]},"query":{"b":"c d"}}', 'the stand-in hears a request');
is($http->get($vendor->url . '/slow')->{status}, 429, 'and answers what it is told');
like($http->get($vendor->url . '/die')->{content}, qr/no such thing/, 'a handler that dies is heard of');
$vendor->tell(gone => 1);
is($http->get($vendor->url . '/a')->{status}, 404, 'it is told more');
is(scalar($vendor->requests), 4, 'it remembers requests');
is($vendor->state->{seen}, 4, 'and its state');
$vendor->clear;
is(scalar($vendor->requests), 0, 'until it is told to forget');

SKIP:
{
	my $spec = 'customer.io/customer-io-track.subset.json';
	skip "no $spec", 2 unless Prism->has($spec);
	my $prism = Prism->start($spec);
	my %request = (method => 'POST', target => '/api/v2/batch',
		headers => { 'content-type' => 'application/json', authorization => 'Basic YTpi' });
	$prism->accepts({ %request, body => '{"batch":[{"type":"person","identifiers":{"id":"7"},"action":"identify","attributes":{"plan":"pro"}}]}' }, 'a batch');
	$prism->refuses({ %request, body => '{"batch":{"type":"person"}}' }, 'no array');
}

my $couch = Pouchdb->start;
is(($couch->ask(PUT => '/people'))[0], 201, 'a CouchDB-compatible server makes a database');
is(($couch->ask(POST => '/people/_bulk_docs', { docs => [ { _id => '7', plan => 'pro' } ] }))[0], 201, 'takes documents');
$couch->stop('KILL');
$couch->restart;
is($couch->docs('people')->{7}{plan}, 'pro', 'and has them after it was killed');

SKIP: {
	skip 'needs clickhouse-server', 2 unless Clickhouse->is_installed;
	my $clickhouse = Clickhouse->start;
	$clickhouse->query('CREATE TABLE t (id Int64, v String) ENGINE = MergeTree ORDER BY id');
	$clickhouse->query(qq(INSERT INTO t FORMAT JSONEachRow\n{"id":9007199254740993,"v":"a"}\n));
	is_deeply($clickhouse->rows('SELECT id, v FROM t'), [ { id => '9007199254740993', v => 'a' } ], 'ClickHouse takes rows');
	$clickhouse->restart;
	is($clickhouse->query('SELECT count() FROM t'), "1\n", 'and has them after a restart');
}

done_testing();
