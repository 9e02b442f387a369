# Option canary where runs are made by workers, answers get lost and servers die.
use strict;
use warnings;

use JSON::PP;
use Test::More;

use Activate;
use Destination;
use Scheduled;

# ------------------------------------------------------------ by a worker

my $s = Scheduled->start('workers', "autovacuum = off\npg_activate.naptime = '1s'\n");
my $crm = $s->crm;

sub value { return $s->value($_[0]) }

# given a schedule, when rows of the canary are refused, then run after run holds and sends nothing
$crm->script({ reject_rows => [ { where => '"id":7,', error => 'no', retry => 0 } ], times => -1 });
value('CREATE TABLE people (id int PRIMARY KEY, v text NOT NULL)');
value("INSERT INTO people SELECT i, CASE i WHEN 7 THEN repeat('x', 100) ELSE 'first' END FROM generate_series(1, 500) AS i");
value(q{SELECT activate.create_sync('people', 'public.people', 'id', 'crm', object => 'people', mapping => 'id, v',
	schedule => '1 second', options => '{"canary": 20}')});
$s->wait_for('three runs were held', "SELECT count(*) >= 3 FROM activate.runs WHERE sync = 'people' AND status IN ('held', 'superseded')");
my ($first, @others) = $s->runs('people');
is("$first->{accepted} $first->{rejected} $first->{delayed}", '19 1 480', 'the canary went and one of it was refused');
like($first->{error}, qr/is held: 1 of 20 canary rows were refused/, 'the run says how many');
like($first->{detail}, qr/\{"id": 7\}: no\. The other 480 rows were not sent/, 'and why');
is(scalar(grep { $_->{requests} > 0 } @others), 0, 'what follows sends nothing');
is(scalar @{ $crm->records('people') }, 19, 'so that the destination has the canary');
is(value("SELECT count(*) FROM activate.events WHERE sync = 'people' AND kind = 'run_held'"), '1', 'somebody is told once');
is(value("SELECT health FROM activate.status WHERE sync = 'people'"), 'held', 'and the status says so');

# Which run is the held one may change between looking and saying.
sub decide
{
	my ($function) = @_;
	$s->wait_until("$function goes through", sub {
		$s->session->query("SELECT 'done' FROM (SELECT activate.$function(run_id) FROM activate.runs WHERE sync = 'people' AND status = 'held') AS d") =~ /^done/ });
	return;
}

# when it is approved, then a worker sends the others without another canary
decide('approve_run');
$s->wait_for('the others went', "SELECT count(*) = 499 FROM activate_data.people WHERE activate_state = 'accepted'");
$s->wait_for('the canary is over', "SELECT NOT first_batch_alone FROM activate.sync WHERE name = 'people'");
is(scalar @{ $crm->records('people') }, 499, 'approved: all but the refused one are there');

# when the definition changes there is another canary, which is discarded
my $seen = value("SELECT max(run_id) FROM activate.run");
value(q{SELECT activate.alter_sync('people', mapping => 'id, upper(v) AS v')});
$s->wait_for('it is held again', "SELECT count(*) > 0 FROM activate.runs WHERE sync = 'people' AND status = 'held' AND run_id > $seen");
$crm->script([]);
decide('discard_run');
$s->wait_for('the next canary passes', "SELECT NOT first_batch_alone FROM activate.sync WHERE name = 'people'");
is(value("SELECT count(*), min(activate_state) FROM activate_data.people WHERE activate_state <> 'accepted'"), '1|refused',
	'discarded: another canary, and what was refused for good stays so');
is($crm->record('people', { id => 300 })->{fields}{v}, 'FIRST', 'and the others went');
is(value("SELECT count(*) FROM activate.run WHERE status <> 'running' AND added + changed + removed"
	. " <> accepted + rejected + delayed + unknown + waiting + absent + skipped + held_out"), '0', 'workers: the sums of all runs hold');
$s->node->stop;

