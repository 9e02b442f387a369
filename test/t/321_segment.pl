# Segment: calls go out in batches, each with the id that Segment knows a
# repeated one by; what Segment would drop without a word is never sent.
use strict;
use warnings;

use ConnectorTest;
use MIME::Base64;
use PostgreSQL::Test::Utils;
use Test::More;

my $t = ConnectorTest->start('segment', sub {
	my ($request, $state) = @_;

	return [ 404, {}, 'not found' ] unless $request->{method} eq 'POST' && $request->{path} eq '/v1/batch';
	return [ 400, { success => JSON::PP::false, message => 'malformed JSON' } ] unless $request->{json};
	# It takes anything, whoever sends it.
	push @{ $state->{calls} }, @{ $request->{json}{batch} };
	return { success => JSON::PP::true };
}, spec => 'segment/segment-http-tracking-api-openapi.yml', strip => '/v1', secrets => { api_key => 'abc123' });

is_deeply($t->rows(q(SELECT pointer, message FROM activate.check_connector('{"extends": "segment"}') WHERE kind = 'error')), [], 'nothing is wrong with the document');
is($t->rows(q(SELECT ok FROM activate.check_destination('d')))->[0]{ok}, 1, 'a check reaches Segment');
is(($t->requests)[0]{headers}{authorization}, 'Basic ' . encode_base64('abc123:', ''), 'the write key is the user, without a password');

