# What changes around a diff: types, keys, what is held.
use strict;
use warnings;

use Activate;
use Destination;
use Session;
use Test::More;

my $activate = Activate->start('edges');
my $destination = Destination->start;
my $options = '{"remove_after": "0 seconds", "max_removed": "5 %", "max_rejected": 100000}';

sub create_sync
{
	my ($name, $key, $mapping) = @_;
	return $activate->sql("SELECT activate.create_sync('$name', '$name', '$key', 'd', '$name', mapping => \$\$$mapping\$\$,"
		. " mode => 'mirror', on_removed => 'delete', options => '$options')");
}

# Alters the table after the run looked at it first, and before it is read.
sub run_while
{
	my ($name, $change) = @_;
	my ($first, $second) = map { Session->start($activate->node, 'postgres') } 1 .. 2;
	my $waiting = sub {
		my ($what) = @_;
		$activate->node->poll_query_until('postgres',
			"SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '$what%'")
			or die "$what does not wait";
	};

	$first->query("BEGIN; LOCK TABLE $name IN ACCESS EXCLUSIVE MODE");
	my $run = $activate->begin($name);
	$waiting->('CALL');
	$second->send($change);
	$waiting->($change =~ /^(\w+)/);
	$first->query('COMMIT');
	$second->wait;
	$_->stop foreach $first, $second;
	return $activate->end($run);
}

sub make_moving
{
	my ($rows) = @_;

	$activate->sql("SET client_min_messages = error; SELECT activate.drop_sync('moving', true); DROP TABLE IF EXISTS moving;"
		. " CREATE TABLE moving (id int, n bigint); INSERT INTO moving SELECT i, i FROM generate_series(1, $rows) AS i");
	create_sync('moving', 'id', 'n');
	$activate->run('moving');
	return;
}

$activate->server('d', $destination);

# given a model whose types change while a run begins, then the run goes by
# what it finds, whatever the sieve did, but for the key's
foreach my $rows (1, 3000)
{
	make_moving($rows);
	$activate->sql('INSERT INTO moving VALUES (-1, 1)');
	my $run = run_while('moving', 'ALTER TABLE moving ALTER n TYPE text');
	is_deeply([ @$run{qw(status changed added)} ], [ 'succeeded', $rows, 1 ], "$rows rows: a field's type changes meanwhile");
	$activate->sql('UPDATE moving SET n = 7');
	$run = run_while('moving', 'ALTER TABLE moving ALTER n TYPE bigint USING n::bigint');
	is_deeply([ @$run{qw(status changed added)} ], [ 'succeeded', $rows + 1, 0 ], "$rows rows: a field's type changes back");
	# A run gives way to who waits with it for long, and then finds the new type.
	foreach my $try (1 .. 10)
	{
		if ($try > 1)
		{
			make_moving($rows);
			$activate->sql('INSERT INTO moving VALUES (-1, 1)');
			$activate->run('moving');
		}
		$run = run_while('moving', 'ALTER TABLE moving ALTER id TYPE bigint');
		last unless $run->{status} eq 'succeeded';
	}
	is($run->{sqlstate}, '55000', "$rows rows: the key's type changes");
	$run = run_while('moving', 'DO $$ BEGIN TRUNCATE moving; INSERT INTO moving SELECT i, 8 FROM generate_series(1, ' . ($rows + 5) . ') AS i; END $$');
	is_deeply([ @$run{qw(status rows_in_model removed)} ], [ 'succeeded', $rows + 5, 1 ], "$rows rows: filled anew") or diag($run->{text});
}

# given a table that is filled anew in one transaction, when a run through a
# view comes upon it, then it sees what that transaction leaves
$activate->sql('CREATE TABLE base (id int, n int); INSERT INTO base SELECT i, i FROM generate_series(1, 300) AS i;'
	. ' CREATE VIEW filled AS SELECT id, n FROM base; CREATE ROLE own; ALTER TABLE base OWNER TO own; ALTER VIEW filled OWNER TO own;'
	. ' GRANT USAGE ON SCHEMA activate TO own; GRANT USAGE ON FOREIGN SERVER d TO own');
$activate->sql("SELECT activate.create_sync('filled', 'filled', 'id', 'd', 'filled', mapping => 'n', owner => 'own')");
$activate->run('filled');
my $filler = Session->start($activate->node, 'postgres');
$filler->query('BEGIN; TRUNCATE base; INSERT INTO base SELECT i, i FROM generate_series(1, 301) AS i');
my $under_way = $activate->begin('filled');
$activate->node->poll_query_until('postgres',
	"SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'CALL%'");
