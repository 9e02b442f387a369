package Vendor;

=head1 NAME

Vendor - a stand-in for a vendor's cloud, for TAP tests

=head1 SYNOPSIS

  use Vendor;
  my $hubspot = Vendor->start(sub {
      my ($request, $state) = @_;
      # $request: { method, target, path, query => {}, headers => {lower-case => value}, body, json, form }
      # $state: a hash that stays; what ->tell() sent stands in it
      return [ 404 ] if $state->{gone};
      return { results => [] };                          # 200, JSON
      return [ 207, { results => [] } ];                 # JSON
      return [ 429, { 'Retry-After' => 1 }, 'slow down' ];   # bytes as they are
      return undef;                                      # closes the connection without an answer
  });
  $hubspot->url;                     # http://127.0.0.1:port
  $hubspot->tell(gone => 1);         # members of $state, from the next request on
  my @requests = $hubspot->requests; # in their order, as above, with status
  $hubspot->clear;                   # forgets them
  $hubspot->state;                   # a copy of $state

=head1 DESCRIPTION

One process that answers one request at a time on connections that stay open.
The handler runs there, so it changes nothing in the test but what C<state>
returns. A handler that dies answers 599 with its words, which no test expects.

=cut

use strict;
use warnings;

use Carp;
use Compress::Zlib ();
use IO::Select;
use IO::Socket::INET;
use JSON::PP;
use POSIX ();
use Time::HiRes qw(sleep time);

my $json = JSON::PP->new->utf8->canonical->allow_nonref->allow_bignum;
my %reason = (200 => 'OK', 201 => 'Created', 202 => 'Accepted', 204 => 'No Content', 207 => 'Multi-Status',
	400 => 'Bad Request', 401 => 'Unauthorized', 403 => 'Forbidden', 404 => 'Not Found', 429 => 'Too Many Requests');

sub start
{
	my ($class, $handler) = @_;
	my $listener = IO::Socket::INET->new(Listen => 64, LocalAddr => '127.0.0.1', Proto => 'tcp', ReuseAddr => 1)
		or croak "listen: $!";
	my $self = bless { port => $listener->sockport, owner => $$ }, $class;

	defined($self->{pid} = fork) or croak "fork: $!";
	if ($self->{pid} == 0)
	{
		$SIG{PIPE} = 'IGNORE';
		$SIG{TERM} = $SIG{INT} = 'DEFAULT';
		eval { _serve($listener, $handler, getppid); 1 } or print STDERR "Vendor: $@";
		POSIX::_exit(0);
	}
	close $listener;
	return $self;
}

sub url { return "http://127.0.0.1:$_[0]{port}" }
sub port { return $_[0]{port} }

sub _ask
{
	my ($self, $what, $body) = @_;
	my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $self->{port}, Timeout => 10)
		or croak "the stand-in is gone: $!";
	$body = $json->encode($body // {});
	print {$socket} "POST /__vendor/$what HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: " . length($body) . "\r\n\r\n$body";
	local $/;
	my $answer = <$socket>;
	$answer =~ s/\A.*?\r\n\r\n//s;
	return $json->decode($answer);
}

sub tell { my ($self, %members) = @_; $self->_ask('tell', \%members); return }
sub requests { my ($self) = @_; return @{ $self->_ask('requests') } }
sub clear { my ($self) = @_; $self->_ask('clear'); return }
sub state { my ($self) = @_; return $self->_ask('state') }

sub stop
{
	my ($self) = @_;
	return unless $self->{pid} && $self->{owner} == $$;
	local ($?, $!);
	kill 'KILL', $self->{pid};
	waitpid $self->{pid}, 0;
	delete $self->{pid};
	return;
}

sub DESTROY { $_[0]->stop; return }

# ------------------------------------------------------------------ the server

sub _serve
{
	my ($listener, $handler, $parent) = @_;
	my $select = IO::Select->new($listener);
	my (%input, @log);
	my $state = {};

	while (getppid == $parent)
	{
		foreach my $socket ($select->can_read(1))
		{
			if ($socket == $listener)
			{
				my $new = $listener->accept or next;
				$select->add($new);
				$input{$new} = '';
				next;
			}
			my $got = sysread $socket, $input{$socket}, 1 << 20, length $input{$socket};
			my $open = $got;
			while ($open && (my $request = _take(\$input{$socket}, $socket)))
			{
				$open = _answer($socket, $request, $handler, $state, \@log);
			}
			next if $open;
			$select->remove($socket);
			delete $input{$socket};
			close $socket;
		}
	}
	return;
}

