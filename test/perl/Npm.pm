package Npm;

=head1 NAME

Npm - servers that come from npm, for TAP tests

=head1 SYNOPSIS

  use Npm;
  my $server = Npm->start('prism', ['node_modules/.bin/prism', 'mock', '-p', '%PORT%', $spec],
      ready => qr{Prism is listening});
  $server->url; $server->port;
  $server->stop; $server->restart;      # the same port
  $server->log;                         # what it said

=head1 DESCRIPTION

test/npm/NAME pins what is installed; test/lib/npm.sh puts it into a cache. A
server runs in that folder, with Node, and dies with the test.

=cut

use strict;
use warnings;

use Carp;
use IO::Socket::INET;
use POSIX ();
use PostgreSQL::Test::Utils ();
use Time::HiRes qw(sleep time);

# Where a package is, once it is installed.
sub folder
{
	my ($class, $name) = @_;
	my $root = $ENV{ACT_NPM} // croak 'ACT_NPM is not set: run tests by test/run.sh or test/dev.sh';
	my $until = time + 300;
	until (-d "$root/$name")
	{
		croak "$name was not installed from npm" if -e "$root/.done" || time > $until;
		sleep 0.2;
	}
	return "$root/$name";
}

sub free_port
{
	my $socket = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1', ReuseAddr => 1) or croak "listen: $!";
	return $socket->sockport;
}

sub start
{
	my ($class, $name, $command, %option) = @_;
	my $self = bless { name => $name, command => $command, option => \%option, owner => $$,
		port => $option{port} // free_port(),
		folder => $class->folder($name), home => PostgreSQL::Test::Utils::tempdir() }, $class;
	$self->{file} = "$self->{home}/log";
	return $self->restart;
}

sub restart
{
	my ($self) = @_;
	my @command = map { s/%PORT%/$self->{port}/gr =~ s/%HOME%/$self->{home}/gr } @{ $self->{command} };

	$self->stop;
	unlink $self->{file};
	defined($self->{pid} = fork) or croak "fork: $!";
	if ($self->{pid} == 0)
	{
		setpgrp;
		chdir($self->{option}{folder} // $self->{folder}) or POSIX::_exit(126);
		open STDIN, '<', '/dev/null';
		open STDOUT, '>', $self->{file};
		open STDERR, '>&', \*STDOUT;
		%ENV = (%ENV, HOME => $self->{home}, NODE_PATH => "$self->{folder}/node_modules", %{ $self->{option}{env} // {} });
		exec @command or POSIX::_exit(127);
	}
	my $until = time + 60;
	until ($self->_ready)
	{
		croak "$self->{name} has ended: " . $self->log if waitpid($self->{pid}, POSIX::WNOHANG()) != 0;
		croak "$self->{name} does not begin: " . $self->log if time > $until;
		sleep 0.05;
	}
	return $self;
}

sub _ready
{
	my ($self) = @_;
	my $ready = $self->{option}{ready};
	return $self->log =~ $ready if defined $ready;
	return defined IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $self->{port}, Timeout => 1);
}

sub log
{
	my ($self) = @_;
	open my $file, '<', $self->{file} or return '';
	local $/;
	return scalar <$file> // '';
}

sub url { return "http://127.0.0.1:$_[0]{port}" }
sub port { return $_[0]{port} }
sub home { return $_[0]{home} }

sub stop
{
	my ($self, $signal) = @_;
	return unless $self->{pid} && $self->{owner} == $$;
	local ($?, $!);
	kill $signal // 'KILL', -$self->{pid};
	waitpid $self->{pid}, 0;
	delete $self->{pid};
	return;
}

sub DESTROY { $_[0]->stop; return }

1;
