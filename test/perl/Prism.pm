package Prism;

=head1 NAME

Prism - a vendor's own OpenAPI file as the judge of requests, for TAP tests

=head1 SYNOPSIS

  use Prism;
  plan skip_all => ... unless Prism->has('braze/braze-openapi.subset.json');
  my $prism = Prism->start('braze/braze-openapi.subset.json', strip => '/api');
  my @wrong = $prism->problems($request);   # of Vendor->requests; empty: it is as the file says
  $prism->accepts($request, 'upsert');      # one test
  $prism->refuses({ %$request, body => '{}' }, 'without users');   # one test: that the file is looked at

=head1 DESCRIPTION

Specifications are in ../shared/specs of the tree; where there are none, has()
is false. Bodies in NDJSON are shown as the JSON array of their lines, since
Prism reads none; that is said in the name of the test.

=cut

use strict;
use warnings;

use Carp;
use HTTP::Tiny;
use JSON::PP;
use Npm;
use Test::More;

my $json = JSON::PP->new->utf8->canonical->allow_nonref->allow_bignum;

sub _path
{
	my ($name) = @_;
	return ($ENV{ACT_SHARED} // '../shared') . "/specs/$name";
}

sub has { my ($class, $name) = @_; return -e _path($name) }

sub start
{
	my ($class, $name, %option) = @_;
	my $spec = _path($name);
	my $server = Npm->start('prism', [ 'node', 'node_modules/.bin/prism', 'mock', '-h', '127.0.0.1', '-p', '%PORT%', $spec ],
		ready => qr/Prism is listening/);
	return bless { server => $server, option => \%option, http => HTTP::Tiny->new(verify_SSL => 0, timeout => 30) }, $class;
}

# What of a request is not as the file says.
sub problems
{
	my ($self, $request) = @_;
	my %headers = %{ $request->{headers} };
	my $target = $request->{target};
	my $body = $request->{body};

	delete @headers{qw(host content-length connection accept-encoding content-encoding transfer-encoding)};
	$target =~ s/^\Q$self->{option}{strip}\E// if defined $self->{option}{strip};
	$target = $self->{option}{prefix} . $target if defined $self->{option}{prefix};
	if (($headers{'content-type'} // '') =~ /ndjson/)
	{
		$body = '[' . join(',', split /\n/, $body) . ']';
		$headers{'content-type'} = 'application/json';
	}
	my $answer = $self->{http}->request($request->{method}, $self->{server}->url . $target,
		{ headers => \%headers, length $body ? (content => $body) : () });
	my $violations = $answer->{headers}{'sl-violations'};
	my $said = eval { $json->decode($answer->{content}) };

	# Of the request; what is wrong with the answers that Prism makes up is not
	# asked.  Of too many it says just that; what is wrong with a request stands
	# in the body, too.
	if (defined $violations && $violations =~ /^\[/)
	{
		my @wrong = grep { $_->{location}[0] eq 'request' } @{ $json->decode($violations) };
		return map { join(' ', $_->{code} // '', join('/', @{ $_->{location} }), $_->{message} // '') } @wrong if @wrong;
	}
	return () unless ref $said eq 'HASH' && ($said->{type} // '') =~ m{^https://stoplight\.io/prism/errors#(\w+)};
	my $what = $1;
	return () if $what =~ /^(?:NOT_ACCEPTABLE|NO_COMPLEX_OBJECT_TEXT|NO_RESPONSE_DEFINED|SCHEMA_TOO_COMPLEX|VIOLATIONS)$/;
	return ("$what: " . ($said->{detail} // $said->{title} // ''));
}

sub accepts
{
	my ($self, $request, $name) = @_;
	my @wrong = $self->problems($request);
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok(!@wrong, "as the vendor's file says: $name")
		|| diag join("\n", "$request->{method} $request->{target}", substr($request->{body} // '', 0, 2000), @wrong);
}

sub refuses
{
	my ($self, $request, $name) = @_;
	my @wrong = $self->problems($request);
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok(@wrong > 0, "the vendor's file refuses what is broken: $name")
		|| diag "$request->{method} $request->{target}\n" . ($request->{body} // '');
}

1;
