# doc/examples/lead_scores.md: an attribute of Braze and a tag of Mailchimp,
# against stand-ins held to the vendors' own files.
use strict;
use warnings;

use Digest::MD5 qw(md5_hex);
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

use Examples;
use Vendor;

my $braze = Vendor->start(sub {
	my ($request, $state) = @_;

	return [ 401, { message => 'Invalid API key' } ] if ($request->{headers}{authorization} // '') ne 'Bearer a key with the permission users.track';
	return [ 404, { message => 'no such path' } ] if $request->{path} ne '/users/track';
	my @users = @{ $request->{json}{attributes} };
	return [ 400, { message => "Valid data must be provided in the 'attributes', 'events', or 'purchases' fields." } ] if !@users;
	$state->{users}{ $_->{external_id} } = { %{ $state->{users}{ $_->{external_id} } // {} }, %$_ } foreach @users;
	return [ 201, { message => 'success', attributes_processed => scalar @users } ];
});

# Contacts by the hash of their address or by their id, and tags.
my $mailchimp = Vendor->start(sub {
	my ($request, $state) = @_;
	my ($method, $path, $body) = @$request{qw(method path json)};

	return { lists => [ { id => 'L1', name => 'Newsletter' } ] } if $path eq '/lists';
	return { merge_fields => [ { tag => 'FNAME', name => 'First name', type => 'text', required => JSON::PP::false } ] } if $path eq '/lists/L1/merge-fields';
	my ($id, $tags) = $path =~ m{^/lists/L1/members/(\w+)(/tags)?$} or return [ 404, { title => 'Resource Not Found', status => 404, detail => $path } ];
	my $members = $state->{members} //= { md5_hex('bob@example.com') => { email_address => 'bob@example.com', status => 'unsubscribed', contact_id => 'cbob' } };
	my ($hash) = grep { $_ eq $id || $members->{$_}{contact_id} eq $id } keys %$members;
	return [ 404, { title => 'Resource Not Found', status => 404, detail => 'no such contact' } ] if !$hash && $method ne 'PUT';
	if ($tags)
	{
		foreach my $tag (@{ $body->{tags} })
		{
			if ($tag->{status} eq 'active') { $members->{$hash}{tags}{ $tag->{name} } = 1 }
			else { delete $members->{$hash}{tags}{ $tag->{name} } }
		}
		return [204];
	}
	$hash //= $id;
	my $member = $members->{$hash} //= { status => $body->{status_if_new}, contact_id => 'c' . substr $hash, 0, 6 };
	@$member{ grep { $_ ne 'status_if_new' } keys %$body } = map { $body->{$_} } grep { $_ ne 'status_if_new' } keys %$body;
	return { %$member, id => $hash };
});

sub hot { my $all = $mailchimp->state->{members}; return join ' ', sort map { lc $_->{email_address} } grep { $_->{tags}{'hot lead'} } values %$all }
sub hot_in_braze { my $all = $braze->state->{users}; return join ' ', map { "$_:" . ($all->{$_}{hot_lead} ? 1 : 0) } grep { exists $all->{$_}{hot_lead} } sort keys %$all }

my $page = Examples->start('lead_scores.md', servers => { braze => { base_url => $braze->url }, mc => { base_url => $mailchimp->url } }, at => {
	first_run => sub
	{
		is(hot_in_braze(), 'l1:1 l2:1', 'hot leads with consent are the segment in Braze');
		is(hot(), 'ann@example.com bob@example.com', 'and in Mailchimp');
		my $members = $mailchimp->state->{members};
		is($members->{ md5_hex('bob@example.com') }{status}, 'unsubscribed', 'who unsubscribed stays so');
		is($members->{ md5_hex('ann@example.com') }{status}, 'subscribed', 'who is new is subscribed');
	},
	back_again => sub { is(hot(), 'ann@example.com cyd@example.com', 'what was held was not sent') },
	cooled_down => sub
	{
		is(hot_in_braze(), 'l1:1 l2:0 l3:1', 'who cools down leaves the segment in Braze');
		is(hot(), 'ann@example.com cyd@example.com', 'and in Mailchimp');
		my ($last) = grep { exists $_->{lead_score} } map { @{ $_->{json}{attributes} // [] } } reverse $braze->requests;
		ok(!exists $last->{email} && !exists $last->{first_name}, 'only what changed is sent');
	} });
$page->read;
is(hot(), '', 'nobody is in a segment that was emptied on purpose');
$page->fits($braze, spec => 'braze/braze-openapi.subset.json', only => sub { @{ $_[0]{json}{attributes} // [] } });
$page->fits($mailchimp, spec => 'mailchimp/mailchimp.com.subset.json', only => sub { $_[0]{path} =~ /members/ });

done_testing();
