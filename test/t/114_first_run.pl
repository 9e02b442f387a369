# first_run: what was there before the first run is taken as sent once, in one
# step, whoever makes that run and whenever it dies.
use strict;
use warnings;

use Activate;
use Destination;
use Test::More;
use Time::HiRes qw(sleep time);

my $activate = Activate->start('first_run');
my $d = Destination->start;
$activate->server('crm', $d);

my $count = 0;

# A table of five rows and an append sync over it that takes them as sent.
sub fresh
{
	my (%option) = @_;
	my $name = 's' . ++$count;

	$activate->sql("CREATE TABLE $name (id int PRIMARY KEY, v text); INSERT INTO $name SELECT i, 'old' FROM generate_series(1, 5) AS i;"
		. " SELECT activate.create_sync('$name', '$name', 'id', 'crm', 'c', mapping => 'v', mode => 'append',"
		. " options => '{\"first_run\": \"" . ($option{first_run} // 'baseline') . "\"}')");
	$d->reset;
	return $name;
}

sub grow { $activate->sql("INSERT INTO $_[0] SELECT max(id) + 1, 'new' FROM $_[0]"); return }
sub pending { return $activate->sql("SELECT first_run_pending FROM activate.sync WHERE name = '$_[0]'") }
sub known { return $activate->sql("SELECT count(*) FROM activate_data.$_[0]") }
sub events { return $activate->sql("SELECT count(*) FROM activate.events WHERE kind = 'baselined' AND sync = '$_[0]'") }

# given the run dies before the baseline is durable, then nothing of it is, and the next run does it
foreach my $action (qw(kill error))
{
	my $sync = fresh();

	isnt($activate->run($sync, faults => "before_baseline:$action")->{sqlstate}, '', "$action: it died") if $action eq 'error';
	$activate->run($sync, faults => "before_baseline:$action") if $action eq 'kill';
	is(pending($sync), 't', "$action before: the first run is still to come");
	is(known($sync), 0, "$action before: nothing counts as sent");
	is(events($sync), 0, "$action before: nor was it told");
	my $run = $activate->run($sync);
	is($run->{status}, 'succeeded', "$action before: the next run succeeds");
	is("$run->{added} $run->{unchanged}", '0 5', "$action before: all of it is unchanged");
	is(events($sync), 1, "$action before: told once");
}

# given the run dies after it, then it is done, and what has come since is new
foreach my $action (qw(kill error))
{
	my $sync = fresh();

	$activate->run($sync, faults => "after_baseline:$action");
	is(pending($sync), 'f', "$action after: the first run is over");
	grow($sync);
	my $run = $activate->run($sync);
	is("$run->{status} $run->{added} $run->{unchanged}", 'succeeded 1 5', "$action after: the new row is sent");
	is(join(' ', map { $_->{key}{id} } @{ $d->rows }), '6', "$action after: and no other");
	is(events($sync), 1, "$action after: told once");
}

# given a row appears between the baseline and the diff of the same run, then it is sent by that run
{
	my $sync = fresh();
	my $under_way = $activate->begin($sync, faults => 'after_baseline:wait');
	my $until = time + 30;

	until (known($sync) == 5)
	{
		die 'no baseline' if time > $until;
		sleep 0.01;
	}
	grow($sync);
	$activate->sql('SELECT pg_cancel_backend(' . $activate->backend . ')');
	$activate->end($under_way);
	my $run = $activate->run($sync);
	is("$run->{status} $run->{added}", 'succeeded 1', 'between baseline and diff: sent');
	is($activate->run($sync)->{added}, 0, 'and not again');
}

# given first_run send, then a run that fails before its guard leaves it to the next, one that got past does not
{
	my $sync = fresh(first_run => 'send');

	$activate->sql("ALTER TABLE $sync RENAME COLUMN v TO w");
	isnt($activate->run($sync)->{sqlstate}, '', 'send: a run that cannot read its model fails');
	is(pending($sync), 't', 'send: it was no first run');
	$activate->sql("ALTER TABLE $sync RENAME COLUMN w TO v");
	$activate->run($sync, faults => 'before_claim:error');
	is(pending($sync), 'f', 'send: past its guard it was');
	is($activate->run($sync)->{accepted}, 5, 'send: all are sent');
}

# given a definition that says baseline after runs were made, then it is too late for it
{
	my $sync = fresh(first_run => 'send');

	$activate->run($sync);
	$activate->sql("SELECT activate.alter_sync('$sync', options => '{\"first_run\": \"baseline\"}')");
	grow($sync);
	is($activate->run($sync)->{accepted}, 1, 'after the first run: new rows are sent');
}

# given a worker makes the first run, then it does the same
{
	$activate->node->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_activate'\n");
	$activate->node->restart;
	my $sync = fresh();
	my $run_id = $activate->sql("SELECT activate.queue_run('$sync')");
	$activate->sql("CALL activate.wait_for_run($run_id, '30 s')");
	is(pending($sync), 'f', 'worker: the first run is over');
	is(events($sync), 1, 'worker: told once');
	is($activate->sql("SELECT status || ' ' || added || ' ' || unchanged FROM activate.run WHERE run_id = $run_id"),
		'succeeded 0 5', 'worker: all of it is unchanged');
	is(scalar(@{ $d->rows }), 0, 'worker: nothing was sent');
}

$activate->sums_hold('first run');
done_testing();
