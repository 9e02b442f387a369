# What can go wrong in the database itself while a run is under way: each time
# a clear error, or none, and nothing is lost.  What comes next mends it.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use Scheduled;
use Session;

# Promised are 100 ms, and 2 s for a shutdown; what is ten times too slow fails.
use constant AT_ONCE => 1;
use constant SHUTDOWN => 20;

my $s = Scheduled->start('main', <<'END');
autovacuum = off
max_prepared_transactions = 0
max_connections = 20
wal_level = replica
max_wal_senders = 2
superuser_reserved_connections = 3
END
my $crm = $s->crm;
my $node = $s->node;
$s->value(q{ALTER SERVER crm OPTIONS (SET timeout '2s')});

sub value { return $s->value($_[0]) }
sub wait_until { return $s->wait_until(@_) }

sub at_once
{
	my ($seconds, $name, $limit) = @_;
	return ok($seconds < ($limit // AT_ONCE), sprintf '%s: %.0f ms', $name, 1000 * $seconds);
}

# Its row once it has ended.
sub ended
{
	my ($run) = @_;
	wait_until("run $run", sub { value("SELECT status FROM activate.run WHERE run_id = $run") !~ /queued|running/ });
	return value("SELECT status FROM activate.run WHERE run_id = $run");
}

# A model of rows, and a sync over it that the worker or a session runs.
sub fresh
{
	my ($sync, $rows, %argument) = @_;
	my $more = join '', map { ", $_ => $argument{$_}" } sort keys %argument;
	value("CREATE TABLE $sync (id int PRIMARY KEY, v text NOT NULL)");
	value("INSERT INTO $sync SELECT i, 'v' || i FROM generate_series(1, $rows) i");
	value("SELECT activate.create_sync('$sync', 'public.$sync', 'id', 'crm', object => '$sync', mapping => 'v'$more)");
	return $sync;
}

# The destination has what the model has, no claim is left, and nothing more is to be sent.
sub is_equal
{
	my ($sync, $name) = @_;
	my %there = map { $_->{key}{id} => $_->{fields}{v} } @{ $crm->records($sync) };
	my %here = map { split /\|/ } split /\n/, value("SELECT id, v FROM $sync");
	is_deeply(\%there, \%here, "$name: the destination has what the model has");
	return is(value("SELECT count(*) FROM activate.claim JOIN activate.sync USING (sync_id) WHERE name = '$sync'"), '0',
		"$name: no claim is left");
}

my $session = Session->start($node, 'postgres', options => '-c pg_activate.progress_interval=0 -c client_min_messages=error');
sub call { return $session->query("CALL activate.run_sync('$_[0]')") }

# A row in doubt waits out the timeout of its request before it goes again.
sub call_until_settled
{
	my ($sync, $name) = @_;
	my $text;
	wait_until("$name: nothing delayed", sub { $text = call($sync); $text !~ /01PA1:.* delayed/ });
	return is($text, '', $name);
}

sub begin_call
{
	my ($sync, %answer) = @_;
	my $seen = $crm->stats->{requests};
	$crm->script({ %answer, times => -1 });
	$session->send("CALL activate.run_sync('$sync')");
	wait_until('a request', sub { $crm->stats->{requests} > $seen });
	return;
}

# -------------------------------------------------------------- temp space
# given no room for what a run keeps in files, then it says so before anything is sent
{
	my $sync = fresh('large', 20_000);
	$session->query(q{SET work_mem = '64kB'; SET temp_file_limit = '64kB'});
	my $seen = $crm->stats->{requests};
	like(call($sync), qr/53400: temporary file size exceeds "?temp_file_limit"? \(64kB\)/, 'temp_file_limit: the run says what is short');
	is($crm->stats->{requests}, $seen, 'temp_file_limit: nothing was sent');
	is(value("SELECT status FROM activate.runs WHERE sync = '$sync'"), 'failed', 'temp_file_limit: it failed');
	my $folder = $node->data_dir . '/base/pgsql_tmp';
	is(scalar(grep { -f } glob "$folder/* $folder/*/*"), 0, 'temp_file_limit: no file is left');
	$session->query('RESET work_mem; RESET temp_file_limit');
	is(call($sync), '', 'temp_file_limit: with room again it succeeds');
	is_equal($sync, 'temp_file_limit');
}

# given a folder for temporary files that cannot be written to, then the same
SKIP:
{
	skip 'root may write anywhere', 5 if $> == 0;
	my $folder = $node->data_dir . '/base/pgsql_tmp';
	$session->query(q{SET work_mem = '64kB'});
	chmod 0500, $folder or die $!;
	value("UPDATE large SET v = v || '!'");
	my $seen = $crm->stats->{requests};
	like(call('large'), qr/could not create temporary file/, 'temp space: the run says what is short');
	is($crm->stats->{requests}, $seen, 'temp space: nothing was sent');
	chmod 0700, $folder or die $!;
	is(call('large'), '', 'temp space: with room again it succeeds');
	is_equal('large', 'temp space');
	$session->query('RESET work_mem');
}

# ---------------------------------------------------------------- settings
# given timeouts and read-only transactions as the default of the cluster, the database and the role, then workers heed none
{
	my $sync = fresh('timeouts', 50);
	my $user = value('SELECT current_user');
	my %set = (statement_timeout => '1ms', lock_timeout => '1ms', idle_in_transaction_session_timeout => '1ms',
		idle_session_timeout => '0', default_transaction_read_only => 'on', default_transaction_isolation => 'serializable');
	foreach my $where ("ROLE $user", 'DATABASE postgres')
	{
		value("ALTER $where SET $_ = '$set{$_}'") foreach sort keys %set;
		my $run = value("BEGIN READ WRITE; UPDATE $sync SET v = v || '+'; SELECT activate.queue_run('$sync'); COMMIT");
		is(ended($run), 'succeeded', "timeouts of the $where: the worker's run succeeds");
		value("BEGIN READ WRITE; ALTER $where RESET $_; COMMIT") foreach sort keys %set;
	}
	is_equal($sync, 'timeouts');

	# Those of a session are its own: statement_timeout ends the CALL, the others do not concern it.
	value("UPDATE $sync SET v = v || '-'");
	$session->query(q{SET lock_timeout = '1ms'; SET idle_in_transaction_session_timeout = '1ms'; SET default_transaction_read_only = on;
		SET default_transaction_isolation = 'serializable'});
	is(call($sync), '', 'timeouts of a session: its CALL succeeds');
	$session->query('RESET ALL; SET pg_activate.progress_interval = 0; SET client_min_messages = error');
	is_equal($sync, 'timeouts of a session');
}

# ------------------------------------------------------------ maintenance
# given maintenance and terminated sessions while requests are under way, then the run never noticed, or the next makes it good
{
	my $sync = fresh('kept', 100, options => q('{"batch_size": 10}'));
	is(call($sync), '', 'maintenance: the first run');
	foreach my $command ('VACUUM FULL activate_data.kept', 'REINDEX TABLE activate_data.kept',
		"CLUSTER activate_data.kept USING @{[value(q{SELECT relname FROM pg_index JOIN pg_class c ON c.oid = indexrelid WHERE indrelid = 'activate_data.kept'::regclass AND indisprimary})]}",
		'VACUUM (ANALYZE) activate_data.kept', 'REINDEX TABLE CONCURRENTLY activate_data.kept', 'TRUNCATE activate_data.kept',
		'VACUUM FULL activate.claim')
	{
		value("UPDATE $sync SET v = v || '.'");
		begin_call($sync, delay_ms => 100);
		value("SET lock_timeout = '10s'");
		value($command);
		is($session->wait, '', "maintenance: $command in mid run");
		$crm->script;
		is(call($sync), '', "maintenance: $command: the next run");
		is_equal($sync, $command);
	}
	value('RESET lock_timeout');

	value("UPDATE $sync SET v = v || ','");
	begin_call($sync, hang => 1);
	value("SELECT pg_terminate_backend(@{[$session->pid]})");
	wait_until('the end of the process', sub { !kill 0, $session->pid });
	$crm->script;
	$session = Session->start($node, 'postgres', options => '-c pg_activate.progress_interval=0 -c client_min_messages=error');
	call_until_settled($sync, 'pg_terminate_backend: the next run');
	is_equal($sync, 'pg_terminate_backend');
	wait_until('the timeout of what was lost', sub {
		value("SELECT count(*) FROM activate_data.$sync WHERE activate_late_until > clock_timestamp()") eq '0' });
}

# given a table that somebody locks for as long as answers come in, then they are kept, and a worker's run goes on, too
{
	my $locker = Session->start($node, 'postgres');
	value(q{UPDATE kept SET v = v || ';'});
	$crm->script({ delay_ms => 200, times => 4 });
	my $seen = $crm->stats->{requests};
	my $run = value(q{SELECT activate.queue_run('kept')});
	wait_until('requests', sub { $crm->stats->{requests} > $seen });
	$locker->query('BEGIN; LOCK TABLE activate_data.kept IN ACCESS EXCLUSIVE MODE');
	wait_until('the answers', sub { $crm->stats->{busy} == 0 });
	is(value("SELECT status FROM activate.run WHERE run_id = $run"), 'running', 'locked: the run waits');
	# What is in hand is neither lost nor in doubt.
	$locker->query('COMMIT');
	is(ended($run), 'succeeded', 'released: it goes on');
	is_equal('kept', 'locked');

	# Who cancels does not wait for the lock.
	value(q{UPDATE kept SET v = v || ':'});
	$crm->script({ hang => 1, times => -1 });
	$seen = $crm->stats->{requests};
	$run = value(q{SELECT activate.queue_run('kept')});
	wait_until('requests', sub { $crm->stats->{requests} > $seen });
	my $pid = value(q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'pg_activate run'});
	$locker->query('BEGIN; LOCK TABLE activate_data.kept IN ACCESS EXCLUSIVE MODE');
	my $start = time;
	value("SELECT activate.cancel_run($run)");
	wait_until('the end of the process', sub { !kill 0, $pid });
	at_once(time - $start, 'locked: cancel_run');
	$locker->query('COMMIT');
	$crm->script;
	call_until_settled('kept', 'cancelled: the next run');
	is_equal('kept', 'cancelled');
	$locker->stop;
}

# given a row that somebody steers in a transaction left open, then the run waits for it with nothing in hand, and a cancel is heard
{
	my $locker = Session->start($node, 'postgres', options => '-c client_min_messages=error');
	value(q{UPDATE kept SET v = v || ','});
	$locker->query(q{BEGIN; SELECT activate.mute_row('kept', '1')});
	$session->send(q{CALL activate.run_sync('kept')});
	my $under_way = q{SELECT in_flight FROM activate.progress WHERE sync = 'kept' AND phase = 'deliver'};
	wait_until('the answers', sub { value($under_way) eq '0' && $crm->stats->{busy} == 0 });
	my $start = time;
	value(sprintf 'SELECT pg_cancel_backend(%d)', $session->pid);
	like($session->wait(5), qr/57014/, 'row locked: a cancel ends it');
	at_once(time - $start, 'row locked: pg_cancel_backend');
	is(value(q{SELECT status FROM activate.runs WHERE sync = 'kept' ORDER BY run_id DESC LIMIT 1}), 'cancelled',
		'row locked: and is written down');

	# The last transaction of a run is not waited for either.
	$locker->query('ROLLBACK');
	call_until_settled('kept', 'row locked: the next run');
	is_equal('kept', 'row locked');
	value(q{SELECT activate.alter_sync('kept', schedule => '1 day')});
	$locker->query(q{BEGIN; SELECT activate.resume_sync('kept'); SELECT * FROM activate.sync_state FOR UPDATE});
	$session->send(q{CALL activate.run_sync('kept')});
	wait_until('it waits', sub { value(sprintf 'SELECT count(*) FROM pg_locks WHERE pid = %d AND NOT granted', $session->pid) ne '0' });
	$start = time;
	value(sprintf 'SELECT pg_cancel_backend(%d)', $session->pid);
	like($session->wait(5), qr/57014/, 'its state locked: a cancel ends it');
	at_once(time - $start, 'its state locked: pg_cancel_backend');
	$locker->query('ROLLBACK');
	call_until_settled('kept', 'its state locked: the next run');
	$locker->stop;
}

# given a destination that is paused in a transaction left open, then who counts its day's requests does not wait
{
	my $locker = Session->start($node, 'postgres');
	my $url = $crm->url;
	value("CREATE SERVER daily FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url '$url', rate_limit '1000/day')");
	value(q{CREATE TABLE counted AS SELECT 1 AS id, 'v' AS v});
	value(q{SELECT activate.create_sync('counted', 'public.counted', 'id', 'daily', object => 'counted', mapping => 'v')});
	$locker->query(q{BEGIN; SELECT activate.pause_destination('daily')});
	$session->send(q{CALL activate.run_sync('counted')});
	is($session->wait(10), '', 'pause under way: the run succeeds');
	$locker->query('ROLLBACK');
	$locker->stop;
}

# ---------------------------------------------------------- altered by hand
# given a table that was altered, then a run says how, loses nothing, and reset_sync mends it
{
	value('CREATE ROLE somebody');
	value(q{CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not in my table'; END $$});
	my $number = 0;
	foreach my $case (
		[ 'DROP COLUMN activate_message', qr/55000: table activate_data\.\w+ of sync "\w+" cannot be used: it has no column "activate_message"/ ],
		[ 'RENAME COLUMN activate_state TO state', qr/55000: .*it has no column "activate_state"/ ],
		[ 'ALTER activate_external_id TYPE int8 USING 0', qr/55000: .*its column "activate_external_id" has type bigint/ ],
		[ 'DROP COLUMN id', qr/55000: .*it has no column "id"/ ],
		[ 'RENAME COLUMN id TO number', qr/55000: .*it has no column "id"/ ],
		[ 'ALTER id TYPE text', qr/42804: key column "id" of sync "\w+" has type integer now, and its table has text/ ],
		[ 'ADD COLUMN mine int NOT NULL', qr/23502: table activate_data\.\w+ of sync "\w+" does not take what the destination answered: null value in column "mine"/,
			'TRUNCATE' ],
		[ 'ALTER activate_code SET NOT NULL', qr/23502: .*does not take what the destination answered: null value in column "activate_code"/, 'TRUNCATE' ],
		[ q{ADD CONSTRAINT mine CHECK (activate_state <> 'accepted') NOT VALID}, qr/23514: .*does not take what the destination answered: .*"mine"/ ],
		[ 'DROP CONSTRAINT activate_key_%d', qr/42P10: .*does not take what the destination answered: / ],
		[ 'SET UNLOGGED', qr/55000: .*it is not logged/ ],
		[ 'ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', qr/55000: .*row security is forced on its owner/ ],
		[ 'trigger', qr/P0001: .*does not take what the destination answered: not in my table/ ],
		[ 'rule', qr/55000: .*it has rules/ ],
		[ 'partitioned', qr/55000: .*it is no table any more/ ])
	{
		my ($change, $error, $empty) = @$case;
		my $sync = fresh('altered' . ++$number, 20, options => q('{"batch_size": 10, "max_changed": null}'));
		my $table = "activate_data.$sync";

		is(call($sync), '', "$change: before");
		value("SELECT activate.mute_row('$sync', '1000', 'asked for it')");
		value("UPDATE $sync SET v = v || '!' WHERE id <= 15");
		value("TRUNCATE $table") if $empty;
		my $id = value("SELECT sync_id FROM activate.sync WHERE name = '$sync'");
		value($change eq 'trigger' ? "CREATE TRIGGER mine BEFORE INSERT OR UPDATE OR DELETE ON $table FOR EACH STATEMENT EXECUTE FUNCTION refuse()"
			: $change eq 'rule' ? "CREATE RULE mine AS ON INSERT TO $table DO INSTEAD NOTHING"
			: $change eq 'partitioned' ? "DROP TABLE $table; CREATE TABLE $table (id int) PARTITION BY LIST (id)"
			: "ALTER TABLE $table " . sprintf $change, $id);
		my $text = call($sync);
		like($text, $error, "$change: the run says so");
		like($text, qr/reset_sync\('$sync', 'resend'\)/, "$change: and what to do");
		my ($status, undef, $err) = $node->psql('postgres', "SELECT activate.reset_sync('$sync', 'resend')");
		is($status, 0, "$change: reset_sync mends it") or diag $err;
		is(value("SELECT string_agg(concat_ws(' ', id, activate_state, activate_muted_reason), ',') FROM $table"),
			$empty || $change =~ /COLUMN id|partitioned/ ? '' : '1000 gone asked for it', "$change: what is muted stays muted");
		is(call($sync), '', "$change: the next run");
		is_equal($sync, $change);
		is(value("SELECT count(*) FROM $table WHERE activate_state = 'accepted' AND NOT activate_in_doubt"), 20, "$change: all rows are accepted");
	}
}

# given a table that is as it was made, then reset_sync keeps it, with its grants
{
	value('GRANT SELECT ON activate_data.kept TO somebody');
	my $before = value(q{SELECT 'activate_data.kept'::regclass::oid});
	value(q{SELECT activate.reset_sync('kept', 'resend')});
	is(value(q{SELECT 'activate_data.kept'::regclass::oid}), $before, 'not altered: the same table');
	is(call('kept'), '', 'not altered: the next run');
	is_equal('kept', 'not altered');
}

# given a table that was given away, then the sync is the new owner's, and his who has it now can run it
{
	my $sync = fresh('given', 5);
	is(call($sync), '', 'given away: before');
	value("UPDATE $sync SET v = 'mine'; ALTER TABLE activate_data.$sync OWNER TO somebody");
	is(value("SELECT owner FROM activate.syncs WHERE sync = '$sync'"), 'somebody', 'given away: the sync has a new owner');
	like(call($sync), qr/42501: permission denied for foreign server crm|42501: /, 'given away: who may not use the destination or read the model');
	value("GRANT USAGE ON FOREIGN SERVER crm TO somebody; GRANT SELECT ON $sync TO somebody; GRANT USAGE ON SCHEMA public, activate TO somebody");
	is(call($sync), '', 'given away: granted, the next run');
	is_equal($sync, 'given away');
}

# given a table that was dropped in mid run, then the run fails, says so, and drop_sync clears up
{
	my $sync = fresh('dropped', 20, options => q('{"batch_size": 10}'));
	begin_call($sync, delay_ms => 200);
	value("DROP TABLE activate_data.$sync");
	like($session->wait, qr/55000: table activate_data\.$sync of sync "$sync" cannot be used: it (?:was dropped|does not exist)/, 'dropped: the run says so');
	$crm->script;
	like(call($sync), qr/42P01: table activate_data\.$sync of sync "$sync" does not exist\nDETAIL:.*\nHINT: .*sync_sql.*drop_sync/,
		'dropped: the next one says what to do');
	like(value("SELECT reason FROM activate.status WHERE sync = '$sync'"), qr/drop_sync/, 'dropped: so does the view');
	value("SELECT activate.drop_sync('$sync')");
	is(value("SELECT count(*) FROM activate.sync WHERE name = '$sync'"), '0', 'dropped: drop_sync removes it');
	value("SELECT activate.create_sync('$sync', 'public.$sync', 'id', 'crm', object => '$sync', mapping => 'v')");
	is(call($sync), '', 'dropped: made again, it runs');
	is_equal($sync, 'dropped');
}

# ------------------------------------------------------------- connections
# given no connection left for anybody, then workers go on, which need none of them
{
	my @sessions;
	value(q{CREATE ROLE guest LOGIN});
	value(q{UPDATE kept SET v = v || '?'});
	push @sessions, Session->start($node, 'postgres', user => 'guest')
	  while value(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'}) < 17;
	my ($status, undef, $err) = $node->psql('postgres', 'SELECT 1', extra_params => [ '-U', 'guest' ]);
	like($err, qr/remaining connection slots are reserved/, 'max_connections: all are taken');
	my $run = value(q{SELECT activate.queue_run('kept')});
	is(ended($run), 'succeeded', 'max_connections: the worker runs');
	is_equal('kept', 'max_connections');
	$_->stop foreach @sessions;
}

# ----------------------------------------------------- a standby that is gone
# given synchronous replication to a standby that is gone, then nothing hangs
{
	my $sync = fresh('ghost', 30, options => q('{"batch_size": 10}'));
	is(call($sync), '', 'synchronous: before');
	value("UPDATE $sync SET v = v || '!'");
	value(q{ALTER SYSTEM SET synchronous_standby_names = 'ghost'});
	value('SELECT pg_reload_conf()');
	wait_until('the setting', sub { $session->query('SHOW synchronous_standby_names') eq 'ghost' && value('SHOW synchronous_standby_names') eq 'ghost' });

	# What is about to be sent waits for it, and is heard meanwhile.
	value('SET synchronous_commit = local');
	my $seen = $crm->stats->{requests};
	$session->send("CALL activate.run_sync('$sync')");
	wait_until('a claim', sub { value('SELECT count(*) FROM activate.claim') > 0 });
	my $start = time;
	value("SELECT pg_cancel_backend(@{[$session->pid]})");
	like($session->wait, qr/57014: canceling statement due to user request/, 'synchronous: a cancel is heard');
	at_once(time - $start, 'synchronous: pg_cancel_backend');
	is($crm->stats->{requests}, $seen, 'synchronous: nothing was sent that a promoted standby would not know of');
	is(value("SELECT count(*) FROM activate_data.$sync WHERE activate_in_doubt"), '0', 'synchronous: nothing is in doubt');
	is(value('SELECT count(*) FROM activate.claim'), '0', 'synchronous: no claim is left');

	# Nobody cancels: the run ends by itself.
	$start = time;
	like(call($sync), qr/PA001: .*no synchronous standby confirms what is to be sent.*\nHINT:.*synchronous_commit = local/s,
		'synchronous: a session\'s run ends, and says why');
	cmp_ok(time - $start, '<', 30, 'synchronous: it does not wait for ever');
	my $run = value("SELECT activate.queue_run('$sync')");
	is(ended($run), 'failed', 'synchronous: so does one of a worker');
	is($crm->stats->{requests}, $seen, 'synchronous: nothing was sent');
	is(value("SELECT count(*) FROM activate_data.$sync WHERE activate_in_doubt"), '0', 'synchronous: still nothing is in doubt');

	# Who does without waits for nobody.
	$session->query('SET synchronous_commit = local');
	is(call($sync), '', 'synchronous_commit = local: it is sent');
	is_equal($sync, 'synchronous');

	# A shutdown while a worker waits for the standby.
	value("UPDATE $sync SET v = v || '?'");
	value("SELECT activate.queue_run('$sync')");
	wait_until('a claim', sub { value('SELECT count(*) FROM activate.claim') > 0 });
	$session->stop;
	$s->reconnect;
	$start = time;
	$node->stop('fast');
	at_once(time - $start, 'synchronous: fast shutdown', SHUTDOWN);
	$node->append_conf('postgresql.auto.conf', "synchronous_standby_names = ''");
	$node->start;
	$session = Session->start($node, 'postgres', options => '-c pg_activate.progress_interval=0 -c client_min_messages=error');
	wait_until('the run that was cut short', sub { value("SELECT count(*) FROM activate.run WHERE status IN ('queued', 'running')") eq '0' });
	call_until_settled($sync, 'synchronous: the run after the restart');
	is_equal($sync, 'synchronous: after the restart');
}

$session->stop;
done_testing();
