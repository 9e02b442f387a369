# Braze: users by attributes, aliases, events, purchases, subscription groups
# and catalogues, and what its answers mean, against a stand-in held to Braze's
# own file.
use strict;
use warnings;

use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

use ConnectorTest;

my ($true, $false) = (JSON::PP::true, JSON::PP::false);
my $t = ConnectorTest->start('braze', \&braze,
	spec => 'braze/braze-openapi.subset.json', conf => "pg_activate.debug_late_off = on\n",
	secrets => { api_key => 'key-1' });

# A plan of "wrong" is an error beside the success of the others, one of
# "fatal" refuses the request as a whole.
sub braze
{
	my ($request, $state) = @_;
	my ($path, $body) = @$request{qw(path json)};

	return [ 401, { message => 'Invalid API key' } ] if ($request->{headers}{authorization} // '') ne 'Bearer ' . ($state->{key} // 'key-1');
	if ($path eq '/users/track')
	{
		my (@errors, %processed);
		return [ 400, { message => 'No \'attributes\', \'events\' or \'purchases\' were given' } ] unless grep { @$_ } values %$body;
		foreach my $array (sort keys %$body)
		{
			return [ 400, { message => "'$array' must have 75 objects at most" } ] if @{ $body->{$array} } > 75;
			return [ 400, { message => 'Valid data must be provided in the fields' } ]
				if grep { _plan($_) eq 'fatal' } @{ $body->{$array} };
			foreach my $index (0 .. $#{ $body->{$array} })
			{
				my $one = $body->{$array}[$index];
				if (_plan($one) eq 'wrong')
				{
					push @errors, { type => "'plan' is not valid", input_array => $array, index => $index };
					next;
				}
				$processed{"${array}_processed"}++;
				if ($array ne 'attributes')
				{
					push @{ $state->{$array} }, $one;
					next;
				}
				my $key = $one->{user_alias} ? "$one->{user_alias}{alias_label}/$one->{user_alias}{alias_name}" : $one->{external_id} // $one->{email};
				next if $one->{_update_existing_only} && !$state->{users}{$key};
				_apply($state->{users}{$key} //= {}, $one);
			}
		}
		return [ 201, { message => 'success', %processed, @errors ? (errors => \@errors) : () } ];
	}
	if ($path eq '/v2/subscription/status/set')
	{
		my $group = $body->{subscription_groups}[0];
		my ($kind) = grep { ref $group->{$_} } sort keys %$group;
		return [ 400, { message => "$kind may have 50 at most" } ] if @{ $group->{$kind} } > 50;
		return [ 400, { message => 'invalid subscription_group_id' } ] if $group->{subscription_group_id} eq 'gone';
		$state->{groups}{ $group->{subscription_group_id} }{$_} = $group->{subscription_state} foreach @{ $group->{$kind} };
		return [ 201, { message => 'success' } ];
	}
	if ($path =~ m{^/catalogs/(\w+)/items$})
	{
		my $items = $state->{catalogs}{$1} //= {};
		return [ 404, { message => 'Not Found', errors => [ { id => 'catalog-not-found', message => 'Could not find catalog' } ] } ] if $1 eq 'lost';
		foreach my $item (@{ $body->{items} })
		{
			return [ 400, { message => 'Invalid Request', errors => [ { id => 'invalid-fields', message => 'Some of the fields given do not exist in the catalog' } ] } ]
				if $item->{unknown};
			if ($request->{method} eq 'DELETE') { delete $items->{ $item->{id} } }
			else { $items->{ $item->{id} } = $request->{method} eq 'PUT' ? $item : { %{ $items->{ $item->{id} } // {} }, %$item } }
		}
		return [ 202, { message => 'success' } ];
	}
	return [ 404, { message => 'no such path' } ];
}

# null removes; {"add"} and {"remove"} are of arrays.
sub _apply
{
	my ($user, $one) = @_;
	foreach my $name (keys %$one)
	{
		my $value = $one->{$name};
		if (!defined $value) { delete $user->{$name} }
		elsif (ref $value eq 'HASH' && $value->{add}) { my %all = map { $_ => 1 } @{ $user->{$name} // [] }, @{ $value->{add} }; $user->{$name} = [ sort keys %all ] }
		elsif (ref $value eq 'HASH' && $value->{remove}) { my %gone = map { $_ => 1 } @{ $value->{remove} }; $user->{$name} = [ grep { !$gone{$_} } @{ $user->{$name} // [] } ] }
		else { $user->{$name} = $value }
	}
	return;
}

sub _plan { my ($one) = @_; return $one->{plan} // ($one->{properties} // {})->{plan} // '' }
sub user { my ($key) = @_; return $t->vendor->state->{users}{$key} }
sub count { my @all = $t->requests; return scalar @all }
sub last_body { return ($t->requests)[-1]{body} =~ s/([:,])\s+/$1/gr }

my %options = (options => '{"max_removed": 100, "max_rejected": 100, "remove_after": "0s"}');

is_deeply($t->rows(q(SELECT kind, pointer, message FROM activate.check_connector((SELECT spec FROM activate.connector WHERE name = 'braze')) WHERE kind = 'error')),
	[], 'the document has no problems');
ok($t->rows(q(SELECT ok FROM activate.check_destination('d')))->[0]{ok}, 'check_destination: a good key');
$t->vendor->tell(key => 'key-2');
ok(!$t->rows(q(SELECT ok FROM activate.check_destination('d')))->[0]{ok}, 'check_destination: a bad one');
$t->vendor->tell(key => 'key-1');

# -------------------------------------------------------------------- users
$t->sql(q(CREATE TABLE people (id bigint PRIMARY KEY, plan text, ltv numeric, seen timestamptz, born date, tags text[], v int DEFAULT 0)));
$t->sql(q(INSERT INTO people SELECT i, 'pro', 12345678901234567.125, '2026-01-02 03:04:05.678+00', '2020-02-29', '{a,b}' FROM generate_series(9007199254740993, 9007199254741092) AS i));
$t->sync('people', 'people', key => 'id', object => 'users', mode => 'mirror', on_removed => 'clear',
	mapping => 'id AS external_id, plan, ltv, seen, born AS dob, tags', options => '{"max_removed": 100, "max_rejected": 100, "remove_after": "0s", "changed_fields_only": true}');
my $since = count();
my $run = $t->run('people');
is($run->{status}, 'succeeded', 'a first sync') or diag $run->{text};
is($run->{accepted}, 100, 'of all');
my ($first) = grep { $_->{path} eq '/users/track' && $_->{body} =~ /external_id/ } $t->requests;
is($first->{headers}{'x-braze-bulk'}, 'true', 'says that it is bulk');
ok(!(grep { @{ $_->{json}{attributes} } > 75 } ($t->requests)[ $since .. count() - 1 ]), 'has 75 users a request');
like($first->{body}, qr/"external_id":\s*"9007199254740993"/, 'int8 as the external id is exact, and a text');
like($first->{body}, qr/"ltv":\s*12345678901234567\.125/, 'numeric is exact');
is_deeply([ @{ user('9007199254740993') }{qw(seen dob tags)} ], [ '2026-01-02T03:04:05.678Z', '2020-02-29', [ 'a', 'b' ] ], 'times, dates and arrays');
$t->sql(q(UPDATE people SET plan = NULL WHERE id = 9007199254740994));
$since = count();
is($t->run('people')->{status}, 'succeeded', 'a change');
is(last_body(), '{"attributes":[{"external_id":"9007199254740994","plan":null}]}', 'with changed_fields_only costs one data point; null removes the attribute');
$t->sql(q(DELETE FROM people WHERE id = 9007199254740995));
is($t->run('people')->{status}, 'succeeded', 'a row that left');
is_deeply([ sort keys %{ user('9007199254740995') } ], [ '_update_existing_only', 'external_id' ], 'is cleared, and nobody is made for it');
my ($status, $out, $err) = $t->activate->node->psql('postgres', q(SELECT activate.create_sync('gone', 'public.people', 'id', 'd', object => 'users', mapping => 'id AS external_id', mode => 'mirror', on_removed => 'delete')));
like($err, qr/delete/, 'users are not deleted by a sync: it cannot be undone');

# ------------------------------------------------------------------ answers
$t->sql(q(DELETE FROM people WHERE id > 9007199254740994));
$t->run('people');
my ($one, $two) = qw(9007199254740993 9007199254740994);
my %ok = ($one => 'accepted', $two => 'accepted');
$t->sql(q(SELECT activate.alter_sync('people', mapping => 'id AS external_id, plan, v AS score')));
$t->sql(qq(UPDATE people SET plan = 'wrong' WHERE id = $two));
$t->means('one row of a request', 'people', [], status => 'partial', rows => { $one => 'accepted', $two => 'refused' });
is($t->sql(q(SELECT message FROM activate.pending WHERE sync = 'people')), q('plan' is not valid), 'and says why');
$t->sql(qq(UPDATE people SET plan = 'fatal' WHERE id = $two));
$t->means('a request that is refused is searched for the row', 'people', [], status => 'partial', requests => 3, rows => { $one => 'accepted', $two => 'refused' });
$t->sql(q(UPDATE people SET plan = 'pro'));
$t->means('maintenance', 'people', [ [ 202, { message => 'queued' } ] ], status => 'succeeded', rows => {%ok});
$t->means('too many requests', 'people', [ [ 429, { 'X-Ratelimit-Retry-After' => 1, 'Content-Type' => 'application/json' }, '{"message": "Your account is being rate limited"}' ] ],
	status => 'succeeded', rows => {%ok});
$t->means('none left', 'people', [ [ 201, { 'X-RateLimit-Remaining' => 0, 'X-RateLimit-Reset' => time + 1, 'Content-Type' => 'application/json' }, '{"message": "success"}' ] ],
	status => 'succeeded', rows => {%ok});
$t->means('a server that fails', 'people', [ [ 500, {}, 'oops' ] ], status => 'succeeded', rows => {%ok});
$t->means('an error that names no row', 'people', [ [ 201, { message => 'success', errors => ['something'] } ] ], status => 'succeeded', requests => 2, rows => {%ok});
$t->means('an answer that makes no sense', 'people', [ [ 201, { 'Content-Type' => 'application/json' }, '{"message": ' ] ], status => 'succeeded', requests => 2, rows => {%ok});
$t->vendor->tell(key => 'key-2');
$t->means('a key that was revoked', 'people', [], status => 'failed', text => qr/401/);
$t->vendor->tell(key => 'key-1');
$t->means('a good key', 'people', [], status => 'succeeded', rows => {%ok});

# ------------------------- segments: an array that is added to and taken from
$t->destination('e', secrets => { api_key => 'key-1' });
$t->model('winback', map { { id => "u$_" } } 1 .. 3);
$t->sync('winback', 'winback', key => 'id', destination => 'e', object => 'users', mode => 'mirror', on_removed => 'update',
	mapping => q({"external_id": "id", "segments": {"add": ["'winback'"]}}),
	options => q({"max_removed": 100, "remove_after": "0s", "removed_mapping": {"segments": {"remove": ["'winback'"]}}}));
is($t->run('winback')->{status}, 'succeeded', 'a segment');
is_deeply(user('u2')->{segments}, ['winback'], 'is an array that is added to');
$t->sql(q(DELETE FROM winback WHERE id = 'u2'));
is($t->run('winback')->{status}, 'succeeded', 'who leaves it');
is_deeply(user('u2')->{segments}, [], 'is taken out of it');
is_deeply(user('u1')->{segments}, ['winback'], 'and nobody else');

# ------------------------------------------------------ update, e-mail, alias
$t->vendor->tell(users => { 'ann@example.com' => { plan => 'free' } });
$t->model('known', map { { id => $_->[0], email => $_->[1], score => 5 } } [ 1, 'ann@example.com' ], [ 2, 'bob@example.com' ]);
$t->sync('known', 'known', key => 'id', destination => 'e', object => 'users', match => 'email', mode => 'update', mapping => 'email, score', %options);
is($t->run('known')->{status}, 'succeeded', 'mode update');
is_deeply([ user('ann@example.com')->{score}, user('bob@example.com') ], [ 5, undef ], 'makes nobody');
$t->sync('aliases', 'known', key => 'id', destination => 'e', object => 'aliases/crm', mapping => 'id AS alias_name, score', %options);
is($t->run('aliases')->{status}, 'succeeded', 'users by an alias');
is(last_body(), '{"attributes":[{"user_alias":{"alias_name":"1","alias_label":"crm"},"_update_existing_only":false,"score":5},'
	. '{"user_alias":{"alias_name":"2","alias_label":"crm"},"_update_existing_only":false,"score":5}]}', 'are made where they are not there');

# -------------------------------------------------------- events, purchases
$t->sql(q(CREATE TABLE orders (id int PRIMARY KEY, customer bigint, plan text, amount numeric, at timestamptz, v int DEFAULT 0)));
$t->sql(q(INSERT INTO orders VALUES (1, 9007199254740993, 'pro', 12.50, '2026-01-02 03:04:05+00'), (2, 8, 'wrong', 1, '2026-01-02 03:04:05+00')));
$t->sync('events', 'orders', key => 'id', destination => 'e', object => 'events', mode => 'append',
	mapping => q(customer AS external_id, 'ordered' AS name, at AS time, plan, amount), options => '{"first_run": "send", "max_rejected": 100}');
$run = $t->run('events');
$t->rows_become('events: one of two', 'events', { 1 => 'accepted', 2 => 'refused' }) or diag $run->{text};
is_deeply($t->vendor->state->{events}, [ { external_id => '9007199254740993', name => 'ordered', time => '2026-01-02T03:04:05.000Z', properties => { plan => 'pro', amount => '12.5' } } ],
	'what is no field of events is a property');
$t->sql(q(INSERT INTO orders VALUES (3, 9, 'pro', 1, '2026-01-02 03:04:05+00')));
$t->means('events whose answer is lost', 'events', [undef], rows => { 1 => 'accepted', 2 => 'unknown', 3 => 'unknown' });
$t->sql(q(DELETE FROM orders WHERE id = 3));
$t->sync('purchases', 'orders', key => 'id', destination => 'e', object => 'purchases', mode => 'append',
	mapping => q(customer AS external_id, 'sku' AS product_id, 'EUR' AS currency, amount AS price, at AS time, plan), options => '{"first_run": "send", "max_rejected": 100}');
$t->run('purchases');
$t->rows_become('purchases: one of two', 'purchases', { 1 => 'accepted', 2 => 'refused' });
is($t->vendor->state->{purchases}[0]{price}, '12.5', 'and are there');
like(last_body(), qr/"price":12\.50,/, 'numeric digit for digit');

# ------------------------------------------------------- subscription groups
foreach my $case ([ 'external_id', 'subscription_groups/g1', 'id' ], [ 'email', 'subscription_groups/g2/emails', "id || '\@example.com'" ], [ 'phone', 'subscription_groups/g3/phones', "'+33 6 12 34 56 7' || right(id, 1)" ])
{
	my ($field, $object, $from) = @$case;
	my ($group) = $object =~ m{/(g\d)};
	$t->sql(q(DELETE FROM winback; INSERT INTO winback SELECT 'u' || i FROM generate_series(1, 60) AS i)) if $field ne 'phone';
	$t->sql(q(DELETE FROM winback; INSERT INTO winback VALUES ('u1'), ('u2'))) if $field eq 'phone';
	$t->sync("group_$field", 'winback', key => 'id', destination => 'e', object => $object, mode => 'mirror', mapping => "$from AS $field", %options);
	$run = $t->run("group_$field");
	is($run->{status}, 'succeeded', "a subscription group by $field") or diag $run->{text};
	$t->sql(q(DELETE FROM winback WHERE id = 'u1'));
	is($t->run("group_$field")->{status}, 'succeeded', 'one who leaves');
	my %states;
	$states{$_}++ foreach values %{ $t->vendor->state->{groups}{$group} };
	is_deeply(\%states, { subscribed => $field eq 'phone' ? 1 : 59, unsubscribed => 1 }, 'is unsubscribed');
}
ok($t->vendor->state->{groups}{g3}{'+33612345671'}, 'phone numbers are in E.164');
$t->sync('lost', 'winback', key => 'id', destination => 'e', object => 'subscription_groups/gone', mapping => 'id AS external_id', %options);
$t->run('lost');
$t->rows_become('a group that is not there', 'lost', { u2 => 'refused' });

# ----------------------------------------------------------------- catalogues
$t->model('shops', map { { id => "s$_", name => "Shop $_", seats => 9007199254740993 } } 1 .. 2);
$t->sync('shops', 'shops', key => 'id', destination => 'e', object => 'catalogs/shops', mode => 'mirror', on_removed => 'delete', mapping => 'id, name, seats', %options);
is($t->run('shops')->{status}, 'succeeded', 'items of a catalogue');
$t->sql(q(DELETE FROM shops WHERE id = 's1'; UPDATE shops SET name = 'New' WHERE id = 's2'));
is($t->run('shops')->{status}, 'succeeded', 'changes of them');
is_deeply($t->vendor->state->{catalogs}{shops}, { s2 => { id => 's2', name => 'New', seats => '9007199254740993' } }, 'are there');
$t->sync('lost_shops', 'shops', key => 'id', destination => 'e', object => 'catalogs/lost', mapping => 'id, name', %options);
$run = $t->run('lost_shops');
is($run->{status}, 'failed', 'a catalogue that is not there stops the run');
like($run->{text}, qr/Could not find catalog/, 'and is said');

# -------------------------------------------------------- the vendor's file
# The part of it that is kept has nothing of subscription groups, and knows no
# body of requests that delete.
$t->fits(sub { my ($request) = @_; return $request->{status} < 300 && $request->{path} !~ /subscription/ && $request->{method} ne 'DELETE' });
$t->broken({ %$first, body => '{"attributes": {"external_id": "7"}}' }, 'attributes that are no list');

done_testing();
