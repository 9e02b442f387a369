# Refresh tokens that are good once: each new one is in the database before
# anybody uses what came with it, whoever asks, and whatever ends in between.
use strict;
use warnings;

use Activate;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use TokenServer;

my $t = TokenServer->start;
my $url = $t->url;
my $directory = PostgreSQL::Test::Utils::tempdir();
my $key_file = "$directory/key";
my $a = Activate->start('main', conf => <<'END');
shared_preload_libraries = 'pg_activate'
pg_activate.databases = 'none'
END
my $syncs = 10;

sub put_key
{
	my (@keys) = @_;
	open my $out, '>', $key_file or die "$key_file: $!";
	print $out map { "$_\n" } @keys;
	close $out;
	chmod 0600, $key_file;
	return;
}

sub fails
{
	my ($sql) = @_;
	my ($ret, $out, $err) = $a->node->psql('postgres', $sql);
	return $ret == 0 ? "no error: $out" : $err;
}

sub reload { $a->node->reload; sleep 0.2; return }

# Tokens given so far are good no more: the next request asks for another one.
sub expire { $t->expire; $a->sql('UPDATE m SET v = v + 1'); return }

# The server knows none any more, so that the next run begins by asking.
sub forget { $a->node->restart; $a->alive; expire(); return }

$a->sql(TokenServer::connector('refresh', TokenServer::oauth('refresh_token')));
$a->sql(qq(
	CREATE SERVER crm FOREIGN DATA WRAPPER activate OPTIONS (connector 'refresh', base_url '$url', login_url '$url');
	CREATE USER MAPPING FOR PUBLIC SERVER crm OPTIONS (client_id 'c', client_secret 'the-client-secret', refresh_token 'rt-0');
	CREATE TABLE m (id int PRIMARY KEY, v int);
	INSERT INTO m SELECT i, i FROM generate_series(1, 20) i;
));
$a->sql("SELECT activate.create_sync('s$_', 'm', 'id', 'crm', object => 'o$_', mapping => 'v')") for 1 .. $syncs;

# given no key_file, then nothing is asked that could not be kept
$t->set(rotate => 1);
my $run = $a->run('s1');
is($run->{status}, 'failed', 'no key_file');
like($run->{text}, qr/pg_activate\.key_file is not set.*refresh tokens that destination "crm" gives.*openssl rand -hex 32/s, '... is refused with what to type');
is($t->state->{tokens}, 0, '... before the old token is given away');

my ($first, $second) = ('0123456789abcdef' x 4, 'fedcba9876543210' x 4);
put_key($first);
$a->node->append_conf('postgresql.conf', "pg_activate.key_file = '$key_file'");
reload();

# given ten workers at once, then one of them asks
sub all_at_once
{
	my ($last) = $a->last_run;
	$_->{handle}->finish for map { $a->begin("s$_") } 1 .. $syncs;
	return $a->sql("SELECT count(*) FROM activate.run WHERE run_id > $last AND status = 'succeeded'");
}

is(all_at_once(), $syncs, 'ten runs at once');
is($t->state->{tokens}, 1, '... and one token');
is($a->sql("SELECT count(*) FROM activate.secret"), 1, 'the new refresh token is kept');
unlike($a->sql("SELECT array_agg(s.*) FROM activate.secret s"), qr/rt-\d/, '... and not to be read');

# ... also when all of them are refused at once
expire();
is(all_at_once(), $syncs, 'ten runs, all of them refused');
is($t->state->{tokens}, 2, '... and one more token');
is_deeply([ map { $_->{refresh_token} } @{ $t->state->{asked} } ], [ 'rt-0', 'rt-1' ], 'with the refresh token that came before');

# given a restart, then what was kept is known
$a->node->restart;
$a->alive;
expire();
is($a->run('s1')->{status}, 'succeeded', 'after a restart');
is($t->state->{asked}[-1]{refresh_token}, 'rt-2', '... with the newest one');

# given a crash between answer and commit, then the old one is asked with, which a careful server still takes
$t->set(grace => 1);
forget();
$a->run('s1', faults => 'token_answered:kill');
$a->alive;
is($a->run('s1')->{status}, 'succeeded', 'after a crash before the commit');
is($t->state->{asked}[-1]{refresh_token}, 'rt-3', '... with the old one');
$t->set(grace => 0, refresh => [ $t->state->{refresh}[-1] ]);

# ... and between commit and use, then with the new one
forget();
$a->run('s1', faults => 'token_kept:kill');
$a->alive;
my $given = 'rt-' . $t->state->{tokens};
expire();
is($a->run('s1')->{status}, 'succeeded', 'after a crash behind the commit');
is($t->state->{asked}[-1]{refresh_token}, $given, '... with the new one');

# given one that was revoked, then the run says so, and asks no more
expire();
$t->set(refresh => ['rt-x']);
my $asked = $t->state->{tokens};
$run = $a->run('s1');
is($run->{status}, 'failed', 'a revoked token');
like($run->{text}, qr/refuses the credentials.*invalid_grant: token \*{8} is revoked.*set_secret\('crm', 'refresh_token', '\.\.\.'\)/s, '... is told with what to do');
is($t->state->{tokens}, $asked + 1, '... after one request');
like($a->sql("SELECT array_agg(e.*) FROM activate.events e"), qr/refuses the credentials/, '... and as an event');

