# A destination that hangs slows no other one: neither by its requests nor by
# the workers that its runs hold, however many of its syncs are due.
# Runs alone: it measures.

use strict;
use warnings;

use Test::More;
use Time::HiRes qw(sleep time);

use Destination;
use Scheduled;

my $ROWS = 3000;
my $ROUNDS = 3;

my $s = Scheduled->start('main', <<'END_CONF');
pg_activate.naptime = '200ms'
pg_activate.max_workers = 4
max_worker_processes = 12
END_CONF
my $slow = Destination->start;
my $fast = $s->crm;

$s->server('slow', $slow, batch_size => 1, concurrency => 4, timeout => '60s');
$s->server('fast', $fast, batch_size => 10, concurrency => 4);
$s->sync('b', destination => 'fast', rows => $ROWS);
$s->sync("a$_", destination => 'slow', rows => 50) foreach 1 .. 12;

# Rows a second of a run that a worker makes of b, the wait for a worker included.
sub rate
{
	$s->value("UPDATE b SET v = clock_timestamp()::text");
	my $began = time;
	my $run = $s->value("SELECT activate.queue_run('b')");
	$s->wait_for("run $run is over", "SELECT finished_at IS NOT NULL FROM activate.run WHERE run_id = $run", 120);
	my $took = time - $began;
	is($s->value("SELECT status || ' ' || accepted FROM activate.runs WHERE run_id = $run"), "succeeded $ROWS", 'all rows went');
	return $ROWS / $took;
}

sub best
{
	my $best = 0;
	foreach (1 .. $ROUNDS)
	{
		my $rate = rate();
		$best = $rate if $rate > $best;
	}
	return $best;
}

# given nothing else to do, then this is how fast b is
rate();
my $solo = best();

# given twelve syncs of a destination that hangs, all due, then b is hardly slower
$slow->script({ hang => 1, times => -1 });
$s->value("SELECT activate.queue_run('a' || i) FROM generate_series(1, 12) AS i");
$slow->wait_for_requests(3);	# the first of each goes alone
$s->wait_until('as many of them run as may', sub { $s->pids('run') == 3 });
my $beside = best();
my $ratio = $beside / $solo;

diag sprintf 'rows a second: alone %.0f, beside a destination that hangs %.0f: %.1f %%', $solo, $beside, 100 * $ratio;
is(scalar $s->pids('run'), 3, 'the slow one holds all workers but one');
is($slow->stats->{busy}, 3, 'each with its first request');
cmp_ok($ratio, '>', 0.7, 'and the other one is hardly slower');
is($s->value("SELECT string_agg(DISTINCT state, ', ') FROM activate.workers WHERE kind = 'run' AND pid IS NULL"),
	'waiting for another run to end: raise pg_activate.max_workers', 'the rest of its syncs wait');

# given another one that has never been used, then it finds a worker as well, and its request a place
{
	my $new = Destination->start;
	$s->server('new', $new);
	$s->sync('c', destination => 'new', rows => 5);
	my $run = $s->value("SELECT activate.queue_run('c')");
	$s->wait_for('it is done', "SELECT status = 'succeeded' FROM activate.run WHERE run_id = $run");
	pass('a third one runs, too');
}
sub stop_all
{
	$s->value("SELECT activate.cancel_run(run_id) FROM activate.runs WHERE status IN ('running', 'queued')");
	$s->wait_until('all end', sub { $s->pids('run') == 0 });
	return;
}
stop_all();

# given two destinations that hang, and all of their syncs due, then a third one finds a worker
$s->server('slower', $slow, batch_size => 1, timeout => '60s');
$s->sync("d$_", destination => 'slower', rows => 50) foreach 1 .. 4;
my $seen = $slow->stats->{requests};
$s->value("SELECT activate.queue_run('a' || i) FROM generate_series(1, 12) AS i");
$slow->wait_for_requests($seen + 2);
$s->value("SELECT activate.queue_run('d' || i) FROM generate_series(1, 4) AS i");
$slow->wait_for_requests($seen + 3);
my $third = $s->value("SELECT activate.queue_run('c')");
$s->wait_for('the third one is done', "SELECT status = 'succeeded' FROM activate.run WHERE run_id = $third");
is(join(' ', $s->value(q{SELECT string_agg(destination || ' ' || n, ', ' ORDER BY destination) FROM (SELECT destination, count(*) AS n
	FROM activate.runs JOIN activate.syncs USING (sync) WHERE status = 'running' GROUP BY 1) AS q})), 'slow 2, slower 1',
	'two that hang leave a worker to others');
stop_all();

done_testing();
