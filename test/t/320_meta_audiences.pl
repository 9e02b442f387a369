# Connector meta_audiences: members of a custom audience, hashed as Meta wants
# them, added and removed.  What the vendor's file says is parameters only;
# that payload holds a schema and rows of it is said by its documentation, and
# held against the requests here.
use strict;
use warnings;

use Digest::SHA qw(sha256_hex hmac_sha256_hex);
use JSON::PP;
use Test::More;

use ConnectorTest;

# Keeps the audience, and answers as Meta does: with numbers only.
my $t = ConnectorTest->start('meta_audiences', sub {
	my ($request, $state) = @_;
	my $path = $request->{path};
	return { id => '1784', name => 'Warehouse' } if $path eq '/me';
	if ($path eq '/act_42/customaudiences')
	{
		my $after = $request->{query}{after};
		return { data => [ { id => $after ? '602' : '601', name => $after ? 'Lapsed' : 'Buyers', subtype => 'CUSTOM' } ],
			paging => $after ? {} : { next => "http://$request->{headers}{host}/act_42/customaudiences?after=x" } };
	}
	my ($audience) = $path =~ m{^/([0-9]+)/users$} or return [ 400, { error => { message => 'Unsupported request', code => 100 } } ];
	my $payload = $request->{json}{payload};
	my $invalid = grep { grep { /bad/ } @$_ } @{ $payload->{data} };
	foreach my $row (grep { !grep { /bad/ } @$_ } @{ $payload->{data} })
	{
		$state->{$audience} //= {};
		if ($request->{method} eq 'DELETE') { delete $state->{$audience}{ $row->[0] } }
		else { $state->{$audience}{ $row->[0] } = $row }
	}
	return { audience_id => $audience, session_id => '1', num_received => scalar @{ $payload->{data} },
		num_invalid_entries => $invalid, invalid_entry_samples => {} };
}, secrets => { access_token => 'EAAB' }, options => { ad_account => 'act_42' });

sub audience { return $t->vendor->state->{ $_[0] } }

is($t->rows(q{SELECT account FROM activate.check_destination('d')})->[0]{account}, '1784 (Warehouse)', 'check_destination says who it is');

# --------------------------------------------------- members of an audience

$t->sql(q{CREATE TABLE people (id bigint PRIMARY KEY, email text, phone text, first text, sex text, city text, zip text, country text, value numeric);
INSERT INTO people VALUES
(9007199254740993, ' Ada@Example.COM ', '+1 (650) 555-0123', ' O''Brien ', 'Female', 'New York', '10001-1234', 'US', 12.50),
(8, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)});
my $mapping = 'id AS "EXTERN_ID", email AS "EMAIL", phone AS "PHONE", first AS "FN", sex AS "GEN", city AS "CT", zip AS "ZIP", country AS "COUNTRY", value AS "LOOKALIKE_VALUE"';
$t->sync('s', 'people', key => 'id', object => '601', mapping => $mapping, mode => 'mirror', options => '{"max_removed": "100 %"}');
is_deeply($t->rows(q{SELECT match, on_removed FROM activate.syncs}), [ { match => '"EXTERN_ID"', on_removed => 'remove' } ],
	'the id of one\'s own is what members are known by');
my $run = $t->run('s');
is("$run->{status} $run->{accepted} $run->{requests}", 'succeeded 2 1', 'members are added') || diag $run->{text};
my ($add) = grep { $_->{path} eq '/601/users' } $t->requests;
is($add->{method}, 'POST', 'by a POST');
is($add->{headers}{authorization}, 'Bearer EAAB', 'with the token where no log has it');
is_deeply($add->{json}, { payload => {
	schema => [qw(EXTERN_ID EMAIL PHONE FN GEN CT ZIP COUNTRY LOOKALIKE_VALUE)],
	data => [ [ '8', ('') x 8 ], [ '9007199254740993',
		'b5fc85e55755f9e0d030a10ab4429b6b2944855f9a0d60077fe832becbc41d72',
		'26cb4f0c031f8e3956a484b9af6e06210874c4f08470f03f4f8a4d411da745ec',
		'b4cb6cb33fe4b865868de825023a1e2790dc12ac01ecc8d7c5afe8254071c8ba',
		sha256_hex('f'), '350c754ba4d38897693aa077ef43072a859d23f613443133fecbbd90a3512ca5', sha256_hex('10001'), sha256_hex('us'), 12.50 ] ] } },
	'each cell normalised and hashed, blank where it is not known') || diag $add->{body};
