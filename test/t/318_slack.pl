# Slack: each row is a message, once; what Slack says with 200 counts.
use strict;
use warnings;

use ConnectorTest;
use PostgreSQL::Test::Utils;
use Test::More;

my %channels = ('C0FINANCE' => 'finance', 'C0SALES' => 'sales', 'G0BOARD' => 'board');

my $t = ConnectorTest->start('slack', sub {
	my ($request, $state) = @_;
	my $json = $request->{json};
	my %known = map { $_ => 1 } %channels, map { "#$_" } values %channels;

	return [ 200, { ok => JSON::PP::false, error => 'not_authed' } ] unless ($request->{headers}{authorization} // '') =~ /^Bearer xoxb-/;
	return [ 200, { ok => JSON::PP::false, error => 'token_revoked' } ] if $request->{headers}{authorization} ne 'Bearer xoxb-good';
	return { ok => JSON::PP::true, url => 'https://acme.slack.com/', team => 'Acme', user => 'warehouse', team_id => 'T012AB3C4', user_id => 'U0BOT', bot_id => 'B0BOT' }
		if $request->{path} eq '/auth.test';
	if ($request->{path} eq '/conversations.list')
	{
		my $private = $request->{query}{types} =~ /private_channel/;
		my ($first, @ids) = grep { $private || !/^G/ } sort keys %channels;
		my $next = '';

		return [ 200, { ok => JSON::PP::false, error => 'missing_scope', needed => 'groups:read', provided => 'chat:write' } ] if $private && $state->{no_groups};
		@ids = $first, $next = 'dGVhbTpDMDYx' unless $request->{query}{cursor};
		return { ok => JSON::PP::true, channels => [ map { { id => $_, name => $channels{$_}, is_channel => JSON::PP::true } } @ids ],
			response_metadata => { next_cursor => $next } };
	}
	return [ 404, {}, 'no such method' ] unless $request->{path} eq '/chat.postMessage';
	return [ 200, { ok => JSON::PP::false, error => 'channel_not_found' } ] unless $known{ $json->{channel} // '' };
	return [ 200, { ok => JSON::PP::false, error => 'no_text' } ] unless $json->{text} || $json->{blocks};
	return [ 200, { ok => JSON::PP::false, error => 'invalid_blocks', response_metadata => { messages => [ '[ERROR] must be more than 0 characters [json-pointer:/blocks/0/text/text]' ] } } ]
		if grep { $_->{text}{text} eq '' } @{ $json->{blocks} // [] };
	$state->{n}++;
	push @{ $state->{posted} }, $json;
	return { ok => JSON::PP::true, channel => 'C0FINANCE', ts => "1503435956.00000$state->{n}", message => { type => 'message', text => $json->{text} } };
}, spec => 'slack/slack_web.subset.json', options => { rate_limit => '1000/s' }, secrets => { access_token => 'xoxb-good' });

my %code = map { $_->{operation} // '' => $_->{message} } @{ $t->rows(q(SELECT operation, message FROM activate.check_connector('{"extends": "slack"}') WHERE kind = 'error')) };
is_deeply(\%code, {}, 'nothing is wrong with the document');
is_deeply($t->rows(q(SELECT modes::text FROM activate.connectors WHERE connector = 'slack')), [ { modes => '{insert,append}' } ], 'messages are events');

# Whose token it is
my $check = $t->rows(q(SELECT ok, account, detail FROM activate.check_destination('d')))->[0];
is("$check->{ok} $check->{account}", '1 T012AB3C4 (Acme)', 'a check shows the workspace') or diag $check->{detail};
$t->destination('revoked', secrets => { access_token => 'xoxb-old' });
$check = $t->rows(q(SELECT ok, detail FROM activate.check_destination('revoked')))->[0];
ok(!$check->{ok}, 'a revoked token is told');
like($check->{detail}, qr/token_revoked/, 'with Slack\'s word for it');

# Channels
$t->sql(q(CALL activate.refresh_destination('d')));
is($t->sql(q(SELECT string_agg(object || ' ' || title, ', ' ORDER BY object) FROM activate.objects('d') WHERE object ~ '^[CG]0')),
	'C0FINANCE finance, C0SALES sales', 'public channels are there, of all pages');
$t->sql(q(ALTER SERVER d OPTIONS (channel_types 'public_channel,private_channel')));
$t->vendor->tell(no_groups => 1);
my ($status, undef, $err) = $t->activate->node->psql('postgres', q(CALL activate.refresh_destination('d')));
like($err, qr/missing_scope.*groups:read/, 'a scope that private ones need is told');
$t->vendor->tell(no_groups => 0);
$t->sql(q(CALL activate.refresh_destination('d')));
is($t->sql(q(SELECT title FROM activate.objects('d') WHERE object = 'G0BOARD')), 'board', 'and they are there with it');

# A message for each large invoice
$t->sql(q(CREATE TABLE invoices (id bigint PRIMARY KEY, amount numeric, note text, quiet boolean, v int DEFAULT 0)));
$t->sql(q(INSERT INTO invoices VALUES (9007199254740993, 12500.50, NULL, true), (2, 99999999999999999.99, 'overdue', NULL)));
$t->sync('messages', 'invoices', key => 'id', object => 'finance', mode => 'append', options => '{"first_run": "send"}',
	mapping => q({"text": "format('Invoice %s: %s EUR', id, amount)", "unfurl_links": "NOT quiet", "username": "note",
		"metadata": {"event_type": "'invoice'", "event_payload": {"id": "id", "amount": "amount"}}}));
is($t->sql(q(SELECT object FROM activate.syncs WHERE sync = 'messages')), 'C0FINANCE', 'a channel named by its name is kept by its id');
my $run = $t->run('messages');
is("$run->{status} $run->{accepted}", 'succeeded 2', 'messages go out') or diag $run->{text};
$t->rows_become('each row is accepted', 'messages', { '9007199254740993' => 'accepted', 2 => 'accepted' });
my @posted = map { $_->{body} =~ s/(?<=[,:]) //gr } grep { $_->{path} eq '/chat.postMessage' } $t->requests;
is_deeply([ sort @posted ], [ sort
	'{"channel":"C0FINANCE","text":"Invoice 9007199254740993:12500.50 EUR","unfurl_links":false,"metadata":{"event_type":"invoice","event_payload":{"id":9007199254740993,"amount":12500.50}}}',
	'{"channel":"C0FINANCE","text":"Invoice 2:99999999999999999.99 EUR","username":"overdue","metadata":{"event_type":"invoice","event_payload":{"id":2,"amount":99999999999999999.99}}}' ],
	'one message a row, null is left out and numbers are exact');
is($t->sql(q(SELECT string_agg(activate_external_id, ' ' ORDER BY activate_external_id) FROM activate_data.messages)),
	'1503435956.000001 1503435956.000002', 'the message\'s ts is kept');
$t->sql('UPDATE invoices SET amount = 1');
$run = $t->run('messages');
is($run->{accepted}, 0, 'nothing goes twice');

# A reply in the thread of that message
$t->sql(q(CREATE VIEW replies AS SELECT id, 'paid' AS text, activate.external_id('messages', id) AS thread_ts FROM invoices WHERE id = 2));
$t->sync('replies', 'replies', key => 'id', object => '#finance', mode => 'append', options => '{"first_run": "send"}', mapping => 'text, thread_ts');
is($t->run('replies')->{accepted}, 1, 'a reply');
like(($t->vendor->state->{posted}[-1]{thread_ts}), qr/^1503435956\.00000[12]$/, 'in the thread of another row');

# What Slack says with 200, of one message
$t->model('one', { id => 1, text => 'hello' });
$t->sync('one', 'one', key => 'id', object => 'C0SALES', mode => 'insert', mapping => 'text');
my $no = sub { my ($error, %more) = @_; return [ 200, { ok => JSON::PP::false, error => $error, %more } ] };
$t->means('another request was too soon', 'one', [ [ 429, { 'Retry-After' => 1 }, '{"ok":false,"error":"ratelimited"}' ] ],
	status => 'succeeded', requests => 2, rows => { 1 => 'accepted' });

sub fresh
{
	my ($id) = @_;
	$t->sql("DELETE FROM one; INSERT INTO one (id, text) VALUES ($id, 'hello')");
	$t->sql(q(SELECT activate.reset_sync('one', 'resend')));
}

fresh(2);
$t->means('a text too long', 'one', [ $no->('msg_too_long') ], requests => 1, rows => { 2 => 'refused msg_too_long' });
fresh(3);
$t->means('blocks that Slack does not take', 'one', [ $no->('invalid_blocks', response_metadata => { messages => [ '[ERROR] missing required field: type' ] }) ],
	requests => 1, rows => { 3 => 'refused invalid_blocks' });
like($t->sql(q(SELECT message FROM activate.pending WHERE sync = 'one')), qr/missing required field: type/, 'with the place that is wrong');
fresh(4);
$t->means('a code nobody knows', 'one', [ $no->('some_new_error') ], requests => 1, rows => { 4 => 'rejected some_new_error' });
fresh(5);
$t->means('a channel the app is not in', 'one', [ $no->('not_in_channel') ], status => 'failed', sqlstate => 'PA001', text => qr/not_in_channel/, rows => {});
fresh(6);
$t->means('a scope that is missing', 'one', [ $no->('missing_scope', needed => 'chat:write:bot', provided => 'identify') ],
	status => 'failed', text => qr/missing_scope.*chat:write:bot/, rows => {});
fresh(7);
$t->means('a token that was revoked', 'one', [ $no->('token_revoked'), $no->('token_revoked') ], status => 'failed', text => qr/token_revoked/, rows => {});

# What may have been posted is not posted again
fresh(8);
$t->means('an error in which some of it may have succeeded', 'one', [ $no->('internal_error') ], requests => 1, rows => { 8 => 'unknown internal_error' });
$t->sql(q(SELECT activate.settle_row('one', '8', 'accepted')));
fresh(9);
$t->means('an answer that cannot be read', 'one', [ [ 200, { 'Content-Type' => 'text/html' }, '<html>maintenance</html>' ] ], requests => 1, rows => { 9 => 'unknown' });
$t->sql(q(SELECT activate.settle_row('one', '9', 'accepted')));
fresh(10);
$t->means('no answer', 'one', [ undef ], requests => 1, rows => { 10 => 'unknown' });
$t->sql(q(SELECT activate.settle_row('one', '10', 'accepted')));

# Channels named by the rows: one that is wrong is that row's matter
$t->model('routed', { id => 1, channel => '#sales', text => 'a' }, { id => 2, channel => '#nowhere', text => 'b' }, { id => 3, channel => 'C0FINANCE', text => undef },
	{ id => 4, channel => 'G0BOARD', text => 'd' });
$t->sync('routed', 'routed', key => 'id', object => 'messages', mode => 'append', mapping => 'channel, text', options => '{"first_run": "send", "max_rejected": "100 %"}');
$t->run('routed');
$t->rows_become('each in its channel', 'routed', { 1 => 'accepted', 2 => 'rejected channel_not_found', 3 => 'refused no_text', 4 => 'accepted' });
$t->model('cards', { id => 1, blocks => [ { type => 'section', text => { type => 'mrkdwn', text => '*hello*' } } ] });
$t->sync('cards', 'cards', key => 'id', object => '#sales', mode => 'append', mapping => 'blocks', options => '{"first_run": "send"}');
is($t->run('cards')->{accepted}, 1, 'blocks');
is_deeply($t->vendor->state->{posted}[-1]{blocks}, [ { type => 'section', text => { type => 'mrkdwn', text => '*hello*' } } ], 'are JSON');
($status, undef, $err) = $t->activate->node->psql('postgres', q(SELECT activate.create_sync('typo', 'one', 'id', 'd', object => '#sales', mapping => 'text AS txt', mode => 'insert')));
like($err, qr/"txt".*"text"/s, 'a field that Slack does not know is an error with the nearest name');
($status, undef, $err) = $t->activate->node->psql('postgres', q(SELECT activate.create_sync('typo', 'one', 'id', 'd', object => '#sales', mapping => 'text', mode => 'mirror', on_removed => 'delete')));
isnt($status, 0, 'messages are not mirrored');

# Slack's own file is of 2021 and of forms, with the token in a header of its
# own, and JSON in texts: so requests are shown to it.
SKIP:
{
	my $prism = $t->prism or skip 'no specification', 1;
	my %seen;
	my $as_form = sub {
		my ($request) = @_;
		my %json = %{ $request->{json} // {} };
		delete $json{metadata};    # younger than the file
		$json{$_} = JSON::PP->new->utf8->allow_nonref->encode($json{$_}) foreach grep { ref $json{$_} } keys %json;
		s/([^A-Za-z0-9])/sprintf '%%%02X', ord $1/ge foreach values %json;
		return { %$request, body => join('&', map { "$_=$json{$_}" } sort keys %json),
			headers => { %{ $request->{headers} }, token => 'xoxb-good', 'content-type' => 'application/x-www-form-urlencoded' } };
	};
	foreach my $request (grep { $_->{status} == 200 && ($_->{method} eq 'GET' || $_->{json}) } $t->requests)
	{
		next if $seen{ join ' ', $request->{path}, sort keys %{ $request->{json} // $request->{query} } }++;
		$prism->accepts($as_form->($request), "$request->{method} $request->{target}");
	}
	my ($any) = grep { $_->{path} eq '/chat.postMessage' } $t->requests;
	$prism->refuses($as_form->({ %$any, json => { text => 'no channel' } }), 'no channel');
}

done_testing();
