# While a destination hangs nothing of the database is held, and the run ends
# as soon as it is told to.
# Runs alone: it measures.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use Destination;
use Session;

# Promised are 100 ms; what is too slow ten times over fails.
use constant AT_ONCE => 1;

my $crm = Destination->start;
my $hosts = "$ENV{TESTDATADIR}/hosts.$$";
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', <<END);
autovacuum = off
pg_activate.debug_late_off = on
pg_activate.allowed_hosts = '*'
END
write_hosts('slow.test=HANG');
{
	local %ENV = (%ENV, LD_PRELOAD => $ENV{ACT_SHIM}, ACT_SHIM_HOSTS_FILE => $hosts);
	$node->start;
}
my $url = $crm->url;
my $port = $crm->port;
$node->safe_psql('postgres', <<END);
CREATE EXTENSION pg_activate;
CREATE SERVER crm FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url '$url', timeout '1 hour', batch_size '10');
CREATE SERVER slow FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url 'http://slow.test:$port', timeout '1 hour', connect_timeout '10 minutes');
CREATE TABLE model (id int PRIMARY KEY, name text, extra text);
CREATE TABLE other (id int PRIMARY KEY, name text);
INSERT INTO other SELECT i, 'x' FROM generate_series(1, 1000) i;
END

sub write_hosts
{
	my ($text) = @_;
	open my $file, '>', $hosts or die $!;
	print $file "$text\n";
	close $file;
	return;
}

