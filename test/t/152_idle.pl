# What costs nothing when nothing is to be done: wake-ups, processor time,
# connections, snapshots.
# Runs alone: it measures.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use Workers;

# Measured for so long at the shortest naptime, and said as an hour's at the
# default, which is a minute.
use constant WINDOW => $ENV{ACT_LONG} ? 60 : 10;
use constant LOOKS_PER_HOUR => 60;

# Ten times what it should cost: a wake-up a look, a millisecond of the launcher's,
# ten of a scheduler's that has a thousand syncs.
use constant WAKEUPS => 10;
use constant LAUNCHER_MS => 10;
use constant SCHEDULER_MS => 100;

plan skip_all => 'needs /proc/PID/status' unless -r "/proc/$$/status";

my $w = Workers->start('main', databases => [qw(busy idle1 idle2)], conf => "pg_activate.naptime = '1s'\n");
my $node = $w->node;
$node->safe_psql('postgres', 'CREATE DATABASE plain');

sub activity
{
	my ($what, $condition) = @_;
	return $node->safe_psql('postgres', "SELECT $what FROM pg_stat_activity WHERE backend_type ~ 'pg_activate' AND ($condition)");
}

# Wake-ups and processor time of a process.
sub costs
{
	my ($pid, $name, $ms_per_look) = @_;
	my ($before, $cpu, $start) = ($w->status($pid, 'voluntary_ctxt_switches'), $w->cpu($pid), time);

	sleep WINDOW;				# not waited for: it is what is measured
	my $looks = time - $start;	# one a second
	my $wakeups = (($w->status($pid, 'voluntary_ctxt_switches') // -1) - $before) / $looks;
	my $ms = 1000 * (($w->cpu($pid) // -1) - $cpu) / $looks;

	cmp_ok($wakeups, '>', 0, "$name: it is there, and looks");
	cmp_ok($wakeups, '<=', WAKEUPS, sprintf '%s: %.1f wake-ups a look, %.0f an hour', $name, $wakeups, $wakeups * LOOKS_PER_HOUR);
	cmp_ok($ms, '<=', $ms_per_look, sprintf '%s: %.2f ms of processor time a look, %.0f ms an hour', $name, $ms, $ms * LOOKS_PER_HOUR);
	return;
}

# given a thousand syncs that run when called
$w->mirrors('busy', [ map { "s$_" } 1 .. 1000 ], rows => 1);
my ($scheduler) = $w->wait_for('the scheduler of "busy"', 30, sub {
	activity('pid', "datname = 'busy' AND state = 'idle'") });
my ($launcher) = $w->pids('launcher');
ok($launcher, 'the launcher is there');

# when nothing is due
$w->wait_for('nothing to run', 30, sub { activity('count(*)', "backend_type ~ 'run'") == 0 });
costs($scheduler, 'a scheduler of 1000 manual syncs', SCHEDULER_MS);
is(activity('*', 'backend_xmin IS NOT NULL OR backend_xid IS NOT NULL OR xact_start IS NOT NULL'), '',
	'neither a snapshot nor a transaction is held');
is(activity('count(*)', "datname IN ('plain', 'postgres', 'template0', 'template1')"), 0, 'databases without the extension have no connection');

# then it leaves after five minutes, and those of other databases, too
$w->clock(301);
$w->wait_for('the schedulers to leave', 60, sub { activity('count(*)', 'datname IS NOT NULL') == 0 });
pass('after five minutes without anything to do no connection is left');
costs($launcher, 'the launcher, with four idle databases', LAUNCHER_MS);
is(activity('count(*)', 'datname IS NOT NULL'), 0, 'and none has come back');
is(activity('*', 'backend_xmin IS NOT NULL OR xact_start IS NOT NULL'), '', 'nor does the launcher hold a snapshot');
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
