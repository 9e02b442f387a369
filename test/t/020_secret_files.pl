# Secrets in files: what is read, and what is not; and what happens to DDL
# when the library cannot be loaded.
use strict;
use warnings;

use Cwd qw(realpath);
use Destination;
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $d = Destination->start;
my $secrets = PostgreSQL::Test::Utils::tempdir();
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "pg_activate.allowed_hosts = '127.0.0.1'");
$node->start;
my $url = $d->url;
$node->safe_psql('postgres', qq(
	CREATE EXTENSION pg_activate;
	CREATE SERVER crm FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url '$url');
	CREATE USER MAPPING FOR PUBLIC SERVER crm OPTIONS (bearer_token_file 'crm/token');
));

sub check
{
	my ($ret, $out, $err) = $node->psql('postgres', q(SELECT ok, detail FROM activate.check_destination('crm')));
	return $ret == 0 ? $out : $err;
}

sub authorization
{
	$d->reset;
	check();
	my ($request) = @{ $d->requests };
	my %headers = ref $request->{headers} eq 'HASH' ? %{ $request->{headers} } : map { @$_ } @{ $request->{headers} };
	my ($name) = grep { lc eq 'authorization' } keys %headers;
	return $headers{$name};
}

sub put
{
	my ($name, $content, $mode) = @_;
	open my $out, '>', "$secrets/$name" or die "$name: $!";
	print $out $content;
	close $out;
	chmod $mode // 0600, "$secrets/$name";
	return;
}

# given no directory, then the error says how to set one
like(check(), qr/pg_activate\.secrets_directory is not set.*ALTER SYSTEM SET/s, 'no directory');
$node->append_conf('postgresql.conf', "pg_activate.secrets_directory = '$secrets'");
$node->reload;
like(check(), qr/secret file "crm\/token" not found in pg_activate\.secrets_directory/, 'no file');

# given a file, then its first line's content goes out, and a new one the next time
mkdir "$secrets/crm";
put('crm/token', "first-token\n");
is(authorization(), 'Bearer first-token', 'the newline at the end is none of the token');
put('crm/token', 'second-token');
is(authorization(), 'Bearer second-token', 'a changed file is read again');

# given a file that is no secret's place
put('crm/token', 'x', 0644);
like(check(), qr/secret file "crm\/token" is open to everybody.*chmod/s, 'readable for all');
put('crm/token', 'x', 0602);
like(check(), qr/is open to everybody/, 'writable for all');
put('crm/token', '');
like(check(), qr/is empty/, 'empty');
put('crm/token', "a\0b");
like(check(), qr/is not UTF-8 text/, 'a zero byte');
put('crm/token', "\xff\xfe");
like(check(), qr/is not UTF-8 text/, 'another encoding');
put('crm/token', 'x' x 65537);
like(check(), qr/is larger than 65536 bytes/, 'too large');
put('crm/token', "a\r\nX-Admin: yes");
like(check(), qr/line break/, 'two lines');

# links stay inside
unlink "$secrets/crm/token";
symlink realpath($node->data_dir) . '/PG_VERSION', "$secrets/crm/token";
like(check(), qr/leads out of pg_activate\.secrets_directory/, 'a link that leads out');
unlink "$secrets/crm/token";
put('crm/version_2', 'third-token');
symlink 'version_2', "$secrets/crm/token";
is(authorization(), 'Bearer third-token', 'a link inside');
unlink "$secrets/crm/token";
mkdir "$secrets/crm/token";
like(check(), qr/is not a regular file/, 'a directory');
rmdir "$secrets/crm/token";
POSIX::mkfifo("$secrets/crm/token", 0600);
like(check(), qr/is not a regular file/, 'a pipe');
unlink "$secrets/crm/token";

# given pg_activate.hosts without this host, or the switch off, then nothing goes out
put('crm/token', 'token');
$d->reset;
$node->append_conf('postgresql.conf', "pg_activate.hosts = 'elsewhere'");
$node->reload;
like(check(), qr/may not be reached from here/, 'another host');
$node->append_conf('postgresql.conf', "pg_activate.hosts = '*'\npg_activate.enabled = off");
$node->reload;
like(check(), qr/switched off/, 'off');
$node->append_conf('postgresql.conf', "pg_activate.enabled = on\npg_activate.environment = 'staging'");
$node->safe_psql('postgres', q(ALTER SERVER crm OPTIONS (ADD environment 'production')));
$node->reload;
like(check(), qr/belongs to another environment/, 'another environment');
is(scalar @{ $d->requests }, 0, 'nothing was sent');

# given a destination that hangs, then the check ends within its limit, and can be cancelled
$node->safe_psql('postgres', q(ALTER SERVER crm OPTIONS (DROP environment, ADD timeout '60 s')));
$d->script([ { hang => 1, times => -1 } ]);
my $started = time;
like(check(), qr/^f\|/, 'a hanging destination is not ok');
cmp_ok(time - $started, '<=', 12, 'and takes no longer than the limit');
my (undef, undef, $cancelled) = $node->psql('postgres',
	q(SET statement_timeout = '300ms'; SELECT * FROM activate.check_destination('crm')));
like($cancelled, qr/canceling statement/, 'a check can be cancelled');

# given a library that is gone, then DDL goes on, with a warning
$node->safe_psql('postgres', q(
	CREATE FOREIGN DATA WRAPPER other; CREATE SERVER other FOREIGN DATA WRAPPER other;
	SET allow_system_table_mods = on;
	UPDATE pg_proc SET probin = '$libdir/pg_activate_gone' WHERE proname LIKE 'activate\_%' AND probin LIKE '%pg_activate'));
my ($ret, undef, $warning) = $node->psql('postgres', q(
	CREATE USER MAPPING FOR CURRENT_USER SERVER other OPTIONS (password 'x');
	ALTER SERVER other OPTIONS (ADD host 'x')));
is($ret, 0, 'DDL of others goes on without the library');
like($warning, qr/WARNING:  pg_activate cannot guard/, 'with a warning');

done_testing();
