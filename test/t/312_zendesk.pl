# Zendesk: users and tickets by jobs that are polled, organizations one by one
# and then by id, and what its answers mean, against a stand-in held to
# Zendesk's own file.
use strict;
use warnings;

use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

use ConnectorTest;

my ($true, $false) = (JSON::PP::true, JSON::PP::false);
my $t = ConnectorTest->start('zendesk', \&zendesk,
	spec => 'zendesk/zendesk.com.subset.json', conf => "pg_activate.debug_late_off = on\npg_activate.debug_poll_pause = 1\n",
	secrets => { username => 'ada@example.com', api_key => 'key-1' });

# Jobs are worked off when they are asked for the second time. A name of
# "wrong" is refused as Zendesk does it: by an error in the row's result.
sub zendesk
{
	my ($request, $state) = @_;
	my ($path, $query, $body) = @$request{qw(path query json)};
	my $all = $state->{all} //= { users => {}, organizations => {}, tickets => {} };

	return [ 401, { error => "Couldn't authenticate you" } ]
		if $state->{credentials} && ($request->{headers}{authorization} // '') ne $state->{credentials};
	return { user => { id => $state->{anonymous} ? undef : 35436, email => 'ada@example.com', name => 'Ada', role => 'admin' } } if $path eq '/api/v2/users/me';
	return { user_fields => [ map { { key => $_->[0], title => ucfirst $_->[0], type => $_->[1], active => $_->[2] // $true } }
			[ 'plan', 'tagger' ], [ 'arr', 'decimal' ], [ 'seats', 'integer' ], [ 'vip', 'checkbox' ], [ 'renewal', 'date' ], [ 'old', 'text', $false ] ],
		links => { next => undef } } if $path eq '/api/v2/user_fields';
	return { organization_fields => [ { key => 'tier', title => 'Tier', type => 'text', active => $true } ] } if $path eq '/api/v2/organization_fields';
	return { users => [ grep { my $user = $_; $query->{query} =~ /^(\w+):"(.*)"$/ && lc($user->{$1} // '') eq lc $2 } values %{ $all->{users} } ], count => 1 }
		if $path eq '/api/v2/users/search';
	return { tickets => [ grep { $_->{external_id} eq $query->{external_id} } values %{ $all->{tickets} } ] }
		if $path eq '/api/v2/tickets' && $request->{method} eq 'GET';
	return { organizations => [ grep { my $o = $_; grep { lc $_ eq lc $o->{external_id} } split /,/, $query->{external_ids} } values %{ $all->{organizations} } ] }
		if $path eq '/api/v2/organizations/show_many';
	if ($path eq '/api/v2/tickets')
	{
		my $id = 900 + ++$state->{last};
		$all->{tickets}{$id} = { %{ $body->{ticket} }, id => $id };
		return [ 201, { ticket => $all->{tickets}{$id} } ];
	}
	if ($path eq '/api/v2/organizations/create_or_update')
	{
		my $one = $body->{organization};
		return [ 422, { error => 'RecordInvalid', description => 'Record validation errors',
			details => { name => [ { description => 'Name: has already been taken', error => 'DuplicateValue' } ] } } ] if $one->{name} eq 'wrong';
		my ($known) = grep { $_->{external_id} eq $one->{external_id} } values %{ $all->{organizations} };
		my $id = $known ? $known->{id} : 900 + ++$state->{last};
		$all->{organizations}{$id} = { %{ $known // {} }, %$one, id => $id };
		return [ $known ? 200 : 201, { organization => $all->{organizations}{$id} } ];
	}
	if ($path =~ m{^/api/v2/(\w+)/(\w+_many)$})
	{
		my ($what, $how) = ($1, $2);
		my $id = 'job' . ++$state->{jobs};
		$state->{$id} = { what => $what, how => $how, rows => $body->{$what} // [ map { { id => $_ } } split /,/, $query->{ids} // '' ] };
		return { job_status => { id => $id, status => 'queued', url => "https://example.zendesk.com/api/v2/job_statuses/$id.json", total => undef, progress => undef, message => undef, results => undef } };
	}
	if ($path =~ m{^/api/v2/job_statuses/(\w+)$})
	{
		my ($id, $job) = ($1, $state->{$1});
		return [ 404, { error => 'RecordNotFound', description => 'Not found' } ] if !$job || $state->{vanished};
		return { job_status => { id => $id, status => $job->{asked} > 1 && $state->{stuck} ? 'killed' : 'working', message => 'by hand', results => undef } }
			if $job->{asked}++ < 1 || $state->{stuck};
		my $index = 0;
		my @results = map { _done($state, $all->{ $job->{what} }, $job->{how}, $_, $index++) } @{ $job->{rows} };
		return { job_status => { id => $id, status => $state->{failed} ? 'failed' : 'completed', total => $index, progress => $index,
			message => 'Completed at 2026-01-02 03:04:05 +0000', results => \@results } };
	}
	return [ 404, { error => 'InvalidEndpoint', description => 'Not found' } ];
}

sub _done
{
	my ($state, $all, $how, $row, $index) = @_;
	my ($known) = grep { $row->{id} ? $_->{id} eq $row->{id} : lc($_->{external_id} // '') eq lc($row->{external_id} // '-')
		|| lc($_->{email} // '') eq lc($row->{email} // '-') } values %$all;

	return { index => $index, error => 'RecordNotFound', details => 'no such record' } if $row->{id} && !$known;
	return { index => $index, error => 'UserCreateError', details => 'Name: is too short' } if ($row->{name} // '') eq 'wrong';
	return { id => $row->{id}, index => $index, action => 'update', success => $false, status => 'Failed', error => 'TicketUpdateFailed',
		details => 'Status: closed prevents ticket update' } if $known && ($known->{status} // '') eq 'closed';
	if ($how eq 'destroy_many')
	{
		delete $all->{ $row->{id} };
		return { id => $row->{id}, action => 'delete', status => 'Deleted', success => $true };
	}
	my $id = $known ? $known->{id} : 900 + ++$state->{last};
	$all->{$id} = { %{ $known // {} }, %$row, id => $id };
	return $known ? { id => $id, action => 'update', status => 'Updated', success => $true } : { id => $id, index => $index };
}

sub all { my ($what) = @_; return $t->vendor->state->{all}{$what} }
sub by_ref { my ($what) = @_; return { map { $_->{external_id} => $_ } values %{ all($what) } } }
sub count { my @all = $t->requests; return scalar @all }
sub paths { my ($since) = @_; my @all = $t->requests; return join ' ', map { "$_->{method} $_->{path}" =~ s/job\d+/job/r } @all[ $since .. $#all ] }
sub tell_all { my ($change) = @_; my $all = $t->vendor->state->{all}; $change->($all); $t->vendor->tell(all => $all); return }

my $job = 'GET /api/v2/job_statuses/job';
my %options = (options => '{"max_removed": 100, "max_rejected": 100, "remove_after": "0s"}');

is_deeply($t->rows(q(SELECT kind, pointer, message FROM activate.check_connector((SELECT spec FROM activate.connector WHERE name = 'zendesk')) WHERE kind = 'error')),
	[], 'the document has no problems');
my $check = $t->rows(q(SELECT ok, account FROM activate.check_destination('d')))->[0];
is_deeply($check, { ok => $true, account => '35436 (Ada)' }, 'check_destination says who it is') or diag explain $check;
$t->vendor->tell(anonymous => 1);
$check = $t->rows(q(SELECT ok, detail, account FROM activate.check_destination('d')))->[0];
ok(!$check->{ok} && $check->{detail} =~ /nobody's/ && !defined $check->{account}, 'credentials that are nobody\'s are told') or diag explain $check;
$t->vendor->tell(anonymous => 0);
is((map { $_->{headers}{authorization} } ($t->requests)[0])[0], 'Basic YWRhQGV4YW1wbGUuY29tL3Rva2VuOmtleS0x', 'an API token goes with the agent\'s address');
$t->sql('CALL activate.refresh_destination($$d$$, $${users,organizations}$$)');
is($t->sql(q(SELECT string_agg(field || ' ' || type, ', ' ORDER BY field) FROM activate.fields('d', 'users') WHERE field IN ('plan', 'arr', 'seats', 'vip', 'renewal', 'external_id'))),
	'arr number, external_id text, plan text, renewal date, seats integer, vip boolean', 'user fields are found');

# -------------------------------------------------------------------- users
$t->sql(q(CREATE TABLE people (id bigint PRIMARY KEY, name text, plan text, arr numeric, tags text[], v int DEFAULT 0)));
$t->sql(q(INSERT INTO people SELECT i, 'Person ' || i, 'pro', 12345678901234567.125, '{a,b}' FROM generate_series(9007199254740993, 9007199254740997) AS i));
$t->sync('people', 'people', key => 'id', object => 'users', mode => 'mirror', on_removed => 'delete',
	mapping => 'id AS external_id, name, plan, arr, tags', %options);
my $since = count();
my $run = $t->run('people');
is($run->{status}, 'succeeded', 'a first sync') or diag $run->{text};
is(paths($since), "POST /api/v2/users/create_or_update_many $job $job", 'hands the users over and asks for the job');
my ($first) = grep { $_->{path} =~ /create_or_update_many/ } $t->requests;
like($first->{body}, qr/"external_id":\s*"9007199254740993"/, 'int8 as the external id is exact');
like($first->{body}, qr/"user_fields":\s*\{[^}]*"arr":\s*12345678901234567\.125/, 'what is no field of Zendesk\'s own is a user field; numeric is exact');
is_deeply(by_ref('users')->{'9007199254740993'}{user_fields}{plan}, 'pro', 'by its key');
is($t->sql(q(SELECT count(*) FROM activate_data.people WHERE activate_external_id::bigint > 900)), 5, 'ids are kept');
$t->sql(q(UPDATE people SET plan = NULL WHERE id = 9007199254740994));
is($t->run('people')->{status}, 'succeeded', 'a change');
is(by_ref('users')->{'9007199254740994'}{user_fields}{plan}, undef, 'null clears a field');
is(scalar(keys %{ all('users') }), 5, 'of the same user');
$t->sql(q(DELETE FROM people WHERE id = 9007199254740997));
$since = count();
is($t->run('people')->{status}, 'succeeded', 'a row that left');
is(paths($since), "DELETE /api/v2/users/destroy_many $job $job", 'is deleted by its id');
is(scalar(keys %{ all('users') }), 4, 'and gone there');

# ------------------------------------------------------------------ answers
$t->sql(q(DELETE FROM people WHERE id > 9007199254740994));
$t->run('people');
my ($one, $two) = qw(9007199254740993 9007199254740994);
my %ok = ($one => 'accepted', $two => 'accepted');
$t->sql(q(SELECT activate.alter_sync('people', mapping => 'id AS external_id, name, plan, v AS seats')));
$t->sql(qq(UPDATE people SET name = 'wrong' WHERE id = $two));
$t->means('one row of a job', 'people', [], status => 'partial', rows => { $one => 'accepted', $two => 'rejected UserCreateError' });
is($t->sql(q(SELECT message FROM activate.pending WHERE sync = 'people')), 'Name: is too short', 'and says why');
$t->vendor->tell(failed => 1);
$t->sql(q(UPDATE people SET name = 'wrong'));
$t->means('a job that failed for all of its rows', 'people', [], rows => { $one => 'rejected UserCreateError', $two => 'rejected UserCreateError' });
$t->vendor->tell(failed => 0);
$t->sql(q(UPDATE people SET name = 'Right'));
$t->vendor->tell(stuck => 1);
$t->means('a job that was killed', 'people', [], rows => { $one => 'rejected killed', $two => 'rejected killed' });
like($t->sql(q(SELECT message FROM activate.pending WHERE sync = 'people' LIMIT 1)), qr/by hand/, 'says so');
$t->vendor->tell(stuck => 0, vanished => 1);
$run = $t->means('a job that vanished', 'people', []);
isnt($run->{status}, 'succeeded', 'is no success');
is($t->sql(q(SELECT count(*) FROM activate.pending WHERE sync = 'people')), 2, 'and its rows are in doubt');
$t->vendor->tell(vanished => 0);
$t->means('the next run', 'people', [], status => 'succeeded', rows => {%ok});
my $throttle = [ 429, { 'Retry-After' => 1, 'Content-Type' => 'text/html' }, 'Number of allowed API requests per minute exceeded' ];
$t->means('too many requests', 'people', [$throttle], status => 'succeeded', rows => {%ok});
$t->means('too many jobs', 'people', [ [ 429, { 'Retry-After' => 1, 'Content-Type' => 'application/json' }, '{"error": "TooManyJobs", "description": "too many"}' ] ], status => 'succeeded', rows => {%ok});
$t->means('a database that is busy', 'people', [ [ 503, { 'Retry-After' => 1 }, 'busy' ] ], status => 'succeeded', rows => {%ok});
$t->means('a conflict', 'people', [ [ 409, { error => 'DatabaseConflict', description => 'try again' } ] ], status => 'succeeded', rows => {%ok});
$t->means('an answer that makes no sense', 'people', [ [ 200, { 'Content-Type' => 'application/json' }, '{"job_status": {' ] ]);
$t->means('after it', 'people', [], status => 'succeeded', rows => {%ok});
$t->means('imports that are not enabled', 'people', [ [ 403, { error => 'Forbidden', description => 'Bulk imports are not enabled' } ] ],
	status => 'failed', text => qr/not enabled/);
$t->vendor->tell(credentials => 'Basic bm9ib2R5');
$t->means('a token that was revoked', 'people', [], status => 'failed', text => qr/401/);
$t->vendor->tell(credentials => undef);
$t->means('a good token', 'people', [], status => 'succeeded', rows => {%ok});

# ------------------------------------- by e-mail: update, clear, archive
$t->destination('o', secrets => { access_token => 'oauth-1' });
$t->sql(q(SELECT activate.check_destination('o')));
is((map { $_->{headers}{authorization} } ($t->requests)[-1])[0], 'Bearer oauth-1', 'an OAuth token goes as such');
$t->destination('e', secrets => { username => 'ada@example.com', api_key => 'key-1' });
tell_all(sub { my ($all) = @_; $all->{users} = { 71 => { id => 71, email => 'ann@example.com', role => 'end-user' }, 72 => { id => 72, email => 'bob@example.com', name => 'Bob' } } });
$t->model('known', map { { id => $_->[0], email => $_->[1], seats => 5 } } [ 1, 'Ann@Example.com' ], [ 2, 'bob@example.com' ], [ 3, 'eve@example.com' ]);
$t->sync('known', 'known', key => 'id', destination => 'e', object => 'users', match => 'email', mode => 'update', mapping => 'email, seats', %options);
$since = count();
$run = $t->run('known');
is(scalar(() = paths($since) =~ m{GET /api/v2/users/search}g), 3, 'users that are only updated are looked for') or diag $run->{text};
$t->rows_become('who is not there is absent', 'known', { 1 => 'accepted', 2 => 'accepted', 3 => 'absent' });
is(all('users')->{71}{user_fields}{seats}, 5, 'who is there is updated by id');
$t->sql(q(SELECT activate.drop_sync('known')));
foreach my $case ([ 'archive', 'PUT /api/v2/users/update_many' ], [ 'clear', 'PUT /api/v2/users/update_many' ])
{
	my ($how, $path) = @$case;
	$t->sync($how, 'known', key => 'id', destination => 'e', object => 'users', match => 'email', mode => 'mirror', on_removed => $how,
		mapping => "email, 'Name' AS name, seats", %options);
	is($t->run($how)->{status}, 'succeeded', "$how: a first sync");
	$t->sql(q(DELETE FROM known WHERE id = 1));
	$since = count();
	$run = $t->run($how);
	is(paths($since), "$path $job $job", "$how: what left is removed so") or diag $run->{text};
	$t->sql("SELECT activate.drop_sync('$how')");
	$t->insert('known', { id => 1, email => 'Ann@Example.com', seats => 5 });
}
my ($ann) = grep { lc $_->{email} eq 'ann@example.com' } values %{ all('users') };
is_deeply([ $ann->{suspended}, $ann->{name}, $ann->{user_fields}{seats} ], [ $true, undef, undef ], 'archived is suspended, cleared is null');

# ------------------------------------------------------------ organizations
$t->model('companies', map { { id => "o$_", name => "Acme $_", tier => 'gold' } } 1 .. 3);
$t->sync('companies', 'companies', key => 'id', destination => 'e', object => 'organizations', mode => 'mirror', on_removed => 'delete',
	mapping => 'id AS external_id, name, tier', %options);
$since = count();
is($t->run('companies')->{status}, 'succeeded', 'organizations');
is(paths($since), join(' ', ('POST /api/v2/organizations/create_or_update') x 3), 'are made one by one');
$since = count();
$t->sql(q(UPDATE companies SET tier = 'silver'));
is($t->run('companies')->{status}, 'succeeded', 'changes of them');
is(paths($since), "PUT /api/v2/organizations/update_many $job $job", 'go together, by their ids');
is(by_ref('organizations')->{o2}{organization_fields}{tier}, 'silver', 'and are there');
my ($gone) = map { $_->{id} } by_ref('organizations')->{o2};
tell_all(sub { my ($all) = @_; delete $all->{organizations}{$gone} });
$t->sql(q(UPDATE companies SET tier = 'bronze' WHERE id = 'o2'));
$since = count();
is($t->run('companies')->{status}, 'succeeded', 'one that was deleted there');
is(paths($since), "PUT /api/v2/organizations/update_many $job $job POST /api/v2/organizations/create_or_update", 'is made anew');
$t->insert('companies', { id => 'o4', name => 'wrong', tier => 'gold' });
$t->run('companies');
$t->rows_become('a name that is taken', 'companies', { o1 => 'accepted', o2 => 'accepted', o3 => 'accepted', o4 => 'rejected RecordInvalid' });
$t->sql(q(DELETE FROM companies WHERE id IN ('o1', 'o4')));
$since = count();
$t->run('companies');
is(paths($since), "DELETE /api/v2/organizations/destroy_many $job $job", 'what left is deleted by its id');
is_deeply([ sort keys %{ by_ref('organizations') } ], [ 'o2', 'o3' ], 'and gone there');

# ------------------------------------------------------------------ tickets
tell_all(sub { my ($all) = @_; $all->{tickets} = { 61 => { id => 61, external_id => 'i1', status => 'open' }, 62 => { id => 62, external_id => 'i2', status => 'closed' } } });
$t->sql(q(CREATE TABLE invoices (id text PRIMARY KEY, plan text, arr bigint, v int DEFAULT 0)));
$t->sql(q(INSERT INTO invoices VALUES ('i1', 'pro', 9007199254740993), ('i2', 'pro', 2), ('i3', 'free', 3)));
$t->sync('tickets', 'invoices', key => 'id', destination => 'e', object => 'tickets', mode => 'update',
	mapping => '{"external_id": "id", "custom_fields": [{"id": 360001, "value": "plan"}, {"id": 360002, "value": "arr"}]}', %options);
$since = count();
$run = $t->run('tickets');
is(scalar(() = paths($since) =~ m{GET /api/v2/tickets}g), 3, 'tickets are looked for by their external id') or diag $run->{text};
$t->rows_become('a closed ticket is refused for good', 'tickets', { i1 => 'accepted', i2 => 'refused TicketUpdateFailed', i3 => 'absent' });
is(JSON::PP->new->canonical->allow_bignum->encode(all('tickets')->{61}{custom_fields}), '[{"id":360001,"value":"pro"},{"id":360002,"value":9007199254740993}]', 'custom fields are an array, int8 is exact');
$t->sql(q(SELECT activate.drop_sync('tickets')));
$t->sync('made', 'invoices', key => 'id', destination => 'e', object => 'tickets', mode => 'upsert',
	mapping => '{"external_id": "id", "subject": "plan", "comment": {"body": "concat(id)"}}', %options);
$t->run('made');
$t->rows_become('a ticket that is not there is made', 'made', { i1 => 'accepted', i2 => 'refused TicketUpdateFailed', i3 => 'accepted' });
my ($made) = grep { $_->{method} eq 'POST' && $_->{path} eq '/api/v2/tickets' } $t->requests;
ok(length $made->{headers}{'idempotency-key'}, 'by a request that may come twice');
$t->sql(q(CREATE TABLE numbers AS SELECT 61 AS id, 'vip' AS tag));
$t->sync('numbers', 'numbers', key => 'id', destination => 'e', object => 'tickets/id', mode => 'update', mapping => '{"id": "id", "tags": ["tag"]}', %options);
is($t->run('numbers')->{status}, 'succeeded', 'tickets by Zendesk\'s own id');
is_deeply(all('tickets')->{61}{tags}, ['vip'], 'are updated');

# -------------------------------------------------------- the vendor's file
# The part of it that is kept has nothing of tickets and searches; it knows no
# body of organizations/create_or_update and organizations/update_many.
$t->fits(sub { my ($request) = @_; return $request->{status} < 300 && $request->{path} !~ m{tickets|search|show_many|create_or_update$|organizations/update_many|_fields|users/me} });
$t->broken({ %$first, body => '{"users": {"name": "Ada"}}' }, 'users that are no list');

done_testing();