sub calls { return @{ $t->vendor->state->{calls} // [] } }
sub bodies { return map { $_->{body} } grep { $_->{path} eq '/v1/batch' } $t->requests }
sub refused
{
	my ($sql, $text, $name) = @_;
	my ($status, undef, $err) = $t->activate->node->psql('postgres', $sql);
	return like($err, $text, $name);
}

# Users and their traits
$t->model('users', { id => '9007199254740993', email => 'ada@example.com', score => '71.50', plan => undef, seen => '2026-01-02 03:04:05.678+01' },
	{ id => 8, email => 'bob@example.com', score => '99999999999999999.99', plan => 'pro', seen => undef });
$t->sql('ALTER TABLE users ALTER seen TYPE timestamptz USING seen::timestamptz, ALTER score TYPE numeric');
$t->sync('users', 'users', key => 'id', object => 'identify', mode => 'mirror', on_removed => 'clear', options => '{"max_removed": "100 %"}',
	mapping => q({"userId": "id", "email": "email", "score": "score", "plan": "plan", "timestamp": "seen", "address": {"city": "'Lyon'"},
		"integrations": {"All": false, "Mixpanel": true}}));
my $run = $t->run('users');
is("$run->{status} $run->{accepted} $run->{requests}", 'succeeded 2 1', 'both in one request') or diag $run->{text};
$t->rows_become('each accepted', 'users', { '9007199254740993' => 'accepted', 8 => 'accepted' });
my ($body) = (bodies())[-1] =~ s/(?<=[,:]) //gr;
like($body, qr/"type":"identify","messageId":"[0-9a-f-]{36}","userId":"9007199254740993","timestamp":"2026-01-02T02:04:05\.678Z","integrations":\{"All":false,"Mixpanel":true\},"traits":\{"email":"ada\@example\.com","score":71\.50,"plan":null,"address":\{"city":"Lyon"\}\}/,
	'userId is text, times end at the millisecond in UTC, all that is no part of a call is a trait');
like($body, qr/"userId":"8","integrations".*"score":99999999999999999\.99/, 'a time that is null is left out, numbers are exact');
my %message = map { $_->{userId} => $_->{messageId} } calls();

$t->sql("UPDATE users SET plan = 'max' WHERE id = 8");
is($t->run('users')->{accepted}, 1, 'a change');
isnt((calls())[-1]{messageId}, $message{8}, 'is another message');
$t->sql('DELETE FROM users WHERE id = 8');
is($t->run('users')->{accepted}, 1, 'a user that left');
is_deeply((calls())[-1]{traits}, { email => undef, score => undef, plan => undef, address => { city => undef } }, 'is cleared of what was sent');
is_deeply([ sort keys %{ (calls())[-1] } ], [ qw(messageId traits type userId) ], 'and of nothing else');
is((calls())[-1]{userId}, '8', 'by its userId');
refused(q(SELECT activate.create_sync('gone', 'users', 'id', 'd', object => 'identify', mapping => 'id AS "userId"', mode => 'mirror', on_removed => 'delete')),
	qr/delete/, 'Segment deletes nobody');
refused(q(SELECT activate.create_sync('nobody', 'users', 'id', 'd', object => 'identify', mapping => 'email')), qr/userId/, 'traits of nobody are an error');
$t->model('nameless', { id => 1, uid => 'u1' }, { id => 2, uid => undef });
$t->sync('nameless', 'nameless', key => 'id', object => 'identify', match => '"userId"', mapping => q({"userId": "uid"}), options => '{"max_invalid": "100 %"}');
$t->run('nameless');
$t->rows_become('a user without an id is never sent', 'nameless', { 1 => 'accepted', 2 => 'invalid match_is_null' });

# Events, each once
$t->model('orders', { id => 1, customer => 'u1', amount => '12.50' }, { id => 2, customer => 'u2', amount => '9007199254740993.01' });
$t->sync('orders', 'orders', key => 'id', object => 'track', mode => 'append', options => '{"first_run": "send"}',
	mapping => q({"event": "'Order Completed'", "userId": "customer", "order_id": "id", "revenue": "amount", "context": {"ip": "'203.0.113.7'"}}));
is($t->run('orders')->{accepted}, 2, 'events');
like((bodies())[-1] =~ s/(?<=[,:]) //gr, qr/"type":"track","messageId":"[^"]+","event":"Order Completed","userId":"u2","context":\{"ip":"203\.0\.113\.7"\},"properties":\{"order_id":2,"revenue":9007199254740993\.01\}/,
	'what is no part of a call is a property');
$t->sql('UPDATE orders SET amount = 1');
is($t->run('orders')->{accepted}, 0, 'are not sent again when they change');
refused(q(SELECT activate.create_sync('mirrored', 'orders', 'id', 'd', object => 'track', mapping => '{"event": "''x''"}', mode => 'mirror', on_removed => 'delete')), qr/mode/, 'nor mirrored');

$t->model('visits', { id => 1, u => 'u1', a => undef }, { id => 2, u => undef, a => 'a-1' }, { id => 3, u => undef, a => undef });
$t->sync('visits', 'visits', key => 'id', object => 'track', mode => 'append', options => '{"first_run": "send", "max_invalid": "100 %"}',
	mapping => q({"event": "'Visit'", "userId": "u", "anonymousId": "a"}));
$t->run('visits');
is_deeply({ map { $_ => $t->states('visits')->{$_} =~ s/ .*//r } 1 .. 3 }, { 1 => 'accepted', 2 => 'accepted', 3 => 'invalid' }, 'an event of nobody, which Segment would drop, is never sent');
like($t->sql(q(SELECT message FROM activate.pending WHERE sync = 'visits')), qr/"userId", "anonymousId"/, 'and why is said');

# Groups, pages, screens, aliases
$t->model('members', { account => 'acme', person => 'u1', seats => 420 }, { account => 'acme', person => 'u2', seats => 420 });
$t->sync('members', 'members', key => 'account, person', object => 'group', mapping => q({"groupId": "account", "userId": "person", "employees": "seats"}));
is($t->run('members')->{accepted}, 2, 'users in groups');
is_deeply({ %{ (calls())[-1] }, messageId => 'x' }, { type => 'group', messageId => 'x', groupId => 'acme', userId => 'u2', traits => { employees => 420 } }, 'with traits of the group');
$t->model('views', { id => 1, visitor => 'a-1', page => 'Pricing', url => 'https://example.com/pricing' });
foreach my $object (qw(page screen))
{
	$t->sync("s_$object", 'views', key => 'id', object => $object, mode => 'append', options => '{"first_run": "send"}',
		mapping => q({"name": "page", "anonymousId": "visitor", "url": "url"}));
	is($t->run("s_$object")->{accepted}, 1, "a $object");
	is_deeply({ %{ (calls())[-1] }, messageId => 'x' }, { type => $object, messageId => 'x', name => 'Pricing', anonymousId => 'a-1', properties => { url => 'https://example.com/pricing' } }, 'of somebody anonymous');
}
$t->model('merges', { id => 1, former => 'a-1', uid => 'u1' });
$t->sync('merges', 'merges', key => 'id', object => 'alias', mode => 'append', options => '{"first_run": "send"}', mapping => q({"previousId": "former", "userId": "uid"}));
is($t->run('merges')->{accepted}, 1, 'an alias');
refused(q(SELECT activate.create_sync('merges2', 'merges', 'id', 'd', object => 'alias', mapping => '{"previousId": "former", "userid": "uid"}', mode => 'insert')), qr/"userid".*"userId"/s, 'that has no other fields');

# Sizes
$t->sql(q(CREATE TABLE large AS SELECT i AS id, repeat('x', CASE WHEN i = 3 THEN 32000 ELSE 20000 END) AS note, 0 AS v FROM generate_series(1, 60) AS i));
$t->sync('large', 'large', key => 'id', object => 'identify', mapping => q({"userId": "id", "note": "note"}), options => '{"max_invalid": "100 %"}');
my $before = () = $t->requests;
$run = $t->run('large');
is($run->{accepted}, 59, 'what fits goes');
is($t->states('large')->{3}, 'invalid size', 'a call of more than 32 KB is never sent');
my @large = (bodies())[ -((() = $t->requests) - $before) .. -1 ];
cmp_ok((sort { $b <=> $a } map { length } @large)[0], '<=', 500_000, 'and no request has more than 500 KB');
cmp_ok(scalar @large, '>=', 3, 'so there are several');

# Answers
$t->model('one', { id => 'u1', plan => 'pro' });
$t->sync('one', 'one', key => 'id', object => 'identify', mapping => q({"userId": "id", "plan": "plan", "v": "v"}));
$t->means('a throttle', 'one', [ [ 429, { 'Retry-After' => 1, 'X-RateLimit-Reset' => 1 }, '' ] ], status => 'succeeded', requests => 2, rows => { u1 => 'accepted' });
$t->means('a throttle that tells the reset', 'one', [ [ 429, { 'X-RateLimit-Reset' => 1 }, '' ] ], status => 'succeeded', requests => 2, rows => { u1 => 'accepted' });
$t->means('a refusal', 'one', [ [ 400, { success => JSON::PP::false, code => 'invalid_request', message => 'malformed JSON' } ] ], rows => { u1 => 'refused invalid_request' });
$t->means('a write key that is refused', 'one', [ ([ 401, { success => JSON::PP::false, message => 'Unauthorized' } ]) x 2 ], status => 'failed', text => qr/Unauthorized/);
$t->means('an answer of somebody else', 'one', [ ([ 200, { 'Content-Type' => 'text/html' }, '<html>' ]) x 5 ], rows => { u1 => 'delayed in_doubt' });
$t->model('lost', { id => 'u1' });
$t->sync('lost', 'lost', key => 'id', object => 'identify', mapping => q({"userId": "id", "v": "v"}));
$t->means('a server that stumbles', 'lost', [ [ 503, {}, 'x' ], undef ], status => 'succeeded', requests => 3, rows => { u1 => 'accepted' });
my @same = map { $_->{json}{batch}[0]{messageId} } ($t->requests)[ -3 .. -1 ];
is_deeply([ @same[ 1, 2 ] ], [ @same[ 0, 0 ] ], 'gets the same message again');
$t->model('many', map { { id => "u$_" } } 1 .. 5);
$t->sync('many', 'many', key => 'id', object => 'identify', mapping => q({"userId": "id", "v": "v"}), options => '{"max_rejected": "100 %"}');
$t->run('many');
$t->means('a whole refusal', 'many', [ [ 400, { success => JSON::PP::false, message => 'malformed JSON' } ] ], rows => { map { ("u$_" => 'accepted') } 1 .. 5 });

$t->fits(sub { @{ $_[0]{json}{batch} // [] } });
my ($any) = grep { ($_->{json}{batch}[0]{type} // '') eq 'track' } $t->requests;
$t->broken({ %$any, body => $any->{body} =~ s/"type":\s*"track",//gr }, 'calls without a type');

done_testing();
