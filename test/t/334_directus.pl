# Connector directus: collections, users and files against a stand-in that
# takes batches in one transaction, as Directus does.
use strict;
use warnings;

use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

use ConnectorTest;
use Prism;

my $json = JSON::PP->new->canonical->allow_nonref;
my %unique = (people => ['email'], users => ['email'], stock => []);
my $serial = 0;

sub refused
{
	my ($status, $code, $message) = @_;
	return [ $status, { errors => [ { message => $message // "$code here", extensions => { code => $code } } ] } ];
}

sub clash
{
	my ($state, $what, $item) = @_;
	foreach my $field (@{ $unique{$what} // [] })
	{
		return $field if defined $item->{$field} && grep { $_->{id} ne $item->{id} && ($_->{$field} // '') eq $item->{$field} } values %{ $state->{items}{$what} };
	}
	return;
}

sub answer
{
	my ($request, $state) = @_;
	my $given = $request->{headers}{authorization} // '';
	return refused(403, 'INVALID_TOKEN') if $request->{path} eq '/users/me' && $given eq 'Bearer none';
	return { data => { access_token => 'session' . ++$serial, expires => 900000, refresh_token => 'r' } }
		if $request->{path} eq '/auth/login' && $request->{json}{password} eq 'secret';
	return refused(401, 'TOKEN_EXPIRED') if $given eq 'Bearer ' . ($state->{expired} // '-');
	return refused(401, 'INVALID_CREDENTIALS') unless $given =~ /^Bearer (?:static|session\d+)$/;
	return { data => { id => 'u-1', email => 'bot@example.com' } } if $request->{path} eq '/users/me';
	return { data => [ map { +{ collection => $_, meta => { note => undef } } } qw(people stock directus_users) ] } if $request->{path} eq '/collections';
	return { data => [
		{ field => 'id', type => 'integer', schema => { is_primary_key => JSON::PP::true, is_unique => JSON::PP::true }, meta => { required => JSON::PP::false } },
		{ field => 'email', type => 'string', schema => { is_unique => JSON::PP::true }, meta => { required => JSON::PP::true } },
		{ field => 'big', type => 'bigInteger', schema => {}, meta => {} }, { field => 'score', type => 'decimal', schema => {}, meta => {} },
		{ field => 'tags', type => 'csv', schema => {}, meta => {} }, { field => 'at', type => 'timestamp', schema => {}, meta => {} },
		{ field => 'name', type => 'string', schema => {}, meta => {} }, { field => 'doc', type => 'json', schema => {}, meta => {} },
		{ field => 'v', type => 'integer', schema => {}, meta => {} } ] } if $request->{path} eq '/fields/people';
	my ($what) = $request->{path} =~ m{\A/(?:items/)?([a-z_]+)\z} or return refused(404, 'ROUTE_NOT_FOUND');
	my $items = $state->{items}{$what} //= {};
	return refused(403, 'FORBIDDEN', qq(You don't have permission to access this.)) if ($state->{forbidden} // '') =~ /\b$request->{method}\b/;
	my @rows = map { +{ %$_ } } ref $request->{json} eq 'ARRAY' ? grep { ref } @{ $request->{json} } : ();

	# what is wrong with one is wrong with all
	foreach my $row (@rows)
	{
		return refused(400, 'VALUE_TOO_LONG', 'Value for field "name" is too long.') if length($row->{name} // '') > 50;
		return refused(400, 'INVALID_FOREIGN_KEY', 'Invalid foreign key.') if ($row->{name} // '') eq 'orphan';
	}
	if ($request->{method} eq 'GET')
	{
		my $filter = $json->decode($request->{query}{filter});
		my @found = grep { my $item = $_; grep { my $or = $_; !grep { ($item->{$_} // '') ne $or->{$_} } keys %$or } @{ $filter->{_or} } } values %$items;
		return { data => [ map { my $item = $_; +{ map { $_ => $item->{$_} } split /,/, $request->{query}{fields} } } sort { $a->{id} cmp $b->{id} } @found ] };
	}
	if ($request->{method} eq 'POST')
	{
		my @made;
		foreach my $row (@rows)
		{
			my $item = { %$row, id => $row->{id} // ++$serial };
			if (clash($state, $what, $item))
			{
				delete @$items{ map { $_->{id} } @made };
				return refused(400, 'RECORD_NOT_UNIQUE', 'Value for field "email" has to be unique.');
			}
			$items->{ $item->{id} } = $item;
			push @made, $item;
		}
		# not in the order of the request: in that of the keys
		return { data => [ map { my $item = $_; +{ map { $_ => $item->{$_} } split /,/, $request->{query}{fields} } } reverse @made ] };
	}
	# what a query names is read first, so that nobody learns what there is
	my @keys = $request->{method} eq 'DELETE' ? grep { $items->{$_} } @{ $request->{json}{query}{filter}{id}{_in} } : map { $_->{id} } @rows;
	return refused(403, 'FORBIDDEN', qq(You don't have permission to access this.)) if !$state->{admin} && grep { !$items->{$_} } @keys;
	if ($request->{method} eq 'DELETE')
	{
		delete @$items{@keys};
		return [ 204, {}, '' ];
	}
	my %before = %$items;
	foreach my $row (grep { $items->{ $_->{id} } } @rows)
	{
		my $item = { %{ $items->{ $row->{id} } }, %$row };
		if (clash($state, $what, $item))
		{
			%$items = %before;
			return refused(400, 'RECORD_NOT_UNIQUE', 'Value for field "email" has to be unique.');
		}
		$items->{ $row->{id} } = $item;
	}
	return { data => [ map { +{ id => $_ } } sort grep { $items->{$_} } @keys ] };
}

my $t = ConnectorTest->start('directus', \&answer, spec => '_handwritten/directus-items.json', secrets => { access_token => 'static' });
my $careful = '{"max_removed": 100, "max_rejected": 100, "remove_after": "0s"}';
sub there { my ($what) = @_; return $t->vendor->state->{items}{$what} // {} }
sub put { my ($what, %items) = @_; my $items = $t->vendor->state->{items} // {}; $items->{$what} = { %{ $items->{$what} // {} }, %items }; return $t->vendor->tell(items => $items) }
sub gone { my ($what, $id) = @_; my $items = $t->vendor->state->{items}; delete $items->{$what}{$id}; return $t->vendor->tell(items => $items) }
sub since { my @all = $t->requests; return scalar @all }
sub asked { my ($since) = @_; my @all = $t->requests; my %n; $n{ $_->{method} }++ foreach @all[$since .. $#all]; return join ' ', map { "$_ $n{$_}" } sort keys %n }
sub is_there
{
	my ($name, $what, $wanted, @fields) = @_;
	my $all = there($what);
	my $got = join(', ', sort map { my $item = $_; join ' ', map { $_ // '-' } @$item{@fields} } values %$all);
	utf8::encode($got);
	return is($got, $wanted, $name);
}

# ------------------------------------------------------------------ check, account, catalogue
is($t->sql("SELECT count(*) FROM activate.check_connector('{\"extends\": \"directus\"}', object_name => '$_') WHERE kind <> 'request'"), 0, "the document has no problem: $_")
	foreach qw(people directus_users directus_files directus_folders);
is($t->sql("SELECT ok, account FROM activate.check_destination('d')"), 't|u-1 (bot@example.com)', 'the token\'s user is the account');
$t->sql("CALL activate.refresh_destination('d', '{people}')");
is($t->sql("SELECT string_agg(field || ' ' || type || CASE WHEN is_unique THEN ' unique' ELSE '' END || CASE WHEN required THEN ' required' ELSE '' END, ', ' ORDER BY field)"
	. " FROM activate.fields('d', 'people') WHERE field <> 'v'"),
	'at timestamp, big integer, doc json, email text unique required, id integer unique, name text, score number, tags array', 'fields are those of the collection');

# ------------------------------------------------------------------ a first sync
put('people', 90 => { id => 90, email => 'bob@example.com', name => 'Robert', other => 'stays' });
$t->sql(q{CREATE TABLE people (id int PRIMARY KEY, email text, name text, big int8, score numeric, tags text[], at timestamptz, doc jsonb, v int DEFAULT 0);
	INSERT INTO people VALUES (1, 'ada@example.com', 'Ada, "C"', 9007199254740993, 12345678901234.567890123, '{a,"b c"}', '2026-01-02 03:04:05.678+00', '{"x": 1}'),
		(2, 'bob@example.com', NULL, 2, 0.10, NULL, NULL, NULL), (3, 'eve@example.com', 'É', NULL, NULL, '{}', NULL, '[]')});
$t->sql(qq{SELECT activate.create_sync('people', 'public.people', key => 'id', destination => 'd', object => 'people', match => 'email',
	mapping => 'email, name, big, score, tags, at, doc, v', mode => 'mirror', on_removed => 'delete', options => '$careful')});
$t->{table}{people} = 'people';
my $since = since();
my $run = $t->run('people');
is("$run->{status} $run->{accepted} " . asked($since), 'succeeded 3 GET 1 PATCH 1 POST 1', 'what is there is updated, the rest made') || diag $run->{text};
is_there('as the model has it', 'people', 'ada@example.com Ada, "C" 9007199254740993 12345678901234.567890123 -, bob@example.com - 2 0.10 stays, eve@example.com É - - -',
	qw(email name big score other));
my ($ada) = grep { $_->{email} eq 'ada@example.com' } values %{ there('people') };
is_deeply([ @$ada{qw(tags at doc)} ], [ [ 'a', 'b c' ], '2026-01-02T03:04:05.678+00:00', { x => 1 } ], 'arrays, times and objects');
is($t->activate->row('people', 1)->{activate_external_id}, $ada->{id}, 'each row has its own id, in whatever order they are answered');

# ------------------------------------------------------------------ changes
$since = since();
$t->sql("UPDATE people SET email = 'ada2\@example.com' WHERE id = 1; UPDATE people SET name = 'Eve' WHERE id = 3");
$run = $t->run('people');
is("$run->{accepted} " . asked($since), '2 PATCH 1', 'what is known goes by its id');
is(there('people')->{ $ada->{id} }{email}, 'ada2@example.com', 'and another match is a change of the same item');
gone('people', $ada->{id});
$since = since();
$t->sql('UPDATE people SET v = v + 1');
$run = $t->run('people');
is("$run->{status} $run->{accepted} $run->{rejected}", 'succeeded 3 0', 'an item that somebody deleted, which is forbidden, is found among the others') || diag $run->{text};
is_there('and made anew', 'people', 'ada2@example.com 1, bob@example.com 1, eve@example.com 1', qw(email v));
$t->vendor->tell(admin => 1);
my ($eve) = grep { $_->{email} eq 'eve@example.com' } values %{ there('people') };
gone('people', $eve->{id});
$t->sql('UPDATE people SET v = v + 1');
$run = $t->run('people');
is_there('to an administrator it is just not there', 'people', 'ada2@example.com 2, bob@example.com 2, eve@example.com 2', qw(email v));
$t->vendor->tell(admin => 0);
$t->sql('DELETE FROM people WHERE id = 1');
$since = since();
$run = $t->run('people');
is("$run->{accepted} " . asked($since), '1 DELETE 1', 'a row that left is deleted');
is_there('and no other', 'people', 'bob@example.com, eve@example.com', 'email');
$t->sql("INSERT INTO people (id, email) VALUES (50, 'gone')");
$t->run('people');
gone('people', $t->activate->row('people', 50)->{activate_external_id});
$t->sql('DELETE FROM people WHERE id = 50');
$run = $t->run('people');
is("$run->{status} $run->{accepted}", 'succeeded 1', 'one that is not there is as good as deleted') || diag $run->{text};

# ------------------------------------------------------------------ whole refusals
$t->sql("INSERT INTO people (id, email, name) SELECT 100 + i, 'p' || i, CASE i WHEN 7 THEN repeat('x', 60) ELSE 'n' END FROM generate_series(1, 20) i");
$run = $t->run('people');
is("$run->{accepted} $run->{rejected}", '19 1', 'a batch that is refused for one row is searched for it') || diag $run->{text};
is($t->states('people')->{107}, 'refused VALUE_TOO_LONG', 'which is refused until it changes');
put('people', 91 => { id => 91, email => 'taken', name => 'x' });
$t->sql("DELETE FROM people WHERE id >= 100; UPDATE people SET email = 'taken' WHERE id = 2; UPDATE people SET name = 'orphan' WHERE id = 3");
$run = $t->run('people');
$t->rows_become('a duplicate and a reference to nothing are tried again', 'people', { 2 => 'rejected RECORD_NOT_UNIQUE', 3 => 'rejected INVALID_FOREIGN_KEY' });
gone('people', 91);
$t->sql("UPDATE people SET name = 'Eve' WHERE id = 3; SELECT activate.retry_rows('people')");
$t->run('people');
my %both = (2 => 'accepted', 3 => 'accepted');
$t->rows_become('and taken when it is otherwise', 'people', \%both);

# ------------------------------------------------------------------ combinations, clear, users, files
$t->sql("CREATE TABLE stock (site text, sku int, qty int, PRIMARY KEY (site, sku)); INSERT INTO stock VALUES ('a', 1, 1), ('a', 2, 2), ('b', 1, 3)");
put('stock', s1 => { id => 's1', site => 'a', sku => '2', qty => '0' }, s2 => { id => 's2', site => 'c', sku => '1', qty => '9' });
$t->sync('stock', 'stock', key => 'site, sku', object => 'stock', match => 'site, sku', mapping => 'site, sku, qty', mode => 'mirror', on_removed => 'clear', options => $careful);
$run = $t->run('stock');
$t->sql("DELETE FROM stock WHERE site = 'b'");
$run = $t->run('stock');
is_there('a combination is a match, and fields of rows that left are cleared', 'stock', 'a 1 1, a 2 2, b 1 -, c 1 9', qw(site sku qty)) || diag $run->{text};
put('users', 'u-7' => { id => 'u-7', email => 'eve@example.com', first_name => 'x' });
$t->sql("CREATE TABLE users (id int PRIMARY KEY, email text, first_name text, v int DEFAULT 0); INSERT INTO users VALUES (1, 'eve\@example.com', 'Eve'), (2, 'new\@example.com', 'New')");
$t->sync('users', 'users', key => 'id', object => 'directus_users', mapping => 'email, first_name, v', match => 'email');
$run = $t->run('users');
is_there('users are matched by their address', 'users', 'eve@example.com Eve, new@example.com New', qw(email first_name));
put('files', 'f-1' => { id => 'f-1', title => 'old' });
$t->sql("CREATE TABLE files (id text PRIMARY KEY, title text, v int DEFAULT 0); INSERT INTO files VALUES ('f-1', 'new'), ('f-2', 'none')");
$t->sync('files', 'files', key => 'id', object => 'directus_files', match => 'id', mapping => 'id, title, v', mode => 'update');
$run = $t->run('files');
is("$run->{accepted} $run->{absent} " . there('files')->{'f-1'}{title}, '1 1 new', 'of files what is said of them');

# ------------------------------------------------------------------ what answers mean
$t->means('a limit of the rate', 'people', [ [ 429, { 'Retry-After' => 1 }, $json->encode({ errors => [ { message => 'slow', extensions => { code => 'REQUESTS_EXCEEDED' } } ] }) ] ],
	status => 'succeeded', rows => \%both);
$t->means('under pressure', 'people', [ [ 503, { 'Retry-After' => 1 }, '' ] ], status => 'succeeded', rows => \%both);
$t->means('a body that is too large', 'people', [ refused(413, 'CONTENT_TOO_LARGE') ], status => 'succeeded', requests => 3, rows => \%both);
$t->means('a limit of batches', 'people', [ refused(400, 'INVALID_PAYLOAD', 'Invalid payload. Exceeded max batch mutation limit of 1.') ], status => 'succeeded', requests => 3, rows => \%both);
$t->means('no such collection', 'people', [ refused(404, 'ROUTE_NOT_FOUND') ], status => 'failed', text => qr/ROUTE_NOT_FOUND/);
$t->means('an invalid token', 'people', [ refused(403, 'INVALID_TOKEN'), refused(403, 'INVALID_TOKEN') ], status => 'failed', text => qr/INVALID_TOKEN/);
$t->means('no content, as whoever may not read has it', 'people', [ [ 204, {}, '' ] ], status => 'succeeded', requests => 1, rows => \%both);
$t->vendor->tell(forbidden => 'PATCH');
$run = $t->means('no permission to update', 'people', [], rows => { 2 => 'absent FORBIDDEN', 3 => 'absent FORBIDDEN' });
$t->vendor->tell(forbidden => 'DELETE');
$t->means('a permission to update', 'people', [], status => 'succeeded', rows => \%both);
$t->sql('DELETE FROM people WHERE id = 2');
$run = $t->run('people');
like(join(' ', map { "$_->{state} $_->{code}" } @{ $t->rows("SELECT state, code FROM activate.pending WHERE sync = 'people'") }), qr/^rejected/, 'no permission to delete is not taken for gone');
is(scalar(keys %{ there('people') }), 2, 'which it is not');
$t->vendor->tell(forbidden => '');
$t->sql("SELECT activate.retry_rows('people')");
$t->run('people');
is(scalar(keys %{ there('people') }), 1, 'and is when it may');

# ------------------------------------------------------------------ by login, and expiry in mid sync
$t->destination('login', secrets => { username => 'bot@example.com', password => 'secret' }, options => {});
$t->sql("CREATE TABLE tokens (id int PRIMARY KEY, email text, v int DEFAULT 0); INSERT INTO tokens VALUES (1, 'tok\@example.com')");
$t->sync('tokens', 'tokens', key => 'id', object => 'people', match => 'email', mapping => 'email, v', destination => 'login');
$run = $t->run('tokens');
is("$run->{status} $run->{accepted}", 'succeeded 1', 'a user logs in') || diag $run->{text};
my ($used) = map { $_->{headers}{authorization} =~ s/^Bearer //r } grep { $_->{method} eq 'POST' && $_->{path} eq '/items/people' } reverse $t->requests;
$t->vendor->tell(expired => $used);
$t->means('a session that has expired', 'tokens', [], status => 'succeeded', rows => { 1 => 'accepted' });

# ------------------------------------------------------------------ contracts
$t->fits(sub { $_[0]{path} =~ m{^/items/} && $_[0]{method} ne 'GET' });
my ($patch) = grep { $_->{method} eq 'PATCH' && $_->{path} eq '/items/people' } $t->requests;
$t->broken({ %$patch, body => '{"email":"x"}' }, 'a change of nothing in particular');
SKIP:
{
	my $spec = 'directus/openapi.json';
	skip "no $spec", 6 unless Prism->has($spec);
	my $prism = Prism->start($spec);
	my %seen;
	foreach my $request ($t->requests)
	{
		next if $request->{method} ne 'GET';
		next if $seen{"$request->{method} $request->{path}"}++;
		$prism->accepts($request, "$request->{method} $request->{path}");
	}
	my ($list) = grep { $_->{method} eq 'GET' && $_->{path} eq '/items/people' } $t->requests;
	$prism->refuses({ %$list, target => $list->{target} =~ s/limit=-1/limit=all/r }, 'a limit that is no number');
}
$t->means('a malformed answer', 'people', [ [ 200, {}, '<html>' ] ], rows => { 3 => 'accepted' });

done_testing();