# A whole request from the front of what came in, or nothing yet.
sub _take
{
	my ($input, $socket) = @_;
	return unless $$input =~ /\A(.*?)\r\n\r\n/s;
	my ($head, $start) = ($1, $+[0]);
	my ($line, @lines) = split /\r\n/, $head;
	my ($method, $target) = $line =~ m{\A(\S+) (\S+) HTTP/1\.[01]\z} or return;
	my %headers = map { my ($name, $value) = split /:\s*/, $_, 2; (lc $name => $value) } @lines;
	my $body = '';

	if (delete $headers{expect})
	{
		syswrite $socket, "HTTP/1.1 100 Continue\r\n\r\n";
		$$input =~ s/\r\nExpect:[^\r]*//i;
		return _take($input, $socket);
	}
	if (defined(my $length = $headers{'content-length'}))
	{
		return if length($$input) - $start < $length;
		$body = substr $$input, $start, $length;
		$start += $length;
	}
	substr $$input, 0, $start, '';
	return _request($method, $target, \%headers, $body);
}

sub _unescape
{
	my ($text) = @_;
	$text =~ tr/+/ /;
	$text =~ s/%([0-9A-Fa-f]{2})/chr hex $1/eg;
	return $text;
}

sub _pairs
{
	my ($text) = @_;
	return { map { my ($name, $value) = split /=/, $_, 2; (_unescape($name) => _unescape($value // '')) } split /&/, $text };
}

sub _request
{
	my ($method, $target, $headers, $body) = @_;
	my ($path, $query) = split /\?/, $target, 2;
	my $type = $headers->{'content-type'} // '';
	my %request = (method => $method, target => $target, path => _unescape($path =~ s/\+/%2B/gr),
		query => _pairs($query // ''), headers => $headers);

	if (($headers->{'content-encoding'} // '') eq 'gzip')
	{
		$body = Compress::Zlib::memGunzip($body) // croak 'no gzip';
		$request{gzip} = 1;
	}
	$request{body} = $body;
	$request{json} = eval { $json->decode($body) } if $type =~ m{[/+]json} && length $body;
	$request{form} = _pairs($body) if $type =~ m{x-www-form-urlencoded};
	return \%request;
}

sub _answer
{
	my ($socket, $request, $handler, $state, $log) = @_;
	my $answer;

	if ($request->{path} =~ m{\A/__vendor/(\w+)\z})
	{
		my $sent = $json->decode($request->{body});
		%$state = (%$state, %$sent) if $1 eq 'tell';
		$answer = $1 eq 'requests' ? [ 200, $log ] : [ 200, $state ];
		_write($socket, $answer);
		@$log = () if $1 eq 'clear';
		return 0;
	}
	$answer = eval { [ $handler->($request, $state) ] } or $answer = [ [ 599, {}, "the handler died: $@" ] ];
	$answer = $answer->[0];
	push @$log, { %$request, status => ref $answer eq 'ARRAY' ? $answer->[0] : defined $answer ? 200 : 0 };
	return 0 unless defined $answer;
	_write($socket, ref $answer eq 'ARRAY' ? $answer : [ 200, $answer ]);
	return lc($request->{headers}{connection} // '') ne 'close';
}

sub _write
{
	my ($socket, $answer) = @_;
	my ($status, @rest) = @$answer;
	my %headers = @rest == 2 ? %{ $rest[0] } : ();
	my $content = $rest[-1];

	if (!defined $content) { $content = '' }
	elsif (ref $content || @rest == 1)
	{
		$content = $json->encode($content);
		$headers{'Content-Type'} //= 'application/json';
	}
	my $head = join '', map { "$_: $headers{$_}\r\n" } sort keys %headers;
	my $out = "HTTP/1.1 $status " . ($reason{$status} // 'Something') . "\r\n$head"
		. ($status == 204 ? '' : 'Content-Length: ' . length($content) . "\r\n") . "\r\n" . ($status == 204 ? '' : $content);
	my $done = 0;
	while ($done < length $out)
	{
		my $wrote = syswrite $socket, $out, length($out) - $done, $done;
		return unless $wrote;
		$done += $wrote;
	}
	return;
}

1;
