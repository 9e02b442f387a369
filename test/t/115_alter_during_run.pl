# A definition that is changed while a worker runs its sync: what would pull
# the ground from under the run is refused, everything else waits for the
# next run, and none sends rows of two definitions.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use Scheduled;

my $s = Scheduled->start('main', "autovacuum = off\n");
my $crm = $s->crm;
my $node = $s->node;

sub value { return $s->value($_[0]) }

# Of another session, with its SQLSTATE; nothing waits for a lock.
sub meanwhile
{
	my ($sql) = @_;
	my ($status, $out, $error) = $node->psql('postgres', "\\set VERBOSITY verbose\n$sql",
		connstr => $node->connstr('postgres') . " options='-c lock_timeout=2s -c client_min_messages=warning'");
	return $error =~ /ERROR: +(\w+): (.*)/ ? "$1 $2" : $out;
}

sub status { return value("SELECT status FROM activate.run WHERE run_id = $_[0]") }

value("ALTER SERVER crm OPTIONS (SET timeout '1 hour', ADD batch_size '100', ADD concurrency '1')");
value($_) for 'CREATE TABLE people (id int PRIMARY KEY, name text, score int)',
  q{INSERT INTO people SELECT i, 'name ' || i, i FROM generate_series(1, 300) i},
  'CREATE VIEW persons AS SELECT id AS person, name, score FROM people',
  'CREATE ROLE team NOLOGIN', 'GRANT USAGE ON SCHEMA activate TO team', 'GRANT USAGE ON FOREIGN SERVER crm TO team',
  'GRANT SELECT ON people TO team';
value("SELECT activate.create_sync('people', 'public.people', 'id', 'crm', object => 'people', mapping => 'name')");

$crm->script({ delay_ms => 8000 });
my $run = value("SELECT activate.queue_run('people')");
$crm->wait_for_requests(1);
my $pid = value("SELECT pid FROM activate.progress");

my $running = qr/^55006 sync "people" is running in process $pid$/;
like(meanwhile("SELECT activate.alter_sync('people', $_)"), $running, "$_ is refused")
  for "new_name => 'humans'", "object => 'humans'", "owner => 'team'", "resend => 'all'",
  "model => 'public.persons', key => 'person'", "mapping => 'name, score', resend => 'none'";
like(meanwhile("SELECT activate.reset_sync('people', 'resend')"), qr/^55006 /, 'a reset is refused');
like(meanwhile(q{SELECT * FROM activate.apply('{"syncs": {"people": {"model": "public.people", "key": "id", "destination": "crm", "object": "humans"}}}')}),
	$running, 'apply refuses the same');
is(meanwhile(q{SELECT action FROM activate.apply(activate.export(ARRAY['people']), dry_run => true)}), 'none', 'a dry run does not wait');

is(meanwhile("SELECT activate.alter_sync('people', $_)"), '', "$_ goes through")
  for "mapping => 'name, score'", "match => ''", "options => '{\"batch_size\": 150}'", "mode => 'mirror', on_removed => 'clear'", "schedule => '1 hour'";
like(meanwhile("SELECT plan -> 'changed' FROM activate.apply(activate.export(ARRAY['people']), dry_run => true)"), qr/^\d+$/, 'and can be planned');
is(meanwhile("SELECT activate.pause_sync('people', 'while it runs')"), '', 'so does a pause');
is(status($run), 'running', 'all of that while it ran');

$s->wait_for('its end', "SELECT status NOT IN ('queued', 'running') FROM activate.run WHERE run_id = $run");
is(value("SELECT status, accepted FROM activate.run WHERE run_id = $run"), 'succeeded|300', 'the run goes on to its end');
my @rows = @{ $crm->rows };
is(scalar(@rows), 300, 'and sent every row once,');
is(join(' ', sort keys %{ { map { join(',', sort keys %{ $_->{fields} }) => 1 } @rows } }), 'name', 'all by the definition that it began with');
is(scalar(@{ $crm->requests }), 3, 'in batches of its size');
is(value("SELECT first_batch_alone, paused FROM activate.sync"), 't|t', 'the first batch by the new definition is still to go alone');

$crm->reset;
is(meanwhile("SELECT activate.queue_run('people')"), '55000 sync "people" is paused', 'the pause holds');
value("SELECT activate.resume_sync('people')");
value("DELETE FROM people WHERE id > 298");
$run = value("SELECT activate.queue_run('people')");
$s->wait_for('its end', "SELECT status NOT IN ('queued', 'running') FROM activate.run WHERE run_id = $run");
is(value("SELECT status, changed, removed, accepted FROM activate.run WHERE run_id = $run"), 'succeeded|298|2|300', 'the next run goes by the new one');
is(join(' ', sort keys %{ { map { join(',', $_->{op}, sort keys %{ $_->{fields} }) => 1 } @{ $crm->rows } } }), 'clear,name,score upsert,name,score', 'in all of its rows');
is(value("SELECT first_batch_alone FROM activate.sync"), 'f', 'and has done with the first batch');

# A queued run, and one that a renamed sync is asked for, follow.
value("UPDATE people SET score = score + 1");
$crm->script({ delay_ms => 3000 });
$run = value("SELECT activate.queue_run('people')");
$crm->wait_for_requests(scalar(@{ $crm->requests }) + 1);
my $next = value("SELECT activate.queue_run('people')");
isnt($next, $run, 'a run is queued behind it');
value("SELECT activate.alter_sync('people', mapping => 'name, score, 1 AS one')");
$s->wait_for('both', "SELECT count(*) = 2 FROM activate.run WHERE run_id IN ($run, $next) AND status = 'succeeded'");
is(value("SELECT changed FROM activate.run WHERE run_id = $next"), 298, 'it goes by what was defined meanwhile');
value("SELECT activate.alter_sync('people', new_name => 'humans', schedule => 'manual')");
is(value("SELECT DISTINCT sync FROM activate.runs"), 'humans', 'the runs go by the new name');
value("UPDATE people SET score = score + 1 WHERE id = 1");
$run = value("SELECT activate.queue_run('humans')");
$s->wait_for('its end', "SELECT status = 'succeeded' FROM activate.run WHERE run_id = $run");
is(value("SELECT changed FROM activate.run WHERE run_id = $run"), 1, 'and the renamed sync by what was sent before');

value("UPDATE people SET score = score + 1 WHERE id = 2");
value('BEGIN');
$run = value("SELECT activate.queue_run('humans')");
value("SELECT activate.alter_sync('humans', new_name => 'people')");
value('COMMIT');
$s->wait_for('its end', "SELECT status = 'succeeded' FROM activate.run WHERE run_id = $run");
is(value("SELECT sync, changed FROM activate.runs WHERE run_id = $run"), 'people|1', 'a run that was queued under the old name is made');

is(value("SELECT count(*) FROM activate.run WHERE added + changed + removed <> accepted + rejected + delayed + unknown + waiting + absent + skipped + held_out"),
	0, 'the sums of all runs hold');
done_testing();
