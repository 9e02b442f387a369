# Events as messages in a chat: one each, none twice, none of the sync that
# sends them; and the address, which is the secret, is shown nowhere.
use strict;
use warnings;

use Activate;
use Destination;
use JSON::PP;
use Test::More;

my $a = Activate->start('alerts');
my $d = Destination->start;
my $token = 'T024BE7LD/B7Q4X2K9M/canary-of-the-hook-42?v=1';

$a->server('crm', $d);
$a->sql("CREATE SERVER chat FOREIGN DATA WRAPPER activate OPTIONS (connector 'chat', base_url '" . $d->url . "/hooks')");
$a->sql("CREATE USER MAPPING FOR PUBLIC SERVER chat OPTIONS (access_token '$token')");
$a->sql('CREATE TABLE people (id int PRIMARY KEY, name text)');
$a->sql(q{SELECT activate.create_sync('people', 'people', 'id', 'crm', object => 'people', mapping => 'name', options => '{"max_rejected": "100 %"}')});
$a->sql(q{SELECT activate.create_sync('alerts', $$SELECT event_id, kind || ': ' || message AS text FROM activate.events
	WHERE severity <> 'info' AND destination IS DISTINCT FROM 'chat'$$, 'event_id', 'chat', mapping => 'text', mode => 'append', options => '{"first_run": "baseline"}')});

my @chat = ({ match => { path => '/hooks*' }, times => -1, status => 200, body => 'ok', headers => { 'Content-Type' => 'text/plain' } });
my @gone = ({ match => { path => '/people*' }, times => -1, status => 404 });
my $seen = 0;

# The messages since the last look.
sub messages
{
	my @new = grep { $_->{path} =~ m{^/hooks} } @{ $d->requests($seen) };
	$seen = $_->{seq} > $seen ? $_->{seq} : $seen foreach @{ $d->requests($seen) };
	return map { ref $_->{body} ? $_->{body} : decode_json($_->{body}) } @new;
}

# given events before its first run, then they are no messages
$a->sql(q{INSERT INTO people VALUES (1, 'Ann')});
$d->script(@chat, @gone);
is($a->run('people')->{status}, 'failed', 'a sync fails');
is($a->run('alerts')->{status}, 'succeeded', 'the first run of alerts');
is(scalar messages(), 0, 'takes what happened before it as told');

# given a change of state, then there is one message, at the secret address
$d->script(@chat);
is($a->run('people')->{status}, 'succeeded', 'the sync succeeds again');
$a->sql(q{UPDATE people SET name = 'Bea'});
$d->script(@chat, @gone);
$a->run('people');
$a->run('people') for 1 .. 3;
is($a->run('alerts')->{status}, 'succeeded', 'and alerts have something to tell');
my @told = messages();
is(scalar @told, 1, 'four failed runs are one message');
is_deeply([ keys %{ $told[0] } ], ['text'], 'which is a text and nothing else');
like($told[0]{text}, qr/^run_failed: destination "crm" cannot be used/, 'that says what it is');
is($d->requests(0)->[-1]{path}, '/hooks/T024BE7LD/B7Q4X2K9M/canary-of-the-hook-42?v=1', 'at the secret address');
$a->run('alerts') for 1 .. 2;
is(scalar messages(), 0, 'once');

# given a lost answer, then the message is not sent again, and is listed
$d->script(@chat);
is($a->run('people')->{status}, 'succeeded', 'the sync succeeds again');
$a->sql(q{UPDATE people SET name = 'Cleo'});
$d->script({ match => { path => '/hooks*' }, close => 'after' }, @chat, @gone);
$a->run('people');
$a->run('alerts');
is(scalar messages(), 1, 'a message whose answer is lost');
is($a->sql("SELECT state, count(*) FROM activate.pending WHERE sync = 'alerts' GROUP BY 1"), 'unknown|1', 'is unknown');
$a->run('alerts') for 1 .. 2;
is(scalar messages(), 0, 'and is not sent again');

# given alerts themselves fail, then that is no message, now or later
$d->script({ match => { path => '/hooks*' }, times => -1, status => 403, body => 'invalid_token' }, @gone);
$d->script({ match => { path => '/hooks*' }, times => -1, status => 403, body => "invalid_token $token" });
is($a->run('people')->{status}, 'succeeded', 'the sync succeeds again');
$d->script({ match => { path => '/hooks*' }, times => -1, status => 403, body => "invalid_token canary-of-the-hook-42" }, @gone);
$a->sql(q{UPDATE people SET name = 'Dora'});
$a->run('people');
is($a->run('alerts')->{status}, 'failed', 'the chat refuses');
is(scalar messages() > 0, 1, 'what it was sent');
is($a->sql("SELECT count(*) FROM activate.events WHERE sync = 'alerts' AND kind = 'run_failed'"), 1, 'which is an event');
$d->script(@chat, @gone);
is($a->run('alerts')->{accepted}, 1, 'and no message: there is the one that was refused');
is(scalar(grep { $_->{text} =~ /alerts/ } messages()), 0, 'none is about alerts');

# the secret is nowhere
is($a->sql(q{SELECT class, regexp_replace(url, '^.*/hooks', ''), response_body FROM activate.requests WHERE sync = 'alerts' AND http_status = 403}),
	'auth|/********|invalid_token ********', 'the address is masked, and what repeats a part of it');
is($a->sql(q{SELECT count(*) FROM (SELECT r::text FROM activate.request AS r UNION ALL SELECT e::text FROM activate.event AS e
	UNION ALL SELECT r::text FROM activate.run AS r UNION ALL SELECT p::text FROM activate.pending AS p
	UNION ALL SELECT q::text FROM activate.preview_requests('alerts') AS q UNION ALL SELECT d::text FROM activate.destinations AS d) AS t (text)
	WHERE text ~ 'canary-of-the-hook'}), 0, 'nowhere else is it shown');
$a->sql(q{INSERT INTO activate.event (kind, severity, message) VALUES ('fence', 'warning', 'x')});
like($a->sql(q{SELECT url || ' ' || curl FROM activate.preview_requests('alerts')}), qr{/hooks/\Q********\E curl .*/hooks/\Q********\E'}, 'previews mask it, too');

# given an address that could lead elsewhere, then it is refused without being shown
foreach my $bad ('https://example.com/x', '../admin', 'a/%2e%2E/b', 'a b', 'a#b', '/', 'x\\y')
{
	$a->sql("ALTER USER MAPPING FOR PUBLIC SERVER chat OPTIONS (SET access_token '$bad')");
	my $run = $a->run('alerts');
	like($run->{text}, qr/ERROR:.*secret "access_token" (?:is|contains)/s, "refused: $bad");
	unlike($run->{text}, qr/example\.com|admin|%2e/, 'and not shown');
}
$a->sums_hold('alerts');
done_testing();
