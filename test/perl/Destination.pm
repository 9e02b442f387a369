package Destination;

=head1 NAME

Destination - a test destination (test/destination) for TAP tests

=head1 SYNOPSIS

  use Destination;
  my $crm = Destination->start;

  $crm->script([{ status => 500, apply => 'before' }]);   # the next request
  $crm->script({ reject_rows => { where => 'x@', error => 'no' }, times => -1 });
  ... base_url $crm->url ...

  $crm->records('contacts');             # [{ key, fields, external_id, archived, writes }]
  $crm->record('contacts', { id => 7 }); # one of them, or undef
  $crm->fields('contacts');              # { '{"id":7}' => { email => ... } }
  $crm->requests;                        # [{ seq, method, path, headers, body, status, rows, time, connection }]
  $crm->requests($seq);                  # those after that one
  $crm->rows;                            # rows of all requests' bodies, in order
  $crm->wait_for_requests(3);            # dies after 30 s (or the second argument)
  $crm->stats;                           # { requests, rows, connections, open, busy, max_busy, faults, repeats }
  $crm->config({ idempotency => 1 });
  $crm->jobs;                            # [{ id, object, state, rows }], the newest first
  $crm->reset;                           # records, log, script, config, statistics
  $crm->stop; $crm->restart;             # the same port, everything forgotten

Numbers become Perl's own; where every digit counts, compare C<lines>, which
are what the server holds, letter by letter. The server dies with the test. Booleans of Perl's own (1, 0) will do where
the server expects true and false.

=cut

use strict;
use warnings;

use Carp;
use IO::Socket::INET;
use JSON::PP;
use POSIX qw(:sys_wait_h);
use Time::HiRes qw(sleep time);

my $json = JSON::PP->new->utf8->canonical->allow_nonref;

# Members of scripts and configurations that are booleans.
my %boolean = map { $_ => 1 } qw(hang reset chunked_bad endless forget_jobs idempotency log retry);

sub start
{
	my ($class, %option) = @_;
	my $self = bless { port => $option{port} // 0 }, $class;

	my $program = $ENV{DESTINATION} // 'build/tools/destination';
	my $pid = open($self->{out}, '-|') // croak "fork: $!";
	if ($pid == 0)
	{
		open STDIN, '<', '/dev/null';
		exec $program, '--die-with-parent', $self->{port} or POSIX::_exit(127);
	}
	$self->{pid} = $pid;
	my $line = readline($self->{out}) // '';
	($self->{port}) = $line =~ /^PORT (\d+)$/ or croak "$program did not start";
	return $self;
}

sub port { return $_[0]->{port} }
sub url { return "http://127.0.0.1:$_[0]->{port}" }

sub stop
{
	my ($self) = @_;
	return unless $self->{pid};
	local ($?, $!);
	kill 'TERM', $self->{pid};
	close $self->{out};    # waits for it
	delete $self->{pid};
	return;
}

sub restart
{
	my ($self) = @_;
	$self->stop;
	%$self = %{ Destination->start(port => $self->{port})->disown };
	return $self;
}

# A plain copy of the state, so that the object it came from stops nothing.
sub disown
{
	my ($self) = @_;
	my %state = %$self;
	delete $self->{pid};
	return \%state;
}

sub DESTROY { $_[0]->stop; return }

# One request on a connection of its own; (status, body).
sub http
{
	my ($self, $method, $path, $body, @headers) = @_;
	$body //= '';
	my $socket = IO::Socket::INET->new(
		PeerAddr => '127.0.0.1',
		PeerPort => $self->{port},
		Timeout => 10) or croak "no destination at port $self->{port}: $@";
	print $socket join("\r\n", "$method $path HTTP/1.1", 'Host: test', 'Connection: close', @headers,
		'Content-Length: ' . length($body), '', $body);
	local $/ = undef;
	my $answer = <$socket> // '';
	$answer =~ s/^HTTP\/1\.1 (\d+)[^\r\n]*\r\n.*?\r\n\r\n//s or croak "no answer to $method $path";
	return ($1, $answer);
}

sub _control
{
	my ($self, $method, $path, $content) = @_;
	my ($status, $body) = $self->http($method, $path, defined $content ? $json->encode($content) : '');
	croak "$method $path: $status $body" if $status != 200;
	return $body eq '' ? undef : $json->decode($body);
}

sub _escape
{
	my ($text) = @_;
	utf8::encode($text);
	$text =~ s/([^A-Za-z0-9_.-])/sprintf '%%%02X', ord $1/ge;
	return $text;
}

# Perl's 1 and 0 become true and false where the server wants those.
sub _booleans
{
	my ($value, $name) = @_;
	return [ map { _booleans($_) } @$value ] if ref $value eq 'ARRAY';
	return { map { $_ => _booleans($value->{$_}, $_) } keys %$value } if ref $value eq 'HASH';
	return $value ? JSON::PP::true : JSON::PP::false if defined $name && $boolean{$name};
	return JSON::PP::true if defined $name && $name eq 'gzip_bomb' && ($value // '') eq '1';
	return $value;
}

sub script
{
	my ($self, @behaviours) = @_;
	@behaviours = @{ $behaviours[0] } if @behaviours == 1 && ref $behaviours[0] eq 'ARRAY';
	return $self->_control(POST => '/_script', _booleans(\@behaviours));
}

# Adds to the script instead of replacing it.
sub script_more
{
	my ($self, @behaviours) = @_;
	return $self->_control(POST => '/_script?append=1', _booleans(\@behaviours));
}

sub config { return $_[0]->_control(POST => '/_config', _booleans($_[1])) }
sub jobs { return $_[0]->_control(GET => '/_jobs') }
sub reset { return $_[0]->_control(POST => '/_reset') }
sub stats { return $_[0]->_control(GET => '/_stats') }

sub records
{
	my ($self, $object) = @_;
	return $self->_control(GET => '/_records' . (defined $object ? '?object=' . _escape($object) : ''));
}

sub record
{
	my ($self, $object, $key) = @_;
	my $wanted = $json->encode($key);
	my ($found) = grep { $json->encode($_->{key}) eq $wanted } @{ $self->records($object) };
	return $found;
}

sub fields
{
	my ($self, $object) = @_;
	return { map { $json->encode($_->{key}) => $_->{fields} } @{ $self->records($object) } };
}

# The same as lines of text, as ask prints them.
sub lines
{
	my ($self, $what, $object) = @_;
	my (undef, $text) = $self->http(GET => "/_text/$what" . (defined $object ? '?object=' . _escape($object) : ''));
	return $text;
}

sub requests
{
	my ($self, $since) = @_;
	return $self->_control(GET => '/_requests?since=' . ($since // 0));
}

sub rows
{
	my ($self, $since) = @_;
	my @rows;
	foreach my $request (@{ $self->requests($since) })
	{
		utf8::encode($request->{body});
		my $body = eval { $json->decode($request->{body}) };
		push @rows, @{ $body->{rows} // [] } if ref $body eq 'HASH';
	}
	return \@rows;
}

sub wait_for_requests
{
	my ($self, $count, $seconds) = @_;
	my $until = time + ($seconds // 30);
	while ($self->stats->{requests} < $count)
	{
		croak "the destination has not seen $count requests" if time > $until;
		sleep 0.02;
	}
	return;
}

1;
