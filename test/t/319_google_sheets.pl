# Connector google_sheets: a sheet that is the model's result, never half of
# it, and rows at the end of one.
use strict;
use warnings;

use JSON::PP;
use MIME::Base64 qw(decode_base64url);
use PostgreSQL::Test::Utils;
use Test::More;

use ConnectorTest;

my $json = JSON::PP->new->canonical->allow_bignum;

# Spreadsheets as Google keeps them: sheets by id, with a grid that has an end.
# A batch of updates is applied as a whole or not at all.
sub problem { my ($status, $name, $message) = @_; return [ $status, { error => { code => $status, status => $name, message => $message } } ] }

sub update
{
	my ($sheet, $kind, $what) = @_;
	if ($kind eq 'updateSheetProperties')
	{
		my $grid = $what->{properties}{gridProperties};
		return 'too small a grid' if $grid->{rowCount} < 1 || $grid->{columnCount} < 1;
		$sheet->{grid} = { map { $_ => 0 + $grid->{$_} } qw(rowCount columnCount) };
		$#{ $sheet->{cells} } = $grid->{rowCount} - 1 if @{ $sheet->{cells} } > $grid->{rowCount};
		return;
	}
	return "unknown request $kind" if $kind ne 'updateCells';
	if ($what->{range})
	{
		$sheet->{cells} = [];
		return if !@{ $what->{rows} // [] };
	}
	my $at = $what->{start}{rowIndex};
	foreach my $row (@{ $what->{rows} })
	{
		return "Attempting to write row: $at, beyond the last requested row" if $at >= $sheet->{grid}{rowCount};
		my @cells = map { my ($value) = values %{ $_->{userEnteredValue} // {} }; $value } @{ $row->{values} };
		return 'beyond the last requested column' if @cells > $sheet->{grid}{columnCount};
		$sheet->{cells}[ $at++ ] = \@cells;
	}
	return;
}

my $tokens = Vendor->start(sub {
	my ($request, $state) = @_;
	$state->{tokens}++;
	return { access_token => "t$state->{tokens}", expires_in => 3599, token_type => 'Bearer' };
});
my $t = ConnectorTest->start('google_sheets', sub {
	my ($request, $state) = @_;
	my $path = $request->{path};
	$state->{book} //= { map { $_->[1] => { id => $_->[0], cells => [ [ 'old', 'old', 'old' ], ([ 'x', 'y', 'z' ]) x 4 ], grid => { rowCount => 5, columnCount => 3 } } }
		[ 0, 'Revenue' ], [ 77, "Ada's plan/2026" ], [ 5, 'Log' ] };
	return problem(401, 'UNAUTHENTICATED', 'Request had invalid authentication credentials.') if ($request->{headers}{authorization} // '') !~ /^Bearer t[0-9]/;
	my ($id, $rest) = $path =~ m{^/v4/spreadsheets/([^:/]+)(.*)$} or return [404];
	return problem(404, 'NOT_FOUND', 'Requested entity was not found.') if $id ne 'book-1';
	if ($request->{method} eq 'GET')
	{
		my ($title) = ($request->{query}{ranges} // '') =~ /^'(.*)'!A1$/ or return problem(400, 'INVALID_ARGUMENT', 'no range');
		$title =~ s/''/'/g;
		my $sheet = $state->{book}{$title} or return problem(400, 'INVALID_ARGUMENT', "Unable to parse range: $request->{query}{ranges}");
		return { sheets => [ { properties => { sheetId => $sheet->{id}, title => $title, gridProperties => $sheet->{grid} } } ] };
	}
	if (my ($title) = $rest =~ m{^/values/'(.*)':append$})
	{
		push @{ $state->{book}{ $title =~ s/''/'/gr }{cells} }, @{ $request->{json}{values} };
		return { spreadsheetId => $id, updates => { updatedRows => scalar @{ $request->{json}{values} } } };
	}
	my $copy = $json->decode($json->encode($state->{book}));
	foreach my $one (@{ $request->{json}{requests} })
	{
		my ($kind) = keys %$one;
		my $what = $one->{$kind};
		my $sheet_id = ($what->{range} // $what->{start} // $what->{properties})->{sheetId};
		my ($sheet) = grep { $_->{id} eq $sheet_id } values %$copy;
		my $wrong = $sheet ? update($sheet, $kind, $what) : "No grid with id: $sheet_id";
		return problem(400, 'INVALID_ARGUMENT', "Invalid requests: $wrong") if $wrong;
	}
	$state->{book} = $copy;
	return { spreadsheetId => $id, replies => [ map { {} } @{ $request->{json}{requests} } ] };
}, spec => 'google-sheets/sheets.subset.json', no_destination => 1);

my $pem = PostgreSQL::Test::Utils::tempdir() . '/key.pem';
system("openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out $pem 2>/dev/null || openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out $pem 2>/dev/null");
my $key = PostgreSQL::Test::Utils::slurp_file($pem);
$key =~ s/\n/\\n/g;    # as the file of a service account has it
my %options = (token_url => $tokens->url . '/token', rate_limit => '10000/1 min');
$t->destination('d', options => { %options, client_email => 'sync@project.iam.gserviceaccount.com' }, secrets => { private_key => $key });

sub cells { return $t->vendor->state->{book}{ $_[0] }{cells} }
sub grid { my $g = $t->vendor->state->{book}{ $_[0] }{grid}; return "$g->{rowCount} x $g->{columnCount}" }

is($t->rows(q{SELECT account FROM activate.check_destination('d')})->[0]{account}, 'sync@project.iam.gserviceaccount.com',
	'check_destination says whom to share a spreadsheet with');

# ---------------------------------------------------- the sheet is the model

$t->sql(q{CREATE TABLE revenue (id bigint PRIMARY KEY, month date, amount numeric, note text, closed boolean, tags text[]);
INSERT INTO revenue VALUES (9007199254740993, '2026-01-01', 12345678901234567890.10, '=1+1', true, '{a,b}'), (2, '2026-02-01', NULL, '007', false, NULL)});
my $mapping = 'id, month, amount, note, closed, tags';
$t->sync('s', 'revenue', key => 'id', object => 'book-1!Revenue', mapping => $mapping, mode => 'replace');
my $run = $t->run('s');
is("$run->{status} $run->{accepted} $run->{requests}", 'succeeded 2 2', 'a sheet is replaced, by a question and one request') || diag $run->{text};
is_deeply(cells('Revenue'), [ [qw(id month amount note closed tags)],
	[ 2, '2026-02-01', undef, '007', JSON::PP::false, undef ],
	[ 9007199254740993, '2026-01-01', '12345678901234567890.1', '=1+1', JSON::PP::true, '["a","b"]' ] ],
	'header, typed cells, and nothing of what was there') || diag explain cells('Revenue');
is(grid('Revenue'), '5 x 6', 'the grid is as wide as the model, and no shorter than it was');
my ($batch) = grep { $_->{path} =~ /:batchUpdate$/ } $t->requests;
like($batch->{body}, qr/"numberValue":12345678901234567890\.10\b/, 'numbers go digit for digit');
like($batch->{body}, qr/"numberValue":9007199254740993\b/, 'those of int8, too');
like($batch->{body}, qr/\{"userEnteredValue":\{"stringValue":"=1\+1"\}\}/, 'a text is a text, and no formula');
is($t->run('s')->{requests}, 0, 'unchanged nothing is asked');

$t->sql('INSERT INTO revenue SELECT i, NULL, i FROM generate_series(10, 29) AS i; DELETE FROM revenue WHERE id = 2');
$run = $t->run('s');
is("$run->{status} $run->{accepted} $run->{removed}", 'succeeded 21 1', 'more rows, and one less') || diag $run->{text};
is(grid('Revenue'), '22 x 6', 'the grid grows with them');
is(scalar @{ cells('Revenue') }, 22, 'and has them all');
$t->sql('DELETE FROM revenue WHERE id < 100');
is($t->run('s')->{status}, 'succeeded', 'few rows are left');
is(grid('Revenue'), '22 x 6', 'the grid stays, for who refers to it');
is(scalar(grep { defined } @{ cells('Revenue') }), 2, 'what was below is cleared');

$t->sync('odd', 'revenue', key => 'id', object => "book-1!Ada's plan/2026", mapping => 'id', mode => 'replace');
is($t->run('odd')->{status}, 'succeeded', 'a sheet is known by its title, whatever that is');
is_deeply(cells("Ada's plan/2026"), [ ['id'], [9007199254740993] ], 'and found by its id');

# ---------------------------------------------------------- the token

my ($asked, @more) = $tokens->requests;
is($asked->{form}{grant_type}, 'urn:ietf:params:oauth:grant-type:jwt-bearer', 'a service account signs for its token');
my ($head, $claims, $signature) = split /\./, $asked->{form}{assertion};
my $said = decode_json(decode_base64url($claims));
is("$said->{iss} $said->{aud} $said->{scope}", "sync\@project.iam.gserviceaccount.com $options{token_url} https://www.googleapis.com/auth/spreadsheets",
	'for itself, the endpoint and spreadsheets');

# --------------------------------------------------------- rows at its end

$t->sql(q{CREATE TABLE signups (id bigint PRIMARY KEY, email text, score numeric); INSERT INTO signups VALUES (1, 'a@x.example', 1.50), (2, NULL, NULL)});
$t->sync('log', 'signups', key => 'id', object => 'book-1!Log', mapping => 'id, email, score', mode => 'append', options => '{"first_run": "send"}');
$run = $t->run('log');
is("$run->{status} $run->{accepted} $run->{requests}", 'succeeded 2 1', 'new rows are appended') || diag $run->{text};
is_deeply([ @{ cells('Log') }[ 5, 6 ] ], [ [ 1, 'a@x.example', '1.5' ], [ 2, undef, undef ] ], 'behind those that are there') || diag explain cells('Log');
$t->sql(q{INSERT INTO signups VALUES (3, 'c@x.example', 3); UPDATE signups SET email = 'new' WHERE id = 1; DELETE FROM signups WHERE id = 2});
$run = $t->run('log');
is("$run->{accepted} " . @{ cells('Log') }, '1 8', 'each once');

# ------------------------------------------------------------- the contract

$t->fits(sub { $_[0]{path} =~ /^\/v4\// });
$t->broken({ %$batch, body => '{"requests":{"updateCells":[]}}' }, 'requests that are no array');
my ($append) = grep { $_->{path} =~ /:append$/ } $t->requests;
$t->broken({ %$append, body => '{"values":"x"}' }, 'values that are no array');

# ---------------------------------------------------------------- answers

$t->model('few', { id => 1 }, { id => 2 });
$t->sync('f', 'few', key => 'id', object => 'book-1!Revenue', mapping => 'id, v', mode => 'replace');
$t->run('f');
my %all = (rows => { 1 => 'accepted', 2 => 'accepted' });
my $known = { sheets => [ { properties => { sheetId => 0, title => 'Revenue', gridProperties => { rowCount => 30, columnCount => 6 } } } ] };
my $slow = [ 429, { 'Content-Type' => 'application/json', 'Retry-After' => 1 }, $json->encode(problem(429, 'RESOURCE_EXHAUSTED', 'Quota exceeded')->[1]) ];
$t->means('a quota that is used up, for the question', 'f', [$slow], status => 'succeeded', requests => 3, %all);
$t->means('and for the rows', 'f', [ $known, $slow ], status => 'succeeded', requests => 3, %all);
$t->means('an error for a moment', 'f', [ problem(503, 'UNAVAILABLE', 'The service is currently unavailable.') ], status => 'succeeded', requests => 3, %all);
$tokens->tell(tokens => 0);
$t->means('a token that is no longer good', 'f', [ problem(401, 'UNAUTHENTICATED', 'invalid credentials') ], status => 'succeeded', %all);
is($tokens->state->{tokens}, 2, 'is asked for anew');
$t->means('a spreadsheet that is not shared', 'f', [ problem(403, 'PERMISSION_DENIED', 'The caller does not have permission') ],
	status => 'failed', text => qr/The caller does not have permission/, requests => 1);
$t->means('an answer that says nothing', 'f', [ ({ sheets => [] }) x 5 ], status => 'failed', text => qr/sheetId/);
$t->run('f');
$t->means('a protected sheet', 'f', [ $known, problem(403, 'PERMISSION_DENIED', 'You are trying to edit a protected cell') ],
	status => 'failed', text => qr/protected cell/);
my $before = $json->encode(cells('Revenue'));
$t->means('more cells than a spreadsheet may have', 'f', [ $known, problem(400, 'INVALID_ARGUMENT', 'This action would increase the number of cells in the workbook above the limit of 10000000 cells.') ],
	status => 'partial', text => qr/limit of 10000000 cells/, requests => 2);
is($json->encode(cells('Revenue')), $before, 'the sheet is as it was');
$t->sync('gone', 'few', key => 'id', object => 'book-1!Nope', mapping => 'id', mode => 'replace');
$run = $t->run('gone');
like("$run->{status} $run->{text}", qr/failed.*Unable to parse range: 'Nope'!A1/s, 'a title that no sheet has is told as such');
$t->sync('lost', 'few', key => 'id', object => 'book-2!Revenue', mapping => 'id', mode => 'replace');
$run = $t->run('lost');
like("$run->{status} $run->{text}", qr/failed.*Requested entity was not found/s, 'so is a spreadsheet that is not there');

# given an answer that gets lost, then the whole sheet goes again
$t->means('an answer that gets lost', 'f', [ $known, undef ], status => 'succeeded', %all);

# -------------------------------------------------- as a person, and previews

$t->destination('person', options => { %options }, secrets => { client_id => 'c', client_secret => 's', refresh_token => 'r' });
$t->sync('p', 'few', key => 'id', destination => 'person', object => 'book-1!Revenue', mapping => 'id', mode => 'replace');
my $preview = $t->rows(q{SELECT method, url, body FROM activate.preview_requests('p')});
is(scalar @$preview, 1, 'a preview asks nobody') || diag explain $preview;
is($t->run('p')->{status}, 'succeeded', 'a refresh token does, too');
my ($refresh) = grep { $_->{form}{grant_type} eq 'refresh_token' } $tokens->requests;
is("$refresh->{form}{refresh_token} $refresh->{form}{client_id} $refresh->{form}{client_secret}", 'r c s', 'with what Google wants');
is($t->sql(q{SELECT count(*) FROM activate.connector AS c, activate.check_connector(c.spec) AS p WHERE c.name = 'google_sheets' AND p.kind = 'error'}), 0,
	'the document has no problems');
$t->activate->sums_hold('sheets');
done_testing();
