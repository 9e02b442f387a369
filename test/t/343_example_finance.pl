# doc/examples/finance.md: a sheet of Google's that is the model, and messages
# in Slack, each once, against stand-ins held to the vendors' own files.
use strict;
use warnings;

use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

use Examples;
use Prism;
use Vendor;

my $json = JSON::PP->new->canonical->allow_bignum;

# One spreadsheet with one sheet; tokens are asked for at the same address.
my $google = Vendor->start(sub {
	my ($request, $state) = @_;
	my ($method, $path) = @$request{qw(method path)};

	return { access_token => 'ya29', expires_in => 3599, token_type => 'Bearer' } if $path eq '/token';
	return [ 401, { error => { code => 401, status => 'UNAUTHENTICATED', message => 'no token' } } ] if ($request->{headers}{authorization} // '') ne 'Bearer ya29';
	return [ 404, { error => { code => 404, status => 'NOT_FOUND', message => 'Requested entity was not found.' } } ] if $path !~ m{^/v4/spreadsheets/1AbCdEf\b};
	my $grid = $state->{grid} //= { rowCount => 3, columnCount => 3 };
	return { sheets => [ { properties => { sheetId => 0, title => 'Revenue', gridProperties => $grid } } ] } if $method eq 'GET';
	my $cells = $state->{cells} // [];
	foreach my $one (@{ $request->{json}{requests} })
	{
		my ($kind) = keys %$one;
		my $what = $one->{$kind};
		if ($kind eq 'updateSheetProperties') { $grid = $what->{properties}{gridProperties}; next }
		return [ 400, { error => { code => 400, status => 'INVALID_ARGUMENT', message => "unknown request $kind" } } ] if $kind ne 'updateCells';
		if ($what->{range}) { $cells = []; next }
		my $at = $what->{start}{rowIndex};
		foreach my $row (@{ $what->{rows} })
		{
			return [ 400, { error => { code => 400, status => 'INVALID_ARGUMENT', message => 'beyond the last row' } } ] if $at >= $grid->{rowCount};
			$cells->[ $at++ ] = [ map { my ($value) = values %{ $_->{userEnteredValue} // {} }; $value } @{ $row->{values} } ];
		}
	}
	@$state{qw(grid cells)} = ($grid, $cells);
	return { spreadsheetId => '1AbCdEf', replies => [ map { {} } @{ $request->{json}{requests} } ] };
});

my $slack = Vendor->start(sub {
	my ($request, $state) = @_;
	my $body = $request->{json};

	return { ok => JSON::PP::false, error => 'invalid_auth' } if ($request->{headers}{authorization} // '') ne 'Bearer xoxb-0123456789';
	return { ok => JSON::PP::true, team => 'Acme', team_id => 'T012AB3C4', user_id => 'U0BOT' } if $request->{path} eq '/auth.test';
	return { ok => JSON::PP::true, channels => [ { id => 'C0FINANCE', name => 'finance' } ], response_metadata => { next_cursor => '' } } if $request->{path} eq '/conversations.list';
	return { ok => JSON::PP::false, error => 'channel_not_found' } if ($body->{channel} // '') ne 'C0FINANCE';
	push @{ $state->{posted} }, $body->{text};
	return if $state->{lost};
	return { ok => JSON::PP::true, channel => 'C0FINANCE', ts => '1503435956.00000' . scalar @{ $state->{posted} } };
});

sub sheet { return join "\n", map { join ' | ', map { $_ // '' } @$_ } @{ $google->state->{cells} } }
sub posted { return $slack->state->{posted} // [] }

# What the page shows as a table is what is in the sheet.
sub shown
{
	my $page = slurp_file('doc/examples/finance.md');
	my ($table) = $page =~ /^The sheet now:\n\n(.*?)\n\n/ms;
	return join "\n", map { s/^\| | \|$//gr } grep { !/^\|---/ } split /\n/, $table;
}

my $pem = PostgreSQL::Test::Utils::tempdir() . '/key.pem';
system("openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out $pem 2>/dev/null") == 0 or BAIL_OUT('openssl');

my $page = Examples->start('finance.md', servers => { sheets => { base_url => $google->url, token_url => $google->url . '/token' }, slack => { base_url => $slack->url } },
	files => { 'google.pem' => slurp_file($pem) }, at => {
		sheet_made => sub { is(sheet(), shown(), 'the sheet is the model, in its order') },
		baseline => sub { is_deeply(posted(), [], 'what was there before is not posted') },
		posted => sub { is_deeply(posted(), ['*Invoice 5001*: 125,000.00 EUR from Acme &amp; Sons, due 2026-12-31'], 'a message for the large one') },
		answers_are_lost => sub { $slack->tell(lost => 1) },
		answers_come_again => sub { $slack->tell(lost => 0) } });
$page->read;
is(scalar @{ posted() }, 2, 'each invoice was posted once');
$page->fits($google, spec => 'google-sheets/sheets.subset.json', only => sub { $_[0]{path} =~ /:batchUpdate$/ });

# Slack's own file is of forms, with the token in a header of its own.
SKIP:
{
	skip 'no specification', 1 unless Prism->has('slack/slack_web.subset.json');
	my ($message) = grep { $_->{path} eq '/chat.postMessage' } $slack->requests;
	my %fields = %{ $message->{json} };
	s/([^A-Za-z0-9])/sprintf '%%%02X', ord $1/ge foreach values %fields;
	Prism->start('slack/slack_web.subset.json')->accepts({ %$message, body => join('&', map { "$_=$fields{$_}" } sort keys %fields),
		headers => { %{ $message->{headers} }, token => 'xoxb', 'content-type' => 'application/x-www-form-urlencoded' } }, 'a message');
}

done_testing();
