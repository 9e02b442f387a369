# The preloaded shim: names and the host's name are what a test says.
use strict;
use warnings;

use Socket qw(:addrinfo inet_ntoa unpack_sockaddr_in SOCK_STREAM);
use Test::More;

# Runs Perl code in a process of its own, with the shim.
sub shimmed
{
	my ($code, %environment) = @_;
	local %ENV = (%ENV, %environment, LD_PRELOAD => $ENV{ACT_SHIM});
	open(my $out, '-|', $^X, '-MSocket=:all', '-MPOSIX', '-MSys::Hostname', '-e', $code) or die;
	return join '', <$out>;
}

my $resolve = q{ my ($e, @a) = getaddrinfo(shift // 'crm.test', 80, {socktype => SOCK_STREAM});
	print $e || join(' ', map { $_->{family} == AF_INET ? inet_ntoa((unpack_sockaddr_in $_->{addr})[1]) : 'six' } @a) };

is(shimmed($resolve, ACT_SHIM_HOSTS => 'crm.test=127.0.0.1,other=1.2.3.4'), '127.0.0.1', 'a listed name');
is(shimmed($resolve, ACT_SHIM_HOSTS => 'crm.test=127.0.0.1,crm.test=10.0.0.1'), '127.0.0.1 10.0.0.1', 'two addresses');
is(shimmed($resolve, ACT_SHIM_HOSTS => 'crm.test=::1'), 'six', 'IPv6');
like(shimmed($resolve, ACT_SHIM_HOSTS => 'crm.test=FAIL'), qr/not known/, 'no such host');

my $start = time;
like(shimmed($resolve, ACT_SHIM_HOSTS => 'crm.test=HANG:1'), qr/Temporary failure/, 'a resolver that hangs');
cmp_ok(time - $start, '>=', 1, 'for so long');

my $file = "$ENV{TESTDIR}/hosts.$$";
sub write_file { my ($text) = @_; open my $f, '>', $file or die; print $f $text; close $f; return }
write_file("crm.test=127.0.0.9\n");
is(shimmed($resolve, ACT_SHIM_HOSTS_FILE => $file, ACT_SHIM_HOSTS => 'crm.test=127.0.0.1'), '127.0.0.9', 'from a file');

my $name = q{print((POSIX::uname())[1] && Sys::Hostname::ghname()) };
SKIP:
{
	skip 'no gethostname in this Perl', 2 unless eval { require Sys::Hostname; defined &Sys::Hostname::ghname };
	is(shimmed($name, ACT_SHIM_HOSTNAME => 'replica'), 'replica', 'host name');
	write_file("moved\n");
	is(shimmed($name, ACT_SHIM_HOSTNAME => 'replica', ACT_SHIM_HOSTNAME_FILE => $file), 'moved', 'host name from a file');
}
unlink $file;

done_testing();
