package TokenServer;

=head1 NAME

TokenServer - an API behind OAuth tokens, and the endpoint that gives them

=head1 SYNOPSIS

  my $t = TokenServer->start;
  $t->set(expires_in => 3600, rotate => 1);      # see %default below
  $t->state->{tokens};                           # requests to /token so far
  $t->expire;                                    # the API takes no token given so far
  TokenServer::connector('name', %auth)          # SQL that makes a connector for it

POST /token answers {"access_token": "at-N", ...}; POST /api takes {"rows": [{"key", "fields"}]} from
who has a token that is good, and answers {"results": [{"status": "accepted"}]}.

=cut

use strict;
use warnings;

use IO::Socket::INET;
use JSON::PP;
use POSIX ();
use Time::HiRes qw(sleep);

my $json = JSON::PP->new->utf8->canonical->allow_nonref;

my %default = (
	expires_in => undef,       # left out where undef
	rotate => 0,               # each refresh token is good once
	refresh => ['rt-0'],       # those that are good
	delay_ms => 0,             # of /token
	status => 200,             # of /token
	body => undef,             # of /token, instead of its own
	extra => {},               # members of its answer
	uses => 0,                 # requests that a token is good for; 0: any number
);

sub start
{
	my ($class) = @_;
	my $listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 128, ReuseAddr => 1) or die "listen: $!";
	my $parent = $$;
	my $pid = fork // die "fork: $!";

	if ($pid == 0)
	{
		$SIG{TERM} = 'DEFAULT';
		serve($listen, $parent);
		POSIX::_exit(0);
	}
	return bless { port => $listen->sockport, pid => $pid, owner => $$ }, $class;
}

sub url { return "http://127.0.0.1:$_[0]->{port}" }

sub stop
{
	my ($self) = @_;
	return if !$self->{pid} || $self->{owner} != $$;
	kill 'KILL', $self->{pid};
	waitpid $self->{pid}, 0;
	delete $self->{pid};
	return;
}

sub DESTROY { local $?; $_[0]->stop; return }

sub ask
{
	my ($self, $path, $body) = @_;
	my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $self->{port}) or die "connect: $!";

	$body = $json->encode($body // {});
	print $socket "POST $path HTTP/1.0\r\nContent-Length: " . length($body) . "\r\n\r\n$body";
	my $answer = join '', <$socket>;
	$answer =~ s/^.*?\r\n\r\n//s;
	return $json->decode($answer);
}

sub set { my ($self, %set) = @_; return $self->ask('/_set', \%set) }
sub state { return $_[0]->ask('/_state') }
sub expire { return $_[0]->ask('/_expire') }
sub reset { return $_[0]->ask('/_reset') }

# ------------------------------------------------------------- the server

sub fresh
{
	return { %default, tokens => 0, given => 0, good => {}, used => {}, asked => [], api => 0, refused => 0, keys => {}, auth => [] };
}

sub serve
{
	my ($listen, $parent) = @_;
	my $state = fresh();

	while (getppid() == $parent)
	{
		vec(my $bits = '', fileno($listen), 1) = 1;
		next if !select($bits, undef, undef, 1);
		my $client = $listen->accept or next;
		eval {
			local $SIG{ALRM} = sub { die "slow\n" };
			alarm 20;
			my ($path, $headers, $body) = request($client);
			my ($status, $answer) = answer(\$state, $path, $headers, $body);
			$answer = $json->encode($answer) if ref $answer;
			local $SIG{PIPE} = 'IGNORE';
			print $client "HTTP/1.1 $status X\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: "
			  . length($answer) . "\r\n\r\n$answer";
		};
		alarm 0;
		close $client;
	}
	return;
}