$filler->query('COMMIT');
my $after = $activate->end($under_way);
is_deeply([ @$after{qw(status added rows_in_model)} ], [ 'succeeded', 1, 301 ], 'a table filled anew, through a view') or diag($after->{text});
$filler->stop;

# given a key that outgrew its type, then the sync's table follows
$activate->sql('CREATE TABLE grown (id int, v text); INSERT INTO grown SELECT i, i FROM generate_series(1, 10) AS i');
create_sync('grown', 'id', 'v');
$activate->run('grown');
$activate->sql('ALTER TABLE grown ALTER id TYPE bigint; INSERT INTO grown VALUES (1::bigint << 40, $$new$$)');
is($activate->sql("SELECT added || ' added, ' || unchanged || ' unchanged' FROM activate.plan_sync('grown')"),
	'1 added, 10 unchanged', 'int became bigint: the plan');
my $run = $activate->run('grown');
is_deeply([ @$run{qw(status accepted unchanged)} ], [ 'succeeded', 1, 10 ], 'int became bigint: only the new row is sent');

# given a key type that does not hold what was accepted, then nothing is sent or removed
$activate->sql('DELETE FROM grown WHERE id > 10; ALTER TABLE grown ALTER id TYPE int');
$run = $activate->run('grown');
is_deeply([ @$run{qw(sqlstate status removed requests)} ], [ '42804', 'failed', 0, 0 ], 'bigint became int: refused')
	or diag($run->{text});

# given keys that name no row's columns, then it is said
foreach my $keys ('[{"ID": 1}]', '[{"id": 1, "x": 2}]', '[null]', '[[1]]')
{
	$run = $activate->run('moving', args => "keys => '$keys'");
	is($run->{sqlstate}, '22023', "keys => '$keys'");
}

# given an approved run, when keys are sent in between, then it still goes out
$activate->sql('CREATE TABLE many (id int, v text); INSERT INTO many SELECT i, i FROM generate_series(1, 200) AS i');
create_sync('many', 'id', 'v');
$activate->run('many');
$activate->sql('DELETE FROM many WHERE id > 100');
$run = $activate->run('many');
is($run->{status}, 'held', 'half of the rows would be removed');
$activate->sql("SELECT activate.approve_run($run->{run_id})");
is($activate->run('many', args => "keys => '[1]'")->{status}, 'succeeded', 'one key meanwhile');
$run = $activate->run('many');
is_deeply([ @$run{qw(status removed)} ], [ 'succeeded', 100 ], 'what was approved goes out');

# given rows of one key with different values, when the mapping changes without
# sending again, then neither of them counts as sent
$activate->sql('CREATE TABLE twins (id int, a text, b text); INSERT INTO twins VALUES (1, $$x$$, $$old$$)');
create_sync('twins', 'id', 'a');
$activate->run('twins');
foreach my $other ('new', 'a', 'zzz')
{
	$activate->sql("INSERT INTO twins VALUES (1, 'x', '$other'); SELECT activate.alter_sync('twins', mapping => 'a, b', resend => 'none')");
	$activate->sql("DELETE FROM twins WHERE b = 'old'");
	is($activate->sql("SELECT changed FROM activate.plan_sync('twins')"), 1, "the other twin ($other) is sent");
	$activate->sql("UPDATE twins SET b = 'old'; SELECT activate.alter_sync('twins', mapping => 'a', resend => 'all')");
	$activate->run('twins');
}

# given thousands of refusals that are not alike and nothing accepted, then
# they are written down while the run goes on
$activate->sql('CREATE TABLE refused (id int, v text);'
	. " INSERT INTO refused SELECT i, CASE i % 2 WHEN 0 THEN 'even' ELSE 'odd' END FROM generate_series(1, 8000) AS i");
$options = '{"batch_size": 1000, "max_rejected": 100000}';
create_sync('refused', 'id', 'v');
$destination->script([ { match => { path => '/refused', after => 7 }, hang => 1, times => -1 },
	{ match => { path => '/refused' }, times => -1,
		reject_rows => [ { where => 'even', status => 'rejected', error => 'is even' }, { where => 'odd', status => 'rejected', error => 'is odd' } ] } ]);
my $session = Session->start($activate->node, 'postgres');
$session->send("CALL activate.run_sync('refused')");
ok($activate->node->poll_query_until('postgres', "SELECT count(*) >= 5000 FROM activate_data.refused"), 'refusals are written down');
$activate->sql("SELECT pg_cancel_backend(" . $session->pid . ')');
$session->wait;

$activate->sums_hold('edges');
done_testing();
