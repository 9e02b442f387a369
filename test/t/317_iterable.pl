# iterable against a stand-in: users in bulk, static lists, events; answers that
# list those that failed, in each of their places.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use ConnectorTest;

sub failure { my ($status, $code, $msg) = @_; return [ $status, { code => $code, msg => $msg, params => undef } ] }

# Keeps users by what identifies them; that says what is wrong with them.
my $handler = sub {
	my ($request, $state) = @_;
	my ($method, $path, $json) = @$request{qw(method path json)};
	my $users = $state->{users} //= {};
	my $bulk = sub {
		my ($rows, $known_only, $take) = @_;
		my %answer = (successCount => 0, failCount => 0, createdFields => [], filteredOutFields => [], invalidEmails => [], invalidUserIds => [],
			failedUpdates => { map { ("${_}Emails" => [], "${_}UserIds" => []) } qw(invalid notFound invalidData conflict forgotten) });
		foreach my $row (@$rows)
		{
			my ($kind, $is) = defined $row->{email} ? (Emails => $row->{email}) : (UserIds => $row->{userId});
			my $why = $is =~ /^(bad|forgotten|conflict)/ ? { bad => 'invalid', forgotten => 'forgotten', conflict => 'conflict' }->{$1}
				: (($row->{dataFields} // {})->{plan} // '') eq 'oops' ? 'invalidData' : $known_only && !$users->{$is} ? 'notFound' : undef;
			if ($why)
			{
				$answer{failCount}++;
				push @{ $answer{failedUpdates}{"$why$kind"} }, $is;
				push @{ $answer{"invalid$kind"} }, $is if $why eq 'invalid';
				next;
			}
			$answer{successCount}++;
			$take->($is, $row);
		}
		return \%answer;
	};

	return failure(401, 'BadApiKey', 'Invalid API key') unless ($request->{headers}{'api-key'} // '') eq 'key';
	return { lists => [ { id => 12345, name => 'Winback', listType => 'Standard', createdAt => 1 } ] } if $path eq '/api/lists';
	return { fields => { plan => 'string', orderCount => 'long', spent => 'double', signedUp => 'date', address => 'object' } } if $path eq '/api/users/getFields';
	return $bulk->($json->{users}, 0, sub { my ($is, $row) = @_; $users->{$is} = { %{ $users->{$is} // {} }, %{ $row->{dataFields} } } }) if $path eq '/api/users/bulkUpdate';
	return failure(400, 'BadParams', 'listId: not an integer') if defined $json->{listId} && $request->{body} !~ /"listId": ?12345\b/;
	return $bulk->($json->{subscribers}, $json->{updateExistingUsersOnly}, sub { $state->{list}{ $_[0] } = 1; $users->{ $_[0] } //= {} }) if $path eq '/api/lists/subscribe';
	return $bulk->($json->{subscribers}, 1, sub { $state->{list}{ $_[0] } = 0 }) if $path eq '/api/lists/unsubscribe';
	return $bulk->($json->{events}, 0, sub { $state->{events}{ $_[1]{id} } = $_[1] }) if $path eq '/api/events/trackBulk';
	return failure(404, 'NotFound', "no $method $path");
};

my $t = ConnectorTest->start('iterable', $handler, secrets => { api_key => 'key' }, spec => '_handwritten/iterable.json',
	conf => 'pg_activate.debug_late_off = on');

sub of { my ($method, $path) = @_; return grep { $_->{method} eq $method && $_->{path} =~ $path } $t->requests }
my $limits = '"max_rejected": null, "max_removed": null, "max_changed": null';

# ------------------------------------------------------------- what there is
$t->sql(q{SELECT * FROM activate.check_destination('d')});
is((of(GET => qr{^/api/lists$}))[0]{status}, 200, 'a check asks for something harmless');
is_deeply($t->rows(q{SELECT pointer, message FROM activate.check_connector((SELECT spec FROM activate.connector WHERE name = 'iterable')) WHERE kind = 'error'}),
	[], 'the document has no problems');
$t->sql(q{CALL activate.refresh_destination('d', ARRAY['users'])});
is($t->sql(q(SELECT string_agg(object || ' ' || title, ', ') FROM activate.objects('d') WHERE object ~ '^lists/[0-9]+$')), 'lists/12345 Winback', 'lists are found');
is($t->sql(q(SELECT string_agg(field || ' ' || type, ', ' ORDER BY field COLLATE "C") FROM activate.fields('d', 'users'))),
	'address object, email text, orderCount integer, plan text, signedUp timestamp, spent number, userId text', 'and the fields of users');

# --------------------------------------------------------------------- users
$t->model('people', map { { id => $_->[0], email => $_->[1], plan => $_->[2], orders => $_->[3], spent => $_->[4] } }
	[ 1, 'Ada@Example.com', 'pro', '9007199254740993', '12345678901234567.25' ], [ 2, 'bob@example.com', undef, 2, '2.50' ], [ 3, 'bad@example.com', 'pro', 3, '3.50' ],
	[ 4, 'forgotten@example.com', 'pro', 4, '4.50' ], [ 5, 'conflict@example.com', 'pro', 5, '5.50' ], [ 6, 'eve@example.com', 'oops', 6, '6.50' ]);
$t->sync('s', 'people', key => 'email', object => 'users', match => 'email', mode => 'mirror', on_removed => 'clear', options => "{$limits}",
	mapping => q{email, plan, orders AS "orderCount", spent, '2026-03-01 12:00+01'::timestamptz AS "signedUp", '{"city": "Lyon"}'::jsonb AS address, v});
$t->run('s');
$t->rows_become('each list means what it says', 's', { 'Ada@Example.com' => 'accepted', 'bob@example.com' => 'accepted', 'bad@example.com' => 'refused invalidEmails',
	'forgotten@example.com' => 'refused forgottenEmails', 'conflict@example.com' => 'rejected conflictEmails', 'eve@example.com' => 'refused invalidDataEmails' });
my ($users) = of(POST => qr/bulkUpdate/);
is($users->{json}{users}[0]{email}, 'ada@example.com', 'addresses go in small letters');
like($users->{body}, qr/"orderCount": ?9007199254740993[,}]/, 'int8 is exact');
like($users->{body}, qr/"spent": ?12345678901234567\.25[,}]/, 'and so is numeric');
my ($bob) = grep { $_->{email} =~ /^bob/ } @{ $users->{json}{users} };
is_deeply([ @{ $bob->{dataFields} }{qw(plan signedUp address)} ], [ undef, '2026-03-01T11:00:00Z', { city => 'Lyon' } ], 'NULL, times and objects');
ok(!exists $users->{json}{users}[0]{preferUserId}, 'what no option says is not sent');

$t->sql('DELETE FROM people WHERE id > 2');
$t->run('s');
my $both = { 'Ada@Example.com' => 'accepted', 'bob@example.com' => 'accepted' };
$t->means('a change', 's', [], status => 'succeeded', rows => $both, requests => 1);
$t->means('a throttle', 's', [ [ 429, { 'Retry-After' => 1 }, '{"code":"RateLimitExceeded","msg":"slow"}' ] ], status => 'succeeded', rows => $both, requests => 2);
$t->means('a field of another type', 's', [ (failure(400, 'RequestFieldsTypesMismatched', 'plan is a number')) x 2 ], rows => { 'Ada@Example.com' => 'refused RequestFieldsTypesMismatched', 'bob@example.com' => 'accepted' });
$t->means('too much at once', 's', [ failure(400, 'BatchTooLarge', 'too large') ], status => 'succeeded', rows => $both, requests => 3);
$t->means('a key that is revoked', 's', [ (failure(401, 'BadApiKey', 'Invalid API key')) x 4 ], status => 'failed');
$t->means('a server in trouble', 's', [ [ 502, {}, 'oops' ] ], status => 'succeeded', rows => $both);
$t->means('an answer that is none', 's', [ ([ 200, { 'Content-Type' => 'application/json' }, '{"successCount": ' ]) x 2 ]);
$t->means('all is well again', 's', [], status => 'succeeded', rows => $both);

$t->sql('DELETE FROM people WHERE id = 1');
is($t->run('s')->{removed}, 1, 'who leaves the model is cleared');
is($t->vendor->state->{users}{'ada@example.com'}{orderCount}, undef, 'by nulls');
is(eval { $t->sync('u', 'people', key => 'id', object => 'users', match => 'email', mapping => 'email, plan', mode => 'update'); 1 }, undef, 'there is no mode update');

# ------------------------------------------------------------- users by their ids
$t->destination('ids', options => { prefer_user_id => 'true', merge_nested_objects => 'false' }, secrets => { api_key => 'key' });
$t->sync('by_id', 'people', key => 'id', destination => 'ids', object => 'users', match => '"userId"', mapping => q{id::text AS "userId", plan});
is($t->run('by_id')->{accepted}, 1, 'users by userId');
my ($last) = reverse of(POST => qr/bulkUpdate/);
is_deeply($last->{json}{users}, [ { userId => '2', dataFields => { plan => undef }, preferUserId => JSON::PP::true, mergeNestedObjects => JSON::PP::false } ],
	'with what the options say');

# --------------------------------------------------------------------- lists
foreach my $by (qw(email userId))
{
	my ($known, $other) = $by eq 'email' ? ('bob@example.com', 'who@example.com') : ('2', '99');
	$t->model("m_$by", { key => "x$known" }, { key => "x$other" });
	my $sync = lc "l_$by";
	my $object = 'lists/12345' . ($by eq 'email' ? '' : '/by/userId');
	$t->sync($sync, lc "m_$by", key => 'key', object => $object, mapping => qq{substr(key, 2) AS "$by"}, mode => 'mirror', on_removed => 'remove', options => "{$limits}");
	$t->run($sync);
	$t->rows_become("list by $by: who is no user is absent", $sync, { "x$known" => 'accepted', "x$other" => 'absent notFound' . ($by eq 'email' ? 'Emails' : 'UserIds') });
	is($t->vendor->state->{list}{$known}, 1, "list by $by: is in");
	$t->sql("DELETE FROM m_$by WHERE key = 'x$known'");
	is($t->run($sync)->{removed}, 1, "list by $by: one leaves");
	is($t->vendor->state->{list}{$known}, 0, "list by $by: is out");
}
my ($subscribe) = of(POST => qr{lists/subscribe});
is_deeply($subscribe->{json}, { listId => 12345, subscribers => [ { email => 'bob@example.com' }, { email => 'who@example.com' } ], updateExistingUsersOnly => JSON::PP::true },
	'a list: its number, and existing users only');

# -------------------------------------------------------------------- events
$t->model('orders', map { { id => $_->[0], email => $_->[1], amount => $_->[2] } } [ 1, 'bob@example.com', '10.50' ], [ 2, 'bob@example.com', '1.50' ], [ 3, 'bad@example.com', '1.50' ]);
$t->sync('e', 'orders', key => 'id', object => 'events/Order Placed', mode => 'append', options => qq({"first_run": "send", $limits}),
	mapping => q{email, '2026-03-01 12:00+01'::timestamptz AS "createdAt", amount});
$t->run('e');
$t->rows_become('events have their results', 'e', { 1 => 'accepted', 2 => 'accepted', 3 => 'refused invalidEmails' });
my @events = values %{ $t->vendor->state->{events} };
is_deeply([ sort map { "$_->{eventName} $_->{createdAt} $_->{dataFields}{amount}" } @events ], [ map { "Order Placed 1772362800 $_" } qw(1.5 10.5) ], 'with time and fields');
$t->run('e');
is(scalar(keys %{ $t->vendor->state->{events} }), 2, 'each once');

# --------------------------------------------------------------- the contract
$t->fits(sub { my ($request) = @_; return $request->{path} =~ /bulkUpdate/ });
$t->broken({ %$users, body => '{"users": [{"dataFields": {"plan": "pro"}}]}' }, 'a user without an identity');

done_testing();
