# Five databases and 200 syncs share few worker processes: everybody gets on,
# nobody fills the log, and the view workers says what is short.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use Workers;

use constant PATIENCE => 120;

my @databases = map { "shop$_" } 1 .. 5;
my @manual = map { "manual$_" } 1 .. 20;
my @often = map { "often$_" } 1 .. 20;
my $w = Workers->start('main', databases => \@databases, conf => "shared_buffers = 32MB\n");
my $node = $w->node;

$w->destination->config({ log => 0 });
foreach my $database (@databases)
{
	$w->mirrors($database, \@manual);
	$w->mirrors($database, \@often, schedule => '1 second');
}

sub total
{
	my (%count) = @_;
	my $sum = 0;
	$sum += $_ foreach values %count;
	return $sum;
}

# Every sync of every database has a run later than that run; how many each has
# in all, and how long that took.
sub everybody
{
	my ($name, %since) = @_;
	my $start = time;
	my (%left, %runs, $short);

	while (1)
	{
		foreach my $database (@databases)
		{
			my $a = $w->database($database);
			($left{$database}, $runs{$database}) = split /\|/, $a->sql(<<"END");
SELECT (SELECT count(*) FROM activate.sync s WHERE NOT EXISTS (SELECT FROM activate.run r
		WHERE r.sync_id = s.sync_id AND r.run_id > $since{$database} AND r.status = 'succeeded')),
	(SELECT count(*) FROM activate.run WHERE run_id > $since{$database} AND status = 'succeeded' AND merged_into IS NULL)
END
		}
		$short ||= $w->database($databases[0])->sql(
			"SELECT concat_ws(' ', kind, state, last_error) FROM activate.workers WHERE concat_ws(' ', state, last_error) ~ 'max_worker_processes' LIMIT 1");
		last if total(%left) == 0 || time > $start + PATIENCE;
		sleep 0.3;
	}
	my $took = time - $start;
	is(total(%left), 0, sprintf '%s: each of 200 syncs has run (%.1f s, %d runs)', $name, $took, total(%runs))
	  or do { diag "$_: $left{$_} have not" foreach @databases; $w->diagnose };
	my ($least, $most) = (sort { $a <=> $b } values %runs)[ 0, -1 ];
	cmp_ok($least * 4, '>=', $most, "$name: no database was left behind: between $least and $most runs each");
	return ($took, $short);
}

# Two lines a minute, of all workers together.
sub quiet
{
	my ($name, $from, $since) = @_;
	my @lines = $w->worker_lines($from);
	my $minutes = (time - $since) / 60;
	my $allowed = 2 * (1 + int $minutes);

	cmp_ok(scalar @lines, '<=', $allowed, sprintf '%s: %d lines of workers in the log in %.1f minutes', $name, scalar @lines, $minutes)
	  or diag join "\n", @lines[ 0 .. ($#lines < 20 ? $#lines : 20) ];
	return;
}

sub last_runs
{
	return map { $_ => $w->database($_)->last_run } @databases;
}

sub queue_all
{
	$w->database($_)->sql(q{SELECT activate.queue_run(sync) FROM activate.syncs WHERE sync LIKE 'manual%'}) foreach @databases;
	return;
}

# given the settings that a server has without anybody's thinking of it
my ($from, $since) = (0, time);
my %last = last_runs();
queue_all();
everybody('max_worker_processes = 8', %last);
$w->wait_until_equal(PATIENCE, 'max_worker_processes = 8: the destination is equal to all models');
quiet('max_worker_processes = 8', $from, $since);

# given one process besides the launcher, when all is changed and queued again
$node->append_conf('postgresql.conf', "max_worker_processes = 2\nmax_logical_replication_workers = 0\n");
$node->stop;
($from, $since) = ($w->log_size, time);
$node->start;
%last = last_runs();
foreach my $database (@databases)
{
	$w->database($database)->sql(join '', map { $w->change_sql($_) } grep { $_->{database} eq $database } @{ $w->{mirrors} });
}
queue_all();
my (undef, $short) = everybody('max_worker_processes = 2', %last);
like($short, qr/max_worker_processes/, "max_worker_processes = 2: the view workers says what is short: $short");
$w->wait_until_equal(PATIENCE, 'max_worker_processes = 2: the destination is equal to all models');
$w->wait_for('a word about it in the log', 60, sub { grep { /wait for a worker process: raise max_worker_processes/ } $w->worker_lines($from) });
quiet('max_worker_processes = 2', $from, $since);

# given enough of them again
$node->append_conf('postgresql.conf', "max_worker_processes = 32\n");
$node->restart;
%last = last_runs();
queue_all();
everybody('max_worker_processes = 32', %last);
$w->wait_for('the shortage to be over', 30, sub {
	$w->database($databases[0])->sql("SELECT count(*) FROM activate.workers WHERE concat_ws(' ', state, last_error) ~ 'max_worker_processes'") == 0 });
pass('max_worker_processes = 32: nothing is short');

$w->database($_)->sums_hold($_) foreach @databases;
done_testing();
