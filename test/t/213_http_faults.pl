# What a destination, a resolver, libcurl or the kernel can do to a process
# that sends: it stays within its memory and its descriptors, every request
# has its outcome, and the next one goes through.
use strict;
use warnings;

use IO::Select;
use IO::Socket::INET;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use Destination;
use Session;

plan skip_all => 'needs /proc' unless -r "/proc/$$/status";

my $crm = Destination->start;
my $hosts = "$ENV{TESTDATADIR}/faults.hosts.$$";
my $epoll = "$ENV{TESTDATADIR}/faults.epoll.$$";
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => [ '--encoding', 'UTF8', '--locale', 'C.UTF-8' ]);
$node->append_conf('postgresql.conf', "autovacuum = off\npg_activate.allowed_hosts = '*'\n");
write_file($hosts, "slow.test=HANG\n");
{
	local %ENV = (%ENV, LD_PRELOAD => $ENV{ACT_SHIM}, ACT_SHIM_HOSTS_FILE => $hosts, ACT_SHIM_EPOLL_FILE => $epoll);
	$node->start;
}
my ($url, $port) = ($crm->url, $crm->port);
value(<<"END");
CREATE EXTENSION pg_activate;
CREATE SERVER crm FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url '$url', timeout '10s', batch_size '10');
CREATE SERVER slow FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url 'http://slow.test:$port', timeout '1 hour', connect_timeout '10 minutes');
END
my $number = 0;
my $session = new_session();

sub write_file
{
	my ($path, $text) = @_;
	open my $file, '>', $path or die "$path: $!";
	print $file $text;
	close $file;
	return;
}

sub value { return $node->safe_psql('postgres', $_[0]) }

sub new_session
{
	return Session->start($node, 'postgres', options => '-c pg_activate.progress_interval=0 -c client_min_messages=warning -c pg_activate.debug_retry_pause=1ms');
}