# ----------------------------------------------------------- lost answers

my $activate = Activate->start('canary');
my $d = Destination->start;
$activate->server('crm', $d, timeout => '300ms');
my $table = 0;

sub fresh
{
	my ($rows) = @_;
	my $name = 's' . ++$table;
	$activate->sql("CREATE TABLE $name (id int PRIMARY KEY, v text);"
		. " INSERT INTO $name SELECT i, 'v' || i FROM generate_series(1, $rows) AS i;"
		. " SELECT activate.create_sync('$name', '$name', 'id', 'crm', '$name', mapping => 'id, v', mode => 'mirror', on_removed => 'delete',"
		. qq{ options => '{"canary": 10, "batch_size": 5, "remove_after": "0 s", "max_removed": "100 %"}')});
	$d->script([]);
	return $name;
}

sub pending { return $activate->sql("SELECT first_batch_alone FROM activate.sync WHERE name = '$_[0]'") }

# given an answer of the canary that never comes, then nothing else goes
foreach my $fault ({ close => 'after', times => -1 }, { status => 500, apply => 'before', times => -1 }, { hang => 1, apply => 'before', times => -1 })
{
	my $sync = fresh(100);
	my $name = encode_json($fault);

	# The first of its two batches passes, so that the destination does not look dead.
	$d->script({ match => { path => "/$sync" } }, { %$fault, match => { path => "/$sync" } });
	my $run = $activate->run($sync);
	is($run->{accepted} . ' ' . ($run->{accepted} + $run->{delayed}) . " $run->{rejected}", '5 100 0', "$name: five have their answer, and 90 never went");
	ok((grep { $run->{status} eq $_ } qw(partial failed)), "$name: $run->{status}");
	is(scalar @{ $d->records($sync) }, 10, "$name: only the canary is there");
	is(pending($sync), 't', "$name: it is still to pass");
	$d->script([]);
	$run = $activate->run($sync);
	is("$run->{status} $run->{accepted}", 'succeeded 95', "$name: the next run has a canary, and goes on");
	is(pending($sync), 'f', "$name: which was the last");
}

# given a throttled canary, then the run is partial and says what it waited for
{
	my $sync = fresh(100);

	$d->script({ match => { path => "/$sync" } }, { status => 429, headers => { 'Retry-After' => '86400' }, match => { path => "/$sync" }, times => -1 });
	my $run = $activate->run($sync);
	is("$run->{status} $run->{sqlstate} $run->{accepted} $run->{delayed}", 'partial 01PA1 5 95', 'a throttled canary: partial');
	is(pending($sync), 't', 'a throttled canary: it is still to pass');
}

# given an answer lost now and then, found by the retries, then it is none
{
	my $sync = fresh(100);

	$d->script({ close => 'after', match => { path => "/$sync" }, times => 2 });
	my $run = $activate->run($sync);
	is("$run->{status} $run->{accepted}", 'succeeded 100', 'an answer that a second try brings is as good');
}

# given a server that dies between answers and settling, then nothing else had gone
foreach my $fault ('before_settle:kill', 'after_settle:kill', 'after_send:kill', 'before_settle:error')
{
	my $sync = fresh(100);

	$activate->run($sync, faults => $fault);
	cmp_ok(scalar @{ $d->records($sync) }, '<=', 10, "$fault: no more than the canary is there");
	is(pending($sync), 't', "$fault: it is still to pass");
	my $run = $activate->run($sync);
	is($run->{status}, 'succeeded', "$fault: the next run goes on");
	is(scalar @{ $d->records($sync) }, 100, "$fault: with all of them");
}

# ------------------------------------------------- what it finds, and the brake