# What else than an answer is waited for.
sub wait_until
{
	my ($what, $condition, $seconds) = @_;
	my $until = time + ($seconds // 30);
	until ($condition->())
	{
		die "waited in vain for: $what" if time > $until;
		sleep 0.002;
	}
	return;
}

sub at_once
{
	my ($seconds, $name) = @_;
	ok($seconds < AT_ONCE, sprintf '%s: %.0f ms', $name, 1000 * $seconds);
	return;
}

# Another session's statement, which must not wait for a lock.
sub goes_through
{
	my ($sql, $name) = @_;
	my ($status, undef, $error) = $node->psql('postgres', $sql, extra_params => ['-v', 'ON_ERROR_STOP=1'],
		connstr => $node->connstr('postgres') . " options='-c lock_timeout=1s'");
	is($status, 0, $name) or diag $error;
	return $error;
}

sub value { return $node->safe_psql('postgres', $_[0]) }

sub temp_files
{
	my $folder = $node->data_dir . '/base/pgsql_tmp';
	return scalar grep { -f } glob "$folder/* $folder/*/*";
}

sub locks
{
	my ($session) = @_;
	return value("SELECT locktype, objsubid FROM pg_locks WHERE pid = @{[$session->pid]} ORDER BY 1, 2");
}

sub last_run
{
	my ($sync) = @_;
	return value("SELECT status FROM activate.run JOIN activate.sync USING (sync_id) WHERE name = '$sync' ORDER BY run_id DESC LIMIT 1");
}

sub create_sync
{
	my ($sync, $server) = @_;
	value("SELECT activate.create_sync('$sync', 'public.model', 'id', '$server', object => '$sync')");
	return;
}

# More than a small work_mem holds, so that the diff is in a file.
sub fill_model
{
	value("TRUNCATE model; INSERT INTO model SELECT i, 'n' || i, repeat('x', 100) FROM generate_series(1, 2000) i");
	return;
}

sub start_hanging
{
	my ($session, $sync) = @_;
	my $seen = $crm->stats->{requests};
	$crm->script({ hang => 1, times => -1 });
	$session->send("CALL activate.run_sync('$sync')");
	wait_until("a request", sub { $crm->stats->{requests} > $seen });
	return;
}

# After the session's error: as before it.
sub nothing_left
{
	my ($session, $sync, $name) = @_;
	is(locks($session), '', "$name: no lock is left");
	is(temp_files(), 0, "$name: no temporary file is left");
	is($session->query("SELECT name FROM pg_backend_memory_contexts WHERE name LIKE 'pg\\_activate%'"), '',
		"$name: no memory is left");
	is(last_run($sync), 'cancelled', "$name: the run is cancelled");
	is(value("SELECT count(*) FROM activate.claim"), 0, "$name: claims are settled");
	return;
}

# ----------------------------------------------------------- nothing is held
fill_model();
create_sync('people', 'crm');
my $session = Session->start($node, 'postgres', options => '-c work_mem=64kB -c pg_activate.progress_interval=0');
start_hanging($session, 'people');

is(value("SELECT backend_xmin IS NULL, backend_xid IS NULL, state FROM pg_stat_activity WHERE pid = @{[$session->pid]}"),
	't|t|active', 'the session holds no snapshot and no transaction id');
is(locks($session), "advisory|-21391\nvirtualxid|", 'its locks are those of the run and of an empty transaction');
cmp_ok(temp_files(), '>', 0, 'what is to be sent is in a temporary file');

value('DELETE FROM other WHERE id <= 900');
like(goes_through('VACUUM VERBOSE other', 'VACUUM'), qr/900 removed, 100 remain, 0 are dead but not yet removable/,
	'VACUUM of another table removes its dead rows');
goes_through('ALTER TABLE model ADD COLUMN later int', 'ALTER TABLE of the model');
goes_through('TRUNCATE model', 'TRUNCATE of the model');
goes_through('CREATE INDEX CONCURRENTLY ON other (name)', 'CREATE INDEX CONCURRENTLY elsewhere');
goes_through('VACUUM FULL activate_data.people', 'VACUUM FULL of the table of the sync');
ok($session->is_busy, 'the run is still waiting');

my ($status, undef, $error) = $node->psql('postgres', "\\set VERBOSITY verbose\nCALL activate.run_sync('people')");
like($error, qr/55006: sync "people" is already running\nDETAIL:  Process @{[$session->pid]} runs it\./,
	'a second run is refused, and names the process of the first');

# ------------------------------------------------------------------- cancel
my $start = time;
value("SELECT pg_cancel_backend(@{[$session->pid]})");
like($session->wait, qr/57014: canceling statement due to user request/, 'cancelled');
at_once(time - $start, 'pg_cancel_backend');
nothing_left($session, 'people', 'cancel');
is(value("SELECT count(*), bool_and(activate_in_doubt), bool_and(activate_fingerprint IS NULL) FROM activate_data.people"),
	'10|t|t', 'the rows under way are in doubt');

fill_model();
$crm->script;
is($session->query("CALL activate.run_sync('people')"), '', 'the next run in the same session');
is(value("SELECT count(*), bool_or(activate_in_doubt) FROM activate_data.people"), '2000|f', 'sends everything');
is(scalar @{ $crm->records('people') }, 2000, 'to the destination');

value("UPDATE model SET name = 'again'");
start_hanging($session, 'people');
$start = time;
value("SELECT pg_terminate_backend(@{[$session->pid]})");
wait_until('the end of the process', sub { !kill 0, $session->pid });
at_once(time - $start, 'pg_terminate_backend');
like($session->wait, qr/57P01/, 'terminated');
is(temp_files(), 0, 'terminate: no temporary file is left');
is(value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"), 0, 'terminate: no lock is left');
is(last_run('people'), 'running', 'nobody was left to end the run');
$crm->script;
$session = Session->start($node, 'postgres', options => '-c work_mem=64kB -c pg_activate.progress_interval=0');
is($session->query("CALL activate.run_sync('people')"), '', 'the next run');
is(value("SELECT string_agg(status, ' ' ORDER BY run_id) FROM activate.run WHERE run_id > 2"), 'interrupted succeeded',
	'calls it interrupted');
is(value("SELECT count(*) FROM activate.claim"), 0, 'and settles its claims');

# ------------------------------------------------- cancel_run, without preload
value("UPDATE model SET name = 'cancelled'");
start_hanging($session, 'people');
my $run = value("SELECT run_id FROM activate.runs WHERE status = 'running'");
is(value('SELECT * FROM activate.progress'), "$run|people|@{[$session->pid]}|||||||", 'the view progress has what can be known');
$start = time;
value("SELECT activate.cancel_run($run)");
like($session->wait, qr/57014: canceling statement due to user request/, 'cancel_run cancels, as pg_cancel_backend does');
at_once(time - $start, 'cancel_run');
nothing_left($session, 'people', 'cancel_run');

# -------------------------------------------------------- statement_timeout
value("UPDATE model SET name = 'timeout'");
$crm->script({ hang => 1, times => -1 });
$session->query("SET statement_timeout = '500ms'");
like($session->query("CALL activate.run_sync('people')"), qr/57014: canceling statement due to statement timeout/,
	'statement_timeout ends the run');
$session->query('RESET statement_timeout');
nothing_left($session, 'people', 'statement_timeout');

# --------------------------------------------------------------- DNS hangs
create_sync('nowhere', 'slow');
value("UPDATE activate.sync SET first_batch_alone = false WHERE name = 'nowhere'");
foreach my $ending (qw(cancel terminate))
{
	$session->send("CALL activate.run_sync('nowhere')");
	wait_until('a claim', sub { value("SELECT count(*) FROM activate.claim") > 0 });
	# The claim is there just before the name is looked up.
	wait_until('the loop', sub { value("SELECT wait_event_type FROM pg_stat_activity WHERE pid = @{[$session->pid]}") eq 'Extension' });
	$start = time;
	value("SELECT pg_${ending}_backend(@{[$session->pid]})");
	if ($ending eq 'cancel')
	{
		like($session->wait, qr/57014/, 'cancelled while a name is looked up');
		at_once(time - $start, 'pg_cancel_backend while DNS hangs');
		nothing_left($session, 'nowhere', 'cancel while DNS hangs');
	}
	else
	{
		wait_until('the end of the process', sub { !kill 0, $session->pid });
		at_once(time - $start, 'pg_terminate_backend while DNS hangs');
	}
}
$session = Session->start($node, 'postgres', options => '-c work_mem=64kB -c pg_activate.progress_interval=0');
write_hosts('slow.test=127.0.0.1');
$crm->script;
is($session->query("CALL activate.run_sync('nowhere')"), '', 'the name is found: the run succeeds');
is(scalar @{ $crm->records('nowhere') }, 2000, 'with all rows');

# ------------------------------------------------------ the table is locked
sub lock_table
{
	my ($locker) = @_;
	return $locker->query('BEGIN; LOCK TABLE activate_data.people IN ACCESS EXCLUSIVE MODE; SELECT 1');
}

my $locker = Session->start($node, 'postgres');
value("UPDATE model SET name = 'locked'");
$crm->reset;
$crm->script({ delay_ms => 300, times => 4 });
$session->send("CALL activate.run_sync('people')");
$crm->wait_for_requests(1);
is(lock_table($locker), '1', 'another session locks the table of the sync while a request is under way');
wait_until('the answers', sub { $crm->stats->{busy} == 0 });
wait_until('the locked table', sub {
	value("SELECT wait_event_type FROM pg_stat_activity WHERE pid = @{[$session->pid]}") eq 'Extension' });
ok($session->is_busy, 'the run waits, with the answers in hand');
is(value("SELECT backend_xmin IS NULL FROM pg_stat_activity WHERE pid = @{[$session->pid]}"), 't', 'holding no snapshot');
is($locker->query('SELECT count(*) FROM activate_data.people; COMMIT'), '2000', 'nor does it stand in the locker\'s way');
is($session->wait, '', 'released: the run goes on');
is(last_run('people'), 'succeeded', 'to its end');

value("UPDATE model SET name = 'locked again'");
$crm->reset;
$crm->script({ hang => 1, times => -1 });
$session->send("CALL activate.run_sync('people')");
$crm->wait_for_requests(1);
lock_table($locker);
$start = time;
value("SELECT pg_cancel_backend(@{[$session->pid]})");
like($session->wait, qr/57014/, 'cancelled while the table is locked');
at_once(time - $start, 'pg_cancel_backend while the table is locked');
$locker->query('COMMIT');
is(locks($session), '', 'no lock is left');
cmp_ok(value('SELECT count(*) FROM activate.claim'), '>', 0, 'the claims say what is in doubt');
$crm->script;
is($session->query("CALL activate.run_sync('people')"), '', 'and the next run settles them');
is(value('SELECT count(*) FROM activate.claim'), 0, 'all');

value("UPDATE model SET name = 'locked before'");
lock_table($locker);
$session->send("CALL activate.run_sync('people')");
wait_until('the locked table', sub {
	value("SELECT wait_event_type FROM pg_stat_activity WHERE pid = @{[$session->pid]}") =~ /Lock|Extension/ });
$locker->query('COMMIT');
is($session->wait, '', 'a run that begins while the table is locked waits for it');

# ---------------------------------------------- the model releases the lock
value(<<'END');
CREATE FUNCTION unlock() RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_unlock_all(); RETURN 'x'; END $$;
CREATE VIEW unlocking AS SELECT id, name, unlock() AS extra FROM model WHERE id <= 3;
END
value("SELECT activate.create_sync('unlocking', 'public.unlocking', 'id', 'crm', object => 'unlocking')");
$crm->reset;
like($session->query("CALL activate.run_sync('unlocking')"),
	qr/ERROR:  55P03: the lock of sync "unlocking" was lost\nDETAIL:  Something in the model released it/,
	'a model that releases the lock of its run: the run stops');
is($crm->stats->{requests}, 0, 'before anything is sent');
is(last_run('unlocking'), 'failed', 'and has failed');
is(locks($session), '', 'no lock is left');

$session->stop;
$locker->stop;
unlink $hosts;
done_testing();
