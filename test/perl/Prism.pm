package Prism;

=head1 NAME

Prism - a vendor's own OpenAPI file as the judge of requests, for TAP tests

=head1 SYNOPSIS

  use Prism;
  plan skip_all => ... unless Prism->has('braze/braze-openapi.subset.json');
  my $prism = Prism->start('braze/braze-openapi.subset.json', strip => '/api');
  my $prism = Prism->start([ 'klaviyo/a.json', 'klaviyo/b.json' ]);   # files in JSON that describe an endpoint each
  my @wrong = $prism->problems($request);   # of Vendor->requests; empty: it is as the file says
  $prism->accepts($request, 'upsert');      # one test
  $prism->refuses({ %$request, body => '{}' }, 'without users');   # one test: that the file is looked at

=head1 DESCRIPTION

Specifications are in ../shared/specs of the tree; where there are none, has()
is false. Bodies in NDJSON are shown as the JSON array of their lines, since
Prism reads none; that is said in the name of the test. Bodies of JSON:API
(application/vnd.api+json) are shown as application/json, since Prism checks no
other; several files are made one that says so, too.

=cut

use strict;
use warnings;

use Carp;
use HTTP::Tiny;
use JSON::PP;
use Npm;
use PostgreSQL::Test::Utils;
use Test::More;

my $json = JSON::PP->new->utf8->canonical->allow_nonref->allow_bignum;

sub _path
{
	my ($name) = @_;
	return ($ENV{ACT_SHARED} // '../shared') . "/specs/$name";
}

sub has { my ($class, $name) = @_; return !grep { !-e _path($_) } ref $name ? @$name : $name }

# "nullable" beside no "type" makes Prism pass over a whole body without a word.
sub _mend
{
	my ($schema) = @_;
	if (ref $schema eq 'ARRAY') { _mend($_) foreach @$schema }
	return unless ref $schema eq 'HASH';
	delete $schema->{nullable} unless exists $schema->{type} || ref $schema->{nullable} eq 'HASH';
	_mend($_) foreach values %$schema;
	return;
}

# Several files as one, in a file of its own.
sub _merged
{
	my (@names) = @_;
	my %all;
	foreach my $name (@names)
	{
		my $spec = $json->decode(slurp_file(_path($name)) =~ s{application/vnd\.api\+json}{application/json}gr);
		my $components = delete $spec->{components} // {};
		my $paths = delete $spec->{paths};
		%all = (%$spec, %all);
		$all{paths}{$_} = { %{ $all{paths}{$_} // {} }, %{ $paths->{$_} } } foreach keys %$paths;
		$all{components}{$_} = { %{ $all{components}{$_} // {} }, %{ $components->{$_} } } foreach keys %$components;
	}
	_mend(\%all);
	my $file = PostgreSQL::Test::Utils::tempdir() . '/merged.json';
	append_to_file($file, $json->encode(\%all));
	return $file;
}

sub start
{
	my ($class, $name, %option) = @_;
	my $spec = ref $name ? _merged(@$name) : _path($name);
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
	$headers{'content-type'} =~ s{vnd\.api\+json}{json} if defined $headers{'content-type'};
	my $answer = $self->{http}->request($request->{method}, $self->{server}->url . $target,
		{ headers => \%headers, length $body ? (content => $body) : () });
	my $violations = $answer->{headers}{'sl-violations'};
	my $said = eval { $json->decode($answer->{content}) };

	# Of the request; what is wrong with the answers that Prism makes up is not
	# asked.  Of too many it says just that; what is wrong with a request stands
	# in the body, too.
	if (defined $violations && $violations =~ /^\[/)
	{
		# More than a header holds, which happens where many forms are tried one by one.
		my $all = eval { $json->decode($violations) } // return ($violations);
		my @wrong = grep { $_->{location}[0] eq 'request' } @$all;
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
