# Rows wait for the rows of other syncs that they refer to, and go by
# themselves once the destination has those: level by level, round a circle,
# and after a crash between the one and the other.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use Scheduled;

my $s = Scheduled->start('main', <<END);
pg_activate.naptime = '1s'
pg_activate.debug_clock_offset = 0
autovacuum = off
END

sub refer
{
	my ($name, $to, $schedule) = @_;
	$s->value("CREATE TABLE IF NOT EXISTS $name (id int PRIMARY KEY, ref int);"
		. " SELECT activate.create_sync('$name', 'public.$name', 'id', 'crm', object => '$name',"
		. ($to ? " mapping => 'activate.external_id(''$to'', ref) AS ref'" : " mapping => 'ref'")
		. ', schedule => \'' . ($schedule // '1 day') . '\')');
	return;
}

# What an object holds as id => reference, the reference as the id of the other object's record.
sub held
{
	my ($object, $other) = @_;
	my %name = map { $_->{external_id} => $_->{key}{id} } @{ $s->crm->records($other // $object) };
	return { map { $_->{key}{id} => defined $_->{fields}{ref} ? $name{ $_->{fields}{ref} } // $_->{fields}{ref} : undef }
		@{ $s->crm->records($object) } };
}

sub queue { return $s->value("CALL activate.wait_for_run(" . $s->value("SELECT activate.queue_run('$_[0]')") . ')') }

# Runs that ended; none under way or about to begin.
sub quiet
{
	my ($sync) = @_;
	$s->wait_for("no run of $sync is under way",
		"SELECT count(*) = 0 FROM activate.run JOIN activate.sync USING (sync_id) WHERE name = '$sync' AND finished_at IS NULL");
	return scalar $s->runs($sync);
}

# ------------------------------------------------------------- three levels
refer('companies');
refer('contacts', 'companies');
refer('notes', 'contacts');
$s->value('INSERT INTO companies SELECT i, NULL FROM generate_series(1, 5) AS i;'
	. ' INSERT INTO contacts SELECT i, 1 + i % 5 FROM generate_series(1, 50) AS i;'
	. ' INSERT INTO notes SELECT i, 1 + i % 50 FROM generate_series(1, 200) AS i');
is(queue('notes'), 'partial', 'a sync whose rows all wait is partial');
is(queue('contacts'), 'partial', 'and so is the one they wait for');
is($s->crm->stats->{requests}, 0, 'nothing was sent');
is($s->value("SELECT state || ' ' || count(*) FROM activate.pending WHERE sync = 'notes' GROUP BY state"), 'waiting 200', 'it is told what waits');
is(queue('companies'), 'succeeded', 'then come the companies');
$s->wait_until('the notes are there', sub { @{ $s->crm->records('notes') } == 200 });
is_deeply(held('contacts', 'companies'), { map { $_ => 1 + $_ % 5 } 1 .. 50 }, 'contacts refer to their companies');
is_deeply(held('notes', 'contacts'), { map { $_ => 1 + $_ % 50 } 1 .. 200 }, 'and notes to their contacts');
quiet('notes');
my @runs = $s->runs('notes');
is_deeply([ map { "$_->{cause} $_->{status} $_->{accepted} $_->{waiting}" } @runs ],
	[ 'manual partial 0 200', 'retry succeeded 200 0' ], 'by one run each, of the rows that waited');
ok($runs[1]{keyed}, 'and of those alone');

# ------------------------------------------------- nobody is woken for nothing
$s->value('INSERT INTO contacts VALUES (51, 6)');
is(queue('contacts'), 'partial', 'a contact waits for a company that nobody has');
my $count = quiet('contacts');
$s->value('INSERT INTO companies VALUES (7, NULL)');
is(queue('companies'), 'succeeded', 'another company comes');
$s->wait_until('the contacts have looked', sub { $s->runs('contacts') > $count });
is(quiet('contacts'), $count + 1, 'the contacts look once');
$s->value('UPDATE companies SET ref = 1 WHERE id = 7');
is(queue('companies'), 'succeeded', 'when a company only changes');
is(queue('notes'), 'succeeded', '(and another sync had its turn)');
is(quiet('contacts'), $count + 1, 'nobody looks');

# ------------------------------------------------------------------- a crash
$s->value("ALTER SYSTEM SET pg_activate.debug_faults = 'after_settle:kill'");
$s->value('SELECT pg_reload_conf()');
$s->value('INSERT INTO companies VALUES (6, NULL)');
eval { $s->value("SELECT activate.queue_run('companies')") };
ok($s->node->poll_query_until('postgres', "SELECT count(*) > 0 FROM activate.run JOIN activate.sync USING (sync_id)"
	. " WHERE name = 'companies' AND status = 'interrupted'"), 'the server crashes while the company is sent, and is back');
# Those who then settle die, too, until they are let live.
$s->wait_until('nobody is killed any more', sub {
	return $s->node->psql('postgres', 'ALTER SYSTEM RESET pg_activate.debug_faults') == 0
	  && $s->node->psql('postgres', 'SELECT pg_reload_conf()') == 0; });
$s->wait_until('the contact is there', sub { ($s->crm->record('contacts', { id => 51 }) // {})->{fields} });
ok($s->node->poll_query_until('postgres', "SELECT count(*) > 0 FROM activate_data.contacts WHERE id = 51 AND activate_state = 'accepted'"
	. " AND NOT EXISTS (SELECT 1 FROM activate.run WHERE status = 'running')"),
	'and accepted');
$s->reconnect;
is(held('contacts', 'companies')->{51}, 6, 'a crash after the company was accepted, and its contact is sent all the same');

# --------------------------------------------------------------- a tree
refer('tree', undef);
$s->value(q{SELECT activate.alter_sync('tree', mapping => $$ activate.external_id('tree', ref) AS ref $$)});
$s->value('INSERT INTO tree SELECT i, nullif(i / 2, 0) FROM generate_series(1, 31) AS i; INSERT INTO tree VALUES (100, 99)');
is(queue('tree'), 'partial', 'of rows that refer to each other the first goes');
$s->wait_until('the whole tree is there', sub { @{ $s->crm->records('tree') } == 31 });
is_deeply(held('tree'), { map { $_ => $_ > 1 ? int($_ / 2) : undef } 1 .. 31 }, 'then the others, level by level');
$s->wait_for('it has looked once more', "SELECT count(*) >= 6 FROM activate.run JOIN activate.sync USING (sync_id) WHERE name = 'tree' AND finished_at IS NOT NULL");
is(queue('notes'), 'succeeded', '(and another sync had its turn)');
is(quiet('tree'), 6, 'until nothing is new');
is($s->value("SELECT key::text || ' ' || message FROM activate.pending WHERE sync = 'tree'"),
	'{"id": 100} waits for row {"id": 99} of sync "tree"', 'whose parent does not come, waits');

# --------------------------------------------------------------- a circle
refer('a');
refer('b', 'a');
$s->value(q{SELECT activate.alter_sync('a', mapping => $$ activate.external_id('b', ref) AS ref $$)});
$s->value('INSERT INTO a VALUES (1, NULL), (2, 1), (3, 2); INSERT INTO b VALUES (1, 1), (2, 2), (3, 3)');
$s->value("SELECT activate.queue_run('a'), activate.queue_run('b')");
$s->wait_until('both are complete', sub { @{ $s->crm->records('a') } == 3 && @{ $s->crm->records('b') } == 3 });
is_deeply([ held('a', 'b'), held('b', 'a') ], [ { 1 => undef, 2 => 1, 3 => 2 }, { 1 => 1, 2 => 2, 3 => 3 } ],
	'two syncs that refer to each other');

# ------------------------------------------- archived, and back after a lost answer
$s->value('CREATE TABLE kept (id int PRIMARY KEY, ref int); INSERT INTO kept VALUES (1, NULL); CREATE TABLE keeps (id int PRIMARY KEY, ref int);'
	. " SELECT activate.create_sync('kept', 'public.kept', 'id', 'crm', object => 'kept', mapping => 'ref', mode => 'mirror',"
	. ' on_removed => \'archive\', options => \'{"max_removed": "100 %", "remove_after": 0}\', schedule => \'1 day\')');
queue('kept');
$s->value('UPDATE activate.sync SET options = options || \'{"max_removed": 10}\' WHERE name = \'kept\'; DELETE FROM kept; INSERT INTO kept VALUES (2, NULL)');
is(queue('kept'), 'succeeded', 'a record is archived');
refer('keeps', 'kept');
$s->value('INSERT INTO keeps VALUES (1, 1)');
is(queue('keeps'), 'partial', 'and a row waits for it');
$s->crm->script([ { match => { path => '/kept' }, close => 'after', times => -1 } ]);
$s->value('INSERT INTO kept VALUES (1, 5)');
isnt(queue('kept'), 'succeeded', 'it is back, and the answer is lost');
$s->crm->script([]);
$s->wait_until('it is sent again, and what waited goes', sub { @{ $s->crm->records('keeps') } == 1 });
quiet('keeps');

# ------------------------------------------------- manual, paused, many
refer('called', 'companies', 'manual');
refer('paused', 'companies');
$s->value('INSERT INTO called VALUES (1, 8); INSERT INTO paused VALUES (1, 8)');
queue('called');
queue('paused');
$s->value("SELECT activate.pause_sync('paused')");
$s->value('INSERT INTO companies VALUES (8, NULL)');
is(queue('companies'), 'succeeded', 'a company comes that others wait for');
is(queue('notes'), 'succeeded', '(and another sync had its turn)');
is(quiet('called') . quiet('paused'), '11', 'a sync that is only called is not called for it, and a paused one rests');
$s->value("SELECT activate.resume_sync('paused')");
$s->wait_until('it goes', sub { @{ $s->crm->records('paused') } == 1 });
pass('until it is resumed');
is(queue('called'), 'succeeded', 'the other one when it is called');

refer('many', 'companies');
$s->value('INSERT INTO many SELECT i, 9 FROM generate_series(1, 10001) AS i');
is(queue('many'), 'partial', 'many rows wait');
$s->value('INSERT INTO companies VALUES (9, NULL)');
queue('companies');
$s->wait_until('they all go', sub { $s->crm->stats->{rows} > 10000 && @{ $s->crm->records('many') } == 10001 });
quiet('many');
@runs = $s->runs('many');
is_deeply([ map { "$_->{cause} $_->{status} $_->{accepted}" . ($_->{keyed} ? ' keyed' : '') } @runs ],
	[ 'manual partial 0', 'retry succeeded 10001' ], 'with the whole model, when they are so many');

is($s->value('SELECT count(*) FROM activate.run WHERE status <> \'running\' AND added + changed + removed <>'
	. ' accepted + rejected + delayed + unknown + waiting + absent + skipped + held_out'), 0, 'the sums of all runs add up');
done_testing();
