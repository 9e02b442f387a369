package ExpiredTls;

=head1 NAME

ExpiredTls - a TLS server whose certificate is over, for TAP tests

=head1 SYNOPSIS

  use ExpiredTls;
  my $tls = ExpiredTls->start("$secrets/expired.pem");   # where the certificate goes, to be trusted by ca_file
  $tls->url;                                             # https://127.0.0.1:n
  $tls->stop;

=cut

use strict;
use warnings;

use Carp;
use IO::Socket::INET;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(sleep time);

use constant PATIENCE => 30;

sub _free_port
{
	my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 0, Listen => 1) or croak $!;
	return $socket->sockport;
}

# Signed by itself, good for a month in 2020.
sub _make_certificate
{
	my ($dir) = @_;
	my ($out, $err);

	append_to_file("$dir/ca.cnf", <<"END");
[ca]
default_ca = a
[a]
database = $dir/index
serial = $dir/serial
new_certs_dir = $dir
default_md = sha256
policy = p
x509_extensions = e
[p]
commonName = supplied
[e]
subjectAltName = IP:127.0.0.1
END
	append_to_file("$dir/index", '');
	append_to_file("$dir/serial", "01\n");
	IPC::Run::run([ 'openssl', 'req', '-newkey', 'rsa:2048', '-nodes', '-keyout', "$dir/key", '-out', "$dir/request", '-subj', '/CN=x' ],
		'>', \$out, '2>', \$err) or croak $err;
	IPC::Run::run([ 'openssl', 'ca', '-batch', '-notext', '-config', "$dir/ca.cnf", '-selfsign', '-keyfile', "$dir/key", '-in', "$dir/request",
			'-out', "$dir/certificate", '-startdate', '20200101000000Z', '-enddate', '20200201000000Z' ], '>', \$out, '2>', \$err) or croak $err;
	return "$dir/certificate";
}

sub start
{
	my ($class, $copy) = @_;
	my $dir = PostgreSQL::Test::Utils::tempdir();
	my $certificate = _make_certificate($dir);
	my $self = bless { port => _free_port(), out => '', err => '' }, $class;
	my $until = time + PATIENCE;

	$self->{server} = IPC::Run::start([ 'openssl', 's_server', '-accept', "127.0.0.1:$self->{port}",
			'-cert', $certificate, '-key', "$dir/key", '-www' ],
		'<', \undef, '>', \$self->{out}, '2>', \$self->{err});
	until (IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $self->{port}))
	{
		croak "the TLS server does not start: $self->{err}" if time > $until;
		sleep 0.02;
	}
	append_to_file($copy, slurp_file($certificate));
	return $self;
}

sub url { return "https://127.0.0.1:$_[0]{port}" }

sub stop
{
	my ($self) = @_;
	my $server = delete $self->{server};
	$server->kill_kill if $server;
	return;
}

sub DESTROY { my ($self) = @_; local ($?, $@, $!); $self->stop; return }

1;
