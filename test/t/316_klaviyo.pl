# klaviyo against a stand-in: profiles one by one and as jobs, lists, events;
# what the vendor refuses, and each kind of request held against its own files.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use ConnectorTest;

sub problem
{
	my ($status, $code, $detail, %more) = @_;
	return [ $status, { 'Content-Type' => 'application/vnd.api+json' }, JSON::PP->new->canonical->encode({ errors => [ {
		id => 'e1', status => $status, code => $code, title => 'Invalid input.', detail => $detail, source => { pointer => '/data/attributes' }, meta => {}, %more } ] }) ];
}

# Keeps profiles by their ids.
my $handler = sub {
	my ($request, $state) = @_;
	my ($method, $path, $json) = @$request{qw(method path json)};
	my $profiles = $state->{profiles} //= {};
	my $page = sub {
		my (@items) = @_;
		my $from = $request->{query}{'page[cursor]'} // 0;
		my $size = $request->{query}{'page[size]'} // 2;
		return { data => [ grep { defined } @items[ $from .. $from + $size - 1 ] ], links => { self => 'x',
			next => $from + $size < @items ? "http://$request->{headers}{host}$path?page%5Bcursor%5D=" . ($from + $size) . "&page%5Bsize%5D=$size" : undef } };
	};
	my $find = sub {
		my ($wanted) = @_;
		foreach my $by (qw(external_id email phone_number))
		{
			next unless defined $wanted->{$by};
			my ($id) = grep { ($profiles->{$_}{$by} // '') eq $wanted->{$by} } sort keys %$profiles;
			return $id if $id;
		}
		return;
	};
	my $bad = sub {
		my ($attributes) = @_;
		return ($attributes->{email} // '') =~ /\@nowhere$/ ? 'Invalid email address' : ($attributes->{phone_number} // '+') !~ /^\+/ ? 'The phone number provided either does not exist' : undef;
	};
	my $profile = sub { my ($id) = @_; return { data => { type => 'profile', id => $id, attributes => $profiles->{$id} } } };
	my $put = sub {
		my ($id, $attributes) = @_;
		$id //= 'P' . ++$state->{last};
		$profiles->{$id} = { %{ $profiles->{$id} // {} }, %$attributes };
		return $id;
	};

	return problem(400, 'invalid', 'The revision header is missing') unless ($request->{headers}{revision} // '') =~ /^\d{4}-\d\d-\d\d$/;
	return problem(401, 'not_authenticated', 'Authentication credentials were not provided.') unless ($request->{headers}{authorization} // '') eq 'Klaviyo-API-Key pk_1';
	return { data => [ { type => 'account', id => 'ACC1', attributes => { contact_information => { organization_name => 'Acme' } } } ] } if $path eq '/api/accounts';
	return $page->(map { { type => 'list', id => $_, attributes => { name => "List $_" } } } qw(LA LB LC)) if $path eq '/api/lists';
	return $page->({ type => 'metric', id => 'M1', attributes => { name => 'Placed Order' } }) if $path eq '/api/metrics';
	if ($path eq '/api/profiles' && $method eq 'GET')
	{
		my ($by, $list) = ($request->{query}{filter} // '') =~ /^any\((\w+),(\[.*\])\)$/ or return $page->();
		my %wanted = map { $_ => 1 } @{ JSON::PP->new->decode($list) };
		return { data => [ map { { type => 'profile', id => $_, attributes => { $by => $profiles->{$_}{$by} } } }
			grep { defined $profiles->{$_}{$by} && $wanted{ $profiles->{$_}{$by} } } sort keys %$profiles ], links => { next => undef } };
	}
	if ($path eq '/api/profile-import')
	{
		my $attributes = $json->{data}{attributes};
		my $why = $bad->($attributes);
		return problem(400, 'invalid', $why, source => { pointer => '/data/attributes/email' }) if $why;
		my $id = $find->($attributes);
		return [ $id ? 200 : 201, $profile->($put->($id, $attributes)) ];
	}
	if ($path =~ m{^/api/profiles/(\w+)$})
	{
		my $id = $1;
		return problem(404, 'not_found', 'A profile with this id does not exist.') unless $profiles->{$id};
		my $other = $find->({ email => $json->{data}{attributes}{email} });
		return problem(409, 'duplicate_profile', 'A profile already exists with one of these identifiers.', meta => { duplicate_profile_id => $other })
			if $other && $other ne $id;
		return $profile->($put->($id, $json->{data}{attributes}));
	}
	if ($path =~ m{^/api/lists/(\w+)/relationships/profiles$})
	{
		return problem(404, 'not_found', 'A list with this id does not exist.') unless $1 eq 'LA';
		$state->{list}{ $_->{id} } = $method eq 'POST' ? 1 : 0 foreach @{ $json->{data} };
		return [204];
	}
	if ($path eq '/api/profile-bulk-import-jobs')
	{
		my $job = 'J' . ++$state->{jobs};
		foreach my $one (@{ $json->{data}{attributes}{profiles}{data} })
		{
			my $why = $bad->($one->{attributes});
			push @{ $state->{errors}{$job} }, { type => 'import-error', id => 'i' . @{ $state->{errors}{$job} // [] }, attributes => { code => 'invalid', title => 'Invalid',
				detail => $why, source => { pointer => '/data/attributes/profiles/data/0' }, original_payload => $one->{attributes} } } if $why;
			$put->(scalar $find->($one->{attributes}), $one->{attributes}) unless $why;
		}
		return [ 202, { data => { type => 'profile-bulk-import-job', id => $job, attributes => { status => 'queued' } } } ];
	}
	if ($path =~ m{^/api/profile-bulk-import-jobs/(\w+)(/import-errors)?$})
	{
		my $job = $1;
		return $page->(@{ $state->{errors}{$job} // [] }) if $2;
		return { data => { type => 'profile-bulk-import-job', id => $job, attributes => { status => 'complete', failed_count => scalar @{ $state->{errors}{$job} // [] } } } };
	}
	if ($path eq '/api/events')
	{
		my $of = $json->{data}{attributes}{profile}{data}{attributes};
		return problem(400, 'invalid', 'At least one identifier is required') unless %$of;
		$state->{events}{ $json->{data}{attributes}{unique_id} }++;
		return [202];
	}
	return problem(404, 'not_found', "no $method $path");
};

my $t = ConnectorTest->start('klaviyo', $handler, secrets => { api_key => 'pk_1' }, conf => 'pg_activate.debug_late_off = on', spec => [ map { "klaviyo/$_.json" }
	'create_or_update_profile.prism', 'bulk_import_profiles.prism', 'get_bulk_import_profiles_job.prism', 'get_errors_for_bulk_import_profiles_job.prism',
	'add_profiles_to_list', 'create_event', 'request_profile_deletion.prism' ]);

sub of { my ($method, $path) = @_; return grep { $_->{method} eq $method && $_->{path} =~ $path } $t->requests }
sub profile { my ($email) = @_; my $all = $t->vendor->state->{profiles}; return (grep { ($_->{email} // '') eq $email } map { { %{ $all->{$_} }, id => $_ } } sort keys %$all)[0] }
my $limits = '"max_rejected": null, "max_removed": null, "max_changed": null';

# ------------------------------------------------------------- what there is
like($t->sql(q{SELECT * FROM activate.check_destination('d')}), qr/ACC1.*Acme/s, 'a check says whose account it is');
is_deeply($t->rows(q{SELECT pointer, message FROM activate.check_connector((SELECT spec FROM activate.connector WHERE name = 'klaviyo')) WHERE kind = 'error'}),
	[], 'the document has no problems');
$t->sql(q{CALL activate.refresh_destination('d')});
is($t->sql(q(SELECT string_agg(object, ', ' ORDER BY object COLLATE "C") FROM activate.objects('d') WHERE strpos(object, '{') = 0)),
	'events/Placed Order, lists/LA, lists/LB, lists/LC, profiles', 'lists, page by page, and metrics');

# ------------------------------------------------------------------ profiles
$t->model('people', map { { id => $_->[0], email => $_->[1], name => $_->[2], spent => $_->[3], place => { city => 'Lyon' } } }
	[ 1, 'Ada@Example.com', 'Ada', '9007199254740993.01' ], [ 2, 'bob@example.com', 'Bob', '2.5' ], [ 3, 'eve@nowhere', 'Eve', '3.5' ]);
$t->sync('s', 'people', key => 'id', object => 'profiles', match => 'external_id', mode => 'mirror', on_removed => 'clear', options => "{$limits}",
	mapping => q{id::text AS external_id, email, name AS first_name, place AS location, spent, (id * 1000000000000000007) AS big});
$t->run('s');
$t->rows_become('a profile that is wrong is refused for good', 's', { 1 => 'accepted', 2 => 'accepted', 3 => 'refused invalid' });
my ($import) = of(POST => qr/profile-import/);
is($import->{json}{data}{attributes}{email}, 'ada@example.com', 'addresses go in small letters');
like($import->{body}, qr/"spent": ?9007199254740993\.01[,}]/, 'numeric is exact');
like($import->{body}, qr/"big": ?1000000000000000007[,}]/, 'and so is int8');
is_deeply($import->{json}{data}{attributes}{location}, { city => 'Lyon' }, 'fields of the profile stand beside its properties');
is($t->sql('SELECT activate_external_id FROM activate_data.s WHERE id = 1'), profile('ada@example.com')->{id}, 'the id is kept');

$t->sql(q{DELETE FROM people WHERE id = 3});
$t->sql(q{UPDATE people SET email = 'ada@example.org', name = NULL WHERE id = 1});
$t->run('s');
my ($patch) = of(PATCH => qr/profiles/);
is($patch->{json}{data}{id}, profile('ada@example.org')->{id}, 'a new address is one of the same profile');
ok(exists $patch->{json}{data}{attributes}{first_name} && !defined $patch->{json}{data}{attributes}{first_name}, 'NULL clears');

my $both = { 1 => 'accepted', 2 => 'accepted' };
$t->sql(q{SELECT activate.alter_sync('s', mapping => $$id::text AS external_id, email, name AS first_name, place AS location, spent, v$$)});
$t->means('a throttle', 's', [ [ 429, { 'Retry-After' => 1 }, '{"errors":[{"code":"throttled","detail":"Request was throttled."}]}' ] ], status => 'succeeded', rows => $both);
$t->means('an answer without quota left', 's', [ [ 200, { 'RateLimit-Remaining' => 0, 'RateLimit-Reset' => 1, 'Content-Type' => 'application/vnd.api+json' }, '{"data":{"type":"profile","id":"P1"}}' ] ],
	status => 'succeeded', rows => $both);
$t->means('a profile that is gone', 's', [ problem(404, 'not_found', 'gone') ], status => 'succeeded', rows => $both);
$t->means('an address of another', 's', [ problem(409, 'duplicate_profile', 'A profile already exists') ], rows => { 1 => 'rejected duplicate_profile', 2 => 'accepted' });
$t->means('a key that is revoked', 's', [ (problem(401, 'not_authenticated', 'no')) x 4 ], status => 'failed');
$t->means('a scope that is missing', 's', [ (problem(403, 'permission_denied', 'no scope')) x 4 ], status => 'failed');
$t->means('an answer that is none', 's', [ [ 200, { 'Content-Type' => 'application/vnd.api+json' }, '{"data": ' ] ]);
$t->means('all is well again', 's', [], status => 'succeeded', rows => $both);

$t->sql('DELETE FROM people WHERE id = 1');
is($t->run('s')->{removed}, 1, 'who leaves the model is cleared');
my $left = profile('ada@example.org');
is($left // 'cleared', 'cleared', 'the address with it');

# ----------------------------------------------------------------- mode update
$t->model('known', { id => 1, email => 'Bob@example.com', name => 'Robert' }, { id => 2, email => 'nobody@example.com', name => 'No' });
$t->sync('u', 'known', key => 'id', object => 'profiles', match => 'email', mapping => 'email, name AS first_name', mode => 'update');
$t->run('u');
$t->rows_become('mode update makes nobody', 'u', { 1 => 'accepted', 2 => 'absent' });
is(profile('bob@example.com')->{first_name}, 'Robert', 'and finds who is there');

# ------------------------------------------------------------------- in bulk
$t->sql(q{CREATE TABLE many AS SELECT i AS id, 'bulk' || i || CASE WHEN i IN (7, 8, 9) THEN '@nowhere' ELSE '@example.com' END AS email,
	CASE WHEN i > 1 THEN 'N' || i END AS name, 0 AS v FROM generate_series(1, 1000) AS i});
$t->sync('b', 'many', key => 'id', object => 'profiles', match => 'email', mapping => 'email, name AS first_name, v', options => "{$limits}");
$t->run('b');
my $states = $t->states('b');
is(scalar(grep { $_ eq 'accepted' } values %$states), 997, 'a job of a thousand');
is_deeply([ @$states{ 7, 8, 9 } ], [ ('refused invalid') x 3 ], 'each row that failed is refused, of whichever page of errors');
is(scalar(of(POST => qr/bulk-import/)), 1, 'by one job');
my ($job) = of(POST => qr/bulk-import/);
ok(!exists $job->{json}{data}{attributes}{profiles}{data}[0]{id}, 'without ids that nobody knows');
my $before = () = of(POST => qr/profile-import/);
$t->sql('UPDATE many SET v = 1, name = CASE WHEN id = 2 THEN NULL ELSE name END');
$t->run('b');
is(scalar(of(POST => qr/bulk-import/)), 2, 'once more');
is(scalar(of(POST => qr/profile-import/)) - $before, 2, 'rows that have something to clear go by themselves, since jobs cannot');
is(profile('bulk2@example.com')->{first_name}, undef, 'and clear it');
$t->sql('UPDATE many SET v = 2 WHERE id = 2');
$t->run('b');
ok((of(PATCH => qr{/api/profiles/}))[-1]{json}{data}{id}, 'their ids are known from then on');
$t->vendor->tell(profiles => { %{ $t->vendor->state->{profiles} }, PNEW => { email => 'new@example.com' } });

# --------------------------------------------------------------------- lists
foreach my $by (qw(email external_id))
{
	$t->model("m_$by", map { { id => $_ } } $by eq 'email' ? qw(Bob@example.com new@example.com unknown@example.com) : qw(2 99 98));
	$t->sync("l_$by", "m_$by", key => 'id', object => 'lists/LA' . ($by eq 'email' ? '' : '/by/external_id'), mapping => "id::text AS $by", mode => 'mirror',
		on_removed => 'remove', options => "{$limits}");
	$t->run("l_$by");
	$t->rows_become("list by $by: who is no profile is absent", "l_$by", $by eq 'email' ?
		{ 'Bob@example.com' => 'accepted', 'new@example.com' => 'accepted', 'unknown@example.com' => 'absent' } : { 2 => 'accepted', 99 => 'absent', 98 => 'absent' });
	is($t->vendor->state->{list}{ profile('bob@example.com')->{id} }, 1, "list by $by: is in");
	$t->sql("DELETE FROM m_$by WHERE id::text IN ('2', 'Bob\@example.com')");
	is($t->run("l_$by")->{removed}, 1, "list by $by: one leaves");
	is($t->vendor->state->{list}{ profile('bob@example.com')->{id} }, 0, "list by $by: is out");
}
$t->model('m_none', { id => 'bob@example.com' });
$t->sync('l_none', 'm_none', key => 'id', object => 'lists/LX', mapping => 'id AS email', mode => 'mirror', on_removed => 'remove');
is($t->run('l_none')->{sqlstate}, 'PA001', 'a list that is not there stops the run');

# -------------------------------------------------------------------- events
$t->model('orders', { id => 1, email => 'bob@example.com', amount => '10.50', at => '2026-03-01 12:00:00+01' }, { id => 2, email => undef, amount => '1.50', at => '2026-03-01 12:00:00+01' });
$t->sync('e', 'orders', key => 'id', object => 'events/Placed Order', mode => 'append', options => qq({"first_run": "send", $limits}),
	mapping => q{email, at::timestamptz AS time, amount AS value, 'EUR' AS value_currency, id AS order_id});
$t->run('e');
my ($event) = of(POST => qr{/api/events});
is($event->{json}{data}{attributes}{metric}{data}{attributes}{name}, 'Placed Order', 'an event of its metric');
like($event->{body}, qr/"value": ?10\.50.*"properties": ?\{.*"order_id": ?1\b/s, 'with value and properties');
is($event->{json}{data}{attributes}{time}, '2026-03-01T11:00:00Z', 'and its time');
is($t->states('e')->{1}, 'accepted', 'is accepted');
$t->run('e');
is((grep { $_ > 1 } values %{ $t->vendor->state->{events} }), 0, 'and recorded once');

# ----------------------------------------------------- the vendor's own files
$t->fits(sub { my ($request) = @_; return $request->{path} =~ m{profile-import|bulk-import|events|relationships} && $request->{method} ne 'DELETE'
	&& $request->{path} !~ /LX/ });
$t->broken({ %$import, body => '{"data": {"type": "profile"}}' }, 'a profile without attributes');
$t->broken({ %$job, body => '{"data": {"type": "profile-bulk-import-job", "attributes": {"profiles": []}}}' }, 'a job without its data');
my ($members) = of(POST => qr/relationships/);
$t->broken({ %$members, body => '{"data": [{"type": "profile"}]}' }, 'members without ids');
$t->broken({ %$event, body => '{"data": {"type": "event", "attributes": {"properties": {}}}}' }, 'an event without metric and profile');

done_testing();
