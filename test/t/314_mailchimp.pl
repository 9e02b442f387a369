# mailchimp against a stand-in: contacts one by one and in bulk, segments, tags;
# what the vendor refuses, and each kind of request held against its own file.
use strict;
use warnings;

use Digest::MD5 qw(md5_hex);
use Encode qw(encode_utf8);
use PostgreSQL::Test::Utils;
use Test::More;

use ConnectorTest;

sub problem
{
	my ($status, $title, $detail, @errors) = @_;
	return [ $status, { 'Content-Type' => 'application/problem+json; charset=utf-8' }, JSON::PP->new->canonical->encode({
		type => 'https://mailchimp.com/developer/marketing/docs/errors/', title => $title, status => $status, detail => $detail,
		instance => '995c5cb0-3280-4a6e-808b-3b096d0bb219', @errors ? (errors => \@errors) : () }) ];
}

# Keeps contacts by their ids; addresses say what is wrong with them.
my $handler = sub {
	my ($request, $state) = @_;
	my ($method, $path, $body) = @$request{qw(method path json)};
	my $member = sub { my ($email) = @_; my $lower = lc $email;
		return { id => Digest::MD5::md5_hex($lower), contact_id => 'c' . substr(Digest::MD5::md5_hex($lower), 0, 8), email_address => $email } };
	my $wrong = sub {
		my ($email) = @_;
		return [ 'Member In Compliance State', "$email is in a compliance state due to unsubscribe, bounce, or compliance review and cannot be subscribed." ]
			if $email =~ /^left/;
		return [ 'Forgotten Email Not Subscribed', "$email was permanently deleted and cannot be re-imported. The contact must re-subscribe to get back on the list." ]
			if $email =~ /^gone/;
		return [ 'Invalid Resource', "$email looks fake or invalid, please enter a real email address." ] if $email =~ /^fake/;
		return;
	};
	return { health_status => 'Everything\'s Chimpy!' } if $path eq '/ping';
	return { account_id => 'a1', account_name => 'Acme' } if $path eq '/';
	return { lists => [ { id => 'L1', name => 'Newsletter' } ] } if $path eq '/lists' && $method eq 'GET';
	return { merge_fields => [
		{ tag => 'FNAME', name => 'First name', type => 'text', required => JSON::PP::false, options => { size => 25 } },
		{ tag => 'SCORE', name => 'Score', type => 'number', required => JSON::PP::false },
		{ tag => 'PLAN', name => 'Plan', type => 'dropdown', required => JSON::PP::false, options => { choices => [ 'free', 'pro' ] } } ] }
		if $path eq '/lists/L1/merge-fields';
	return problem(404, 'Resource Not Found', 'The requested resource could not be found.') unless $path =~ m{^/lists/L1(?:/|\z)};
	if ($path eq '/lists/L1')
	{
		my (@new, @updated, @errors);
		foreach my $row (@{ $body->{members} })
		{
			my $reason = $wrong->($row->{email_address});
			$reason = [ 'x', 'Please enter a value', 'PLAN' ] if ($row->{merge_fields}{PLAN} // '') eq 'gold';
			push @errors, { email_address => $row->{email_address}, error => $reason->[1], error_code => 'ERROR_GENERIC', field => $reason->[2] // '' } if $reason;
			next if $reason;
			push @{ $state->{members}{ lc $row->{email_address} }++ ? \@updated : \@new }, $member->(lc $row->{email_address});
		}
		return { new_members => \@new, updated_members => \@updated, errors => \@errors, total_created => scalar @new,
			total_updated => scalar @updated, error_count => scalar @errors };
	}
	if ($path =~ m{^/lists/L1/segments/77$})
	{
		my $known = sub { grep { $state->{members}{ lc $_ } } @{ $_[0] // [] } };
		return { members_added => [ map { $member->($_) } $known->($body->{members_to_add}) ],
			members_removed => [ map { $member->($_) } $known->($body->{members_to_remove}) ], errors => [], error_count => 0 };
	}
	my ($id, $rest) = $path =~ m{^/lists/L1/members/(\w+)(/.*)?$} or return problem(404, 'Resource Not Found', 'no such path');
	my ($email) = grep { my $is = $member->($_); $is->{id} eq $id || $is->{contact_id} eq $id } keys %{ $state->{members} // {} };
	return problem(404, 'Resource Not Found', 'The requested resource could not be found.') if !$email && $method ne 'PUT';
	return [204] if $rest;
	if ($method eq 'DELETE')
	{
		return problem(405, 'Method Not Allowed', 'This list member cannot be removed. Can not archive a contact that is bounced, pending or archived')
			if $state->{archived}{$email}++;
		return [204];
	}
	my $address = $body->{email_address} // $email;
	my $reason = $wrong->($address);
	return problem(400, @$reason) if $reason;
	return problem(400, 'Invalid Resource', 'Your merge fields were invalid.', { field => 'PLAN', message => 'Value must be one of: free, pro' })
		if ($body->{merge_fields}{PLAN} // '') eq 'gold';
	delete $state->{members}{$email} if $email && $email ne lc $address;
	$state->{members}{ lc $address } = 1;
	return { %{ $member->($address) }, $email ? (contact_id => $member->($email)->{contact_id}) : (), status => 'subscribed' };
};

my $t = ConnectorTest->start('mailchimp', $handler, spec => 'mailchimp/mailchimp.com.subset.json',
	options => { dc => 'us21' }, secrets => { api_key => 'key-us21' }, conf => 'pg_activate.debug_late_off = on');

sub of { my ($method, $path) = @_; return grep { $_->{method} eq $method && $_->{path} =~ $path } $t->requests }

# ------------------------------------------------------------- what there is
like($t->sql(q{SELECT * FROM activate.check_destination('d')}), qr/a1.*Acme/s, 'a check says whose account it is');
is_deeply($t->rows(q{SELECT pointer, message FROM activate.check_connector((SELECT spec FROM activate.connector WHERE name = 'mailchimp')) WHERE kind = 'error'}),
	[], 'the document has no problems');
$t->sql(q{CALL activate.refresh_destination('d', ARRAY['L1/members'])});
is_deeply($t->rows(q{SELECT object, title FROM activate.objects('d') WHERE object LIKE 'L1%'}), [ { object => 'L1/members', title => 'Newsletter' } ],
	'audiences are found');
is_deeply([ map { "$_->{field} $_->{type}" } @{ $t->rows(q{SELECT field, type FROM activate.fields('d', 'L1/members') WHERE field ~ '^[A-Z]+$' ORDER BY field}) } ],
	[ 'FNAME text', 'PLAN text', 'SCORE number' ], 'and their merge fields');

# ------------------------------------------------------------------ contacts
$t->model('people', map { { id => $_->[0], email => $_->[1], name => $_->[2], score => $_->[3], plan => $_->[4] } }
	[ 1, 'Ada@Example.com', 'Ada', '9007199254740993', 'pro' ], [ 2, 'bob@example.com', undef, '2', 'free' ],
	[ 3, 'left@example.com', 'Lea', '3', 'free' ], [ 4, 'gone@example.com', 'Gus', '4', 'free' ], [ 5, 'eve@example.com', 'Eve', '5', 'gold' ],
	[ 6, 'fake@example.com', 'Fay', '6', 'free' ]);
my $mapping = q{email AS email_address, 'subscribed' AS status_if_new, name AS "FNAME", score AS "SCORE", plan AS "PLAN", v::numeric / 8 AS "RATIO"};
$t->sync('s', 'people', key => 'id', object => 'L1/members', match => 'email_address', mapping => $mapping, mode => 'mirror', on_removed => 'archive',
	options => '{"max_rejected": null, "max_removed": null, "max_changed": null}');
my $run = $t->run('s');
is($run->{status}, 'partial', 'a first run') or diag $run->{text};
$t->rows_become('compliance, forgotten and fake addresses are refused for good, a wrong choice is not', 's', { 1 => 'accepted', 2 => 'accepted',
	3 => 'refused Member In Compliance State', 4 => 'refused Forgotten Email Not Subscribed', 5 => 'rejected PLAN', 6 => 'refused Invalid Resource' });
my ($ada) = of(PUT => qr/${\md5_hex('ada@example.com')}$/);
like($ada->{body}, qr/"SCORE": ?9007199254740993[,}]/, 'int8 is exact, and the address that of the hash in small letters');
is($ada->{json}{status_if_new} . ($ada->{json}{status} // ''), 'subscribed', 'a status is given to new contacts only');
is((of(PUT => qr/${\md5_hex('bob@example.com')}$/))[0]{json}{merge_fields}{FNAME}, '', 'NULL empties a merge field');
like($ada->{headers}{authorization}, qr/^Basic /, 'the key is a password');
is($t->sql('SELECT activate_external_id FROM activate_data.s WHERE id = 1'), 'c' . substr(md5_hex('ada@example.com'), 0, 8), 'the contact\'s id is kept');
$t->sql('DELETE FROM people WHERE id > 2');
$t->run('s');

# --------------------------------------------------------------- a change, a new address
$t->sql(q{UPDATE people SET email = 'ada@example.org', v = 1 WHERE id = 1});
$t->run('s');
my ($patch) = of(PATCH => qr/members\/c/);
is($patch->{json}{email_address}, 'ada@example.org', 'a new address is one of the same contact');
like($patch->{body}, qr/"RATIO": ?0\.125/, 'and a numeric is exact');
ok(!exists $patch->{json}{status_if_new}, 'which is no new contact');

# ------------------------------------------------------------- what answers mean
my $both = { 1 => 'accepted', 2 => 'accepted' };
$t->means('a throttle', 's', [ [ 429, { 'Retry-After' => 1 }, '' ] ], status => 'succeeded', rows => $both);
$t->means('a contact that is gone', 's', [ problem(404, 'Resource Not Found', 'x') ], status => 'succeeded', rows => $both);
$t->means('a server in trouble', 's', [ ([ 500, {}, 'oops' ]) x 12 ], status => 'failed');
$t->means('a key that is revoked', 's', [ (problem(401, 'API Key Invalid', 'Your API key may be invalid')) x 4 ], status => 'failed');
$t->means('an answer that is none', 's', [ ([ 200, { 'Content-Type' => 'application/json' }, '{"id": ' ]) x 2 ]);
$t->means('all is well again', 's', [], status => 'succeeded', rows => $both);

# ------------------------------------------------------------------- removal
$t->sql('DELETE FROM people WHERE id = 1');
is($t->run('s')->{removed}, 1, 'who leaves the model is archived');
is(scalar(of(DELETE => qr/members/)), 1, 'by one request');
$t->sql("INSERT INTO people (id, email, name, score, plan) VALUES (1, 'ada\@example.org', 'Ada', 1, 'pro')");
$t->run('s');
$t->sql('DELETE FROM people WHERE id = 1');
is($t->run('s')->{removed}, 1, 'an archived contact cannot be archived: done');

foreach my $case ([ 'clear', undef ], [ 'update', q{'unsubscribed' AS status} ])
{
	my ($how, $removed) = @$case;
	my $name = "s_$how";
	$t->model("m_$how", { id => 1, email => "$how\@example.com", name => 'X' }, { id => 2, email => "stays_$how\@example.com", name => 'Y' });
	$t->sync($name, "m_$how", key => 'id', object => 'L1/members', match => 'email_address', mode => 'mirror', on_removed => $how,
		mapping => q{email AS email_address, 'transactional' AS status_if_new, name AS "FNAME"},
		options => '{"max_removed": null' . ($removed ? qq(, "removed_mapping": "$removed") : '') . '}');
	is($t->run($name)->{accepted}, 2, "on_removed $how: first");
	$t->sql("DELETE FROM m_$how WHERE id = 1");
	$t->run($name);
	my ($last) = reverse of(PATCH => qr/members/);
	is($last->{json}{status} // 'FNAME ' . ($last->{json}{merge_fields}{FNAME} // '-'), $how eq 'clear' ? 'FNAME ' : 'unsubscribed', "on_removed $how");
}

# ----------------------------------------------------------------- mode update
$t->model('known', { id => 1, email => 'bob@example.com', name => 'Bob' }, { id => 2, email => 'nobody@example.com', name => 'No' });
$t->sync('u', 'known', key => 'id', object => 'L1/members', match => 'email_address', mapping => q{email AS email_address, name AS "FNAME"}, mode => 'update');
$t->run('u');
$t->rows_become('mode update makes nobody', 'u', { 1 => 'accepted', 2 => 'absent' });

$t->sync('nowhere', 'known', key => 'id', object => 'L9/members', match => 'email_address', mapping => q{email AS email_address, 'subscribed' AS status_if_new});
is($t->run('nowhere')->{sqlstate}, 'PA001', 'an audience that is not there stops the run');
is(eval { $t->sync('gone', 'known', key => 'id', object => 'L1/members', match => 'email_address', mode => 'mirror', on_removed => 'delete',
	mapping => q{email AS email_address, 'subscribed' AS status_if_new}); 1 }, undef, 'no mode deletes for good');

# ------------------------------------------------------------------- in bulk
$t->model('many', map { { id => $_->[0], email => $_->[1], plan => $_->[2] } } [ 1, 'Bob@example.com', 'free' ], [ 2, 'new@example.com', 'free' ],
	[ 3, 'left2@example.com', 'free' ], [ 4, 'ed@example.com', 'gold' ]);
$t->sync('b', 'many', key => 'id', object => 'L1/members/bulk', match => 'email_address', mapping => q{email AS email_address, 'subscribed' AS status, plan AS "PLAN"},
	options => '{"max_rejected": null}');
$t->run('b');
$t->rows_become('of a batch each row has its result', 'b', { 1 => 'accepted', 2 => 'accepted', 3 => 'refused ERROR_GENERIC', 4 => 'rejected ERROR_GENERIC' });
is(scalar(of(POST => qr{^/lists/L1$})), 1, 'of one request');

# --------------------------------------------------------- segments and tags
foreach my $object ('segments/77', 'tags/Win back/2')
{
	my $name = $object =~ /^seg/ ? 'seg' : 'tag';
	$t->model("m_$name", { email => 'Bob@example.com' }, { email => 'new@example.com' }, { email => 'unknown@example.com' });
	$t->sync($name, "m_$name", key => 'email', object => "L1/$object", mapping => 'email AS email_address', mode => 'mirror', on_removed => 'remove',
		options => '{"max_removed": null}');
	$t->run($name);
	$t->rows_become("$name: who is no contact is absent", $name, { 'Bob@example.com' => 'accepted', 'new@example.com' => 'accepted', 'unknown@example.com' => $name eq 'seg' ? 'absent' : 'absent Resource Not Found' });
	$t->sql("DELETE FROM m_$name WHERE email LIKE 'Bob%'");
	is($t->run($name)->{removed}, 1, "$name: one leaves");
}
is_deeply([ map { $_->{json} } of(POST => qr/segments/) ], [ { members_to_add => [ 'Bob@example.com', 'new@example.com', 'unknown@example.com' ] },
	{ members_to_remove => ['Bob@example.com'] } ], 'a segment: arrays of addresses');
is_deeply([ map { $_->{json}{tags}[0] } (of(POST => qr/tags/))[ 0, 3 ] ], [ { name => 'Win back/2', status => 'active' }, { name => 'Win back/2', status => 'inactive' } ],
	'a tag: by its name');

# ----------------------------------------------------- the vendor's own file
# It has no segments; check_destination's and catalogue's requests are in it where they are listed.
$t->fits(sub { my ($request) = @_; return $request->{path} !~ m{segments|^/lists$|^/$} });
$t->broken({ %$ada, body => '{"merge_fields": {"FNAME": "Ada"}}' }, 'a contact without an address');
my ($bulk) = of(POST => qr{^/lists/L1$});
$t->broken({ %$bulk, body => '{"members": {"email_address": "x"}}' }, 'members that are no array');

done_testing();
