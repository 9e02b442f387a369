# HubSpot: records by a unique property and by id, associations, and what its
# answers mean, against a stand-in held to HubSpot's own file.
use strict;
use warnings;

use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

use ConnectorTest;

my $t = ConnectorTest->start('hubspot', \&hubspot,
	spec => 'hubspot/objects.prism.json', conf => "pg_activate.debug_late_off = on\n",
	secrets => { access_token => 'pat-1' });

# What the stand-in does with a batch: a property "plan" of "wrong" refuses all
# of it, one of "partial" that row alone.
sub hubspot
{
	my ($request, $state) = @_;
	my $path = $request->{path};
	my $records = $state->{records} //= {};
	my $links = $state->{links} //= {};
	my $body = $request->{json};

	return [ 401, { status => 'error', category => 'EXPIRED_AUTHENTICATION', message => 'The OAuth token used to make this call expired' } ]
		if $state->{token} && ($request->{headers}{authorization} // '') ne "Bearer $state->{token}";
	return { portalId => 2519445, accountType => 'SANDBOX', timeZone => 'US/Eastern', uiDomain => 'app.hubspot.com' }
		if $path eq '/account-info/v3/details';
	return { results => [ { name => 'pets', fullyQualifiedName => 'p2519445_pets', objectTypeId => '2-1', labels => { plural => 'Pets' } } ] }
		if $path eq '/crm/v3/schemas';
	return { results => [ map { _property(@$_) } [ 'email', 'string' ], [ 'customer_ref', 'string', hasUniqueValue => JSON::PP::true ], [ 'plan', 'string' ],
			[ 'score', 'number' ], [ 'born', 'date' ], [ 'seen', 'datetime' ], [ 'vip', 'bool' ], [ 'tags', 'enumeration' ],
			[ 'lastmodifieddate', 'datetime', modificationMetadata => { readOnlyValue => JSON::PP::true, readOnlyDefinition => JSON::PP::true, archivable => JSON::PP::false } ] ] }
		if $path eq '/crm/v3/properties/contacts';
	if ($path =~ m{^/crm/v4/associations/(\w+)/(\w+)/batch/(.+)$})
	{
		my ($from, $to, $what) = ($1, $2, $3);
		my (@results, @errors);
		foreach my $input (@{ $body->{inputs} })
		{
			my $type = $input->{types} ? "$input->{types}[0]{associationTypeId}" : '';
			foreach my $other (ref $input->{to} eq 'ARRAY' ? @{ $input->{to} } : $input->{to})
			{
				my $link = "$from $input->{from}{id} $to $other->{id} $type";
				if ($what =~ /archive/) { delete $links->{$link} }
				elsif ($other->{id} eq '404') { push @errors, { status => 'error', category => 'OBJECT_NOT_FOUND', message => 'no such company', context => { toObjectId => ['404'] } } }
				else { $links->{$link} = 1; push @results, { from => $input->{from}, to => $input->{to} } }
			}
		}
		return [204] if $what =~ /archive/;
		return [ @errors ? 207 : 200, { status => 'COMPLETE', results => \@results, @errors ? (numErrors => scalar @errors, errors => \@errors) : () } ];
	}
	my ($type, $what) = $path =~ m{^/crm/v3/objects/(\w+)/batch/(\w+)$} or return [ 404, { message => 'no such path' } ];
	my $all = $records->{$type} //= {};
	my (@results, @errors);
	if (grep { ($_->{properties}{plan} // '') eq 'wrong' } @{ $body->{inputs} })
	{
		return [ 400, { status => 'error', category => 'VALIDATION_ERROR',
			message => 'Property values were not valid: [{"isValid":false,"message":"wrong was not one of the allowed options","error":"INVALID_OPTION","name":"plan"}]' } ];
	}
	foreach my $input (@{ $body->{inputs} })
	{
		my $p = $input->{properties} // {};
		my $ref = $input->{objectWriteTraceId};
		my $id_property = $input->{idProperty} // $body->{idProperty};
		my ($id) = $id_property ? grep { lc($all->{$_}{$id_property} // '') eq lc($input->{id} =~ s/^\s+|\s+$//gr) } sort keys %$all : $input->{id};
		if (($p->{plan} // '') eq 'partial')
		{
			push @errors, { status => 'error', category => 'VALIDATION_ERROR', message => 'not this one', context => { objectWriteTraceId => [$ref] } };
			next;
		}
		if ($what eq 'archive') { delete $all->{ $input->{id} }; next }
		next if $what eq 'update' && $state->{merged} && $id eq $state->{merged};
		if ($what =~ /update|read/ && !(defined $id && $all->{$id}))
		{
			push @errors, { status => 'error', category => 'OBJECT_NOT_FOUND',
				message => 'Could not get some CONTACT objects, they may be deleted or not exist. Check that ids are valid.',
				context => { ids => [ $input->{id} ], $ref ? (objectWriteTraceId => [$ref]) : () } };
			next;
		}
		my $new = !defined $id;
		$id //= 500 + ++$state->{last};
		$all->{$id} = { %{ $all->{$id} // {} }, %$p } if $what ne 'read';
		push @results, { id => "$id", properties => $all->{$id}, $ref ? (objectWriteTraceId => $ref) : (), $what eq 'upsert' ? (new => $new ? JSON::PP::true : JSON::PP::false) : () };
	}
	return [204] if $what eq 'archive';
	return [ @errors ? 207 : 200, { status => 'COMPLETE', results => \@results, @errors ? (numErrors => scalar @errors, errors => \@errors) : () } ];
}

sub _property
{
	my ($name, $type, %more) = @_;
	return { name => $name, label => ucfirst $name, type => $type, hasUniqueValue => JSON::PP::false,
		modificationMetadata => { readOnlyValue => JSON::PP::false, readOnlyDefinition => JSON::PP::false, archivable => JSON::PP::true }, %more };
}

sub contacts { return $t->vendor->state->{records}{contacts} // {} }
sub by_ref { my %by = map { $_->{customer_ref} => $_ } values %{ contacts() }; return \%by }
sub paths { my ($since) = @_; my @all = $t->requests; return join ' ', map { "$_->{method} $_->{path}" } @all[ $since .. $#all ] }
sub count { my @all = $t->requests; return scalar @all }

is_deeply($t->rows(q(SELECT * FROM activate.check_connector((SELECT spec FROM activate.connector WHERE name = 'hubspot')) WHERE kind NOT IN ('request'))),
	[], 'the document has no problems');

# ------------------------------------------------- the destination is known
my $check = $t->rows('SELECT ok, account, environment FROM activate.check_destination($$d$$)')->[0];
is_deeply($check, { ok => JSON::PP::true, account => '2519445', environment => 'sandbox' }, 'check_destination says whose account it is') or diag explain $check;
$t->sql('CALL activate.refresh_destination($$d$$)');
is($t->sql(q(SELECT string_agg(object, ' ' ORDER BY object) FROM activate.objects('d') WHERE object IN ('contacts', 'deals', 'p2519445_pets'))),
	'contacts deals p2519445_pets', 'custom objects are found');

# ------------------------------------------------------------------ records
my %options = (options => '{"max_removed": 100, "max_rejected": 100, "remove_after": "0s"}');
$t->sql(q(CREATE TABLE people (id bigint PRIMARY KEY, email text, plan text, score numeric, born date, seen timestamptz, vip boolean, tags text[], v int DEFAULT 0)));
$t->sql(q(INSERT INTO people SELECT i, 'User' || i || '@Example.com', 'pro', 12345678901234567.125, '2020-02-29', '2026-01-02 03:04:05.678+00', true, '{a,b}' FROM generate_series(9007199254740993, 9007199254741000) i));
$t->sync('people', 'people', key => 'id', object => 'contacts', match => 'customer_ref', mode => 'mirror', on_removed => 'delete',
	mapping => 'id AS customer_ref, email, plan, score, born, seen, vip, tags', %options);
my $run = $t->run('people');
is($run->{status}, 'succeeded', 'a first sync') or diag $run->{text};
is_deeply(by_ref()->{'9007199254740993'}, { customer_ref => '9007199254740993', email => 'User9007199254740993@Example.com', plan => 'pro',
	score => '12345678901234567.125', born => '2020-02-29', seen => '2026-01-02T03:04:05.678Z', vip => 'true', tags => 'a;b' },
	'properties are texts: int8 and numeric digit for digit, dates as days, lists by semicolon');
my $since = count();
$t->sql(q(UPDATE people SET plan = NULL, email = 'renamed@example.com' WHERE id = 9007199254740994));
$run = $t->run('people');
is(paths($since), 'POST /crm/v3/objects/contacts/batch/update', 'a change goes by the id that was told');
is_deeply([ @{ by_ref()->{'9007199254740994'} }{qw(plan email)} ], [ '', 'renamed@example.com' ], 'null clears a property');

# A record that was deleted there, and one that was merged into another: made or found by its match.
my ($gone) = grep { contacts()->{$_}{customer_ref} eq '9007199254740995' } keys %{ contacts() };
my $records = $t->vendor->state->{records};
delete $records->{contacts}{$gone};
$t->vendor->tell(records => $records);
$since = count();
$t->sql(q(UPDATE people SET plan = 'new' WHERE id = 9007199254740995));
is($t->run('people')->{status}, 'succeeded', 'a record that is gone');
is(paths($since), 'POST /crm/v3/objects/contacts/batch/update POST /crm/v3/objects/contacts/batch/upsert', 'is made anew in the same run');
my ($merged) = grep { contacts()->{$_}{customer_ref} eq '9007199254740996' } keys %{ contacts() };
$t->vendor->tell(merged => $merged);
$since = count();
$t->sql(q(UPDATE people SET plan = 'new' WHERE id = 9007199254740996));
is($t->run('people')->{status}, 'succeeded', 'a record that the answer leaves out');
is(paths($since), 'POST /crm/v3/objects/contacts/batch/update POST /crm/v3/objects/contacts/batch/upsert', 'goes by its match');
$t->vendor->tell(merged => undef);

$since = count();
$t->sql(q(DELETE FROM people WHERE id = 9007199254741000));
is($t->run('people')->{status}, 'succeeded', 'a row that left');
is(paths($since), 'POST /crm/v3/objects/contacts/batch/archive', 'is archived');
is(scalar(keys %{ contacts() }), 7, 'and gone there');

# ------------------------------------------------------------------ answers
$t->sql(q(DELETE FROM people WHERE id > 9007199254740994));
$t->run('people');
my ($one, $two) = qw(9007199254740993 9007199254740994);
my %ok = ($one => 'accepted', $two => 'accepted');
$t->sql(q(SELECT activate.alter_sync('people', mapping => 'id AS customer_ref, email, plan, v AS score')));
$t->means('a partial failure', 'people', [ [ 207, { status => 'COMPLETE', results => [ { id => '0', properties => {} } ], numErrors => 1,
	errors => [ { status => 'error', category => 'VALIDATION_ERROR', message => 'no', context => { objectWriteTraceId => ['r1'] } },
		{ status => 'error', category => 'VALIDATION_ERROR', message => 'neither', context => { objectWriteTraceId => ['r0'] } } ] } ] ],
	rows => { $one => 'rejected VALIDATION_ERROR', $two => 'rejected VALIDATION_ERROR' });
$t->sql(q(UPDATE people SET plan = 'partial' WHERE id = 9007199254740993));
$t->means('one row of a batch', 'people', [], status => 'partial', rows => { $one => 'rejected VALIDATION_ERROR', $two => 'accepted' });
$t->sql(q(UPDATE people SET plan = 'wrong' WHERE id = 9007199254740993));
$t->means('a batch that is refused is searched for the row', 'people', [], status => 'partial', requests => 3,
	rows => { $one => 'rejected VALIDATION_ERROR', $two => 'accepted' });
like($t->sql(q(SELECT message FROM activate.pending WHERE sync = 'people')), qr/not one of the allowed options/, 'and says why');
my $invalid = [ 400, { status => 'error', category => 'VALIDATION_ERROR',
	message => 'Property values were not valid: [{"isValid":false,"message":"Email address x is invalid","error":"INVALID_EMAIL","name":"email"}]' } ];
$t->sql(q(UPDATE people SET plan = 'pro'));
$t->means('what can never be accepted', 'people', [ $invalid, $invalid, [ 200, { status => 'COMPLETE', results => [ map { { id => $_, properties => {} } } keys %{ contacts() } ] } ] ],
	rows => { $one => 'refused VALIDATION_ERROR', $two => 'accepted' });
$t->means('too many requests', 'people', [ [ 429, { 'Retry-After' => 1, 'Content-Type' => 'application/json' },
	'{"status":"error","errorType":"RATE_LIMIT","policyName":"TEN_SECONDLY_ROLLING","message":"You have reached your ten_secondly_rolling limit."}' ] ],
	status => 'succeeded', rows => {%ok});
$t->means('a lock', 'people', [ [ 423, { 'Retry-After' => 0 }, 'locked' ] ], status => 'succeeded', rows => {%ok});
$t->means('a server that fails', 'people', [ [ 502, {}, 'bad gateway' ] ], status => 'succeeded', rows => {%ok});
$t->means('an answer that makes no sense', 'people', [ [ 200, { 'Content-Type' => 'application/json' }, '{"results": [' ] ], status => 'succeeded', rows => {%ok});
$t->means('a success that wrote nothing', 'people', [ [ 200, { status => 'COMPLETE', results => [] } ] ], status => 'succeeded', rows => {%ok});
$t->means('a property that does not exist', 'people', [ [ 400, { status => 'error', category => 'VALIDATION_ERROR',
	message => 'Property values were not valid: [{"isValid":false,"message":"Property \"plan\" does not exist","error":"PROPERTY_DOESNT_EXIST","name":"plan"}]' } ] ],
	status => 'failed', requests => 1, text => qr/does not exist/);
$t->means('a scope that is missing', 'people', [ [ 403, { status => 'error', category => 'MISSING_SCOPES', message => 'This app hasn\'t been granted all required scopes' } ] ],
	status => 'failed', text => qr/required scopes/);
$t->vendor->tell(token => 'pat-2');
$t->means('a token that is no longer good', 'people', [], status => 'failed', text => qr/401/);
$t->vendor->tell(token => undef);
$t->means('a good token', 'people', [], status => 'succeeded', rows => {%ok});
$t->means('the day\'s quota is used up', 'people', [ [ 429, { status => 'error', errorType => 'RATE_LIMIT', policyName => 'DAILY', message => 'You have reached your daily limit.' } ] ],
	requests => 1);
like($t->sql(q(SELECT throttled_until::text FROM activate.destinations WHERE destination = 'd')), qr/ 00:00:00/, 'it goes on at midnight');

# ------------------------------------- update, clear, archive, insert, other objects
$t->destination('e', secrets => { access_token => 'pat-1' });
$t->vendor->tell(records => { contacts => { 71 => { email => 'ann@example.com', score => '1' }, 72 => { email => 'bob@example.com', score => '1' } } });
$t->model('known', map { { id => $_->[0], email => $_->[1], score => 5 } } [ 1, 'Ann@Example.com ' ], [ 2, 'bob@example.com' ], [ 3, 'eve@example.com' ]);
$t->sync('known', 'known', key => 'id', destination => 'e', object => 'contacts', mode => 'update', mapping => 'email, score', %options);
$since = count();
$t->run('known');
is(paths($since), 'POST /crm/v3/objects/contacts/batch/read POST /crm/v3/objects/contacts/batch/update', 'mode update looks records up, and makes none');
$t->rows_become('who is not there is told', 'known', { 1 => 'accepted', 2 => 'accepted', 3 => 'absent' });
is($t->sql('SELECT string_agg(activate_external_id, $$ $$ ORDER BY id) FROM activate_data.known WHERE activate_external_id IS NOT NULL'), '71 72', 'ids are kept');

$t->model('owned', { id => 71, score => 8 }, { id => 79, score => 8 });
$t->sync('owned', 'owned', key => 'id', destination => 'e', object => 'contacts', match => 'hs_object_id', mode => 'mirror', on_removed => 'delete',
	mapping => 'id AS hs_object_id, score', %options);
$since = count();
$t->run('owned');
is(paths($since), 'POST /crm/v3/objects/contacts/batch/update', 'matched by HubSpot\'s own id nothing is looked up');
$t->rows_become('and no record made', 'owned', { 71 => 'accepted', 79 => 'absent OBJECT_NOT_FOUND' });
is_deeply([ sort keys %{ contacts()->{71} } ], [ 'email', 'score' ], 'the id is no property');
$t->sql('DELETE FROM owned WHERE id = 71');
$t->run('owned');
ok(!contacts()->{71}, 'it is archived by it, too');
$t->model('clear', { id => 1, ref => 'c1', plan => 'pro' }, { id => 2, ref => 'c2', plan => 'pro' });
$t->sync('clear', 'clear', key => 'id', destination => 'e', object => 'companies', match => 'ref', mode => 'mirror', on_removed => 'clear', mapping => 'ref, plan', %options);
$t->run('clear');
$t->sql('DELETE FROM clear WHERE id = 2');
$t->run('clear');
is_deeply([ sort map { $_->{plan} } values %{ $t->vendor->state->{records}{companies} } ], [ '', 'pro' ], 'on_removed clear empties the properties');
$t->model('archive', { id => 1, ref => 'd1', plan => 'pro' }, { id => 2, ref => 'd2', plan => 'pro' });
$t->sync('archive', 'archive', key => 'id', destination => 'e', object => 'p2519445_pets', match => 'ref', mode => 'mirror', on_removed => 'archive', mapping => 'ref, plan', %options);
$t->run('archive');
$t->sql('DELETE FROM archive WHERE id = 2');
$t->run('archive');
is(scalar(keys %{ $t->vendor->state->{records}{p2519445_pets} }), 1, 'on_removed archive, of a custom object');
$t->model('tickets', { id => 1, subject => 'a' }, { id => 2, subject => 'b' });
$t->sync('tickets', 'tickets', key => 'id', destination => 'e', object => 'tickets', match => 'subject', mode => 'insert', mapping => 'subject', %options);
is($t->run('tickets')->{status}, 'succeeded', 'mode insert');
is(scalar(keys %{ $t->vendor->state->{records}{tickets} }), 2, 'makes records');

# ------------------------------------------------------------ associations
$t->model('links', { contact => 71, company => 501 }, { contact => 72, company => 502 }, { contact => 71, company => 404 });
$t->sync('links', 'links', key => 'contact, company', destination => 'e', object => 'contacts/companies', mode => 'mirror', on_removed => 'remove',
	mapping => 'contact AS from_id, company AS to_id', %options);
$run = $t->run('links');
is_deeply([ sort keys %{ $t->vendor->state->{links} } ], [ 'contacts 71 companies 501 ', 'contacts 72 companies 502 ' ], 'associations are made');
is($t->sql(q(SELECT key ->> 'company' || ' ' || state || ' ' || code || ' ' || message FROM activate.pending WHERE sync = 'links')),
	'404 rejected OBJECT_NOT_FOUND HTTP 207: no such company', 'the one that is refused is found');
$t->sql('DELETE FROM links WHERE company <> 501');
$run = $t->run('links');
is_deeply([ sort keys %{ $t->vendor->state->{links} } ], ['contacts 71 companies 501 '], 'and taken apart');
$t->model('employees', { person => 1, company => 1 }, { person => 3, company => 1 });
$t->sync('employees', 'employees', key => 'person, company', destination => 'e', object => 'contacts/companies', mode => 'mirror', on_removed => 'remove',
	mapping => q(activate.external_id('known', person) AS from_id, activate.external_id('clear', company) AS to_id), %options);
$t->run('employees');
my ($company) = map { $_->{activate_external_id} } @{ $t->rows('SELECT activate_external_id FROM activate_data.clear WHERE id = 1') };
ok($t->vendor->state->{links}{"contacts 71 companies $company "}, 'by the ids of other syncs');
is($t->sql(q(SELECT state FROM activate.pending WHERE sync = 'employees')), 'waiting', 'and waits for those that there are not yet');
$t->model('labels', { contact => 71, company => 501, label => 37 }, { contact => 72, company => 501, label => 37 });
$t->sync('labels', 'labels', key => 'contact, company, label', destination => 'e', object => 'contacts/companies/labels', mode => 'mirror', on_removed => 'remove',
	mapping => q(contact AS from_id, company AS to_id, 'USER_DEFINED' AS category, label AS type_id), %options);
is($t->run('labels')->{status}, 'succeeded', 'labels') or diag $t->run('labels')->{text};
ok($t->vendor->state->{links}{'contacts 71 companies 501 37'}, 'are set');
$t->sql('DELETE FROM labels WHERE contact = 71');
$t->run('labels');
ok(!$t->vendor->state->{links}{'contacts 71 companies 501 37'}, 'and taken off');

# ------------------------------------------------------------------- OAuth
$t->destination('o', options => { token_url => $t->vendor->url . '/oauth/v1/token' }, secrets => { client_id => 'c', client_secret => 's', refresh_token => 'r' });
$t->vendor->tell(next => [ [ 200, { access_token => 'fresh', expires_in => 1800, refresh_token => 'r' } ] ]);
$since = count();
is($t->sql('SELECT ok FROM activate.check_destination($$o$$)'), 't', 'OAuth by a refresh token');
my @all = $t->requests;
is_deeply($all[$since]{form}, { grant_type => 'refresh_token', client_id => 'c', client_secret => 's', refresh_token => 'r' }, 'asks for a token');
is($all[-1]{headers}{authorization}, 'Bearer fresh', 'and uses it');

# --------------------------------------------------------- the vendor's file
$t->fits(sub { $_[0]{path} =~ m{^/crm/v3/objects/} });
my ($upsert) = grep { $_->{path} =~ /upsert/ } @all;
$t->broken({ %$upsert, body => '{"inputs":[{"idProperty":"email","properties":{"score":5}}]}' }, 'an upsert without id, of a number');

done_testing();
