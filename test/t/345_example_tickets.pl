# doc/examples/tickets.md: users and tickets of Zendesk by external id, against
# a stand-in held to Zendesk's own file.
use strict;
use warnings;

use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

use Examples;
use Vendor;

my ($true, $false) = (JSON::PP::true, JSON::PP::false);

# Jobs are done when they are asked for the second time.
my $zendesk = Vendor->start(sub {
	my ($request, $state) = @_;
	my ($method, $path, $query, $body) = @$request{qw(method path query json)};
	my $all = $state->{all} //= { users => { 70 => { id => 70, external_id => '1', name => 'Ann', email => 'ann@acme.com' } }, tickets => {
		901 => { id => 901, external_id => 'C-100', status => 'open' }, 902 => { id => 902, external_id => 'C-101', status => 'new' },
		903 => { id => 903, external_id => 'C-103', status => 'closed' } } };

	return [ 401, { error => "Couldn't authenticate you" } ] if ($request->{headers}{authorization} // '') !~ /^Basic YWdlbnRAYWNtZS5jb20vdG9rZW46/;
	return { user => { id => 35436, email => 'agent@acme.com', name => 'Agent Smith', role => 'admin' } } if $path eq '/api/v2/users/me';
	return { user_fields => [ map { { key => $_->[0], title => ucfirst $_->[0], type => $_->[1], active => $true } }
			[ 'plan', 'tagger' ], [ 'arr', 'decimal' ], [ 'renewal', 'date' ], [ 'health', 'integer' ] ], links => { next => undef } } if $path eq '/api/v2/user_fields';
	return { tickets => [ grep { $_->{external_id} eq $query->{external_id} } values %{ $all->{tickets} } ] } if $method eq 'GET' && $path eq '/api/v2/tickets';
	if ($path =~ m{^/api/v2/(users|tickets)/(create_or_update_many|update_many)$})
	{
		my $id = 'job' . ++$state->{jobs};
		$state->{job}{$id} = { what => $1, rows => $body->{$1} };
		return { job_status => { id => $id, status => 'queued' } };
	}
	if ($path =~ m{^/api/v2/job_statuses/(\w+)$})
	{
		my $job = $state->{job}{$1};
		return { job_status => { id => $1, status => 'working' } } if !$job->{asked}++;
		my ($index, @results) = (0);
		foreach my $row (@{ $job->{rows} })
		{
			my $known = $all->{ $job->{what} };
			my ($old) = grep { $row->{id} ? $_->{id} eq $row->{id} : $_->{external_id} eq $row->{external_id} } values %$known;
			if ($old && ($old->{status} // '') eq 'closed')
			{
				push @results, { id => $row->{id}, index => $index++, success => $false, status => 'Failed', error => 'TicketUpdateFailed', details => 'Status: closed prevents ticket update' };
				next;
			}
			my $id = $old ? $old->{id} : 70 + ++$state->{last};
			my %fields = (%{ $old->{user_fields} // {} }, %{ $row->{user_fields} // {} });
			$known->{$id} = { %{ $old // {} }, %$row, id => $id, %fields ? (user_fields => \%fields) : () };
			push @results, { id => $id, index => $index++, action => $old ? 'update' : 'create', success => $true, status => $old ? 'Updated' : 'Created' };
		}
		return { job_status => { id => $1, status => 'completed', results => \@results } };
	}
	return [ 404, { error => 'InvalidEndpoint', description => $path } ];
});

sub all { my ($what) = @_; return $zendesk->state->{all}{$what} }

my $page = Examples->start('tickets.md', servers => { desk => { base_url => $zendesk->url } }, conf => "pg_activate.debug_poll_pause = 1\n", at => {
	users_made => sub
	{
		is_deeply([ sort map { $_->{external_id} } values %{ all('users') } ], [ 1, 2 ], 'who was there is the same user');
		is_deeply(all('users')->{70}{user_fields}, { plan => 'enterprise', arr => 48000, renewal => '2026-12-14', health => 31 }, 'and has what the warehouse knows');
	},
	tickets_updated => sub
	{
		is_deeply([ @{ all('tickets')->{901} }{qw(priority custom_fields)} ], [ 'urgent', [ { id => 360001, value => 'enterprise' }, { id => 360002, value => 48000 } ] ], 'a ticket knows who is asking');
		is(scalar keys %{ all('tickets') }, 3, 'no ticket is made');
	},
	health_changed => sub { is(all('tickets')->{901}{priority}, 'high', 'what changed is there') },
	customer_left => sub { my ($bob) = grep { $_->{external_id} eq '2' } values %{ all('users') }; is($bob->{suspended}, 1, 'who left is suspended') } });
$page->read;
$page->fits($zendesk, spec => 'zendesk/zendesk.com.subset.json', only => sub { $_[0]{path} =~ m{/users/\w+_many$} });

done_testing();
