# Mode replace: the object is the model's result, whatever gets lost on the way.
use strict;
use warnings;

use Activate;
use Convergence;
use Destination;
use JSON::PP;
use Scheduled;
use Test::More;
use Time::HiRes qw(time);

my $activate = Activate->start('replace', conf => "pg_activate.debug_late_off = on\n");

# ------------------------------------------------------------- lost answers

# given units that are applied while their answers get lost, when the model goes
# back to what it was, then the destination follows, in rows and in their order;
# without claims it does not
foreach my $order_only (0, 1)
{
	my $c = Convergence->new($activate, mode => 'replace', order_only => $order_only, name => "lost_$order_only");
	my $what = $order_only ? 'order and rows' : 'values';
	# An answer to a unit is its status: what a body says of rows is not read.
	foreach my $fault (grep { !/results|html/ } Convergence->losses)
	{
		is($c->lose($fault, 1), '', "$what, $fault: in doubt, and sent again");
		isnt($c->lose($fault, 0), '', "$what, $fault: without claims it stays wrong");
	}
}

# given faults of all kinds while values go back and forth
Convergence->new($activate, name => 'storm_1', mode => 'replace')->storm(seed => 11, rounds => 24);
Convergence->new($activate, name => 'storm_2', mode => 'replace', order_only => 1)->storm(seed => 12, rounds => 24);

# given an order that alone changed, when its answer is lost and the order goes
# back, then the run that has no row to send sends the unit
my $d = Destination->start;
$activate->server('crm', $d, timeout => '300ms');
$activate->sql(q{
CREATE TABLE ranks (id int PRIMARY KEY, rank int);
INSERT INTO ranks SELECT i, i FROM generate_series(1, 5) AS i;
SELECT activate.create_sync('ranks', 'SELECT * FROM ranks ORDER BY rank', 'id', 'crm', 'ranks', mapping => 'id', mode => 'replace');
});