like($add->{body}, qr/,12\.50\]/, 'a value is a number, digit for digit');
$t->rows_become('all of them', 's', { 9007199254740993 => 'accepted', 8 => 'accepted' });

$t->sql(q{UPDATE people SET email = 'ada@new.example' WHERE id = 9007199254740993});
is($t->run('s')->{status}, 'succeeded', 'a changed member');
is(audience('601')->{9007199254740993}[1], sha256_hex('ada@new.example'), 'is added again');
$t->sql('DELETE FROM people WHERE id = 8');
$run = $t->run('s');
is("$run->{status} $run->{removed}", 'succeeded 1', 'who left the model');
my ($remove) = grep { $_->{method} eq 'DELETE' } $t->requests;
is_deeply($remove->{json}, { payload => { schema => ['EXTERN_ID'], data => [ ['8'] ] } }, 'is removed, by what members are known by');
is_deeply([ keys %{ audience('601') } ], ['9007199254740993'], 'and is gone');

# by e-mail: it is hashed in removals as it was in additions
$t->sql(q{CREATE TABLE mails (email text PRIMARY KEY); INSERT INTO mails VALUES ('a@example.com'), ('B@example.com ')});
$t->sync('m', 'mails', key => 'email', object => '602', mapping => 'email AS "EMAIL"', mode => 'mirror', options => '{"max_removed": "100 %"}');
is($t->run('m')->{accepted}, 2, 'members by their e-mail');
$t->sql(q{DELETE FROM mails WHERE email LIKE 'B%'});
is($t->run('m')->{status}, 'succeeded', 'one is removed');
is_deeply([ keys %{ audience('602') } ], [ sha256_hex('a@example.com') ], 'by the same digest');

# a digest that was made before is left as it is
$t->sql(q{CREATE TABLE hashed (email text PRIMARY KEY); INSERT INTO hashed SELECT encode(sha256('x@example.com'), 'hex')});
$t->sync('h', 'hashed', key => 'email', object => '603', mapping => 'email AS "EMAIL"');
$t->run('h');
is_deeply([ keys %{ audience('603') } ], [ sha256_hex('x@example.com') ], 'a digest is not hashed again');

# values that are none of the kind
$t->sql(q{CREATE TABLE wrong (id int PRIMARY KEY, email text, country text); INSERT INTO wrong VALUES (1, 'a@b.example', 'France'), (2, '', 'FR'), (3, 'c@b.example', 'de')});
$t->sync('w', 'wrong', key => 'id', object => '604', mapping => 'id AS "EXTERN_ID", email AS "EMAIL", country AS "COUNTRY"', options => '{"max_invalid": "100 %"}');
$run = $t->run('w');
$t->rows_become('a country of more than two letters is invalid', 'w', { 1 => 'invalid value', 2 => 'accepted', 3 => 'accepted' });
is(audience('604')->{2}[1], '', 'an empty e-mail is no e-mail');
$t->sql(q{CREATE TABLE blank (email text PRIMARY KEY); INSERT INTO blank VALUES (' '), ('d@b.example')});
$t->sync('b', 'blank', key => 'email', object => '608', mapping => 'email AS "EMAIL"', options => '{"max_invalid": "100 %"}');
$t->run('b');
$t->rows_become('but nobody is known by it', 'b', { ' ' => 'invalid value', 'd@b.example' => 'accepted' });

