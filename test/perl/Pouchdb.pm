package Pouchdb;

=head1 NAME

Pouchdb - a server that speaks CouchDB's protocol, from npm, for TAP tests

=head1 SYNOPSIS

  use Pouchdb;
  my $couch = Pouchdb->start;
  $couch->url;                        # http://127.0.0.1:port
  $couch->ask(PUT => '/people');      # (status, decoded answer)
  $couch->docs('people');             # { id => document }, without design documents
  $couch->stop('KILL'); $couch->restart;   # the same port and data

=cut

use strict;
use warnings;

use Carp;
use HTTP::Tiny;
use JSON::PP;
use Npm;

my $json = JSON::PP->new->utf8->canonical->allow_nonref->allow_bignum;

sub start
{
	my ($class) = @_;
	my $script = q{
		const express = require('express'), PouchDB = require('pouchdb');
		const app = express();
		app.use('/', require('express-pouchdb')(PouchDB.defaults({ prefix: process.env.HOME + '/db/' }),
			{ mode: 'minimumForPouchDB', inMemoryConfig: true }));
		require('fs').mkdirSync(process.env.HOME + '/db', { recursive: true });
		app.listen(+process.argv[1], '127.0.0.1', () => console.log('ready'));
	};
	my $server = Npm->start('pouchdb', [ 'node', '-e', $script, '%PORT%' ], ready => qr/^ready/m);
	return bless { server => $server, http => HTTP::Tiny->new(timeout => 30) }, $class;
}

sub url { return $_[0]{server}->url }

sub ask
{
	my ($self, $method, $path, $body) = @_;
	my $answer = $self->{http}->request($method, $self->url . $path, defined $body ?
		{ headers => { 'Content-Type' => 'application/json' }, content => $json->encode($body) } : {});
	return ($answer->{status}, eval { $json->decode($answer->{content}) } // $answer->{content});
}

sub docs
{
	my ($self, $database) = @_;
	my ($status, $answer) = $self->ask(GET => "/$database/_all_docs?include_docs=true");
	croak "$status: $database" unless $status == 200;
	return { map { $_->{id} => $_->{doc} } grep { $_->{id} !~ /^_/ } @{ $answer->{rows} } };
}

sub stop { my ($self, $signal) = @_; $self->{server}->stop($signal); return }
sub restart { my ($self) = @_; $self->{server}->restart; return }

1;
