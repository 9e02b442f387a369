# Salesforce: collections by external id and by id, Bulk API 2.0 for many rows,
# the three ways to a token, and what answers mean.
use strict;
use warnings;

use JSON::PP;
use MIME::Base64 qw(decode_base64url);
use PostgreSQL::Test::Utils;
use Test::More;

use ConnectorTest;
use Prism;

my $t = ConnectorTest->start('salesforce', \&salesforce,
	spec => '_handwritten/salesforce-collections.json', conf => "shared_preload_libraries = 'pg_activate'\npg_activate.debug_late_off = on\n", no_destination => 1);
my $url = $t->vendor->url;
my %client = (options => { base_url => undef, login_url => $url }, secrets => { client_id => 'c', client_secret => 's' });
$t->destination('d', %client);

# A record whose "Plan__c" is "wrong", "locked" or "email" is refused alone.
sub refusal
{
	my ($record) = @_;
	my $plan = $record->{Plan__c} // '';
	return $plan eq 'wrong' ? [ 'REQUIRED_FIELD_MISSING', 'Required fields are missing: [LastName]' ]
		: $plan eq 'locked' ? [ 'UNABLE_TO_LOCK_ROW', 'unable to obtain exclusive access to this record' ]
		: $plan eq 'email' ? [ 'INVALID_EMAIL_ADDRESS', 'Email: invalid email address: x' ] : undef;
}

sub done
{
	my ($id, $error) = @_;
	return $error ? { success => JSON::PP::false, errors => [ { statusCode => $error->[0], message => $error->[1], fields => [] } ] }
		: { id => $id, success => JSON::PP::true, errors => [] };
}

sub write_record
{
	my ($state, $type, $external, $fields) = @_;
	my $all = $state->{records}{$type} //= {};
	my ($id) = grep { lc($all->{$_}{$external} // '') eq lc $fields->{$external} } keys %$all;
	my $error = refusal($fields);
	return ($error) if $error;
	$id //= sprintf '003xx%010dAAA', ++$state->{last};
	$all->{$id} = { %{ $all->{$id} // {} }, %$fields };
	return (undef, $id);
}

sub csv_lines
{
	my ($text) = @_;
	my @rows;
	my @row;
	while ($text =~ /\G(?:"((?:[^"]|"")*)"|([^",\n]*))(,|\n|\z)/g)
	{
		my ($quoted, $plain, $end) = ($1, $2, $3);
		push @row, defined $quoted ? $quoted =~ s/""/"/gr : $plain;
		next if $end eq ',';
		push @rows, [@row] if @row > 1 || length $row[0];
		@row = ();
		last if $end eq '';
	}
	return @rows;
}