# ---------------------------------------------------------------- answers

$t->model('few', map { { id => "u$_" } } 1 .. 3);
$t->sync('f', 'few', key => 'id', object => '605', mapping => q{id AS "EXTERN_ID", nullif(v, -1) AS "LOOKALIKE_VALUE"});
$t->run('f');
my %all = (rows => { map { ("u$_" => 'accepted') } 1 .. 3 });
sub error { my ($status, $code, %more) = @_; return [ $status, { error => { message => 'said', type => 'OAuthException', code => $code, fbtrace_id => 'A', %more } } ] }
$t->means('too many calls', 'f', [ [ 400, { 'Content-Type' => 'application/json', 'Retry-After' => 1 }, encode_json(error(400, 80003)->[1]) ] ],
	status => 'succeeded', requests => 2, %all);
$t->means('an error for a moment', 'f', [ error(500, 2) ], status => 'succeeded', requests => 2, %all);
$t->means('an answer that is no JSON', 'f', [ [ 200, { 'Content-Type' => 'application/json' }, '{"audience' ] ], status => 'succeeded', %all);
$t->means('a token that expired', 'f', [ map { error(400, 190, error_subcode => 463) } 1, 2 ], status => 'failed', text => qr/refuses the credentials/);
$t->means('no permission', 'f', [ error(403, 200) ], status => 'failed', text => qr/said/, requests => 1);
$t->means('an audience that is blocked', 'f', [ error(400, 100, error_subcode => 1713230, error_user_msg => 'you must resolve integrity restrictions') ],
	status => 'failed', text => qr/integrity restrictions/, requests => 1);
$t->run('f');

# given entries that Meta counts as invalid, then they are found and the others stay
$t->model('mixed', { id => 'bad1', score => 1 }, map { { id => "ok$_", score => 1 } } 1 .. 6);
$t->sync('x', 'mixed', key => 'id', object => '606', mapping => 'id AS "EXTERN_ID"', options => '{"max_rejected": "100 %"}');
$run = $t->run('x');
$t->rows_become('an invalid entry is found among others', 'x', { bad1 => 'rejected invalid_entry', map { ("ok$_" => 'accepted') } 1 .. 6 });
is(scalar keys %{ audience('606') }, 6, 'who are in the audience');

# ------------------------------------------------------- secrets and catalogue

$t->destination('proved', secrets => { access_token => 'EAAB', client_secret => 'app' });
$t->vendor->clear;
$t->sync('p', 'mails', key => 'email', destination => 'proved', object => '607', mapping => 'email AS "EMAIL"', options => '{"log": "all"}');
is($t->run('p')->{status}, 'succeeded', 'with the secret of the app');
my ($proved) = $t->requests;
is_deeply($proved->{query}, { access_token => 'EAAB', appsecret_proof => hmac_sha256_hex('EAAB', 'app') }, 'calls are proved');
my $logged = $t->sql(q{SELECT string_agg(url, ' ') FROM activate.requests WHERE sync = 'p'});
like($logged, qr{/607/users.*access_token=\*+}, 'the log has the call');
unlike($logged, qr/EAAB/, 'and not the token');

$t->sql(q{CALL activate.refresh_destination('d')});
is_deeply($t->rows(q{SELECT object, title FROM activate.objects('d') WHERE title IN ('Buyers', 'Lapsed') ORDER BY 1}),
	[ { object => '601', title => 'Buyers' }, { object => '602', title => 'Lapsed' } ], 'audiences of the ad account are listed, page by page');

is($t->sql(q{SELECT count(*) FROM activate.connector AS c, activate.check_connector(c.spec) AS p WHERE c.name = 'meta_audiences' AND p.kind = 'error'}), 0,
	'the document has no problems');
$t->activate->sums_hold('meta');
done_testing();