# given a canary of which each row is refused for the same reason, then the brake stops the run
{
	my $sync = fresh(100);

	$d->script({ match => { path => "/$sync" }, reject_rows => { where => 'id', error => 'unknown field v' }, times => -1 });
	my $run = $activate->run($sync);
	is("$run->{sqlstate} $run->{status} $run->{rejected} $run->{delayed}", 'PA001 failed 0 100', 'all alike: the brake, and nobody is charged');
	is(pending($sync), 't', 'all alike: the canary is still to come');
	is($activate->sql("SELECT coalesce(sum(activate_attempts), 0) FROM activate_data.$sync"), '0', 'all alike: no attempt counts');
	# batches refused as a whole, bisected
	$d->script({ match => { path => "/$sync" }, status => 400, times => -1 });
	$run = $activate->run($sync);
	is("$run->{status} $run->{rejected} $run->{delayed}", 'failed 0 100', 'refused as a whole and alike: the brake');
	# one row that makes its batch be refused
	$d->script({ match => { path => "/$sync" }, refuse_batch_if => '"id":1,', times => -1 });
	$activate->sql("UPDATE $sync SET v = repeat('long', 50) WHERE id = 1");
	$run = $activate->run($sync);
	is("$run->{sqlstate} $run->{status} $run->{accepted} $run->{rejected} $run->{delayed}", 'PA002 held 9 1 90',
		'a poison row of the canary is found, and holds the run');
	is(scalar @{ $d->records($sync) }, 9, 'and nothing else has gone');
	# and approved, the rest goes, whatever it is that the brake would say
	$activate->sql("SELECT activate.approve_run(max(run_id)) FROM activate.runs WHERE sync = '$sync' AND status = 'held'");
	$run = $activate->run($sync);
	is("$run->{status} $run->{accepted} $run->{delayed}", 'partial 90 1', 'approved: the rest goes');
	is(pending($sync), 'f', 'approved: the canary is over');
}

# given rows of every kind, then the canary has some of each, and the same ones each time
{
	my $sync = fresh(200);

	$activate->run($sync);
	$activate->sql("UPDATE $sync SET v = repeat('long', 100) WHERE id = 123; UPDATE $sync SET v = NULL WHERE id = 45;"
		. " DELETE FROM $sync WHERE id BETWEEN 60 AND 90; INSERT INTO $sync SELECT i, 'new' FROM generate_series(1000, 1050) AS i;"
		. " SELECT activate.alter_sync('$sync', mapping => 'id, v, 1 AS one')");
	my @chosen;
	foreach my $try (1, 2)
	{
		# Certainly not applied, so that the second run finds the same.
		$d->script({ status => 429, headers => { 'Retry-After' => '86400' }, match => { path => "/$sync" }, times => -1 });
		my $run = $activate->run($sync);
		is("$run->{status} $run->{accepted}", 'partial 0', "try $try: nothing of it was applied");
		push @chosen, join ' ', map { $_->{key}{id} } @{ decode_json($d->requests->[-1]{body})->{rows} };
	}
	is($chosen[0], $chosen[1], 'the same rows are chosen');
	$d->script({ match => { path => "/$sync" } }, { match => { path => "/$sync" } },
		{ status => 429, headers => { 'Retry-After' => '86400' }, match => { path => "/$sync" }, times => -1 });
	my $run = $activate->run($sync);
	is($run->{accepted}, 10, 'ten rows pass, and then the destination throttles');
	is(pending($sync), 'f', 'which is not the canary any more');
	my @rows = map { @{ decode_json($_->{body})->{rows} } } (grep { $_->{path} eq "/$sync" && $_->{status} == 200 } @{ $d->requests })[ -2, -1 ];
	is(scalar @rows, 10, 'they went in two batches of five');
	ok((grep { $_->{op} eq 'delete' } @rows), 'a removed row is among them');
	ok((grep { $_->{key}{id} >= 1000 } @rows), 'a new one');
	ok((grep { $_->{key}{id} == 123 } @rows), 'the longest');
	ok((grep { $_->{key}{id} == 45 } @rows), 'the one with a null');
}

$activate->sums_hold('canary');
done_testing();
