# Rows that were refused come back when their time has come, and they alone.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use Scheduled;

my $s = Scheduled->start('main', "autovacuum = off\npg_activate.naptime = '1s'\n");
my $crm = $s->crm;

sub value { return $s->value($_[0]) }
sub wait_until { return $s->wait_until(@_) }

# The next run that ends after this one.
sub next_run
{
	my ($after) = @_;
	my $run;
	wait_until("a run after $after", sub {
		$run = value("SELECT run_id FROM activate.run WHERE run_id > $after AND finished_at IS NOT NULL ORDER BY run_id LIMIT 1") });
	return $run;
}

# Rows that were applied so far.
sub rows_sent { return $crm->stats->{rows} }

# Keys whose text is not their JSON.
value($_) for 'CREATE TABLE people (a int[], b timestamptz, c text, name text, PRIMARY KEY (a, b, c))',
  q{INSERT INTO people SELECT ARRAY[i, 2], '2026-01-01 10:00+02', 'it''s "' || i || '"', CASE WHEN i <= 3 THEN 'bad' ELSE 'good' END || i FROM generate_series(1, 20) i},
  q{SELECT activate.create_sync('people', 'public.people', 'a, b, c', 'crm', object => 'people', mapping => 'a[1] AS id, name', schedule => '1 day', options => '{"max_rejected": 100}')};

$crm->script({ reject_rows => [ { where => 'bad', error => 'no' } ], times => -1 });
my $run = value("SELECT activate.queue_run('people')");
wait_until('the first run', sub { value("SELECT status FROM activate.run WHERE run_id = $run") eq 'partial' });
is(value("SELECT accepted, rejected FROM activate.run WHERE run_id = $run"), '17|3', 'three rows are refused');
my $state = 'SELECT retry_rows, retry_at - (SELECT min(activate_next_attempt_at) FROM activate_data.people) FROM activate.sync_state';
is(value($state), 't|00:00:00', 'and are to be tried again when the first back-off ends');

# Changed meanwhile: rows that wait for the schedule, and one of the three.
value("UPDATE people SET name = 'changed' WHERE a[1] > 10");
value("UPDATE people SET name = 'better' WHERE a[1] = 1");
my $seen = rows_sent();
$s->clock(120);
my $again = next_run($run);
is(value("SELECT cause, keyed, status, added, changed, accepted, rejected FROM activate.run WHERE run_id = $again"),
	'retry|t|partial|3|0|1|2', 'a run of them alone');
is(rows_sent() - $seen, 1, 'of which one arrives, and nothing else');
is(value($state), 't|00:00:00', 'the two that are left wait again');
is(value("SELECT min(activate_attempts), max(activate_attempts) FROM activate_data.people WHERE activate_state = 'rejected'"), '2|2',
	'longer');

# Nothing is due before that.
$s->clock(180);
value("CREATE TABLE other (id int PRIMARY KEY)");
value("SELECT activate.create_sync('other', 'public.other', 'id', 'crm', object => 'other')");
my $other = value("SELECT activate.queue_run('other')");
is(next_run($again), $other, 'until then there is no run');

$crm->script;
$s->clock(360);
my $last = next_run($other);
is(value("SELECT cause, keyed, status, accepted FROM activate.run WHERE run_id = $last"), 'retry|t|succeeded|2', 'then the last two arrive');
is(value("SELECT retry_at, retry_rows FROM activate.sync_state WHERE sync_id = (SELECT sync_id FROM activate.run WHERE run_id = $last)"), '|f',
	'and nothing is to be tried again');
is(value("SELECT count(*) FROM activate.pending WHERE sync = 'people'"), '0', 'no row is pending');
is(scalar(grep { $_->{fields}{name} eq 'changed' } @{ $crm->records('people') }), 0, 'what changed otherwise waits for the schedule');

