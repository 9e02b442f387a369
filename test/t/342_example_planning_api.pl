# doc/examples/planning_api.md: a connector that its user made, OAuth, and a
# token that is gone in mid run.
use strict;
use warnings;

use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

use Examples;
use Vendor;

my $planning = Vendor->start(sub {
	my ($request, $state) = @_;
	my ($method, $path) = @$request{qw(method path)};

	if ($path eq '/oauth/token')
	{
		return [ 401, { error => 'invalid_client' } ] if ($request->{form}{client_secret} // '') ne 'a secret of the planning tool';
		return { access_token => 't' . ++$state->{tokens}, token_type => 'Bearer', expires_in => 600 };
	}
	# The tool is deployed in the middle of the first run: its tokens are gone.
	return [ 401, { error => 'invalid_token' } ] if ($request->{headers}{authorization} // '') ne "Bearer t$state->{tokens}" || (($state->{batches} // 0) == 2 && $state->{tokens} == 1);
	return { client => 'warehouse' } if $path eq '/v2/me';
	my ($site) = $path =~ m{^/v2/sites/(\w+)/forecasts$} or return [404];
	my @items = @{ $request->{json}{items} };
	return [ 400, { error => 'too many items' } ] if @items > 50;
	$state->{batches}++;
	my @failed;
	foreach my $item (@items)
	{
		if ($item->{sku} =~ /^A/) { $state->{forecasts}{$site}{ $item->{sku} } = $item->{buckets} }
		else { push @failed, { sku => $item->{sku}, code => 'UNKNOWN_SKU', reason => 'no such article' } }
	}
	return { failed => \@failed };
});

my $page = Examples->start('planning_api.md', servers => { planning => { base_url => $planning->url } }, at => {
	first_run => sub
	{
		my $state = $planning->state;
		is(scalar keys %{ $state->{forecasts}{LYS} }, 120, 'each article has its forecast');
		is($state->{tokens}, 2, 'after a new token');
		is_deeply($state->{forecasts}{LYS}{A1}[0], { week => '2026-W48', qty => 101 }, 'with its weeks');
	},
	second_run => sub
	{
		my $state = $planning->state;
		is($state->{forecasts}{LYS}{A7}[1]{qty}, 118, 'a change is there');
		is_deeply($state->{forecasts}{LYS}{A8}, [], 'and what left is empty');
	} });
$page->read;
my @secret = grep { ($_->{headers}{authorization} // '') =~ /Bearer/ && $_->{path} eq '/oauth/token' } $planning->requests;
is(scalar @secret, 0, 'the token endpoint is not given tokens');
my ($token) = grep { $_->{path} eq '/oauth/token' } $planning->requests;
is_deeply($token->{form}, { grant_type => 'client_credentials', client_id => 'warehouse', client_secret => 'a secret of the planning tool', scope => 'forecasts:write' },
	'it is asked as OAuth has it');

done_testing();