# given another one in the mapping, then it counts, not what was kept of the old one
$a->sql("ALTER USER MAPPING FOR PUBLIC SERVER crm OPTIONS (SET refresh_token 'rt-x')");
is($a->run('s1')->{status}, 'succeeded', 'another one in the mapping');
is($t->state->{asked}[-1]{refresh_token}, 'rt-x', '... is taken');

# set_secret: in one place only, for the server's owner only
like(fails("SELECT activate.set_secret('crm', 'refresh_token', 'rt-y')"), qr/has its "refresh_token" in a user mapping.*DROP refresh_token/s, 'not beside the mapping');
like(fails("SELECT activate.set_secret('crm', 'api_key', 'x')"), qr/takes no "api_key".*It takes: client_id/s, 'not what the connector does not know');
like(fails("SELECT activate.set_secret('crm', 'private_key', '')"), qr/must not be empty/, 'not empty');
$a->sql('CREATE ROLE other; GRANT USAGE ON FOREIGN SERVER crm TO other; GRANT USAGE ON SCHEMA activate TO other');
like(fails("SET ROLE other; SELECT activate.set_secret('crm', 'client_id', 'x')"), qr/must be owner of server "crm"/, 'not who may only use it');
like(fails('SET ROLE other; SELECT sealed FROM activate.secret'), qr/permission denied/, 'nor is it read');

$a->sql("ALTER USER MAPPING FOR PUBLIC SERVER crm OPTIONS (DROP refresh_token)");
$t->set(refresh => ['rt-y']);
$a->sql("SELECT activate.set_secret('crm', 'refresh_token', 'rt-y')");
expire();
is($a->run('s1')->{status}, 'succeeded', 'a stored secret');
is($t->state->{asked}[-1]{refresh_token}, 'rt-y', '... is taken');
expire();
is($a->run('s1')->{status}, 'succeeded', '... and what comes in its place');
is($t->state->{asked}[-1]{refresh_token}, 'rt-' . ($t->state->{tokens} - 1), '... is, too');

# given another address, then stored secrets stay with the one they were stored for
like(fails("ALTER SERVER crm OPTIONS (SET login_url 'http://127.0.0.1:1')"), qr/has credentials that were stored for/, 'the token endpoint cannot be moved');

# given rows that were swapped or altered, then they do not open
$a->sql("SELECT activate.set_secret('crm', 'refresh_token', 'rt-z')");
$t->set(refresh => ['rt-z']);
$a->sql(q(CREATE TABLE kept AS SELECT * FROM activate.secret));
$a->sql(q(UPDATE activate.secret SET sealed = set_byte(sealed, 20, get_byte(sealed, 20) # 1)));
like(fails("SELECT * FROM activate.check_destination('crm')"), qr/is not as it was stored/, 'an altered row');
$a->sql(q(UPDATE activate.secret s SET sealed = k.sealed FROM kept k WHERE k.secret_id = s.secret_id));

# rotation of the key: the new one first, the old one behind it, then without the old one
put_key($second);
like(fails("SELECT * FROM activate.check_destination('crm')"), qr/was stored with another key/, 'a key that is not there');
put_key($second, $first);
expire();
is($a->run('s1')->{status}, 'succeeded', 'the old key still opens');
cmp_ok($a->sql('SELECT activate.rotate_key()'), '>=', 0, 'sealed anew');
is($a->sql('SELECT activate.rotate_key()'), 0, '... once');
put_key($second);
expire();
is($a->run('s1')->{status}, 'succeeded', 'without the old key');
put_key('nonsense');
like(fails("SELECT * FROM activate.check_destination('crm')"), qr/line 1 of pg_activate\.key_file .* is no key.*64 hexadecimal/s, 'no key in the file');
put_key($second);
chmod 0644, $key_file;
like(fails("SELECT * FROM activate.check_destination('crm')"), qr/is open to others.*chmod 0600/s, 'a file that others may read');
chmod 0600, $key_file;

# given a dump, restored: the secret is there, sealed, and the server's own
my $dump = "$directory/dump.sql";
command_ok([ 'pg_dump', '-f', $dump, '-d', $a->node->connstr('postgres') ], 'dumped');
my $text = slurp_file($dump);
like($text, qr/COPY activate\.secret /, 'stored secrets are part of a dump');
unlike($text, qr/rt-\d+|rt-z/, '... sealed');
$a->sql('CREATE DATABASE copy');
$a->node->command_ok([ 'psql', '-X', '-v', 'ON_ERROR_STOP=1', '-f', $dump, '-d', $a->node->connstr('copy') ], 'restored');
$a->node->safe_psql('copy', "ALTER DATABASE copy SET pg_activate.allowed_hosts = '*'; SELECT activate.confirm_cluster('move')");
is($a->node->safe_psql('copy', "SELECT count(*) FROM activate.secret"), $a->sql('SELECT count(*) FROM activate.secret'), 'all of them');
my ($ret, $out, $err) = $a->node->psql('copy', "CALL activate.run_sync('s2')");
is($ret, 0, 'a run in the copy opens it') or diag $err;

# gone with the server
$a->sql("SELECT activate.set_secret('crm', 'refresh_token', NULL)");
is($a->sql("SELECT count(*) FROM activate.secret WHERE replaces = ''"), 0, 'removed');
$a->sql("SELECT activate.drop_sync('s$_')") for 1 .. $syncs;
$a->sql("SELECT activate.set_secret('crm', 'refresh_token', 'rt-q')");
$a->sql('DROP SERVER crm CASCADE');
is($a->sql('SELECT count(*) FROM activate.secret'), 0, 'gone with the server');

$t->stop;
done_testing();
