# A day of syncs every quarter of an hour: memory, tables and log do not grow.
#
# The clock goes on by a few minutes as soon as all that was due is done; in
# one of three or four such steps all syncs are.  (Few enough for the scheduler to stay:
# it leaves after five minutes without anything to do.)  A short form of the
# day has fewer syncs; ACT_LONG=1: all hundred, 9600 runs; DAY_SECONDS: for so
# long, though half a day at least.
# Runs alone: it measures.
use strict;
use warnings;

use List::Util qw(max sum);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use Chaos;
use Session;
use Workers;

use constant STEP => 290;
use constant STEPS => 297;

# In the last third not more than this over the middle one; pages and
# statistics come in lumps.
use constant GROWTH => 1.05;
use constant LUMP_KB => 64;

plan skip_all => 'needs /proc/PID/status' unless -r "/proc/$$/status";

my $syncs = $ENV{SYNCS} // ($ENV{ACT_LONG} ? 100 : 20);
my @syncs = map { "s$_" } 1 .. $syncs;
my $w = Workers->start('main', databases => ['shop'], conf => <<'END');
autovacuum_naptime = 1s
pg_activate.run_retention = '6h'
END
my $shop = $w->database('shop');

$w->destination->config({ log => 0 });
$w->mirrors('shop', \@syncs, schedule => '15 minutes', rows => 20);
my $session = Session->start($w->node, 'shop');

sub value { return $session->query($_[0]) }

# Everything that a step begins is over.
sub all_done
{
	my ($now) = @_;
	return value(<<"END") eq '0';
SELECT (SELECT count(*) FROM activate.sync_state WHERE next_run_at <= now() + interval '$now seconds' OR retry_at <= now() + interval '$now seconds')
	+ (SELECT count(*) FROM activate.run WHERE status IN ('queued', 'running'))
END
}

# A day goes by in half a minute, in which autovacuum cannot look as often as
# it does in one: it is waited for, as often in each third.
sub wait_for_autovacuum
{
	$w->wait_for('autovacuum', 60, sub { value(<<'END') eq '0' });
SELECT count(*) FROM pg_stat_all_tables AS s JOIN pg_class AS c ON c.oid = s.relid
	WHERE s.schemaname IN ('activate', 'activate_data') AND s.n_dead_tup > 50 + 0.2 * greatest(c.reltuples, 0)
END
	return;
}

# What each step leaves.
my (@steps, $log_before);

sub measure
{
	my ($launcher) = $w->pids('launcher');
	my ($scheduler) = $w->pids('scheduler');
	my %now = map { split /\|/ } split /\n/, value(<<'END');
SELECT c.relname, pg_total_relation_size(c.oid) / 1024 FROM pg_class c
	WHERE c.relnamespace IN ('activate'::regnamespace, 'activate_data'::regnamespace) AND c.relkind = 'r'
END
	my $log = $w->log_size;

	push @steps, {
		launcher => $w->status($launcher, 'RssAnon'),
		scheduler => $scheduler ? $w->status($scheduler, 'RssAnon') : undef,
		tables => sum(values %now), each => \%now,
		run => $now{run}, sync_state => $now{sync_state}, event => $now{event}, claim => $now{claim},
		log => ($log - ($log_before // $log)) / 1024,
	};
	$log_before = $log;
	return;
}

my $start = time;
my $steps = 0;
foreach my $step (1 .. STEPS)
{
	last if $ENV{DAY_SECONDS} && time - $start > $ENV{DAY_SECONDS} && $steps >= STEPS / 2 && $steps % 3 == 0;
	$steps = $step;
	value(join '', map { $w->change_sql($_) } @{ $w->{mirrors} }) if $step % 3 == 0;
	$w->clock($step * STEP);
	$w->wait_for("step $step", 120, sub { all_done($step * STEP) });
	wait_for_autovacuum() if $step % (STEPS / 27) == 0;
	measure();
}
# What was changed last is sent, too.
$w->clock(($steps + 4) * STEP);
$w->wait_for('the last runs', 120, sub { all_done(($steps + 4) * STEP) });
my $runs = value("SELECT max(run_id) FROM activate.run");
Chaos::tell('%.0f hours of a day: %d syncs, %d runs in %.0f s', $steps * STEP / 3600, $syncs, $runs, time - $start);
cmp_ok($runs, '>=', $syncs * 95 * $steps / STEPS, "24 hours: $runs runs");
$w->wait_until_equal(60, '24 hours: the destination is equal to the models');

# ---------------------------------------------------------------- what grew
# What nine of ten steps stay below: a peak between two looks of autovacuum is no growth.
sub most
{
	my @sorted = sort { $a <=> $b } @_;
	return $sorted[ 0.9 * $#sorted ];
}

sub third
{
	my ($which, $what) = @_;
	my $n = @steps / 3;
	return grep { defined } map { $_->{$what} } @steps[ $which * $n .. ($which + 1) * $n - 1 ];
}

foreach my $what (qw(launcher scheduler tables run sync_state event claim))
{
	my @middle = third(1, $what);
	my @last = third(2, $what);
	my ($before, $after) = (most(@middle), most(@last));

	if (!@middle || !@last)
	{
		fail("$what: nothing was measured");
		next;
	}
	cmp_ok($after, '<=', max($before * GROWTH, $before + LUMP_KB),
		sprintf '%s: %d kB in the middle third, %d kB in the last', $what, $before, $after)
	  or diag join ', ', map { "$_: $steps[$#steps / 2]{each}{$_} kB, then $steps[-1]{each}{$_} kB" } sort keys %{ $steps[-1]{each} };
}
my ($before, $after) = (sum(third(1, 'log')), sum(third(2, 'log')));
cmp_ok($after, '<=', $before * GROWTH, sprintf 'log: %.1f kB in the middle third, %.1f kB in the last', $before, $after);

# --------------------------------------------------------------- housekeeping
is(value("SELECT count(*) > 0 AND count(*) <= $syncs * 30 FROM activate.run"), 't',
	'runs older than six hours are gone: ' . value('SELECT count(*) FROM activate.run') . ' are left');
cmp_ok(value("SELECT min(run_id) FROM activate.run"), '>', $runs / 2, 'the oldest ones');
$w->wait_for('autovacuum', 60, sub { value(q{SELECT n_tup_ins > 0 AND n_tup_del > 0 AND autovacuum_count > 0 FROM pg_stat_all_tables WHERE relid = 'activate.claim'::regclass}) eq 't' });
pass('autovacuum sees what the workers write');
is(value("SELECT string_agg(DISTINCT status, ' ') FROM activate.run"), 'succeeded', 'every run that is left succeeded');
$shop->sums_hold('24 hours');

$session->stop;
done_testing();
