# A row's life after a no, by worker and with the clock ahead: back-off, parked,
# changed meanwhile, retried by a person; and after an answer was lost: another
# version waits until what was lost can no longer come.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use Scheduled;
use Session;

use constant TIMEOUT => 3600;

my $s = Scheduled->start('main', "autovacuum = off\npg_activate.naptime = '1s'\npg_activate.debug_late_off = off\ndeadlock_timeout = '1s'\n");
my $crm = $s->crm;

sub value { return $s->value($_[0]) }
sub wait_until { return $s->wait_until(@_) }
sub status_of { return value("SELECT status FROM activate.run WHERE run_id = $_[0]") }

sub ended
{
	my ($run) = @_;
	wait_until("run $run", sub { status_of($run) !~ /queued|running/ });
	return value("SELECT concat_ws(' ', status, 'accepted ' || nullif(accepted, 0), 'rejected ' || nullif(rejected, 0),"
		. " 'delayed ' || nullif(delayed, 0), 'skipped ' || nullif(skipped, 0)) FROM activate.run WHERE run_id = $run");
}

# What the destination has of a row.
sub there { return $crm->fields('people')->{"{\"id\":$_[0]}"}{v} // 'nothing' }

sub queue { return value("SELECT activate.queue_run('$_[0]')") }

# ------------------------------------------------- given a row that is refused
my $rejecting = { reject_rows => [ { where => 'bad', error => 'no' } ], times => -1 };
$crm->script($rejecting);
$s->sync('people', rows => 3, schedule => '30 days', options => '{"max_rejected": 100}');
value("UPDATE people SET v = 'bad' WHERE id = 2");
is(ended(queue('people')), 'partial accepted 2 rejected 1', 'one of three rows is refused');

my $attempt = 'SELECT activate_attempts FROM activate_data.people WHERE id = 2';
my $wait = 'SELECT extract(epoch FROM activate_next_attempt_at - activate_last_at)::int FROM activate_data.people WHERE id = 2';
my @waits = value($wait);
my $ahead = 0;
foreach my $n (2 .. 10)
{
	my $before = value('SELECT max(run_id) FROM activate.run');
	# A minute before it is due a run of all finds it in back-off.
	if ($n == 5)
	{
		$s->clock($ahead + $waits[-1] - 60);
		is(ended(queue('people')), 'partial delayed 1', 'before its time it waits, whatever runs');
		is(value($attempt), $n - 1, 'and is charged nothing');
	}
	$ahead += $waits[-1] + 5;
	$s->clock($ahead);
	wait_until("attempt $n", sub { value($attempt) == $n });
	push @waits, value($wait);
}
is("@waits", join(' ', map { 60 * 2 ** $_ } 0 .. 8) . ' ', 'the pauses double from a minute, and after ten attempts there is none');
is(value("SELECT state, next_attempt_at IS NULL FROM activate.pending WHERE sync = 'people'"), 'rejected|t', 'the row is parked');
like(value("SELECT explanation FROM activate.explain_row('people', '2')"), qr/it is parked/, 'explain_row says so');

$s->clock($ahead += 20 * 86400);
is(ended(queue('people')), 'succeeded skipped 1', 'after weeks it is skipped');
is(value($attempt), 10, 'and not tried');

# ------------------------------------------------- when a person says so
my $last = value('SELECT max(run_id) FROM activate.run');
is(value("SELECT activate.retry_rows('people')"), 1, 'retry_rows');
wait_until('it is tried', sub { value($attempt) == 1 && value($wait) == 60 });
is(value("SELECT cause, keyed, rejected FROM activate.run WHERE run_id > $last ORDER BY run_id LIMIT 1"), 'retry|t|1',
	'has a worker try it at once, alone, and the back-off begins anew');

# ------------------------------------------------- when the row changes
value("UPDATE people SET v = 'bad too' WHERE id = 2");
is(ended(queue('people')), 'partial rejected 1', 'a newer version goes at once');
is(value($attempt), 1, 'with attempts of its own');
$crm->script;
value("UPDATE people SET v = 'good' WHERE id = 2");
is(ended(queue('people')), 'succeeded accepted 1', 'and the newest is accepted');
is(there(2), 'good', 'as it is now');

# ------------------------------------------------- a muted row
value("SELECT activate.mute_row('people', '1', 'asked for it')");
value("UPDATE people SET v = 'muted' WHERE id = 1");
is(ended(queue('people')), 'succeeded skipped 1', 'a muted row is skipped');
value("SELECT activate.unmute_row('people', '1')");
wait_until('it is sent', sub { there(1) eq 'muted' });
pass('and goes when it is unmuted, without waiting for the schedule');

# ------------------------------------------------- an answer that was lost
value("ALTER SERVER crm OPTIONS (SET timeout '@{[TIMEOUT]} s', ADD concurrency '1')");
my $one = 'SELECT activate_state, activate_in_doubt, activate_late_until IS NOT NULL FROM activate_data.people WHERE id = 1';

# Begins a run whose only request hangs.
sub hang
{
	my ($value) = @_;
	my $seen = $crm->stats->{requests};
	$crm->script([ { hang => 1 } ]);
	value("UPDATE people SET v = '$value' WHERE id = 1");
	my $run = queue('people');
	wait_until('the request', sub { $crm->stats->{requests} > $seen });
	return $run;
}

my $run = hang('A');
value("SELECT activate.cancel_run($run)");
like(ended($run), qr/^cancelled delayed 1/, 'a run is cancelled while its request hangs');
is(value($one), 'doubt|t|t', 'its row is in doubt, and may be applied late');
$crm->script;
value("UPDATE people SET v = 'B' WHERE id = 1");
is(ended(queue('people')), 'partial delayed 1', 'another version of it waits');
is(there(1), 'muted', 'and is not sent');
is(value("SELECT state, code, next_attempt_at > clock_timestamp() + interval '3000 s' FROM activate.pending WHERE sync = 'people'"),
	'delayed|in_doubt|t', 'pending says until when');
like(value("SELECT explanation FROM activate.explain_row('people', '1')"), qr/may still be applied, and would be over a newer one/, 'and explain_row why');
is(value("DELETE FROM people WHERE id = 1 RETURNING 1"), 1, 'gone from the model');
value("SELECT activate.alter_sync('people', mode => 'mirror', on_removed => 'delete', options => '{\"remove_after\": 0, \"max_removed\": null}')");
is(ended(queue('people')), 'partial delayed 1', 'its removal waits, too');
value("INSERT INTO people VALUES (1, 'A')");
is(ended(queue('people')), 'succeeded accepted 1', 'but the very version that was lost goes at once');
is(value($one), 'accepted|f|t', 'it is accepted, and the first copy may still come');
value("UPDATE people SET v = 'C' WHERE id = 1");
my $waiting = queue('people');
is(ended($waiting), 'partial delayed 1', 'so that a newer one waits as long');
is(value("SELECT state, code FROM activate.pending WHERE sync = 'people'"), 'delayed|late_request', 'which is pending');
$s->clock($ahead += TIMEOUT + 60);
wait_until('it is sent', sub { there(1) eq 'C' });
is(value("SELECT cause, keyed FROM activate.run WHERE run_id > $waiting ORDER BY run_id LIMIT 1"), 'retry|t', 'a worker sends it when that is over');
wait_until('it is settled', sub { value($one) eq 'accepted|f|f' });

# ------------------------------------------------- a crash with a request under way
$run = hang('D');
my ($pid) = $s->pids('run');
value("UPDATE people SET v = 'E' WHERE id = 1");
kill 9, $pid;
$s->reconnect;
wait_until('the server is back', sub { eval { $s->node->safe_psql('postgres', 'SELECT 1'); 1 } });
$s->value("LOAD 'pg_activate'; SET pg_activate.debug_clock_offset = " . $s->ahead);
$crm->script([ { match => { contains => 'NEVER' } } ]);
wait_until('the next run', sub { value("SELECT count(*) FROM activate.run WHERE run_id > $run AND delayed = 1") > 0 });
is(value($one), 'doubt|t|t', 'after a crash the row may be applied late');
is(there(1), 'C', 'and a newer version waits');
value("UPDATE people SET v = 'D' WHERE id = 1");
is(ended(queue('people')), 'succeeded accepted 1', 'the one that was lost does not');

# ------------------------------------------------- calls while a run is under way
$s->clock($ahead += TIMEOUT + 60);
$crm->script($rejecting);
value("INSERT INTO people SELECT i, 'bad' FROM generate_series(11, 20) AS i");
is(ended(queue('people')), 'partial rejected 10', 'ten rows are refused');
value("SELECT activate.retry_rows('people')");
wait_until('tried again', sub { value("SELECT count(*) FROM activate_data.people WHERE activate_attempts = 1 AND activate_last_at > activate_first_at") == 10 });
$run = hang('F');
my $caller = Session->start($s->node, 'postgres', options => '-c client_min_messages=error');
my $start = time;
$caller->query('BEGIN');
is($caller->query("SELECT activate.retry_rows('people')"), 10, 'retry_rows while a run is under way');
is($caller->query("SELECT activate.mute_row('people', '15')"), '', 'mute_row');
is($caller->query("SELECT activate.mute_row('people', '1')"), '', 'mute_row of the row whose request hangs');
cmp_ok(time - $start, '<', 5, 'wait for nothing');
is($caller->query('ROLLBACK'), '', 'undone');
value("SELECT activate.cancel_run($run)");
like(ended($run), qr/^cancelled/, 'and the run ends as it would have');

my @lines = grep { !/terminated by signal 9|terminating connection|all server processes|crash of another|interrupted|not properly shut down/ }
  slurp_file($s->node->logfile) =~ /^\S+ \S+ \S+ \[\d+\] (?:ERROR|WARNING|PANIC): .*$/mg;
is("@lines", '', 'nothing is in the log');
done_testing();
