# A server written for Census' custom destinations works as it is: what it
# can take is asked of it, rows go in its batches, each with its own result.
use strict;
use warnings;

use ConnectorTest;
use PostgreSQL::Test::Utils;
use Test::More;

# Such a server, after protocol.ts and the documentation: a table of records
# for each object, and a word in an error for each thing it cannot do.
my %type = (name => 'string', rank => 'integer', zip => 'decimal', score => 'float', open => 'boolean', since => 'date', seen => 'date_time', tags => 'string');
my $server = sub {
	my ($request, $state) = @_;
	my ($true, $false) = (JSON::PP::true, JSON::PP::false);

	return [ 401, { error => 'who are you' } ] unless ($request->{query}{census_authentication} // '') eq 'XoBcsUoFT82wgAcA'
		|| ($request->{headers}{authorization} // '') eq 'Bearer t0ken';
	return [ 404, {}, 'not here' ] unless $request->{path} eq '/api' && $request->{method} eq 'POST';
	my ($json, $params) = ($request->{json}, $request->{json}{params});
	my $fail = sub { [ 200, { jsonrpc => '2.0', id => $json->{id}, error => { code => $_[0], message => $_[1] } } ] };
	my $result = sub { { jsonrpc => '2.0', id => $json->{id}, result => $_[0] } };

	return $fail->(-32600, 'Invalid Request') unless ref $json eq 'HASH' && $json->{jsonrpc} eq '2.0' && defined $json->{id} && ref $params eq 'HASH';
	return $result->($state->{broken} ? { success => $false, error_message => 'The API Key is invalid' } : { success => $true }) if $json->{method} eq 'test_connection';
	return $result->({ objects => [ { object_api_name => 'restaurant', label => 'Restaurants' }, { object_api_name => 'venue', label => 'Concert Venues', can_create_fields => 'on_write' } ] })
		if $json->{method} eq 'list_objects';
	return $fail->(-32602, 'no such object') unless ($json->{params}{object} // $json->{params}{sync_plan}{object})->{object_api_name} =~ /^(?:restaurant|venue)$/;
	return $result->({ operations => [ 'upsert', 'insert', 'update', 'delete' ] }) if $json->{method} eq 'supported_operations';
	return $result->({ fields => [ (map { { field_api_name => $_, label => ucfirst $_, identifier => $_ =~ /^(?:name|rank)$/ ? $true : $false, required => $_ eq 'name' ? $true : $false,
			createable => $true, updateable => $_ eq 'name' ? $false : $true, type => $type{$_}, array => $_ eq 'tags' ? $true : $false } } sort keys %type),
		{ field_api_name => 'created_at', label => 'Created', identifier => $false, required => $false, createable => $false, updateable => $false, type => 'date_time', array => $false } ] })
		if $json->{method} eq 'list_fields';
	return $result->({ maximum_batch_size => $state->{batch} // 5, maximum_parallel_batches => 8, maximum_records_per_second => $state->{speed} // 1000 })
		if $json->{method} eq 'get_sync_speed';
	return $fail->(-32601, "Method $json->{method} not found") unless $json->{method} eq 'sync_batch';

	my $plan = $params->{sync_plan};
	my ($id) = grep { $plan->{schema}{$_}{active_identifier} } keys %{ $plan->{schema} };
	return $fail->(-32000, 'too many') if @{ $params->{records} } > 5;
	return $fail->(-32000, 'the schema says nothing of ' . join ', ', grep { !$plan->{schema}{$_}{field}{type} } keys %{ $plan->{schema} })
		if grep { !$plan->{schema}{$_}{field}{type} } keys %{ $plan->{schema} };
	my @results;
	foreach my $record (@{ $params->{records} })
	{
		my $key = $record->{$id};
		my $table = $state->{ $plan->{object}{object_api_name} } //= {};
		my ($is_there, $wrong) = (exists $table->{$key});
		$wrong = 'Exceeded tag limit of 3' if @{ $record->{tags} // [] } > 3;
		next if ($record->{zip} // '') eq 'silent';
		if (!$wrong && $plan->{operation} eq 'delete') { delete $table->{$key} }
		elsif (!$wrong && ($plan->{operation} eq 'upsert' || $is_there == ($plan->{operation} eq 'update'))) { $table->{$key} = { %{ $table->{$key} // {} }, %$record } }
		unshift @results, { identifier => $key, $wrong ? (success => $false, error_message => $wrong) : (success => $true) };
	}
	return $result->({ record_results => \@results });
};
my $t = ConnectorTest->start('census_custom', $server, spec => '_handwritten/census-custom-destination.json', strip => '/api',
	no_destination => 1);
my $url = $t->vendor->url . '/api';
$t->sql("CREATE SERVER d FOREIGN DATA WRAPPER activate OPTIONS (connector 'census_custom', base_url '$url');
	CREATE USER MAPPING FOR PUBLIC SERVER d OPTIONS (api_key '?census_authentication=XoBcsUoFT82wgAcA');
	CREATE SERVER bearer FOREIGN DATA WRAPPER activate OPTIONS (connector 'census_custom', base_url '$url');
	CREATE USER MAPPING FOR PUBLIC SERVER bearer OPTIONS (access_token 't0ken');
	CREATE SERVER nobody FOREIGN DATA WRAPPER activate OPTIONS (connector 'census_custom', base_url '$url')");

is_deeply($t->rows(q(SELECT pointer, message FROM activate.check_connector('{"extends": "census_custom"}') WHERE kind = 'error')), [], 'nothing is wrong with the document');
my $check = sub { $t->rows("SELECT ok, detail FROM activate.check_destination('$_[0]')")->[0] };
ok($check->($_)->{ok}, "$_: test_connection") foreach qw(d bearer);
unlike($check->('d')->{detail}, qr/XoBc/, 'the secret in the address is not shown');
ok(!$check->('nobody')->{ok}, 'without a secret it does not go');
$t->vendor->tell(broken => 1);
like($check->('d')->{detail}, qr/The API Key is invalid/, 'what the server says is shown');
ok(!$check->('d')->{ok}, 'and is no success, whatever the status');
$t->vendor->tell(broken => 0);

# What it has
$t->sql(q(CALL activate.refresh_destination('d', '{restaurant,venue}')));
is($t->sql(q(SELECT string_agg(object || ' ' || title, ', ' ORDER BY object) FROM activate.objects('d') WHERE title IN ('Restaurants', 'Concert Venues'))),
	'restaurant Restaurants, venue Concert Venues', 'list_objects');
is($t->sql(q(SELECT string_agg(concat_ws(' ', field, type, CASE WHEN required THEN 'required' END, CASE WHEN NOT writable THEN 'read-only' END, CASE WHEN is_unique THEN 'identifier' END), ', ' ORDER BY field)
	FROM activate.fields('d', 'restaurant'))),
	'created_at timestamp read-only, name text required identifier, open boolean, rank integer identifier, score number, seen timestamp, since date, tags array, zip text', 'list_fields');

# Rows
$t->sql(q(CREATE TABLE places (id bigint PRIMARY KEY, name text, zip numeric, score numeric, open boolean, since date, seen timestamptz, tags text[], v int DEFAULT 0)));
$t->sql(q(INSERT INTO places SELECT i, 'Place ' || i, 48100.10 + i, i + 0.5, i % 2 = 0, '2021-03-29', '2021-03-29 16:32:23+00', '{Bar,Brewpub}' FROM generate_series(1, 12) AS i));
$t->sql(q(UPDATE places SET zip = 99999999999999999.90, score = 12345678901234567.89, seen = '2021-03-29 16:32:23.5+02', open = NULL WHERE id = 1));
my $mapping = 'name, zip, score, open, since, seen, tags';
$t->sync('places', 'places', key => 'id', object => 'Restaurants', match => 'name', mode => 'upsert', mapping => $mapping, options => '{"max_rejected": "100 %"}');
is($t->sql(q(SELECT object FROM activate.syncs WHERE sync = 'places')), 'restaurant', 'an object named by its label');
my $before = () = $t->requests;
my $run = $t->run('places');
is("$run->{status} $run->{accepted}", 'succeeded 12', 'rows go out') or diag $run->{text};
my @asked = ($t->requests)[ $before .. (() = $t->requests) - 1 ];
is($asked[0]{json}{method}, 'get_sync_speed', 'the server says first how fast');
my @batches = grep { $_->{json}{method} eq 'sync_batch' } @asked;
is(scalar @batches, 3, 'and how many at a time');
my ($first) = grep { $_->{body} =~ /"Place 1"/ } @batches;
my ($record) = $first->{body} =~ s/(?<=[,:]) //gr =~ /(\{"name":"Place 1",[^{}]*\})/;
is($record, '{"name":"Place 1","zip":"99999999999999999.90","score":12345678901234567.89,"open":null,"since":"2021-03-29","seen":"2021-03-29T14:32:23.5Z","tags":["Bar","Brewpub"]}',
	'decimals are strings, numbers exact, times in UTC');
is_deeply($first->{json}{params}{sync_plan}{object}, { object_api_name => 'restaurant', label => 'Restaurants' }, 'the plan names the object');
is($first->{json}{params}{sync_plan}{operation}, 'upsert', 'and the operation');
is_deeply($first->{json}{params}{sync_plan}{schema}{zip}, { active_identifier => JSON::PP::false,
	field => { field_api_name => 'zip', label => 'Zip', identifier => JSON::PP::false, required => JSON::PP::false, createable => JSON::PP::true, updateable => JSON::PP::true, type => 'decimal', array => JSON::PP::false } },
	'and has each field as the server told it');
is_deeply([ grep { $first->{json}{params}{sync_plan}{schema}{$_}{active_identifier} } keys %{ $first->{json}{params}{sync_plan}{schema} } ], ['name'], 'with the match as its identifier');

$t->sql(q(UPDATE places SET tags = '{a,b,c,d}' WHERE id = 2; UPDATE places SET zip = 1 WHERE id = 3));
$t->run('places');
my $all = sub { return { (map { ($_ => 'accepted') } 1 .. 12), @_ } };
$t->rows_become('one of them is not taken', 'places', $all->(2 => 'rejected'));
is($t->sql(q(SELECT message FROM activate.pending WHERE sync = 'places')), 'Exceeded tag limit of 3', 'for the reason that the server gives');
is($t->vendor->state->{restaurant}{'Place 3'}{zip}, '1', 'the others are');
$t->sql(q(UPDATE places SET tags = '{x}' WHERE id = 2));
$t->sql(q(SELECT activate.retry_rows('places')));
$t->run('places');
$t->rows_become('and in the end all are', 'places', $all->());

# Rows that left
$t->sql(q(SELECT activate.create_sync('mirrored', 'SELECT id, name FROM public.places', 'id', 'd', object => 'venue', match => 'rank', mode => 'mirror', on_removed => 'delete',
	mapping => 'id AS rank, name', options => '{"max_removed": "100 %", "remove_after": "0"}')));
is($t->run('mirrored')->{accepted}, 12, 'a mirror, by a number');
$t->sql(q(DELETE FROM places WHERE id > 10));
is($t->run('mirrored')->{accepted}, 2, 'rows that left');
is(scalar(keys %{ $t->vendor->state->{venue} }), 10, 'are deleted');
my $delete = ($t->requests)[-1];
is($delete->{json}{params}{sync_plan}{operation}, 'delete', 'in batches of their own');
is_deeply([ map { join ',', %$_ } @{ $delete->{json}{params}{records} } ], [ 'rank,11', 'rank,12' ], 'by the identifier alone');
foreach my $mode (qw(insert update))
{
	$t->sql(qq(SELECT activate.create_sync('by_$mode', 'public.places', 'id', 'd', object => 'venue', match => 'name', mode => '$mode', mapping => 'name, zip')));
	is($t->run("by_$mode")->{accepted}, 10, "mode $mode");
	is(($t->requests)[-1]{json}{params}{sync_plan}{operation}, $mode, 'is the server\'s own');
}
$t->sql(q(SELECT activate.create_sync('cleared', 'SELECT * FROM public.places WHERE id < 3', 'id', 'd', object => 'venue', match => 'rank', mode => 'mirror', on_removed => 'clear',
	mapping => 'id AS rank, zip', options => '{"max_removed": "100 %"}')));
$t->run('cleared');
$t->sql(q(DELETE FROM places WHERE id = 2));
$t->run('cleared');
is_deeply(($t->requests)[-1]{json}{params}{records}, [ { rank => 2, zip => undef } ], 'on_removed clear sends nulls');

# Answers
$t->model('one', { id => 1, name => 'Seva' });
$t->sync('one', 'one', key => 'id', object => 'restaurant', match => 'name', mapping => 'name, v AS rank');
my $error = sub { [ 200, { jsonrpc => '2.0', id => 'x', error => { code => $_[0], message => $_[1] } } ] };
my $speed = [ 200, { jsonrpc => '2.0', id => 'x', result => { maximum_batch_size => 5, maximum_parallel_batches => 8, maximum_records_per_second => 100 } } ];
$t->means('a method that is not there', 'one', [ $speed, $error->(-32601, 'Method not found') ], status => 'failed', sqlstate => 'PA001', text => qr/Method not found/, rows => {});
$t->means('an error once', 'one', [ $speed, $error->(-32000, 'try again') ], status => 'succeeded', requests => 3, rows => { 1 => 'accepted' });
$t->means('a throttle', 'one', [ $speed, [ 429, { 'Retry-After' => 1 }, '' ] ], status => 'succeeded', requests => 3, rows => { 1 => 'accepted' });
$t->means('no word of the row', 'one', [ $speed, [ 200, { jsonrpc => '2.0', id => 'x', result => { record_results => [] } } ] ], rows => { 1 => 'rejected' });
$t->means('a secret that is refused', 'one', [ $speed, ([ 401, { error => 'no' } ]) x 2 ], status => 'failed', text => qr/401/);
$t->means('a server that does not say how fast', 'one', [ $error->(-32601, 'Method not found') ], status => 'succeeded', requests => 2, rows => { 1 => 'accepted' });
$t->model('others', { id => 1, name => 'Ashley' });
$t->sync('others', 'others', key => 'id', object => 'restaurant', match => 'name', mapping => 'name, v AS rank');
$t->means('an answer that cannot be read', 'others', [ $speed, ([ 200, { 'Content-Type' => 'application/json' }, '{"result": {"rec' ]) x 5 ], rows => { 1 => 'delayed in_doubt' });
$t->means('nothing of rows', 'others', [ $speed, ([ 200, { jsonrpc => '2.0', id => 'x', result => {} } ]) x 5 ], rows => { 1 => 'delayed in_doubt' });

# So many records a second, whatever a request has
$t->vendor->tell(batch => 2, speed => 4);
$t->model('paced', map { { id => $_, name => "p$_" } } 1 .. 8);
$t->sync('paced', 'paced', key => 'id', object => 'restaurant', match => 'name', mapping => 'name, v AS rank');
my $start = time;
$run = $t->run('paced');
is($run->{accepted}, 8, 'as fast as the server says');
cmp_ok($t->sql(qq(SELECT extract(epoch FROM finished_at - started_at) >= 1 FROM activate.runs WHERE run_id = $run->{run_id})), 'eq', 't', 'and not faster: records, not requests, a second');

$t->fits;
my ($any) = grep { ($_->{json}{method} // '') eq 'sync_batch' } $t->requests;
$t->broken({ %$any, body => $any->{body} =~ s/"records"/"rows"/r }, 'a batch without records');

done_testing();
