# doc/examples/personalisation.md: traits and events in Segment, documents in
# Elasticsearch, against stand-ins held to the vendors' own files.
use strict;
use warnings;

use JSON::PP;
use MIME::Base64;
use PostgreSQL::Test::Utils;
use Test::More;

use Examples;
use Vendor;

my $segment = Vendor->start(sub {
	my ($request, $state) = @_;

	return [ 404, {}, 'not found' ] if $request->{path} ne '/v1/batch' || ($request->{headers}{authorization} // '') ne 'Basic ' . encode_base64('the write key:', '');
	push @{ $state->{calls} }, @{ $request->{json}{batch} };
	return { success => JSON::PP::true };
});

# One index, whose field price is a number.
my $elastic = Vendor->start(sub {
	my ($request, $state) = @_;

	return [ 401, { error => { type => 'security_exception', reason => 'missing authentication credentials' }, status => 401 } ]
		if ($request->{headers}{authorization} // '') !~ /^ApiKey VnVh/;
	return { cluster_name => 'shop', cluster_uuid => 'u1', version => { number => '8.15.0' } } if $request->{path} eq '/';
	return [ 404, { error => { type => 'x', reason => $request->{path} }, status => 404 } ] if $request->{path} ne '/articles/_bulk';
	my @lines = map { decode_json($_) } split /\n/, $request->{body};
	my (@items, $wrong);
	while (my $line = shift @lines)
	{
		my ($what) = keys %$line;
		my $id = $line->{$what}{_id};
		if ($what eq 'delete')
		{
			my $known = delete $state->{documents}{$id};
			push @items, { delete => { status => $known ? 200 : 404, result => $known ? 'deleted' : 'not_found' } };
			next;
		}
		my $document = (shift @lines)->{doc};
		if ($document->{price} > 1e18)
		{
			$wrong = JSON::PP::true;
			push @items, { update => { status => 400, error => { type => 'document_parsing_exception', reason => "[1:31] failed to parse field [price] of type [scaled_float] in document with id '$id'" } } };
			next;
		}
		my $known = $state->{documents}{$id};
		$state->{documents}{$id} = { %{ $known // {} }, %$document };
		push @items, { update => { status => $known ? 200 : 201, result => $known ? 'updated' : 'created' } };
	}
	return { errors => $wrong // JSON::PP::false, items => \@items };
});

sub calls { my ($type) = @_; return grep { $_->{type} eq $type } @{ $segment->state->{calls} } }
sub documents { return $elastic->state->{documents} }

my $page;
$page = Examples->start('personalisation.md', servers => { segment => { base_url => $segment->url }, search => { base_url => $elastic->url } }, at => {
	identified => sub
	{
		my %traits = map { $_->{userId} => $_->{traits} } calls('identify');
		is_deeply($traits{7}, { tier => 'gold', favourite_category => 'kitchen', orders => 2, lifetime_value => 479 }, 'what is known of a customer are traits');
	},
	tracked => sub
	{
		my @calls = calls('track');
		is_deeply([ map { $_->{properties}{order_id} } @calls ], [ 1 .. 4 ], 'each order is an event, once');
		is("$calls[0]{userId} $calls[0]{timestamp}", '7 2026-10-02T08:15:00.000Z', 'of its customer, at its time');
	},
	indexed => sub { is_deeply(documents()->{S2}, { title => 'Grinder', category => 'kitchen', price => 129.90, available => JSON::PP::true, bought => 2 }, 'a row is a document') },
	ten_minutes_later => sub
	{
		ok(documents()->{S3}, 'what is leaving is there');
		$page->sql(q{ALTER DATABASE postgres SET pg_activate.debug_clock_offset = 660});
	},
	deleted => sub { is_deeply([ sort keys %{ documents() } ], [ 'S1', 'S2' ], 'what left is deleted') },
	restocked => sub { is(documents()->{S2}{available}, 1, 'the shop\'s own transaction brought it there') } });
$page->read;
$page->fits($segment, spec => 'segment/segment-http-tracking-api-openapi.yml', strip => '/v1', only => sub { @{ $_[0]{json}{batch} // [] } });
$page->fits($elastic, spec => 'elasticsearch/elasticsearch-bulk.prism.json', only => sub { $_[0]{path} =~ /_bulk/ });

done_testing();