sub salesforce
{
	my ($request, $state) = @_;
	my ($method, $path, $body) = @$request{qw(method path json)};

	if ($path eq '/services/oauth2/token')
	{
		return [ 400, { error => 'invalid_grant', error_description => 'expired access/refresh token' } ] if $state->{revoked};
		return { access_token => 'token' . ++$state->{tokens}, instance_url => 'http://' . $request->{headers}{host}, id => 'https://login.salesforce.com/id/00D/005', token_type => 'Bearer' };
	}
	return [ 401, [ { errorCode => 'INVALID_SESSION_ID', message => 'Session expired or invalid' } ] ]
		if $request->{headers}{authorization} ne 'Bearer token' . ($state->{tokens} // 0);
	$path =~ s{^/services/data/v64\.0/}{} or return [ 404, [ { errorCode => 'NOT_FOUND', message => 'no such version' } ] ];
	return {} if $path eq 'limits';
	return { totalSize => 1, done => JSON::PP::true, records => [ { Id => '00Dxx0000001gERAAY', Name => 'Acme', IsSandbox => JSON::PP::true } ] } if $path eq 'query';
	return { sobjects => [ { name => 'Contact', labelPlural => 'Contacts' }, { name => 'Invoice__c', labelPlural => 'Invoices' } ] } if $path eq 'sobjects';
	return { fields => [ map { +{ name => $_->[0], label => $_->[0], type => $_->[1], createable => JSON::PP::true, updateable => JSON::PP::true, nillable => JSON::PP::true,
				defaultedOnCreate => JSON::PP::false, externalId => JSON::PP::false, idLookup => JSON::PP::false, @$_[ 2 .. $#$_ ] } }
				[ 'Ext__c', 'string', externalId => JSON::PP::true ], [ 'LastName', 'string', nillable => JSON::PP::false ], [ 'Plan__c', 'picklist' ], [ 'Score__c', 'double' ],
				[ 'Born__c', 'date' ], [ 'Seen__c', 'datetime' ], [ 'Vip__c', 'boolean' ], [ 'Tags__c', 'multipicklist' ],
				[ 'Formula__c', 'double', createable => JSON::PP::false, updateable => JSON::PP::false ] ] }
		if $path =~ m{^sobjects/\w+/describe$};
	if ($path eq 'composite/batch')
	{
		my @results = map {
			my ($type, $field, $value) = $_->{url} =~ m{^v64\.0/sobjects/(\w+)/(\w+)/([^?]+)\?fields=Id$};
			$value =~ s/%([0-9A-F]{2})/chr hex $1/eg;
			my ($id) = grep { lc($state->{records}{$type}{$_}{$field} // '') eq lc $value } keys %{ $state->{records}{$type} // {} };
			$id ? { statusCode => 200, result => { attributes => { type => $type }, Id => $id } }
				: { statusCode => $state->{lookup_fails} ? 500 : 404, result => [ { errorCode => 'NOT_FOUND', message => 'The requested resource does not exist' } ] };
		} @{ $body->{batchRequests} };
		return { hasErrors => JSON::PP::false, results => \@results };
	}
	if ($path =~ m{^composite/sobjects(?:/(\w+)/(\w+))?$})
	{
		my ($type, $external) = ($1, $2);
		return [ 200, [ map { delete $state->{records}{Contact}{$_} ? done($_) : done(undef, [ 'ENTITY_IS_DELETED', 'entity is deleted' ]) } split /,/, $request->{query}{ids} ] ]
			if $method eq 'DELETE';
		my @results;
		foreach my $record (@{ $body->{records} })
		{
			my %fields = %$record;
			my $kind = delete($fields{attributes})->{type};
			my $id = delete $fields{id};
			my $error;
			if ($external) { ($error, $id) = write_record($state, $type, $external, \%fields) }
			elsif ($method eq 'POST') { $id = sprintf '003xx%010dAAA', ++$state->{last}; $error = refusal(\%fields); $state->{records}{$kind}{$id} = \%fields unless $error }
			elsif (!$state->{records}{$kind}{$id}) { $error = [ 'ENTITY_IS_DELETED', 'entity is deleted' ] }
			else { $error = refusal(\%fields); $state->{records}{$kind}{$id} = { %{ $state->{records}{$kind}{$id} }, %fields } unless $error }
			push @results, done($id, $error);
		}
		return [ 200, \@results ];
	}
	if ($path eq 'jobs/ingest')
	{
		my $id = sprintf '7505e%010dAAA', ++$state->{jobs};
		$state->{job}{$id} = { %$body, id => $id, state => 'Open' };
		return $state->{job}{$id};
	}
	my ($id, $what) = $path =~ m{^jobs/ingest/(\w+)(?:/(\w+))?$} or return [ 404, [ { errorCode => 'NOT_FOUND', message => 'no such path' } ] ];
	my $job = $state->{job}{$id} or return [ 404, [ { errorCode => 'NOT_FOUND', message => 'no such job' } ] ];
	if (($what // '') eq 'batches') { $job->{csv} = $request->{body}; return [201] }
	if ($method eq 'PATCH')
	{
		$job->{state} = $body->{state};
		if ($body->{state} eq 'UploadComplete')
		{
			my ($header, @lines) = csv_lines($job->{csv});
			foreach my $line (@lines)
			{
				my %fields = map { $header->[$_] => $line->[$_] } 0 .. $#$header;
				if (($fields{Plan__c} // '') eq 'unprocessed') { push @{ $job->{unprocessed} }, $line; next }
				my ($error, $record) = $job->{operation} eq 'upsert' ? write_record($state, $job->{object}, $job->{externalIdFieldName}, \%fields)
					: $state->{records}{ $job->{object} }{ $fields{Id} } ? (refusal(\%fields), $fields{Id}) : ([ 'ENTITY_IS_DELETED', 'entity is deleted' ]);
				if ($error) { push @{ $job->{failed} }, [ '', "$error->[0]:$error->[1]:--", @$line ] }
				else { push @{ $job->{good} }, [ $record, 'true', @$line ] }
			}
			$job->{header} = $header;
			$job->{state} = 'JobComplete' unless $state->{job_fails};
			@$job{qw(state errorMessage)} = ('Failed', 'InvalidBatch : Field name not found : Nope__c') if $state->{job_fails};
		}
		return { map { $_ => $job->{$_} } qw(id state object operation) };
	}
	return { map { $_ => $job->{$_} } grep { defined $job->{$_} } qw(id state object operation errorMessage) } unless $what;
	my %lists = (successfulResults => [ [ 'sf__Id', 'sf__Created' ], 'good' ], failedResults => [ [ 'sf__Id', 'sf__Error' ], 'failed' ], unprocessedrecords => [ [], 'unprocessed' ]);
	my ($extra, $list) = @{ $lists{$what} };
	return [ 200, { 'Content-Type' => 'text/csv; charset=UTF-8' },
		join '', map { join(',', map { '"' . ($_ // '') =~ s/"/""/gr . '"' } @$_) . "\n" } [ @$extra, @{ $job->{header} // [] } ], reverse @{ $job->{$list} // [] } ];
}

sub records { return $t->vendor->state->{records}{ $_[0] // 'Contact' } // {} }
sub by_ext { my %by = map { $_->{Ext__c} => $_ } values %{ records(@_) }; return \%by }
sub count { my @all = $t->requests; return scalar @all }
sub paths { my ($since) = @_; my @all = $t->requests; return join ' ', map { "$_->{method} " . $_->{path} =~ s{^/services/data/v64\.0/}{}r =~ s/7505\w+/J/r } @all[ $since .. $#all ] }

is_deeply($t->rows(q(SELECT * FROM activate.check_connector((SELECT spec FROM activate.connector WHERE name = 'salesforce')) WHERE kind NOT IN ('request', 'step', 'poll', 'results', 'abort'))),
	[], 'the document has no problems');

# ------------------------------------------------------- the destination is known
my $check = $t->rows(q(SELECT ok, account, environment, detail FROM activate.check_destination('d')))->[0];
is_deeply([ @$check{qw(ok account environment)} ], [ JSON::PP::true, '00Dxx0000001gERAAY (Acme)', 'sandbox' ], 'check_destination says whose org it is') or diag explain $check;
$t->sql(q(CALL activate.refresh_destination('d', ARRAY['Contact'])));
is($t->sql(q(SELECT string_agg(field, ' ' ORDER BY field) FROM activate.fields('d', 'Contact') WHERE NOT writable)), 'Formula__c', 'what is computed there is read-only');

# ------------------------------------------------------------------------ records
my %options = (options => '{"max_removed": 100, "max_rejected": 100, "remove_after": "0s"}');
$t->sql(q(CREATE TABLE people (id bigint PRIMARY KEY, name text, plan text, score numeric, born date, seen timestamptz, vip boolean, tags text[], account text, v int DEFAULT 0)));
$t->sql(q(INSERT INTO people SELECT i, 'Doe, "J" ' || i, 'pro', 1234567890123456.125, '2020-02-29', '2026-01-02 03:04:05.678+00', true, '{a,b}', 'A7' FROM generate_series(9007199254740993, 9007199254741000) i));
my $mapping = 'id AS "Ext__c", name AS "LastName", plan AS "Plan__c", score AS "Score__c", born AS "Born__c", seen AS "Seen__c", vip AS "Vip__c", tags AS "Tags__c", account AS "Account.Number__c"';
$t->sync('people', 'people', key => 'id', object => 'Contact', match => '"Ext__c"', mode => 'mirror', on_removed => 'delete', mapping => $mapping, %options);
my $run = $t->run('people');
is($run->{status}, 'succeeded', 'a first sync') or diag $run->{text};
my ($upsert) = grep { $_->{method} eq 'PATCH' } $t->requests;
like($upsert->{body}, qr/"Ext__c":"9007199254740993".*"Score__c":1234567890123456\.125\b/, 'int8 and numeric are exact');
is_deeply($upsert->{json}{records}[0], { attributes => { type => 'Contact' }, Ext__c => '9007199254740993', LastName => 'Doe, "J" 9007199254740993', Plan__c => 'pro',
	Score__c => Math::BigFloat->new('1234567890123456.125'), Born__c => '2020-02-29', Seen__c => '2026-01-02T03:04:05.678Z', Vip__c => JSON::PP::true, Tags__c => 'a;b',
	Account => { Number__c => 'A7' } }, 'as Salesforce takes them: a parent by its external id') or diag explain $upsert->{json}{records}[0];
my $since = count();
$t->sql(q(UPDATE people SET plan = NULL WHERE id = 9007199254740994));
$run = $t->run('people');
is(paths($since), 'PATCH composite/sobjects', 'a change goes by the id that was told');
is(by_ext()->{'9007199254740994'}{Plan__c}, undef, 'null empties a field');
$since = count();
my $state = $t->vendor->state->{records};
delete $state->{Contact}{$_} foreach grep { $state->{Contact}{$_}{Ext__c} eq '9007199254740995' } keys %{ $state->{Contact} };
$t->vendor->tell(records => $state);
$t->sql(q(UPDATE people SET plan = 'new' WHERE id = 9007199254740995));
is($t->run('people')->{status}, 'succeeded', 'a record that is gone');
is(paths($since), 'PATCH composite/sobjects PATCH composite/sobjects/Contact/Ext__c', 'is made anew in the same run');
$since = count();
$t->sql(q(DELETE FROM people WHERE id > 9007199254740994));
is($t->run('people')->{status}, 'succeeded', 'rows that left');
is(paths($since), 'DELETE composite/sobjects', 'are deleted by their ids');
is(scalar(keys %{ records() }), 2, 'and gone there');

# ------------------------------------------------------------------------ answers
my ($one, $two) = qw(9007199254740993 9007199254740994);
my %ok = ($one => 'accepted', $two => 'accepted');
$t->sql(q(SELECT activate.alter_sync('people', mapping => 'id AS "Ext__c", name AS "LastName", plan AS "Plan__c", v AS "Score__c"')));
sub plan_is { my ($plan) = @_; $t->sql("UPDATE people SET plan = '$plan' WHERE id = $one"); return }
plan_is('wrong');
$t->means('a record that is refused', 'people', [], status => 'partial', rows => { $one => 'rejected REQUIRED_FIELD_MISSING', $two => 'accepted' });
plan_is('email');
$t->means('what can never be accepted', 'people', [], rows => { $one => 'refused INVALID_EMAIL_ADDRESS', $two => 'accepted' });
plan_is('pro');
my $locked = [ 200, [ done(undef, [ 'UNABLE_TO_LOCK_ROW', 'unable to obtain exclusive access' ]), done('003xx0000000002AAA') ] ];
$t->means('a lock', 'people', [$locked], rows => {%ok});
$t->means('a whole request that is refused', 'people', [ ([ 400, [ { errorCode => 'JSON_PARSER_ERROR', message => 'Illegal value' } ] ]) x 2 ],
	rows => { $one => 'rejected JSON_PARSER_ERROR', $two => 'accepted' });
$t->means('a field that does not exist', 'people', [ [ 400, [ { errorCode => 'INVALID_FIELD', message => q(No such column 'Plan__c' on sobject of type Contact) } ] ] ],
	status => 'failed', requests => 1, text => qr/No such column/);
$t->means('a server that fails', 'people', [ [ 503, [ { errorCode => 'SERVER_UNAVAILABLE', message => 'busy' } ] ] ], status => 'succeeded', rows => {%ok});
$t->means('an answer that makes no sense', 'people', [ [ 200, { 'Content-Type' => 'application/json' }, '[{"success"' ] ], status => 'succeeded', rows => {%ok});
$t->means('too few results', 'people', [ [ 200, [ done('003xx0000000001AAA') ] ] ], status => 'succeeded', rows => {%ok});
$t->means('a session that expired', 'people', [ [ 401, [ { errorCode => 'INVALID_SESSION_ID', message => 'Session expired or invalid' } ] ] ],
	status => 'succeeded', rows => {%ok}, requests => 3);
$t->means('the quota of a day', 'people', [ [ 403, { 'Retry-After' => 1, 'Content-Type' => 'application/json' }, '[{"errorCode":"REQUEST_LIMIT_EXCEEDED","message":"TotalRequests Limit exceeded."}]' ] ], requests => 1);
ok($t->sql(q(SELECT throttled_until > now() + interval '10 min' FROM activate.destinations WHERE destination = 'd')) eq 't', 'waits');

# ------------------------------------------------------------ update, clear, insert
my %key = (private_key => scalar `openssl genrsa 2048 2>/dev/null`, client_id => 'c', username => 'ada@example.com');
$t->destination('j', options => { base_url => undef, login_url => $url }, secrets => \%key);
$t->sql(q(CREATE TABLE known (id int PRIMARY KEY, ref text, plan text, v int DEFAULT 0)));
$t->sql(qq(INSERT INTO known VALUES (1, '$one', 'a'), (2, 'nobody''s/é', 'b')));
$t->sync('known', 'known', key => 'id', destination => 'j', object => 'Contact', match => '"Ext__c"', mode => 'update', mapping => 'ref AS "Ext__c", plan AS "Plan__c"', %options);
$t->vendor->tell(lookup_fails => 1);
$since = count();
$run = $t->run('known');
like($run->{text}, qr/result 2 neither is a record nor says that there is none/, 'a lookup of which a part failed');
my @all = $t->requests;
my ($grant) = grep { $_->{path} =~ /oauth2/ } @all[ $since .. $#all ];
is($grant->{form}{grant_type}, 'urn:ietf:params:oauth:grant-type:jwt-bearer', 'a token for a JWT');
my $claims = JSON::PP->new->decode(decode_base64url((split /\./, $grant->{form}{assertion})[1]));
is_deeply([ @$claims{qw(iss sub aud)} ], [ 'c', 'ada@example.com', $url ], 'with the claims of Salesforce');
is_deeply([ grep { /absent/ } values %{ $t->states('known') } ], [], 'says nothing of who is there');
$t->vendor->tell(lookup_fails => 0);
$t->sql(q(SELECT activate.retry_rows('known')));
$t->run('known');
$t->rows_become('mode update makes no record', 'known', { 1 => 'accepted', 2 => 'absent' });
is(by_ext()->{$one}{Plan__c}, 'a', 'and updates who is there');

$t->destination('r', options => { base_url => undef, login_url => $url }, secrets => { client_id => 'c', client_secret => 's', refresh_token => 'r' });
$t->sql(q(CREATE TABLE cleared (id int PRIMARY KEY, plan text, v int DEFAULT 0); INSERT INTO cleared VALUES (1, 'pro'), (2, 'pro')));
$t->sync('cleared', 'cleared', key => 'id', destination => 'r', object => 'Invoice__c', match => '"Ext__c"', mode => 'mirror', on_removed => 'clear',
	mapping => 'id AS "Ext__c", plan AS "Plan__c"', %options);
is($t->run('cleared')->{status}, 'succeeded', 'by a refresh token');
$t->sql('DELETE FROM cleared WHERE id = 2');
$t->run('cleared');
is(by_ext('Invoice__c')->{2}{Plan__c}, undef, 'on_removed clear empties the fields');
$t->sync('made', 'cleared', key => 'id', destination => 'r', object => 'Task', match => '"Subject"', mode => 'insert', mapping => 'plan AS "Subject"', %options);
is($t->run('made')->{status}, 'succeeded', 'mode insert') or diag $t->run('made')->{text};
is(scalar(keys %{ records('Task') }), 1, 'makes records');

my ($owned) = grep { records('Invoice__c')->{$_}{Ext__c} eq '1' } keys %{ records('Invoice__c') };
$t->sql(qq(CREATE TABLE owned (id text PRIMARY KEY, plan text, v int DEFAULT 0); INSERT INTO owned VALUES ('$owned', 'mine'), ('003xx0000009999AAA', 'lost')));
$t->sync('owned', 'owned', key => 'id', destination => 'r', object => 'Invoice__c', match => '"Id"', mode => 'upsert', mapping => 'id AS "Id", plan AS "Plan__c"', %options);
$since = count();
$t->run('owned');
is(paths($since), 'PATCH composite/sobjects', 'matched by its own id nothing is looked up');
$t->rows_become('and no record made', 'owned', { $owned => 'accepted', '003xx0000009999AAA' => 'absent ENTITY_IS_DELETED' });
is_deeply(records('Invoice__c')->{$owned}, { Ext__c => '1', Plan__c => 'mine' }, 'the id is no field');

$t->vendor->tell(revoked => 1);
$t->destination('x', options => { base_url => undef, login_url => $url }, secrets => { client_id => 'c', client_secret => 's', refresh_token => 'old' });
like($t->sql(q(SELECT detail FROM activate.check_destination('x') WHERE NOT ok)), qr/invalid_grant/, 'access that was taken away');
$t->vendor->tell(revoked => 0);

# --------------------------------------------------------------------------- bulk
$t->sql(q(CREATE TABLE many (id bigint PRIMARY KEY, name text, plan text, score numeric, seen timestamptz, v int DEFAULT 0)));
$t->sql(q(INSERT INTO many SELECT 9007199254740992 + i, CASE i WHEN 3 THEN E'a "b",\nc' ELSE 'Doe' END, CASE i WHEN 1 THEN NULL WHEN 2 THEN '' WHEN 10 THEN 'wrong'
	WHEN 11 THEN 'email' WHEN 12 THEN 'unprocessed' ELSE 'pro' END, 1234567890123456.125, '2026-01-02 03:04:05+00' FROM generate_series(1, 2050) i));
$t->sync('many', 'many', key => 'id', destination => 'r', object => 'Lead', match => '"Ext__c"', mode => 'upsert',
	mapping => 'id AS "Ext__c", name AS "LastName", plan AS "Plan__c", score AS "Score__c", seen AS "Seen__c"', %options);
$since = count();
$run = $t->run('many');
is(paths($since), 'POST jobs/ingest PUT jobs/ingest/J/batches PATCH jobs/ingest/J GET jobs/ingest/J GET jobs/ingest/J/successfulResults'
	. ' GET jobs/ingest/J/failedResults GET jobs/ingest/J/unprocessedrecords', 'many rows go as one job') or diag $run->{text};
my %states = %{ $t->states('many') };
is(scalar(grep { $_ eq 'accepted' } values %states), 2047, 'whose rows are judged one by one');
is_deeply([ map { ($states{ 9007199254740992 + $_ } // 'later') =~ s/ .*//r } 10, 11, 12 ], [ 'rejected', 'refused', 'later' ], 'failed ones, some for good, and those that were not processed') or diag explain [ map { $states{ 9007199254740992 + $_ } } 10, 11, 12 ];
my ($put) = grep { $_->{method} eq 'PUT' } $t->requests;
my @lines = csv_lines($put->{body});
is_deeply($lines[1], [ '9007199254740993', 'Doe', '#N/A', '1234567890123456.125', '2026-01-02T03:04:05.000Z' ], 'null is #N/A, numbers are exact');
is($lines[2][2], '#N/A', 'an empty text is null, as in JSON');
is($lines[3][1], qq(a "b",\nc), 'and texts are quoted');
is($t->sql(q(SELECT count(activate_external_id) FROM activate_data.many)), 2047, 'ids are kept');
$t->sql(q(UPDATE many SET plan = 'pro' WHERE id <= 9007199254740992 + 12));
$t->sql(q(SELECT activate.retry_rows('many')));
$since = count();
$t->run('many');
is(paths($since), 'PATCH composite/sobjects PATCH composite/sobjects/Lead/Ext__c', 'few rows do not');
is(scalar(grep { $_ eq 'accepted' } values %{ $t->states('many') }), 2050, 'and all are there');
$t->sql(q(UPDATE many SET score = 2));
my $lost = (sort keys %{ records('Lead') })[0];
$state = $t->vendor->state->{records};
delete $state->{Lead}{$lost};
$t->vendor->tell(records => $state);
$since = count();
$run = $t->run('many');
is($run->{status}, 'succeeded', 'many rows whose ids are known') or diag $run->{text};
is(scalar(() = paths($since) =~ m{PATCH jobs/ingest/J GET}g), 2, 'go by them, and one that is gone by its external id');
is_deeply([ map { $_->{operation} } map { $_->{json} // () } grep { $_->{path} =~ m{jobs/ingest$} } ($t->requests)[ $since .. count() - 1 ] ], [ 'update', 'upsert' ], 'update, then upsert');
is(scalar(keys %{ records('Lead') }), 2050, 'none twice');
$t->vendor->tell(job_fails => 1);
$t->sql(q(UPDATE many SET score = 3));
$run = $t->run('many');
like($t->sql(q(SELECT DISTINCT message FROM activate.rejections WHERE sync = 'many')), qr/Field name not found/, 'a job that failed says why') or diag $run->{text};
$t->vendor->tell(job_fails => 0);

# -------------------------------------------------------------- files of requests
$t->fits(sub { $_[0]{path} =~ m{composite/sobjects} && ($_[0]{method} eq 'DELETE' || $_[0]{path} =~ /__c$/) });
$t->broken({ %$upsert, body => '{"records":[{"Ext__c":"7"}]}' }, 'a record without a type');
SKIP:
{
	my $spec = 'salesforce/salesforce-bulk-api-2-openapi.yml';
	skip "no $spec", 5 unless Prism->has($spec);
	my $prism = Prism->start($spec, strip => '/services/data/v64.0/jobs');
	my %seen;
	foreach my $request (grep { $_->{path} =~ m{jobs/ingest} } $t->requests)
	{
		my $kind = "$request->{method} " . $request->{path} =~ s/7505\w+/J/r;
		$prism->accepts($request, $kind) unless $seen{$kind}++;
	}
	my ($create) = grep { $_->{path} =~ m{jobs/ingest$} } $t->requests;
	$prism->refuses({ %$create, body => '{"object":"Lead","operation":"merge"}' }, 'an operation that there is not');
}

done_testing();