sub wait_until
{
	my ($what, $condition, $seconds) = @_;
	my $until = time + ($seconds // 30);
	until ($condition->())
	{
		die "waited in vain for: $what" if time > $until;
		sleep 0.005;
	}
	return;
}

sub fresh
{
	my ($rows, $server) = @_;
	my $sync = 's' . ++$number;
	$crm->reset;
	value("CREATE TABLE $sync (id int PRIMARY KEY, v text); INSERT INTO $sync SELECT i, 'v' || i FROM generate_series(1, $rows) i;"
		. " SELECT activate.create_sync('$sync', 'public.$sync', 'id', '@{[$server // 'crm']}', object => '$sync', mapping => 'v')");
	return $sync;
}

sub call { return $session->query("CALL activate.run_sync('$_[0]')") }
sub run_of { return value("SELECT status || ' ' || accepted || ' ' || retries FROM activate.runs WHERE sync = '$_[0]' ORDER BY run_id DESC LIMIT 1") }

sub is_equal
{
	my ($sync, $name) = @_;
	my %there = map { $_->{key}{id} => $_->{fields}{v} } @{ $crm->records($sync) };
	my %here = map { split /\|/ } split /\n/, value("SELECT id, v FROM $sync");
	is_deeply(\%there, \%here, "$name: the destination has what the model has");
	return is(value('SELECT count(*) FROM activate.claim'), 0, "$name: no claim is left");
}

# Pages of its own in MB; the peak of all memory since peak_begins.
sub memory
{
	my ($pid, $what) = @_;
	my ($kb) = slurp_file("/proc/$pid/status") =~ /^$what:\s+(\d+)/m;
	return $kb / 1024;
}

# ------------------------------------------------------- answers without end
# given an answer that is far too large, when it is read, then no more of it than
# is allowed is kept, its rows are in doubt, and the next request goes through
foreach my $case ([ 'an endless body', { endless => 1 } ], [ 'a gzip bomb', { gzip_bomb => 1 } ],
	[ '1 MB of headers', { header_bytes => 1_000_000 } ], [ 'a body of 300 MB that is announced', { content_length => 300_000_000 } ])
{
	my ($name, $answer) = @$case;
	my $sync = fresh(10);

	call($sync);
	value("UPDATE $sync SET v = v || '!'");
	my $before = memory($session->pid, 'VmHWM');
	my $start = time;
	$crm->script({ %$answer, apply => 'before', times => -1 });
	my $text = call($sync);
	like($text, qr/PA001: .*does not answer as it should/, "$name: the run says so");
	cmp_ok(time - $start, '<', 60, "$name: it is given up");
	cmp_ok(memory($session->pid, 'VmHWM') - $before, '<', 30, "$name: memory keeps its bounds");
	is(value("SELECT count(*) FROM activate_data.$sync WHERE activate_in_doubt"), 10, "$name: the rows are in doubt");
	$crm->script({ %$answer, times => 1 });
	is(call($sync), '', "$name once: the run never noticed");
	is(run_of($sync), 'succeeded 10 1', "$name once: one retry");
	is_equal($sync, $name);
}

# --------------------------------------------------------------- descriptors
# given a process that may have 64 files open, when far more requests may go at once, then it makes do
{
	my $sync = fresh(300);
	value(q{ALTER SERVER crm OPTIONS (SET batch_size '1', ADD concurrency '200')});
	my $limited = new_session();
	system('prlimit', '--pid', $limited->pid, '--nofile=64:64') == 0 or die 'prlimit';
	$crm->config({ delay_ms => 2 });
	is($limited->query("CALL activate.run_sync('$sync')"), '', '64 descriptors: the run succeeds');
	cmp_ok($crm->stats->{max_busy}, '<', 64, '64 descriptors: so many requests at once: ' . $crm->stats->{max_busy});
	is(run_of($sync), 'succeeded 300 0', '64 descriptors: no request was lost for it');
	is_equal($sync, '64 descriptors');
	value("UPDATE $sync SET v = v || '!'");
	is($limited->query("CALL activate.run_sync('$sync')"), '', '64 descriptors: and again');
	$limited->stop;
	value(q{ALTER SERVER crm OPTIONS (SET batch_size '10', DROP concurrency)});
}

# ------------------------------------------------------------ stale connections
# given a destination that closes each connection after its answer, without a word,
# then the next request goes out on another one, and nothing is in doubt
{
	my $server = IO::Socket::INET->new(Listen => 64, LocalAddr => '127.0.0.1') or die $!;
	my $silent = "http://127.0.0.1:" . $server->sockport;
	my $log = "$ENV{TESTDATADIR}/stale.$$";
	my $child = fork // die $!;
	if ($child == 0)
	{
		$node->{_pid} = undef;    # the parent's
		$SIG{TERM} = 'DEFAULT';
		open my $seen, '>', $log;
		$seen->autoflush(1);
		while (my $client = $server->accept)
		{
			my ($data, $length) = ('', 0);
			while (sysread $client, $data, 65536, length $data)
			{
				($length) = $data =~ /content-length: (\d+)/i or next;
				my $head = index($data, "\r\n\r\n");
				last if $head >= 0 && length($data) >= $head + 4 + $length;
			}
			print $seen "request\n" if length $data;
			syswrite $client, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" if length $data;
			close $client;
		}
		POSIX::_exit(0);
	}
	close $server;
	value("CREATE SERVER stale FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url '$silent', batch_size '1', concurrency '1')");
	my $sync = fresh(50, 'stale');
	is(call($sync), '', 'stale connections: the run succeeds');
	like(run_of($sync), qr/^succeeded 50 /, 'stale connections: every row was accepted');
	is(value("SELECT count(*) FROM activate_data.$sync WHERE activate_in_doubt"), 0, 'stale connections: nothing is in doubt');
	my $requests = () = slurp_file($log) =~ /request/g;
	is($requests, 50, 'stale connections: each request was made once');
	kill 'TERM', $child;
	waitpid $child, 0;
}

# ------------------------------------------------------------------- threads
# given a resolver that hangs, then its thread takes none of the server's signals
{
	my $sync = fresh(5, 'slow');
	$session->send("CALL activate.run_sync('$sync')");
	my $pid = $session->pid;
	wait_until('a thread', sub { my @tasks = glob "/proc/$pid/task/*"; @tasks > 1 });
	my $wanted = 0;
	$wanted |= 1 << $_ - 1 foreach POSIX::SIGHUP(), POSIX::SIGINT(), POSIX::SIGTERM(), POSIX::SIGQUIT(), POSIX::SIGUSR1(), POSIX::SIGUSR2(),
	  POSIX::SIGALRM(), POSIX::SIGCHLD(), POSIX::SIGPIPE();
	my $threads = 0;
	foreach my $task (grep { !m{/$pid$} } glob "/proc/$pid/task/*")
	{
		my ($blocked) = slurp_file("$task/status") =~ /^SigBlk:\s+([0-9a-f]+)/m;
		$threads++;
		is(hex(substr $blocked, -8) & $wanted, $wanted, "a resolver thread blocks the signals of the server: $blocked");
	}
	cmp_ok($threads, '>', 0, 'there are such threads');
	my ($postmaster) = split /\n/, slurp_file($node->data_dir . '/postmaster.pid');
	is(scalar(my @tasks = glob "/proc/$postmaster/task/*"), 1, 'the postmaster has none');
	value("SELECT pg_cancel_backend($pid)");
	like($session->wait, qr/57014/, 'a signal reaches the process itself');
}

# ------------------------------------------------------------- libcurl fails
# given libcurl that fails as a whole while requests are under way, then their
# outcome is not known, it is made anew, and they are sent again
{
	my $sync = fresh(2000);
	$session->stop;
	$session = new_session();
	is(call($sync), '', 'before libcurl fails');
	value("UPDATE $sync SET v = v || '!'");
	# Several are under way at any time, and many to come.
	$crm->config({ delay_ms => 10 });
	my $seen = $crm->stats->{requests};
	$session->send("CALL activate.run_sync('$sync')");
	wait_until('requests under way', sub { $crm->stats->{requests} >= $seen + 10 });
	write_file($epoll, 'once');
	is($session->wait, '', 'libcurl fails: the run goes on');
	ok(!-e $epoll, 'libcurl fails: it did');
	my ($status, $accepted, $retries) = split / /, run_of($sync);
	is("$status $accepted", 'succeeded 2000', 'libcurl fails: all rows are accepted');
	cmp_ok($retries, '>', 0, "libcurl fails: $retries requests were made again");
	is_equal($sync, 'libcurl fails');

	# Whenever it happens, with nothing under way, too.
	$crm->config({ delay_ms => 0 });
	value("UPDATE $sync SET v = v || '?'");
	write_file($epoll, 'once');
	my $text = call($sync);
	like($text, qr/^(?:WARNING:  01PA1: .*)?$/m, 'libcurl fails at the first request: the run goes on');
	# What is in doubt waits out the timeout of its request.
	wait_until('nothing delayed', sub { call($sync) eq '' });
	ok(!-e $epoll, 'libcurl fails at the first request: it did');
	is_equal($sync, 'libcurl fails at the first request');
}

# ------------------------------------------------------------ what answers say
# given answers with bytes that are no text, and characters that the database
# lacks, then rows are refused with a reason that can be read
foreach my $encoding (qw(UTF8 LATIN1 SQL_ASCII EUC_JP))
{
	my $database = lc "db_$encoding";
	my $sql = sub { return $node->safe_psql($database, $_[0]) };
	$node->safe_psql('postgres', "CREATE DATABASE $database ENCODING '$encoding' LOCALE 'C' TEMPLATE template0");
	$sql->(<<"END");
CREATE EXTENSION pg_activate;
CREATE SERVER crm FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url '$url', batch_size '1', concurrency '1');
CREATE TABLE words (id int PRIMARY KEY, v text);
INSERT INTO words SELECT i, 'word' FROM generate_series(1, 9) i;
SET client_min_messages = warning;
SELECT activate.create_sync('words', 'public.words', 'id', 'crm', object => 'words', mapping => 'v', options => '{"max_rejected": null}');
END
	$crm->reset;
	my $rocket = "\xf0\x9f\x9a\x80";
	my @bodies = (
		'{"results":[{"status":"rejected","error":"a\\u0000b"}]}',
		'{"results":[{"status":"rejected","error":"lone \\ud83d surrogate"}]}',
		'{"results":[{"status":"rejected","error":"' . 'x' x 1020 . $rocket x 20 . '"}]}',
		"{\"results\":[{\"status\":\"rejected\",\"error\":\"$rocket \xe6\x97\xa5\"}]}",
		"{\"results\":[{\"status\":\"rejected\",\"error\":\"no \xff\xfe text\"}]}");
	my $text = join ', ', map { my $body = $_; $body =~ s/(["\\])/\\$1/g; qq({"status": 200, "body": "$body"}) } @bodies;
	my $bad = qq(, {"status": 400, "body": "plain \xff\xfe bytes"}, {"status": 422, "body": "\xc3"});
	my ($http, $answer) = $crm->http(POST => '/_script', "[$text$bad]");
	is($http, 200, "$encoding: such answers are to come") or diag $answer;
	my ($status, undef, $err) = $node->psql($database, "SET pg_activate.progress_interval = 0; CALL activate.run_sync('words')");
	unlike($err, qr/ERROR: .*(?:encoding|byte sequence|translate)/, "$encoding: no answer fails the run");
	is($sql->(q{SELECT count(*) FROM activate.claim}), 0, "$encoding: no claim is left");
	is($sql->(q{SELECT count(*) FROM activate.pending WHERE message IS NULL OR message = ''}), 0, "$encoding: each refusal has a reason");
	cmp_ok($sql->(q{SELECT count(*) FROM activate.pending}), '>=', 5, "$encoding: refused rows are listed");
	my $readable = $encoding eq 'SQL_ASCII' ? 'message' : "convert_from(convert_to(message, 'UTF8'), 'UTF8')";
	is($sql->("SELECT count($readable) FROM activate.pending WHERE message <> ''"), $sql->('SELECT count(*) FROM activate.pending'),
		"$encoding: each reason can be read as UTF-8");
	is($sql->(q{SELECT bool_and(status IN ('partial', 'failed')) FROM activate.runs}), 't', "$encoding: the run says that not all went well");
}

# -------------------------------------------------------- many transactions
# given twenty thousand transactions that wake the workers, then the last cost what the first did
{
	my $preloaded = PostgreSQL::Test::Cluster->new('preloaded');
	$preloaded->init;
	$preloaded->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_activate'\nfsync = off\npg_activate.allowed_hosts = '*'\n");
	$preloaded->start;
	$preloaded->safe_psql('postgres', <<"END");
CREATE EXTENSION pg_activate;
CREATE SERVER crm FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url '$url');
CREATE TABLE m (id int PRIMARY KEY);
SET client_min_messages = warning;
SELECT activate.create_sync('m', 'public.m', 'id', 'crm', object => 'm');
CREATE PROCEDURE wakes(n int, INOUT seconds float8 DEFAULT 0) LANGUAGE plpgsql AS \$\$
DECLARE
	start timestamptz := clock_timestamp();
BEGIN
	FOR i IN 1 .. n LOOP
		PERFORM activate.queue_run('m');
		ROLLBACK;
	END LOOP;
	seconds := extract(epoch FROM clock_timestamp() - start);
END \$\$;
END
	my @seconds = split /\n/, $preloaded->safe_psql('postgres', "SET client_min_messages = error;\n" . "CALL wakes(4000);\nVACUUM activate.run, activate.sync_state, activate.sync;\n" x 5);
	is(scalar @seconds, 5, 'five times 4000 transactions');
	# 1.3 on a machine that has nothing else to do; a callback for each transaction made it 7.
	my ($first) = sort { $a <=> $b } @seconds[ 0, 1 ];
	cmp_ok($seconds[4], '<', 3 * $first, "the last 4000 take as long as the first: @seconds s");
	$preloaded->stop;
}

$session->stop;
unlink $hosts, $epoll;
done_testing();
