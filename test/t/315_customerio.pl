# Customer.io: people, events, objects and relationships in one batch of the
# Track API, and what its answers mean, against a stand-in held to the vendor's
# own file.
use strict;
use warnings;

use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

use ConnectorTest;

my ($true, $false) = (JSON::PP::true, JSON::PP::false);
my $t = ConnectorTest->start('customerio', \&customerio,
	spec => 'customer.io/customer-io-track.subset.json', conf => "pg_activate.debug_late_off = on\n",
	secrets => { username => 'site', api_key => 'key-1' });

# A plan of "wrong" is an error of its own among those that are taken, one of
# "fatal" makes the whole request one.
sub customerio
{
	my ($request, $state) = @_;
	my ($path, $body) = @$request{qw(path json)};

	return [ 401, { meta => { error => 'unauthorized' } } ]
		if ($request->{headers}{authorization} // '') ne 'Basic ' . ($state->{credentials} // 'c2l0ZTprZXktMQ==');
	return { url => 'https://track.customer.io', region => 'us', environment_id => 1234 } if $path eq '/api/v1/accounts/region';
	return [ 404, {} ] if $path ne '/api/v2/batch';
	return [ 413, {}, 'too large' ] if length $request->{body} > 500_000;
	return [ 400, { errors => [ { reason => 'invalid', field => 'attributes', message => 'malformed batch' } ] } ]
		if grep { ($_->{attributes} && $_->{attributes}{plan} // '') eq 'fatal' } @{ $body->{batch} };
	my @errors;
	foreach my $index (0 .. $#{ $body->{batch} })
	{
		my $one = $body->{batch}[$index];
		if (($one->{attributes} && $one->{attributes}{plan} // '') eq 'wrong')
		{
			push @errors, { batch_index => $index, reason => 'invalid', field => 'attributes.plan', message => 'not one of ours' };
			next;
		}
		my $ids = $one->{identifiers};
		my $key = join '/', map { $ids->{$_} } sort keys %$ids;
		my $all = $state->{ $one->{type} } //= {};
		if ($one->{action} eq 'identify')
		{
			my %attributes = %{ $one->{attributes} };
			next if delete $attributes{_update} && !$all->{$key};
			$all->{$key} = { %{ $all->{$key} // {} }, %attributes };
			delete @{ $all->{$key} }{ grep { !defined $attributes{$_} } keys %attributes };
		}
		elsif ($one->{action} eq 'delete') { delete $all->{$key} }
		elsif ($one->{action} eq 'event') { push @{ $state->{events} }, $one }
		else
		{
			foreach my $object (@{ $one->{cio_relationships} })
			{
				my $link = join ' ', "$object->{identifiers}{object_id}/$object->{identifiers}{object_type_id}", %$ids;
				if ($one->{action} eq 'add_relationships') { $state->{links}{$link} = $object->{relationship_attributes} }
				else { delete $state->{links}{$link} }
			}
		}
	}
	return @errors ? [ 207, { errors => \@errors } ] : {};
}

sub people { return $t->vendor->state->{person} // {} }
sub count { my @all = $t->requests; return scalar @all }
sub last_body { return ($t->requests)[-1]{body} =~ s/([:,])\s+/$1/gr }

my %options = (options => '{"max_removed": 100, "max_rejected": 100, "remove_after": "0s"}');

is_deeply($t->rows(q(SELECT kind, pointer, message FROM activate.check_connector((SELECT spec FROM activate.connector WHERE name = 'customerio')) WHERE kind = 'error')),
	[], 'the document has no problems');
my $check = $t->rows('SELECT ok, account, environment FROM activate.check_destination($$d$$)')->[0];
is_deeply($check, { ok => $true, account => '1234', environment => 'us' }, 'check_destination says whose workspace it is') or diag explain $check;

# ------------------------------------------------------------------ regions
sub wrong
{
	my ($sql) = @_;
	my ($status, $out, $err) = $t->activate->node->psql('postgres', $sql);
	return $err;
}
like(wrong(q(CREATE SERVER uk FOREIGN DATA WRAPPER activate OPTIONS (connector 'customerio', region 'uk'))),
	qr/invalid value for option "region": unknown value "uk".*Known are: "us", "eu"\./s, 'a region that does not exist is refused');
$t->sql(q(CREATE TABLE people (id bigint PRIMARY KEY, email text, plan text, ltv numeric, seen timestamptz, v int DEFAULT 0)));
$t->sql(q(INSERT INTO people SELECT i, 'user' || i || '@example.com', 'pro', 12345678901234567.125, '2026-01-02 03:04:05.678+00' FROM generate_series(9007199254740993, 9007199254740997) AS i));
foreach my $region ([ us => 'track' ], [ eu => 'track-eu' ])
{
	my ($name, $host) = @$region;
	$t->sql("CREATE SERVER $name FOREIGN DATA WRAPPER activate OPTIONS (connector 'customerio', region '$name'); CREATE USER MAPPING FOR PUBLIC SERVER $name OPTIONS (username 'a', api_key 'b')");
	$t->sync("in_$name", 'people', key => 'id', destination => $name, object => 'people', mapping => 'id, plan', %options);
	is($t->sql("SELECT url FROM activate.preview_requests('in_$name') LIMIT 1"), "https://$host.customer.io/api/v2/batch", "region $name");
	$t->sql("SELECT activate.drop_sync('in_$name')");
}

# ------------------------------------------------------------------- people
$t->sync('people', 'people', key => 'id', object => 'people', mode => 'mirror', on_removed => 'delete',
	mapping => 'id, email, plan, ltv, seen AS created_at', %options);
my $run = $t->run('people');
is($run->{status}, 'succeeded', 'a first sync') or diag $run->{text};
my ($first) = grep { $_->{path} eq '/api/v2/batch' } $t->requests;
like($first->{body}, qr/"identifiers":\s*\{\s*"id":\s*"9007199254740993"\s*\}/, 'int8 as the id is exact, and a text');
like($first->{body}, qr/"ltv":\s*12345678901234567\.125/, 'numeric is exact');
is(people()->{'9007199254740993'}{created_at}, 1767323045, 'times are seconds since 1970');
$t->sql(q(UPDATE people SET plan = NULL WHERE id = 9007199254740994; DELETE FROM people WHERE id = 9007199254740997));
my $since = count();
is($t->run('people')->{status}, 'succeeded', 'a change and a row that left');
is(count() - $since, 1, 'share a request');
is_deeply([ exists people()->{'9007199254740994'}{plan}, scalar keys %{ people() } ], [ !!0, 4 ], 'null removes the attribute, the other one is deleted');

# ------------------------------------------------------------------ answers
$t->sql(q(DELETE FROM people WHERE id > 9007199254740994));
$t->run('people');
my ($one, $two) = qw(9007199254740993 9007199254740994);
my %ok = ($one => 'accepted', $two => 'accepted');
$t->sql(q(SELECT activate.alter_sync('people', mapping => 'id, plan, v AS score')));
$t->sql(qq(UPDATE people SET plan = 'wrong' WHERE id = $two));
$t->means('one row of a batch', 'people', [], status => 'partial', requests => 1, rows => { $one => 'accepted', $two => 'refused invalid' });
is($t->sql(q(SELECT message FROM activate.pending WHERE sync = 'people')), 'not one of ours', 'and says why');
$t->sql(qq(UPDATE people SET plan = 'fatal' WHERE id = $two));
$t->means('a request that is refused is searched for the row', 'people', [], status => 'partial', requests => 3, rows => { $one => 'accepted', $two => 'refused invalid' });
$t->sql(q(UPDATE people SET plan = 'pro'));
$t->means('too many requests', 'people', [ [ 429, { 'Retry-After' => 1 }, 'slow down' ] ], status => 'succeeded', rows => {%ok});
$t->means('a server that fails', 'people', [ [ 503, {}, 'oops' ] ], status => 'succeeded', rows => {%ok});
$t->means('a request that is too large', 'people', [ [ 413, {}, 'too large' ] ], status => 'succeeded', requests => 3, rows => {%ok});
$t->means('an error of no row', 'people', [ [ 207, { errors => [ { reason => 'invalid', message => 'which?' } ] } ] ], status => 'succeeded', requests => 2, rows => {%ok});
$t->means('an answer that makes no sense', 'people', [ [ 200, { 'Content-Type' => 'application/json' }, '{"errors": [' ] ], status => 'succeeded', requests => 2, rows => {%ok});
$t->vendor->tell(credentials => 'bm9ib2R5');
$t->means('a key that was revoked', 'people', [], status => 'failed', text => qr/401/);
$t->vendor->tell(credentials => undef);
$t->means('a good key', 'people', [], status => 'succeeded', rows => {%ok});
$t->sql(qq(UPDATE people SET plan = repeat('x', 33000) WHERE id = $two));
$t->means('a row of more than 32 kB', 'people', [], requests => 1, rows => { $one => 'accepted', $two => 'invalid size' });

# -------------------------------------------- by e-mail; update, clear, update
$t->destination('e', secrets => { username => 'site', api_key => 'key-1' });
$t->vendor->tell(person => { 'ann@example.com' => { plan => 'free' } });
$t->model('known', map { { id => $_->[0], email => $_->[1], score => 5 } } [ 1, 'ann@example.com' ], [ 2, 'bob@example.com' ]);
$t->sync('known', 'known', key => 'id', destination => 'e', object => 'people', match => 'email', mode => 'update', mapping => 'email, score', %options);
is($t->run('known')->{status}, 'succeeded', 'mode update');
is_deeply(people(), { 'ann@example.com' => { plan => 'free', score => 5 } }, 'makes nobody');
$t->sql(q(SELECT activate.drop_sync('known')));
$t->sync('cleared', 'known', key => 'email', destination => 'e', object => 'people', match => 'email', mode => 'mirror', on_removed => 'clear', mapping => 'email, score', %options);
is($t->run('cleared')->{status}, 'succeeded', 'clear: a first sync');
$t->sql(q(DELETE FROM known WHERE id = 2));
is($t->run('cleared')->{status}, 'succeeded', 'clear: a row that left');
is_deeply(people()->{'bob@example.com'}, {}, 'has its attributes removed');
$t->sync('flagged', 'known', key => 'email', destination => 'e', object => 'people', match => 'email', mode => 'mirror', on_removed => 'update', mapping => 'email, true AS vip',
	options => '{"max_removed": 100, "remove_after": "0s", "removed_mapping": {"vip": false}}');
$t->insert('known', { id => 3, email => 'eve@example.com', score => 5 });
$t->run('flagged');
$t->sql(q(DELETE FROM known WHERE id = 1));
is($t->run('flagged')->{status}, 'succeeded', 'update: a row that left');
is(people()->{'ann@example.com'}{vip}, $false, 'has the fields of removed_mapping');

# ------------------------------------------------------------------- events
$t->sql(q(CREATE TABLE orders (id int PRIMARY KEY, customer bigint, plan text, amount numeric, at timestamptz, ulid text, v int DEFAULT 0)));
$t->sql(q(INSERT INTO orders VALUES (1, 9007199254740993, 'pro', 12.25, '2026-01-02 03:04:05+00', '01KDXN9XKG0000000000000001'), (2, 8, 'wrong', 1, '2026-01-02 03:04:05+00', NULL)));
$t->sync('events', 'orders', key => 'id', destination => 'e', object => 'events', mode => 'append',
	mapping => q(customer AS id, 'ordered' AS name, at AS timestamp, plan, amount, ulid AS event_id), options => '{"first_run": "send", "max_rejected": 100, "nulls": "omit"}');
$run = $t->run('events');
$t->rows_become('events: one of two', 'events', { 1 => 'accepted', 2 => 'refused invalid' });
is_deeply($t->vendor->state->{events}, [ { type => 'person', identifiers => { id => '9007199254740993' }, action => 'event', name => 'ordered', id => '01KDXN9XKG0000000000000001',
	timestamp => 1767323045, attributes => { plan => 'pro', amount => '12.25' } } ], 'what is no field of events is an attribute') or diag $run->{text};
$t->sql(q(INSERT INTO orders VALUES (3, 9, 'pro', 1, '2026-01-02 03:04:05+00')));
$t->means('events whose answer is lost', 'events', [undef], rows => { 1 => 'accepted', 2 => 'unknown', 3 => 'unknown' });

# ------------------------------------------------- objects and relationships
$t->model('companies', map { { id => "c$_", name => "Acme $_", plan => 'gold' } } 1 .. 3);
$t->sync('companies', 'companies', key => 'id', destination => 'e', object => 'objects/1', mode => 'mirror', on_removed => 'delete', mapping => 'id AS object_id, name, plan', %options);
is($t->run('companies')->{status}, 'succeeded', 'objects');
$t->sql(q(DELETE FROM companies WHERE id = 'c1'; UPDATE companies SET plan = 'wrong' WHERE id = 'c2'; UPDATE companies SET name = 'New' WHERE id = 'c3'));
$t->run('companies');
is_deeply([ sort keys %{ $t->vendor->state->{object} } ], [ 'c2/1', 'c3/1' ], 'one that left is deleted');
$t->rows_become('of the others one is refused', 'companies', { c2 => 'refused invalid', c3 => 'accepted' });
$t->model('staff', map { { id => $_, company => "c$_", person => 9007199254740992 + $_, role => 'admin' } } 1 .. 3);
foreach my $by ([ id => 'person' ], [ email => q(person || '@example.com') ])
{
	my ($kind, $from) = @$by;
	$t->sync("staff_$kind", 'staff', key => 'company, person', destination => 'e', object => "objects/1/$kind", mode => 'mirror',
		mapping => "company AS object_id, $from AS person, role", %options);
	$run = $t->run("staff_$kind");
	is($run->{status}, 'succeeded', "relationships by $kind") or diag $run->{text};
	$t->sql('DELETE FROM staff WHERE id = 3');
	is($t->run("staff_$kind")->{status}, 'succeeded', "one that ended");
	$t->insert('staff', { id => 3, company => 'c3', person => '9007199254740995', role => 'admin' });
}
is_deeply($t->vendor->state->{links}, { 'c1/1 id 9007199254740993' => { role => 'admin' }, 'c2/1 id 9007199254740994' => { role => 'admin' },
	'c1/1 email 9007199254740993@example.com' => { role => 'admin' }, 'c2/1 email 9007199254740994@example.com' => { role => 'admin' } }, 'are there as they should, with what is said of them');

# -------------------------------------------------------- the vendor's file
$t->fits(sub { my ($request) = @_; return $request->{status} < 300 });
$t->broken({ %$first, body => '{"batch": [{"type": "person", "action": "identify", "attributes": {}}]}' }, 'a person without identifiers');

done_testing();