sub request
{
	my ($client) = @_;
	my $line = <$client> // die "nothing\n";
	my ($path) = $line =~ /^\S+ (\S+)/ or die "no request\n";
	my (%headers, $body);

	while (my $header = <$client>)
	{
		last if $header =~ /^\r?\n$/;
		$headers{ lc $1 } = $2 if $header =~ /^([^:]+):\s*(.*?)\r?\n$/;
	}
	read $client, $body, $headers{'content-length'} // 0;
	return ($path, \%headers, $body // '');
}

sub answer
{
	my ($ref, $path, $headers, $body) = @_;
	my $state = $$ref;

	return give($state, $headers, $body) if $path eq '/token';
	return api($state, $headers, $body) if $path =~ m{^/api};
	$state->{good} = {} if $path eq '/_expire';
	$state = $$ref = fresh() if $path eq '/_reset';
	%$state = (%$state, %{ $json->decode($body) }) if $path eq '/_set';
	return (200, $state);
}

sub give
{
	my ($state, $headers, $body) = @_;
	my %form = map { my ($name, $value) = split /=/, $_, 2; $value =~ s/%(..)/chr hex $1/ge; ($name => $value) } split /&/, $body;
	my %answer = %{ $state->{extra} };

	$state->{tokens}++;
	push @{ $state->{asked} }, { %form, authorization => $headers->{authorization} };
	sleep $state->{delay_ms} / 1000 if $state->{delay_ms};
	return ($state->{status}, $state->{body}) if defined $state->{body};
	return ($state->{status}, { error => 'temporarily_unavailable' }) if $state->{status} != 200;
	if (($form{grant_type} // '') eq 'refresh_token')
	{
		my $old = $form{refresh_token};
		return (400, { error => 'invalid_grant', error_description => "token $old is revoked" })
		  if !grep { $_ eq $old } @{ $state->{refresh} };
		if ($state->{rotate})
		{
			$answer{refresh_token} = 'rt-' . $state->{tokens};
			$state->{refresh} = [ (grep { $_ ne $old || $state->{grace} } @{ $state->{refresh} }), $answer{refresh_token} ];
		}
	}
	my $token = 'access-token-' . ++$state->{given};
	$state->{good}{$token} = 1;
	$answer{access_token} = $token;
	$answer{expires_in} = $state->{expires_in} if defined $state->{expires_in};
	return (200, \%answer);
}

sub api
{
	my ($state, $headers, $body) = @_;
	my ($token) = ($headers->{authorization} // '') =~ /^Bearer (.*)/;
	my $rows = length $body ? $json->decode($body)->{rows} // [] : [];

	push @{ $state->{auth} }, $token;
	if (!defined $token || !$state->{good}{$token} ||
		($state->{uses} && ++$state->{used}{$token} > $state->{uses}))
	{
		$state->{refused}++;
		return (401, { error => "no such token: $token" });
	}
	$state->{api}++;
	$state->{keys}{ $_->{key}{id} } = $_->{fields}{v} for @$rows;
	return (200, { results => [ map { { status => 'accepted' } } @$rows ] });
}

# ------------------------------------------------------------- connectors

# auth: members of the way to authorize; document: of the document.
sub connector
{
	my ($name, $auth, %document) = @_;
	my %all = (
		name => $name,
		takes_key => JSON::PP::true,
		options => { login_url => { kind => 'url' } },
		secrets => [qw(client_id client_secret refresh_token private_key)],
		auth => [$auth],
		rules => [ { status => [401], then => 'auth', message => '/error' } ],
		check => { request => { method => 'GET', path => '/api/me' } },
		operations => {
			upsert => {
				idempotent => JSON::PP::true,
				batch => { max_rows => 10 },
				request => { path => '/api', body => { rows => { '$rows' => { key => '{{row.key}}', fields => '{{row.fields}}' } } } },
				answer => { by => 'position', items => '/results',
					outcomes => [ { at => '/status', in => ['accepted'], then => 'accepted' } ] } } },
		%document);
	my $spec = $json->encode(\%all);
	$spec =~ s/'/''/g;
	return "INSERT INTO activate.connector (name, spec, builtin) VALUES ('$name', '$spec', false);";
}

sub oauth
{
	my ($grant, %more) = @_;
	return { kind => 'oauth2', grant => $grant, token_url => '{{option.login_url}}/token',
		client_id => '{{secret.client_id}}', client_secret => '{{secret.client_secret}}',
		($grant eq 'refresh_token' ? (refresh_token => '{{secret.refresh_token}}') : ()), %more };
}

1;
