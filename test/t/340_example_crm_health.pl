# doc/examples/crm_health.md: companies, contacts and what links them, in
# HubSpot and in Salesforce, against stand-ins held to the vendors' own files.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use Examples;
use Vendor;

my $hubspot = Vendor->start(sub {
	my ($request, $state) = @_;
	my ($path, $body) = @$request{qw(path json)};

	return [ 401, { status => 'error', category => 'INVALID_AUTHENTICATION', message => 'Authentication credentials not found' } ]
		if ($request->{headers}{authorization} // '') ne 'Bearer pat-eu1-0123456789';
	return { portalId => 2519445, accountType => 'SANDBOX', timeZone => 'Europe/Paris', uiDomain => 'app.hubspot.com' } if $path eq '/account-info/v3/details';
	if ($path =~ m{^/crm/v4/associations/contacts/companies/batch/(.+)$})
	{
		my $what = $1;
		my @results;
		foreach my $input (@{ $body->{inputs} })
		{
			foreach my $to (ref $input->{to} eq 'ARRAY' ? @{ $input->{to} } : $input->{to})
			{
				my $link = "$input->{from}{id} $to->{id}";
				if ($what eq 'archive') { delete $state->{links}{$link} } else { $state->{links}{$link} = 1 }
				push @results, { from => $input->{from}, to => $to };
			}
		}
		return $what eq 'archive' ? [204] : { status => 'COMPLETE', results => \@results };
	}
	my ($object, $what) = $path =~ m{^/crm/v3/objects/(companies|contacts)/batch/(upsert|update)$} or return [ 404, { message => "no such path $path" } ];
	my $all = $state->{$object} //= {};
	my @results;
	foreach my $input (@{ $body->{inputs} })
	{
		my $by = $input->{idProperty};
		my ($id) = $by ? grep { $all->{$_}{$by} eq $input->{id} } keys %$all : $input->{id};
		$id //= 500 + ++$state->{last};
		$all->{$id} = { %{ $all->{$id} // {} }, $by ? ($by => $input->{id}) : (), %{ $input->{properties} } };
		push @results, { id => "$id", properties => $all->{$id}, $input->{objectWriteTraceId} ? (objectWriteTraceId => $input->{objectWriteTraceId}) : () };
	}
	return { status => 'COMPLETE', results => \@results };
});

# Upserts by Warehouse_Id__c and updates by id, each row with a result of its own.
my $salesforce = Vendor->start(sub {
	my ($request, $state) = @_;
	my ($path, $body) = @$request{qw(path json)};

	return { access_token => '00D!token', instance_url => "http://$request->{headers}{host}", token_type => 'Bearer', issued_at => '1760000000000' }
		if $path eq '/services/oauth2/token';
	return [ 401, [ { errorCode => 'INVALID_SESSION_ID', message => 'Session expired or invalid' } ] ]
		if ($request->{headers}{authorization} // '') ne 'Bearer 00D!token';
	return { totalSize => 1, done => JSON::PP::true, records => [ { Id => '00D1', Name => 'Acme', IsSandbox => JSON::PP::true } ] } if $path =~ m{/query$};
	return { DailyApiRequests => { Max => 15000, Remaining => 14998 } } if $path =~ m{/limits$};
	my ($type) = $path =~ m{/composite/sobjects(?:/(\w+)/Warehouse_Id__c)?$} or return [ 404, [ { errorCode => 'NOT_FOUND', message => $path } ] ];
	my @results;
	foreach my $record (@{ $body->{records} })
	{
		my $all = $state->{ $record->{attributes}{type} } //= {};
		if ($type && ($record->{LastName} // 'x') eq '')
		{
			push @results, { success => JSON::PP::false, errors => [ { statusCode => 'REQUIRED_FIELD_MISSING', message => 'Required fields are missing: [LastName]', fields => ['LastName'] } ] };
			next;
		}
		my ($id) = $type ? grep { $all->{$_}{Warehouse_Id__c} eq $record->{Warehouse_Id__c} } keys %$all : $record->{id};
		my $new = !defined $id;
		$id //= sprintf '%s%06d', $record->{attributes}{type} eq 'Account' ? '001' : '003', ++$state->{last};
		$all->{$id} = { %{ $all->{$id} // {} }, %$record };
		delete @{ $all->{$id} }{qw(attributes id)};
		push @results, { id => $id, success => JSON::PP::true, errors => [], $type ? (created => $new ? JSON::PP::true : JSON::PP::false) : () };
	}
	return [ 200, \@results ];
});

my $page;
$page = Examples->start('crm_health.md', servers => { crm => { base_url => $hubspot->url }, sf => { login_url => $salesforce->url } }, at => {
	address_changed => sub
	{
		my $state = $hubspot->state;
		is_deeply([ sort map { $_->{email} } values %{ $state->{contacts} } ], [ 'ann@acme.com', 'bob@acme.com', 'eve@globex.example' ], 'an address changes the same contact');
		is_deeply([ sort keys %{ $state->{links} } ], [ '503 501', '504 501', '505 502' ], 'contacts are linked with their companies');
	},
	customer_left => sub
	{
		my $state = $hubspot->state;
		is_deeply($state->{contacts}{505}, { customer_ref => '13', email => 'eve@globex.example', health_score => '' }, 'who left has lost the score alone');
		is_deeply([ @{ $state->{companies}{502} }{qw(name health_score health_tier)} ], [ 'Globex', '', '' ], 'and so has the company');
		is_deeply([ sort keys %{ $state->{links} } ], [ '503 501', '504 501', '507 506' ], 'and they are no longer linked');
	} });
$page->read;
my $state = $salesforce->state;
is_deeply([ map { $_->{Name} } grep { defined } map { $state->{Account}{ $_->{AccountId} } } sort { $a->{Warehouse_Id__c} <=> $b->{Warehouse_Id__c} } values %{ $state->{Contact} } ],
	[ 'Acme', 'Acme', 'Initech', 'Acme' ], 'a contact in Salesforce is its account\'s');
$page->fits($salesforce, spec => '_handwritten/salesforce-collections.json', only => sub { $_[0]{path} =~ m{/composite/sobjects} });
$page->fits($hubspot, spec => 'hubspot/objects.prism.json', only => sub { $_[0]{path} =~ m{^/crm/v3/objects/} });

done_testing();
