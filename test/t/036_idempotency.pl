# One version of a row has one change_id and one Idempotency-Key, whatever
# happens to the request, the run and the server; another version has others.
use strict;
use warnings;

use Activate;
use Destination;
use JSON::PP;
use Test::More;

my $activate = Activate->start('idempotency');
my $d = Destination->start;
$activate->server('crm', $d, timeout => '5s');

my $table = 0;

sub fresh
{
	my ($rows, %option) = @_;
	my $name = 'k' . ++$table;
	my $mode = $option{mode} // 'upsert';
	my %options = (batch_size => 5, %{ $option{options} // {} });

	$options{first_run} = 'send' if $mode eq 'append';
	my $options = encode_json(\%options);
	$activate->sql("CREATE TABLE $name (id int PRIMARY KEY, v text);"
		. " INSERT INTO $name SELECT i, 'v' || i FROM generate_series(1, $rows) AS i;"
		. " SELECT activate.create_sync('$name', '$name', 'id', 'crm', 'c', mapping => 'v', mode => '$mode', options => '$options')");
	$d->reset;
	return $name;
}

# The Idempotency-Key of each request, and the change_ids of each key, in order, those that repeat once.
sub once { my %seen; return grep { !$seen{$_}++ } @_ }

sub header_keys
{
	my ($since) = @_;
	my @keys;
	foreach my $request (@{ $d->requests($since) })
	{
		push @keys, map { $request->{headers}{$_} } grep { lc eq 'idempotency-key' } keys %{ $request->{headers} };
	}
	return once(@keys);
}

sub change_ids
{
	my ($id, $since) = @_;
	return once(map { $_->{change_id} } grep { $_->{key}{id} == $id } @{ $d->rows($since) });
}

sub sent { my ($id) = @_; return scalar grep { $_->{key}{id} == $id } @{ $d->rows } }

sub is_one
{
	my ($what) = @_;
	my @headers = header_keys();
	my @ids = map { [ change_ids($_) ] } 1 .. 5;

	is(scalar @headers, 1, "$what: one Idempotency-Key") || diag "@headers";
	is(join(' ', map { scalar @$_ } @ids), '1 1 1 1 1', "$what: one change_id for each row");
	is(scalar(once(map { @$_ } @ids)), 5, "$what: each its own");
	cmp_ok(sent(1), '>', 1, "$what: and it was sent more than once");
	return;
}

# given tries of one run
{
	my $sync = fresh(5);
	$d->script({ status => 500, apply => 'before', times => 2 }, { close => 'after' }, { status => 429, headers => { 'Retry-After' => '0' } });
	is($activate->run($sync)->{accepted}, 5, 'tries: accepted in the end');
	is_one('tries of one run');
	cmp_ok(sent(1), '>=', 5, 'tries: each fault was met');
}

# given runs that come to nothing
{
	my $sync = fresh(5);
	$d->script({ status => 500, times => -1 });
	$activate->run($sync) for 1 .. 2;
	$d->script([]);
	is($activate->run($sync)->{accepted}, 5, 'runs: accepted in the end');
	is_one('runs one after the other');
}

# given a process that is killed, before and after the destination had the request
foreach my $point (qw(after_claim after_send before_settle))
{
	my $sync = fresh(5);
	$activate->run($sync, faults => "$point:kill");
	my $run = $activate->run($sync);
	is("$run->{status} $run->{accepted}", 'succeeded 5', "killed at $point: accepted by the next run");
	if ($point eq 'before_settle')
	{
		is_one("killed at $point");
	}
	else
	{
		# Whether the first arrived is a matter of luck: what did has the same keys.
		is(scalar(header_keys()), 1, "killed at $point: one Idempotency-Key");
		is(join(' ', map { scalar change_ids($_) } 1 .. 5), '1 1 1 1 1', "killed at $point: one change_id for each row");
	}
}

# given a server that crashes with the request under way
{
	my $sync = fresh(5);
	$d->script({ hang => 1, apply => 'before' });
	my $under_way = $activate->begin($sync);
	$d->wait_for_requests(1);
	$activate->crash;
	$activate->end($under_way);
	is($activate->run($sync)->{accepted}, 5, 'server crash: accepted by the next run');
	is_one('server crash');
}

# given a newer version, then everything is new
{
	my $sync = fresh(5);
	$d->script({ status => 500, apply => 'before', times => -1 });
	$activate->run($sync);
	$activate->sql("UPDATE $sync SET v = 'other'");
	$activate->run($sync);
	is(scalar(header_keys()), 2, 'two versions: two Idempotency-Keys');
	is(join(' ', map { scalar change_ids($_) } 1 .. 5), '2 2 2 2 2', 'two versions: two change_ids');
	$d->script([]);

	# The value comes back after another one was sent: a receiver must not take it for the first.
	$activate->sql("UPDATE $sync SET v = 'v' || id");
	is($activate->run($sync)->{accepted}, 5, 'back to the first value: accepted');
	is(scalar(header_keys()), 3, 'back to the first value: a third Idempotency-Key');
	is(join(' ', map { scalar change_ids($_) } 1 .. 5), '3 3 3 3 3', 'back to the first value: a third change_id');

	# The same after it was accepted.
	$activate->sql("UPDATE $sync SET v = 'other'");
	$activate->run($sync);
	$activate->sql("UPDATE $sync SET v = 'v' || id");
	$activate->run($sync);
	is(join(' ', map { scalar change_ids($_) } 1 .. 5), '5 5 5 5 5', 'to and fro: never one of before');
}

# given other rows in the request, then it has another key, and the rows have theirs
{
	my $sync = fresh(5);
	$d->script({ status => 500, times => -1 });
	$activate->run($sync);
	$activate->sql("DELETE FROM $sync WHERE id = 3");
	$d->script([]);
	$activate->run($sync);
	is(scalar(header_keys()), 2, 'another composition: another Idempotency-Key');
	is(scalar(change_ids($_)), 1, "another composition: row $_ has the change_id that it had") for 1, 2, 4, 5;
}

# given a destination that honours keys, then what was applied before its answer got lost is applied once
{
	my $sync = fresh(5);
	$d->config({ idempotency => 1 });
	$d->script({ close => 'after', times => 3 });
	$activate->run($sync);
	is(join(' ', map { $_->{writes} } @{ $d->records('c') }), '1 1 1 1 1', 'a destination that honours keys applies once');
	$d->config({ idempotency => 0 });
}

# given events, a third of whose requests are applied and then cut off, then at
# least once: only rows of those requests go twice, each with one key
{
	my $sync = fresh(300, mode => 'append', options => { batch_size => 10, delivery => 'at_least_once' });
	my $faults = 0;
	foreach my $n (0 .. 9)
	{
		$d->script_more({ match => { path => '/c', after => 2 }, close => 'after', reset => 1, times => 1 });
		$faults++;
	}
	my $run = $activate->run($sync);
	is("$run->{status} $run->{accepted}", 'succeeded 300', 'append, at least once: all arrive') || diag $run->{text};
	my %times;
	my %ids;
	foreach my $row (@{ $d->rows })
	{
		$times{ $row->{key}{id} }++;
		$ids{ $row->{key}{id} }{ $row->{change_id} } = 1;
	}
	my $duplicates = 0;
	$duplicates += $_ - 1 for values %times;
	is(scalar keys %times, 300, 'append, at least once: none is lost');
	cmp_ok($duplicates, '>', 0, "append, at least once: $duplicates duplicates");
	cmp_ok($duplicates, '<=', $faults * 4 * 10, "append, at least once: at most what was in flight: $duplicates");
	is(scalar(grep { keys %$_ != 1 } values %ids), 0, 'append, at least once: duplicates have the change_id of the first');
	note "$duplicates duplicates by $faults lost answers";
}

# the same at most once: no duplicate, and what is uncertain is listed
{
	my $sync = fresh(300, mode => 'append', options => { batch_size => 10, delivery => 'at_most_once' });
	$d->script_more({ match => { path => '/c', after => 3 }, close => 'after', reset => 1, times => 1 }) for 1 .. 5;
	my $unknown = 0;
	for (1 .. 8)
	{
		my $run = $activate->run($sync);
		$unknown = $run->{unknown};
		last if $run->{accepted} == 0 && $run->{delayed} == 0;
	}
	my %times;
	$times{ $_->{key}{id} }++ for @{ $d->rows };
	is(scalar(grep { $_ != 1 } values %times), 0, 'append, at most once: nothing went twice');
	is(scalar keys %times, 300, 'append, at most once: nothing is lost');
	cmp_ok($unknown, '>', 0, "append, at most once: $unknown rows are unknown");
	is($activate->sql("SELECT count(*) FROM activate.pending WHERE sync = '$sync' AND state = 'unknown'"), $unknown,
		'append, at most once: and listed');
	is($activate->sql("SELECT count(*) FROM activate_data.$sync WHERE activate_state = 'accepted'"), 300 - $unknown,
		'append, at most once: all others are accepted');
}

# given a process that is killed in a search for a bad event, then what was
# written down as accepted stays so: the claim speaks of the others alone
{
	my $sync = fresh(64, mode => 'append', options => { batch_size => 64, delivery => 'at_most_once' });
	$activate->sql("UPDATE $sync SET v = 'poison' WHERE id = 64");
	# 1 .. 32 are accepted, 33 .. 48 are never answered
	$d->script({ refuse_batch_if => 'poison', times => -1 }, { match => { contains => '"id": 33' }, hang => 1, apply => 'before' });
	my $under_way = $activate->begin($sync);
	my $accepted = "SELECT count(*) FROM activate_data.$sync WHERE activate_state = 'accepted'";
	$activate->node->poll_query_until('postgres', "SELECT ($accepted) = 32") or die 'the first half is not written down';
	kill 'KILL', $activate->backend;
	$activate->end($under_way);
	$d->script({ refuse_batch_if => 'poison', times => -1 });
	my $run = $activate->run($sync);
	is($activate->sql($accepted), 32, 'killed in a search, at most once: what was accepted stays accepted');
	is($run->{unknown}, 32, 'killed in a search, at most once: the others are unknown') || diag $run->{text};
	my %times;
	foreach my $request (@{ $d->requests })
	{
		$times{ $_->{key}{id} }++ for $request->{status} == 400 ? () : @{ decode_json($request->{body})->{rows} };
	}
	is(scalar(grep { $_ != 1 } values %times), 0, 'killed in a search, at most once: nothing went twice but what was refused');
}

$activate->sums_hold('idempotency');
done_testing();
