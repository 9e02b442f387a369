# What a crash has sent again: never more rows than may be under way at a time,
# concurrency x batch_size, however fast the destination answers.
use strict;
use warnings;

use Activate;
use Destination;
use PostgreSQL::Test::Utils;
use Test::More;

use constant { BATCH => 5, CONCURRENCY => 4, ROWS => 200 };

my $d = Destination->start;
my $activate = Activate->start('window');

$activate->server('crm', $d, batch_size => BATCH, concurrency => CONCURRENCY);
$activate->sql('CREATE TABLE model (id int PRIMARY KEY, v int); INSERT INTO model SELECT i, 0 FROM generate_series(1, ' . ROWS . ') i');
$activate->sql(q{SELECT activate.create_sync('crm', 'model', 'id', 'crm', 'records', options => '{"max_changed": null}')});
is($activate->run('crm')->{status}, 'succeeded', 'all rows are there');

my $days = 0;

# A day later each time: late copies of what was lost are no longer waited for.
sub run
{
	my ($faults) = @_;
	return $activate->run('crm', set => { 'pg_activate.debug_clock_offset' => 86400 * $days }, faults => $faults);
}

# given a run that is killed, wherever, then no more rows are claimed than may be under way,
# and what is sent again when the model went back meanwhile is no more than that
foreach my $fault ((map { my $p = $_; map { "$p:kill:$_" } 0, 1, 2 } qw(after_claim before_settle)),
	map { my $p = $_; map { "$p:kill:$_" } 0, 5, 10, 15 } qw(after_send after_answer))
{
	$days++;
	my $before = $d->stats->{repeats};
	$activate->sql('UPDATE model SET v = v + 1');
	run($fault);
	my $claimed = $activate->sql('SELECT coalesce(sum(cardinality(ops)), 0) FROM activate.claim');
	cmp_ok($claimed, '>', 0, "$fault: it was killed while rows were claimed");
	cmp_ok($claimed, '<=', BATCH * CONCURRENCY, "$fault: $claimed rows are claimed, no more than may be under way");

	my $run = run('');
	is($run->{status}, 'succeeded', "$fault: the next run succeeds") or diag $run->{text};
	my $again = $d->stats->{repeats} - $before;
	cmp_ok($again, '<=', BATCH * CONCURRENCY, "$fault: $again rows were sent again");
}

# given rows that go at most once, then a kill leaves no more of them to a person
$activate->sql(q{SELECT activate.alter_sync('crm', options => '{"delivery": "at_most_once"}')});
$days++;
$activate->sql('UPDATE model SET v = v + 1');
run('after_send:kill:10');
run('');
my $unknown = $activate->sql(q{SELECT count(*) FROM activate_data.crm WHERE activate_state = 'unknown'});
cmp_ok($unknown, '>', 0, 'at most once: some rows are left to a person');
cmp_ok($unknown, '<=', BATCH * CONCURRENCY, "at most once: $unknown, no more than may be under way");

done_testing();
