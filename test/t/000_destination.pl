# The test destination itself keeps the webhook contract and does what it is
# told: the other tests rely on it.
use strict;
use warnings;

use Destination;
use JSON::PP;
use Test::More;

my $d = Destination->start;
like($d->url, qr/^http:\/\/127\.0\.0\.1:\d{5}$/, 'a port of five digits');

sub post
{
	my ($object, @rows) = @_;
	my ($status, $body) = $d->http(POST => "/$object", encode_json({ sync => 's', run_id => 1, rows => \@rows }));
	return ($status, eval { decode_json($body)->{results} });
}

# given a row, when its fields are sent in part, then the others stay
post('contacts', { op => 'upsert', key => { id => 7 }, fields => { a => 1, b => 2 } });
my (undef, $results) = post('contacts', { op => 'update', key => { id => 7 }, fields => { b => 3 } },
	{ op => 'update', key => { id => 8 }, fields => {} });
is_deeply([ map { $_->{status} } @$results ], [qw(accepted absent)], 'results in the order of the rows');
is_deeply($d->record('contacts', { id => 7 })->{fields}, { a => 1, b => 3 }, 'fields are merged');
is($d->record('contacts', { id => 7 })->{writes}, 2, 'writes are counted');

post('contacts', { op => 'archive', key => { id => 7 } });
ok($d->record('contacts', { id => 7 })->{archived}, 'archive marks');
post('contacts', { op => 'delete', key => { id => 7 } });
is_deeply($d->records, [], 'delete removes');

# given numbers no double can hold, then they are kept letter by letter
$d->http(POST => '/n', '{"rows":[{"op":"upsert","key":{"id":9007199254740993},"fields":{"x":0.10000000000000000001}}]}');
is($d->lines('records', 'n'), qq({"id":9007199254740993} {"x":0.10000000000000000001}\n), 'exact numbers');

# scripts
$d->reset;
$d->script([ { status => 500, apply => 'before' }, { match => { contains => 'poison' }, times => -1, status => 400 } ]);
is((post('c', { op => 'upsert', key => { id => 1 }, fields => { v => 1 } }))[0], 500, 'a scripted status');
is(scalar @{ $d->records('c') }, 1, 'after applying');
is((post('c', { op => 'upsert', key => { id => 2 }, fields => { v => 'poison' } }))[0], 400, 'by content') for 1 .. 2;
is((post('c', { op => 'upsert', key => { id => 2 }, fields => { v => 'fine' } }))[0], 200, 'not others');
is_deeply([ map { $_->{status} } @{ $d->requests } ], [ 500, 400, 400, 200 ], 'the log');
is(scalar @{ $d->rows }, 4, 'rows of the log');

$d->script({ reject_rows => { where => '"bad"', error => 'no', retry => 0 } });
(undef, $results) = post('c', { op => 'upsert', key => { id => 3 }, fields => { v => 'bad' } },
	{ op => 'upsert', key => { id => 4 }, fields => { v => 'good' } });
is_deeply($results->[0], { status => 'rejected', error => 'no', retry => JSON::PP::false }, 'a row is rejected');
is($results->[1]{status}, 'accepted', 'its neighbour is not');
ok(!eval { $d->script({ staus => 500 }); 1 }, 'a misspelt script is an error');

# given deduplication, a change is applied once
$d->reset;
$d->config({ idempotency => 1 });
post('c', { op => 'upsert', key => { id => 1 }, fields => { v => $_ }, change_id => 'x' }) for 1, 2;
is_deeply($d->fields('c'), { '{"id":1}' => { v => 1 } }, 'a change_id counts once');

# given rows that are there already, then they count as repeats, whoever says so
post('c', { op => 'upsert', key => { id => 1 }, fields => { v => 1 }, change_id => 'y' });
post('c', { op => 'delete', key => { id => 9 } });
post('c', { op => 'upsert', key => { id => 1 }, fields => { v => 3 } });
is($d->stats->{repeats}, 3, 'repeats: a change_id again, a value again, a deletion of nothing');

# given a stale keep-alive, then the answer comes and the next request on it does not
$d->script({ close => 'next' });
my $stale = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $d->port, Timeout => 10) or die $@;
my $ask = "GET /x HTTP/1.1\r\nHost: x\r\n\r\n";
$stale->syswrite($ask);
$stale->sysread(my $first, 1000);
like($first, qr/200 OK.*"ok":true/s, 'stale: it answers');
$stale->syswrite($ask);
ok(!$stale->sysread(my $second, 1000), 'stale: the next request finds nobody');
is($d->stats->{faults}, 1, 'faults are counted');

my $port = $d->port;
$d->restart;
is($d->port, $port, 'restart keeps the port');
is($d->stats->{requests}, 0, 'and forgets the rest');
$d->stop;
ok(!eval { $d->stats; 1 }, 'stopped');

done_testing();
