# PagerDuty: a row is an alert under its deduplication key: triggered while
# it is there, resolved when it is gone; changes are told once.
use strict;
use warnings;

use ConnectorTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $key = 'e93facc04764012d7bfb002500d5d1a6';

# What the documentation says of Events API v2, as far as it can be checked.
sub wrong
{
	my ($json, $change) = @_;
	my @errors;

	push @errors, q(Length of 'routing_key' is incorrect (should be 32 characters)) if length($json->{routing_key} // '') != 32;
	my $trigger = $change || ($json->{event_action} // '') eq 'trigger';
	push @errors, "'event_action' is invalid" unless $change || ($json->{event_action} // '') =~ /^(?:trigger|acknowledge|resolve)$/;
	push @errors, "'dedup_key' is missing or blank" unless $change || length($json->{dedup_key} // '');
	push @errors, "'payload.summary' is missing or blank" if $trigger && !length($json->{payload}{summary} // '');
	push @errors, "'payload.summary' is too long" if length($json->{payload}{summary} // '') > 1024;
	push @errors, "'payload.severity' is invalid (must be one of the following: 'critical', 'warning', 'error' or 'info')"
		if $trigger && !$change && ($json->{payload}{severity} // '') !~ /^(?:critical|warning|error|info)$/;
	push @errors, "'payload.source' is missing or blank" if $trigger && !$change && !length($json->{payload}{source} // '');
	return @errors;
}

my $t = ConnectorTest->start('pagerduty', sub {
	my ($request, $state) = @_;
	my $json = $request->{json};
	my $change = $request->{path} eq '/v2/change/enqueue';

	return [ 404, {}, 'not found' ] unless $request->{method} eq 'POST' && $request->{path} =~ m{^/v2/(?:change/)?enqueue$};
	my @errors = wrong($json, $change);
	return [ 400, { status => 'invalid event', message => 'Event object is invalid', errors => \@errors } ] if @errors;
	return [ 202, { status => 'success', message => 'Change event processed' } ] if $change && push @{ $state->{changes} }, $json;
	my $open = $state->{open} //= {};
	$open->{ $json->{dedup_key} } = $json->{payload}{severity} if $json->{event_action} eq 'trigger';
	$open->{ $json->{dedup_key} } = 'acknowledged' if $json->{event_action} eq 'acknowledge' && $open->{ $json->{dedup_key} };
	delete $open->{ $json->{dedup_key} } if $json->{event_action} eq 'resolve';
	return [ 202, { status => 'success', message => 'Event processed', dedup_key => $json->{dedup_key} } ];
}, options => { rate_limit => '1000/s' }, secrets => { api_key => $key });

is_deeply($t->rows(q(SELECT pointer, message FROM activate.check_connector('{"extends": "pagerduty"}') WHERE kind = 'error')), [], 'nothing is wrong with the document');
is($t->rows(q(SELECT ok FROM activate.check_destination('d')))->[0]{ok}, 1, 'a check resolves an alert that nobody has');
is_deeply($t->vendor->state->{open}, {}, 'which leaves nothing behind');
$t->destination('short', secrets => { api_key => 'abc' });
my $check = $t->rows(q(SELECT ok, detail FROM activate.check_destination('short')))->[0];
ok(!$check->{ok}, 'a key that is none is told');
like($check->{detail}, qr/routing_key/, 'in PagerDuty\'s words');

# Alerts
$t->sql(q(CREATE TABLE incidents (id bigint PRIMARY KEY, level text, state text DEFAULT 'open', stock numeric, since timestamptz, v int DEFAULT 0)));
$t->sql(q(INSERT INTO incidents (id, level, stock, since) VALUES (9007199254740993, 'critical', -99999999999999999.99, '2026-01-02 03:04:05.678+01'), (2, 'warning', 7, NULL)));
$t->sync('alerts', 'incidents', key => 'id', object => 'alerts', mode => 'mirror', on_removed => 'archive', options => '{"max_removed": "100 %", "max_rejected": "100 %"}',
	mapping => q({"dedup_key": "'stock/' || id", "summary": "format('Stock of %s is %s', id, stock)", "severity": "level", "source": "'warehouse'",
		"timestamp": "since", "event_action": "CASE state WHEN 'seen' THEN 'acknowledge' WHEN 'done' THEN 'resolve' END",
		"links": [{"href": "'https://example.com/stock/' || id", "text": "'Stock'"}], "stock": "stock", "where": {"site": "'Lyon'"}}));
my $run = $t->run('alerts');
is("$run->{status} $run->{accepted}", 'succeeded 2', 'alerts are triggered') or diag $run->{text};
$t->rows_become('each accepted', 'alerts', { '9007199254740993' => 'accepted', 2 => 'accepted' });
is_deeply($t->vendor->state->{open}, { 'stock/9007199254740993' => 'critical', 'stock/2' => 'warning' }, 'and open');
my ($body) = grep { /stock.9007199254740993/ } map { $_->{body} } $t->requests;
is($body =~ s/(?<=[,:]) //gr, qq({"routing_key":"$key","event_action":"trigger","dedup_key":"stock/9007199254740993",)
	. '"links":[{"href":"https://example.com/stock/9007199254740993","text":"Stock"}],"payload":{"summary":"Stock of 9007199254740993 is -99999999999999999.99",'
	. '"severity":"critical","source":"warehouse","timestamp":"2026-01-02T02:04:05.678Z","custom_details":{"stock":-99999999999999999.99,"where":{"site":"Lyon"}}}}',
	'the key is in the body, what PagerDuty has no field for is in custom_details, numbers are exact');
is($t->sql('SELECT string_agg(activate_external_id, $$ $$ ORDER BY activate_external_id) FROM activate_data.alerts'), 'stock/2 stock/9007199254740993', 'the key of the alert is kept');

$t->sql("UPDATE incidents SET level = 'critical' WHERE id = 2");
my $shown = $t->sql(q(SELECT string_agg(p::text, ' ') FROM activate.preview_requests('alerts') AS p));
like($shown, qr/routing_key"": ?""\*{8}"",/, 'the key is shown as stars');
unlike($shown, qr/$key/, 'and nowhere as it is');
$t->run('alerts');
is($t->vendor->state->{open}{'stock/2'}, 'critical', 'a change is a trigger of the same alert');
$t->sql("UPDATE incidents SET state = 'seen' WHERE id = 2");
$t->run('alerts');
is($t->vendor->state->{open}{'stock/2'}, 'acknowledged', 'a row says that somebody is at it');
$t->sql("UPDATE incidents SET state = 'done' WHERE id = 2");
$t->run('alerts');
is_deeply([ keys %{ $t->vendor->state->{open} } ], ['stock/9007199254740993'], 'or that it is over');
$t->sql('DELETE FROM incidents WHERE id > 2');
is($t->run('alerts')->{accepted}, 1, 'a row that left');
is_deeply($t->vendor->state->{open}, {}, 'resolves its alert');
is(($t->requests)[-1]{body} =~ s/(?<=[,:]) //gr, qq({"routing_key":"$key","event_action":"resolve","dedup_key":"stock/9007199254740993"}), 'by its key alone');

# ... removed by deletion
$t->model('gone', { id => 1, level => 'info' }, { id => 2, level => 'info' });
$t->sync('gone', 'gone', key => 'id', object => 'alerts', mode => 'mirror', on_removed => 'delete', options => '{"max_removed": "100 %", "remove_after": "0"}',
	mapping => q({"dedup_key": "'gone/' || id", "summary": "'x'", "severity": "level", "source": "'w'"}));
$t->run('gone');
$t->sql('DELETE FROM gone WHERE id = 2');
is($t->run('gone')->{accepted}, 1, 'on_removed delete');
is(($t->requests)[-1]{json}{event_action}, 'resolve', 'is the same');

# Final refusals
$t->model('bad', { id => 1, summary => 'fine', severity => 'error' }, { id => 2, summary => 'x' x 1025, severity => 'error' }, { id => 3, summary => undef, severity => 'error' });
$t->sync('bad', 'bad', key => 'id', object => 'alerts', mapping => q({"dedup_key": "'bad/' || id", "summary": "summary", "severity": "severity", "source": "'w'", "v": "v"}),
	options => '{"max_rejected": "100 %"}');
$t->run('bad');
$t->rows_become('what is no event is refused for good', 'bad', { 1 => 'accepted', 2 => 'refused invalid event', 3 => 'refused invalid event' });
like($t->sql(q(SELECT message FROM activate.pending WHERE sync = 'bad' AND key ->> 'id' = '3')), qr/'payload.summary' is missing/, 'for the reason that PagerDuty gives');
my ($status, undef, $err) = $t->activate->node->psql('postgres', q(SELECT activate.create_sync('nokey', 'bad', 'id', 'd', object => 'alerts', mapping => 'summary')));
like($err, qr/dedup_key/, 'an alert without a key is an error');
$t->model('loud', { id => 1, severity => 'fatal' });
($status, undef, $err) = $t->activate->node->psql('postgres', q(SELECT activate.create_sync('loud', 'loud', 'id', 'd', object => 'alerts', mapping => '{"dedup_key": "''k'' || id", "summary": "''x''", "source": "''w''"}')));
like($err, qr/severity/, 'a severity that is not mapped is said');

# Answers
$t->model('one', { id => 1 });
$t->sync('one', 'one', key => 'id', object => 'alerts', mapping => q({"dedup_key": "'one/' || id", "summary": "'x'", "severity": "'info'", "source": "'w'", "v": "v"}));
$t->means('a key that PagerDuty does not know', 'one', [ ([ 400, { status => 'invalid event', message => 'Event object is invalid', errors => ["Length of 'routing_key' is incorrect (should be 32 characters)"] } ]) x 2 ],
	status => 'failed', sqlstate => 'PA001', text => qr/routing_key/, rows => {});
$t->means('a body that cannot be read', 'one', [ [ 202, { 'Content-Type' => 'application/json' }, '{"status": "succ' ] ], status => 'succeeded', requests => 2, rows => { 1 => 'accepted' });
$t->means('a server that stumbles', 'one', [ [ 500, { status => 'error', message => 'Internal Server Error' } ] ], status => 'succeeded', requests => 2, rows => { 1 => 'accepted' });
$t->sql(q(SELECT activate.create_connector('pagerduty_soon', '{"extends": "pagerduty", "rate": {"throttle": "1 s"}}')));
my $url = $t->vendor->url;
$t->sql("CREATE SERVER soon FOREIGN DATA WRAPPER activate OPTIONS (connector 'pagerduty_soon', base_url '$url');
	CREATE USER MAPPING FOR PUBLIC SERVER soon OPTIONS (api_key '$key')");
$t->sync('throttled', 'one', destination => 'soon', key => 'id', object => 'alerts', mapping => q({"dedup_key": "'soon/' || id", "summary": "'x'", "severity": "'info'", "source": "'w'", "v": "v"}));
$t->means('a throttle, which says not how long', 'throttled', [ [ 429, {}, '' ] ], status => 'succeeded', requests => 2, rows => { 1 => 'accepted' });

# Changes, each once
$t->model('deploys', { id => 1, what => 'Prices of 2027', sku => '9007199254740993' });
$t->sync('deploys', 'deploys', key => 'id', object => 'changes', mode => 'append', options => '{"first_run": "send"}',
	mapping => q({"summary": "what", "source": "'warehouse'", "timestamp": "'2026-01-02'::timestamptz", "sku": "sku", "links": [{"href": "'https://example.com'"}]}));
is($t->run('deploys')->{accepted}, 1, 'a change');
is(($t->requests)[-1]{body} =~ s/(?<=[,:]) //gr =~ s/T[0-9:.]+Z//r, qq({"routing_key":"$key","links":[{"href":"https://example.com"}],)
	. '"payload":{"summary":"Prices of 2027","source":"warehouse","timestamp":"2026-01-02","custom_details":{"sku":9007199254740993}}}', 'has its own shape');
$t->sql(q(INSERT INTO deploys (id, what, sku) VALUES (2, 'lost', 1)));
$t->means('no answer to a change', 'deploys', [ undef ], requests => 1, rows => { 1 => 'accepted', 2 => 'unknown' });

# PagerDuty's file is not among the specifications; its documentation is what
# wrong() has, which must refuse what is broken.
my %kind = map { ($_->{json}{event_action} // 'change') => $_ } grep { $_->{status} == 202 } $t->requests;
is_deeply([ sort keys %kind ], [ qw(acknowledge change resolve trigger) ], 'every kind of request was accepted');
is_deeply([ wrong($_->{json}, $_->{path} =~ /change/) ], [], "by the rules of the documentation: $_->{path}") foreach values %kind;
is(scalar(wrong({ %{ $kind{trigger}{json} }, payload => {} })), 3, 'which refuse a trigger without a payload');

done_testing();