# A row that became invalid is listed once, however often it is looked at.
$crm->script({ reject_rows => [ { where => 'bad', error => 'no' } ], times => -1 });
value("CREATE TABLE numbers (id int PRIMARY KEY, v numeric, name text)");
value("INSERT INTO numbers VALUES (1, 1, 'bad'), (2, 2, 'good'), (3, 'NaN', 'bad')");
value(q{SELECT activate.create_sync('numbers', 'public.numbers', 'id', 'crm', object => 'numbers', schedule => '1 day', options => '{"max_rejected": 100, "max_invalid": 100}')});
$run = value("SELECT activate.queue_run('numbers')");
wait_until('its run', sub { value("SELECT status FROM activate.run WHERE run_id = $run") eq 'partial' });
value("UPDATE numbers SET v = 'NaN' WHERE id = 1");
$s->clock(600);
$again = next_run($run);
is(value("SELECT cause, keyed, invalid FROM activate.run WHERE run_id = $again"), 'retry|t|1', 'a row that is invalid now');
is(value("SELECT string_agg(key::text || state, ' ' ORDER BY key, state) FROM activate.pending WHERE sync = 'numbers' AND state = 'invalid'"),
	'{"id": 1}invalid {"id": 3}invalid', 'is listed besides the one that was');

# Keys that print as more than a scalar are tried again, too.
value("CREATE TYPE pair_of AS (a int, b text)");
value(q{CREATE TABLE shapes (a jsonb, b int[], c pair_of, d timestamptz, e bytea, f daterange, name text)});
value(<<'END');
INSERT INTO shapes SELECT j, ARRAY[[1, NULL], [3, 4]], ROW(1, 'x "y"')::pair_of, timestamptz '2026-01-02 03:04:05+00', bytea '\x00ff', daterange '[2026-01-01,2026-01-05)', CASE j WHEN '"g"' THEN 'good' ELSE 'shape' END
	FROM (VALUES ('"x"'::jsonb), ('{"a": [1.50]}'), ('[1, "{"]'), ('7'), ('null'), ('"g"')) AS v(j)
END
value(q{SELECT activate.create_sync('shapes', 'public.shapes', 'a, b, c, d, e, f', 'crm', object => 'shapes', mapping => 'name', schedule => '1 day', options => '{"max_rejected": 100}')});
$crm->script({ reject_rows => [ { where => 'shape', error => 'no' } ], times => -1 });
$run = value("SELECT activate.queue_run('shapes')");
wait_until('its run', sub { value("SELECT status FROM activate.run WHERE run_id = $run") eq 'partial' });
$crm->script;
$s->clock(1200);
$again = next_run($run);
is(value("SELECT cause, keyed, status, accepted FROM activate.run WHERE run_id = $again"), 'retry|t|succeeded|5', 'keys of other shapes than scalars');

# Very many rows that wait for a person, of whose requests nothing can come any more, make no run follow the other.
value("CREATE TABLE many (id int PRIMARY KEY, name text); INSERT INTO many SELECT i, 'name' FROM generate_series(1, 20100) AS i");
value(q{SELECT activate.create_sync('many', 'public.many', 'id', 'crm', object => 'many', mapping => 'name', mode => 'append', schedule => '1 day', options => '{"first_run": "baseline", "max_rejected": 100}')});
$run = value("SELECT activate.queue_run('many')");
wait_until('its run', sub { value("SELECT finished_at FROM activate.run WHERE run_id = $run") });
value("UPDATE activate_data.many SET activate_state = 'unknown', activate_in_doubt = true, activate_fingerprint = NULL, activate_accepted_at = NULL,"
	. " activate_tried = activate_fingerprint, activate_op = 'insert', activate_change_id = activate_fingerprint, activate_late_until = '2001-01-01'");
value(q{SELECT activate.settle_row('many', '7', 'resend')});
$again = next_run($run);
sleep 3;
is(value("SELECT count(*) || ' ' || sum(accepted) FROM activate.run WHERE run_id > $run"), '1 1', 'one run is enough');

my @lines = slurp_file($s->node->logfile) =~ /^\S+ \S+ \S+ \[\d+\] (?:ERROR|WARNING|PANIC|FATAL): .*$/mg;
is("@lines", '', 'nothing is in the log');
done_testing();
