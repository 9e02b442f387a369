# What costs nothing when nothing is to be done: wake-ups, processor time,
# connections, snapshots.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use Workers;

# Measured for so long, and said as an hour's.
use constant WINDOW => $ENV{ACT_LONG} ? 120 : 12;

# Ten times what an hour should cost: the launcher wakes up once a minute or
# two, a scheduler that has nothing to do every few seconds.
use constant LAUNCHER_WAKEUPS => 1200;
use constant SCHEDULER_WAKEUPS => 36000;
use constant SECONDS => 10;

plan skip_all => 'needs /proc/PID/status' unless -r "/proc/$$/status";

my $w = Workers->start('main', databases => [qw(busy idle1 idle2)]);
my $node = $w->node;
$node->safe_psql('postgres', 'CREATE DATABASE plain');

sub activity
{
	my ($what, $condition) = @_;
	return $node->safe_psql('postgres', "SELECT $what FROM pg_stat_activity WHERE backend_type ~ 'pg_activate' AND $condition");
}

# Wake-ups and processor time of a process, as an hour would have them.
sub hourly
{
	my ($pid, $name, $wakeups) = @_;
	my ($before, $cpu, $start) = ($w->status($pid, 'voluntary_ctxt_switches'), $w->cpu($pid), time);

	sleep WINDOW;				# not waited for: it is what is measured
	my $factor = 3600 / (time - $start);
	my $woke = ($w->status($pid, 'voluntary_ctxt_switches') // -1) - $before;
	my $seconds = ($w->cpu($pid) // -1) - $cpu;

	cmp_ok($woke, '>=', 0, "$name: it is still there");
	cmp_ok($woke * $factor, '<=', $wakeups, sprintf '%s: %.0f wake-ups an hour (%d in %d s)', $name, $woke * $factor, $woke, WINDOW);
	cmp_ok($seconds * $factor, '<=', SECONDS, sprintf '%s: %.2f s of processor time an hour', $name, $seconds * $factor);
	return;
}

# given a thousand syncs that run when called
$w->mirrors('busy', [ map { "s$_" } 1 .. 1000 ], rows => 1);
$w->database($_)->sql('SELECT 1') foreach qw(idle1 idle2);
my ($scheduler) = $w->wait_for('the scheduler of "busy"', 30, sub {
	activity('pid', "datname = 'busy' AND state = 'idle'") });
my ($launcher) = $w->pids('launcher');
ok($launcher, 'the launcher is there');

# when nothing is due
$w->wait_for('nothing to run', 30, sub { activity('count(*)', "backend_type ~ 'run'") == 0 });
hourly($scheduler, 'a scheduler of 1000 manual syncs', SCHEDULER_WAKEUPS);
is(activity('count(*)', 'backend_xmin IS NOT NULL OR backend_xid IS NOT NULL OR xact_start IS NOT NULL'), 0,
	'neither a snapshot nor a transaction is held');
is(activity('count(*)', "datname IN ('plain', 'postgres', 'template0', 'template1')"), 0, 'databases without the extension have no connection');

# then it leaves after five minutes, and those of other databases, too
$w->clock(301);
$w->wait_for('the schedulers to leave', 60, sub { activity('count(*)', 'datname IS NOT NULL') == 0 });
pass('after five minutes without anything to do no connection is left');
hourly($launcher, 'the launcher, with four idle databases', LAUNCHER_WAKEUPS);
is(activity('count(*)', 'datname IS NOT NULL'), 0, 'and none has come back');
is(activity('count(*)', 'backend_xmin IS NOT NULL'), 0, 'nor does the launcher hold a snapshot');
is(join(' ', $w->pids('launcher')), $launcher, 'it is the same launcher all the time');

# and what is queued is run at once
my $start = time;
$w->database('busy')->sql(q{SELECT activate.queue_run('s7')});
$w->wait_for('the run', 20, sub { $w->database('busy')->sql(q{SELECT status FROM activate.runs WHERE sync = 's7'}) eq 'succeeded' });
pass(sprintf 'a run queued in an idle database has ended after %.2f s', time - $start);

# given a sync that is due in an hour, when its scheduler leaves and the hour is over
$w->mirrors('idle1', ['hourly'], schedule => '1 hour');
$w->wait_for('its planned start', 10, sub { $w->database('idle1')->sql('SELECT next_run_at IS NOT NULL FROM activate.sync_state') eq 't' });
$w->clock(301 + 400);
$w->wait_for('the schedulers to leave', 60, sub { activity('count(*)', 'datname IS NOT NULL') == 0 });
is($w->database('idle1')->sql('SELECT count(*) FROM activate.run'), 0, 'it is not its time yet');
$w->clock(301 + 2 * 3600);
$w->wait_for('the hourly run', 60, sub { $w->database('idle1')->sql(q{SELECT count(*) FROM activate.run WHERE status = 'succeeded'}) > 0 });
is($w->database('idle1')->sql('SELECT cause FROM activate.run ORDER BY run_id LIMIT 1'), 'schedule', 'it runs when its time has come');

$w->database($_)->sums_hold($_) foreach qw(busy idle1);
done_testing();
