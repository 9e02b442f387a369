package Session;

=head1 NAME

Session - a session of psql that stays open, for TAP tests

=head1 SYNOPSIS

  use Session;
  my $session = Session->start($node, 'postgres', user => 'own', options => '-c work_mem=64kB');

  $session->pid;                        # of its backend
  is($session->query('SELECT 1'), '1'); # output and errors, in their order
  $session->send('CALL activate.run_sync($$slow$$)');   # does not wait
  $session->is_busy;
  $session->wait;                       # what it printed; dies after 60 s (or the argument)
  $session->stop;

Errors are printed with their SQLSTATE. The session dies with the test.

=cut

use strict;
use warnings;

use Carp;
use File::Temp;
use IO::Handle;
use POSIX ();
use Time::HiRes qw(sleep time);

sub start
{
	my ($class, $node, $database, %option) = @_;
	my $self = bless { sent => 0, read => 0, output => File::Temp->new }, $class;
	my $output = $self->{output}->filename;

	local $ENV{PGOPTIONS} = $option{options} // '';
	my $pid = open($self->{in}, '|-') // croak "fork: $!";
	if ($pid == 0)
	{
		open STDOUT, '>>', $output or POSIX::_exit(127);
		open STDERR, '>&', \*STDOUT or POSIX::_exit(127);
		exec 'psql', '-XAtq', '-v', 'VERBOSITY=verbose', '-v', 'SHOW_CONTEXT=never', '-h', $node->host,
		  '-p', $node->port, '-U', $option{user} // (getpwuid $<)[0], '-d', $database
		  or POSIX::_exit(127);
	}
	$self->{in}->autoflush(1);
	$self->{psql} = $pid;
	$self->{pid} = $self->query('SELECT pg_backend_pid()');
	croak "no session: $self->{pid}" unless $self->{pid} =~ /^\d+$/;
	return $self;
}

sub pid { return $_[0]->{pid} }

sub send
{
	my ($self, $sql) = @_;
	local $SIG{PIPE} = 'IGNORE';
	$self->{sent}++;
	print { $self->{in} } "$sql\n;\n\\echo == done $self->{sent}\n";
	return;
}

sub _text
{
	my ($self) = @_;
	open my $file, '<', $self->{output}->filename or croak $!;
	seek $file, $self->{read}, 0;
	local $/ = undef;
	return scalar(<$file>) // '';
}

sub is_busy
{
	my ($self) = @_;
	return $self->_text !~ /^== done $self->{sent}$/m;
}

# Until all that was sent is done, or the connection is gone.
sub wait
{
	my ($self, $seconds) = @_;
	my $until = time + ($seconds // 60);
	my $text;
	while (($text = $self->_text) !~ /^== done $self->{sent}\n/m)
	{
		last if $text =~ /connection to server was lost|^psql: error: /m;
		croak "the session is still busy: $text" if time > $until;
		sleep 0.002;
	}
	$self->{read} += length $text;
	$text =~ s/^== done \d+\n//mg;
	chomp $text;
	return $text;
}

sub query
{
	my ($self, $sql) = @_;
	$self->send($sql);
	return $self->wait;
}

sub stop
{
	my ($self) = @_;
	local ($?, $!);
	local $SIG{PIPE} = 'IGNORE';
	close $self->{in} if $self->{in};    # waits for it
	delete $self->{in};
	return;
}

# A session that waits for ever would never read that its input ended.
sub DESTROY
{
	my ($self) = @_;
	return unless $self->{in};
	local ($?, $!);
	kill 'TERM', $self->{psql};
	$self->stop;
	return;
}

1;
