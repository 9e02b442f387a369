package Parse;

=head1 NAME

Parse - a Parse Server over a database of the test, for TAP tests

=head1 SYNOPSIS

  use Parse;
  my $parse = Parse->start($node, options => { allowCustomObjectId => \1 });   # node: listens on 127.0.0.1
  $parse->url;                                     # ends in /parse
  my ($status, $answer) = $parse->ask(POST => '/classes/Team', { name => 'a' });   # with the master key
  my @objects = $parse->objects('Team');
  $parse->stop; $parse->restart;

Its application is C<app>, its master key C<master>, its REST key C<rest>.

=cut

use strict;
use warnings;

use HTTP::Tiny;
use JSON::PP;
use Npm;

my $json = JSON::PP->new->utf8->canonical->allow_nonref->allow_bignum;

my $script = <<'END';
const express = require('express');
const { ParseServer } = require('parse-server');
const [port, database, options] = process.argv.slice(1);
(async () => {
	const server = new ParseServer({ appId: 'app', masterKey: 'master', restAPIKey: 'rest', masterKeyIps: ['0.0.0.0/0', '::/0'],
		databaseURI: database, serverURL: `http://127.0.0.1:${port}/parse`, allowClientClassCreation: true, logLevel: 'error', silent: true,
		logsFolder: null, ...JSON.parse(options) });
	await server.start();
	const app = express();
	app.use('/parse', server.app);
	app.listen(+port, '127.0.0.1', () => console.log('ready'));
})().catch((error) => { console.log(error); process.exit(1); });
END

sub start
{
	my ($class, $node, %option) = @_;
	my $database = $option{database} // 'parse';
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	my $server = Npm->start('parse', [ 'node', '-e', $script, '%PORT%', 'postgres://' . (getpwuid $>)[0] . '@127.0.0.1:' . $node->port . "/$database",
		$json->encode($option{options} // {}) ], ready => qr/^ready/m);
	return bless { server => $server, http => HTTP::Tiny->new(timeout => 30) }, $class;
}

sub url { return $_[0]{server}->url . '/parse' }
sub stop { my ($self, @how) = @_; return $self->{server}->stop(@how) }
sub restart { my ($self) = @_; $self->{server}->restart; return $self }

sub ask
{
	my ($self, $method, $path, $body) = @_;
	my $answer = $self->{http}->request($method, $self->url . $path, {
		headers => { 'Content-Type' => 'application/json', 'X-Parse-Application-Id' => 'app', 'X-Parse-Master-Key' => 'master' },
		defined $body ? (content => $json->encode($body)) : () });
	return ($answer->{status}, eval { $json->decode($answer->{content}) } // $answer->{content});
}

sub objects
{
	my ($self, $class) = @_;
	my (undef, $answer) = $self->ask(GET => "/classes/$class?limit=1000&order=createdAt");
	return @{ $answer->{results} };
}

1;