sub order { return join ' ', map { $_->{key}{id} } sort { substr($a->{external_id}, 1) <=> substr($b->{external_id}, 1) } @{ $d->records($_[0] // 'ranks') } }

$activate->run('ranks');
is(order(), '1 2 3 4 5', 'the order of the query');
foreach my $loss ({ close => 'after', times => -1 }, { hang => 1, apply => 'before', times => -1 }, 'kill', 'error')
{
	my $name = ref $loss ? encode_json($loss) : "$loss before_settle";
	$activate->sql('UPDATE ranks SET rank = -rank');
	$d->script($loss) if ref $loss;
	my $run = $activate->run('ranks', ref $loss ? () : (faults => "before_settle:$loss"));
	isnt($run->{status} // '', 'succeeded', "$name: that run does not succeed");
	is(order(), '5 4 3 2 1', "$name: but its order is there");
	$d->script([]);
	$activate->sql('UPDATE ranks SET rank = -rank');
	$run = $activate->run('ranks');
	is("$run->{status} $run->{added} $run->{changed} $run->{removed} $run->{requests}", 'succeeded 0 0 0 1',
		"$name: the next one has no row to send and sends the unit");
	is(order(), '1 2 3 4 5', "$name: in the order that is right");
	$run = $activate->run('ranks');
	is($run->{requests}, 0, "$name: and the one after that nothing");
}

# given a baseline, when the run that is to note its order crashes, then the next one notes it and sends nothing
$activate->sql("SELECT activate.reset_sync('ranks', 'baseline')");
$activate->run('ranks', faults => 'unit_recorded:kill');
my $noted = q{SELECT unit_digest IS NOT NULL FROM activate.sync_state JOIN activate.sync USING (sync_id) WHERE name = 'ranks'};
is($activate->sql($noted), 'f', 'a crash leaves the order unknown');
is($activate->run('ranks')->{requests}, 0, 'the next run sends nothing');
is($activate->sql($noted), 't', 'and knows the order');

# ---------------------------------------------------- never more than one try

# given a refused unit, then it waits as a whole, and another one does not
$d->reset;
$d->script({ refuse_batch_if => '[', times => -1 });
$activate->sql('UPDATE ranks SET id = 100 + id');
my $run = $activate->run('ranks', set => { 'pg_activate.debug_clock_offset' => 1 });
is("$run->{status} $run->{added} $run->{removed} $run->{rejected} $run->{requests}", 'partial 5 5 10 1',
	'a no to the unit is one to each row of it, and is asked once');
$run = $activate->run('ranks', set => { 'pg_activate.debug_clock_offset' => 30 });
is("$run->{status} $run->{delayed} $run->{requests}", 'partial 10 0', 'within its back-off it is not asked again');
$run = $activate->run('ranks', set => { 'pg_activate.debug_clock_offset' => 90 });
is("$run->{status} $run->{rejected} $run->{requests}", 'partial 10 1', 'and then it is');
is($activate->sql('SELECT min(activate_attempts), max(activate_attempts) FROM activate_data.ranks'), '2|2', 'every row has two attempts');
$activate->sql('UPDATE ranks SET rank = -rank');
$d->script([]);
$run = $activate->run('ranks', set => { 'pg_activate.debug_clock_offset' => 91 });
is("$run->{status} $run->{accepted} $run->{requests}", 'succeeded 10 1', 'in another order it is another unit');
is(order(), '105 104 103 102 101', 'and arrives');
is($activate->sql("SELECT unit_tried IS NULL, unit_attempts FROM activate.sync_state JOIN activate.sync USING (sync_id) WHERE name = 'ranks'"), 't|0',
	'nothing is left of what was refused');

# given max_attempts, then it is parked until it changes
$activate->sql(q{SELECT activate.alter_sync('ranks', options => '{"max_attempts": 1}'); UPDATE ranks SET id = id + 100});
$d->script({ refuse_batch_if => '[', times => -1 });
$activate->run('ranks');
$run = $activate->run('ranks', set => { 'pg_activate.debug_clock_offset' => 365 * 86400 });
is("$run->{status} $run->{skipped} $run->{requests}", 'partial 10 0', 'when all attempts are used it is skipped');
like($run->{text}, qr/refused these rows 1 times; they are sent when one of them changes/, 'and the run says so');
$d->script([]);
$activate->sql('UPDATE ranks SET rank = -rank');
is($activate->run('ranks')->{status}, 'succeeded', 'until it is another one');

# -------------------------------------------------------------- 10 000 rows

$activate->sql(q{
CREATE TABLE big AS SELECT i AS id, md5(i::text) AS v, i * 1.5 AS amount FROM generate_series(1, 10000) AS i;
SELECT activate.create_sync('big', 'SELECT * FROM big ORDER BY v', 'id', 'crm', 'big', mode => 'replace');
});
$activate->sql(q{ALTER SERVER crm OPTIONS (SET timeout '30 s')});
my $start = time;
$run = $activate->run('big');
note sprintf '10 000 rows: %.2f s, %d bytes', time - $start, $run->{bytes_sent};
is("$run->{status} $run->{accepted} $run->{requests}", 'succeeded 10000 1', '10 000 rows are one request');
is(order('big'), join(' ', split /\n/, $activate->sql('SELECT id FROM big ORDER BY v')), 'in their order');
$activate->sql(q{UPDATE big SET amount = 0 WHERE id = 5000});
$start = time;
$run = $activate->run('big');
note sprintf 'one of them changed: %.2f s', time - $start;
is("$run->{status} $run->{changed} $run->{accepted} $run->{unchanged} $run->{requests}", 'succeeded 1 1 9999 1',
	'when one changes all of them go, and one counts');
$start = time;
$run = $activate->run('big');
note sprintf 'none of them: %.2f s', time - $start;
is("$run->{status} $run->{requests}", 'succeeded 0', 'when none does nothing goes');
# killed while the request is under way, then whole
$d->script({ hang => 1, apply => 'none', times => 1 });
$activate->sql(q{DELETE FROM big WHERE id <= 100});
my $under_way = $activate->begin('big');
$d->wait_for_requests($d->stats->{requests} + 0);
my $until = time + 30;
select undef, undef, undef, 0.01 until $d->stats->{busy} > 0 || time > $until;
is(scalar @{ $d->records('big') }, 10000, 'until the unit is there the object is what it was');
kill 'KILL', $activate->backend;
$activate->end($under_way);
$d->script([]);
$run = $activate->run('big');
is("$run->{status} $run->{removed} $run->{accepted}", 'succeeded 100 100', 'a killed run is made up for');
is(scalar @{ $d->records('big') }, 9900, 'and then it is what it is to be');

$activate->sums_hold('replace');

# ------------------------------------------------------------ by a worker

# given a unit that is refused, when its back-off has ended, then a worker makes
# a whole run of it, also where only the order differs and no row says when
my $s = Scheduled->start('workers', "autovacuum = off\npg_activate.naptime = '1s'\n");
my $crm = $s->crm;

$s->value($_) for 'CREATE TABLE ranks (id int PRIMARY KEY, rank int)', 'INSERT INTO ranks SELECT i, i FROM generate_series(1, 5) AS i',
  q{SELECT activate.create_sync('ranks', 'SELECT * FROM public.ranks ORDER BY rank', 'id', 'crm', object => 'ranks', mapping => 'id',
	mode => 'replace', schedule => '1 day')};
my $first = $s->value(q{SELECT activate.queue_run('ranks')});
$s->wait_for('the first run', "SELECT status = 'succeeded' FROM activate.run WHERE run_id = $first");
my $ahead = 0;
foreach my $change ('INSERT INTO ranks VALUES (6, 6)', 'UPDATE ranks SET rank = -rank')
{
	$crm->script({ status => 422, times => 1 });
	$s->value($change);
	my $run = $s->value(q{SELECT activate.queue_run('ranks')});
	$s->wait_for('it is refused', "SELECT status = 'partial' FROM activate.run WHERE run_id = $run");
	is($s->value(q{SELECT retry_at = unit_next_attempt_at FROM activate.sync_state}), 't', "$change: refused, to be tried again");
	$s->clock($ahead += 90);
	$s->wait_for('a worker tries again', "SELECT count(*) > 0 FROM activate.run WHERE run_id > $run AND finished_at IS NOT NULL");
	is($s->value("SELECT cause, keyed, status, requests FROM activate.run WHERE run_id > $run ORDER BY run_id LIMIT 1"),
		'retry|f|succeeded|1', "$change: when its time has come a worker sends all of it");
}
is(join(' ', map { $_->{key}{id} } sort { substr($a->{external_id}, 1) <=> substr($b->{external_id}, 1) } @{ $crm->records('ranks') }),
	'6 5 4 3 2 1', 'and it is there as it is to be');
is($s->value("SELECT count(*) FROM activate.run WHERE status <> 'running' AND added + changed + removed"
	. " <> accepted + rejected + delayed + unknown + waiting + absent + skipped + held_out"), '0', 'workers: the sums of all runs hold');
done_testing();
