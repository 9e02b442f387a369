# Old runs and events go by themselves, what a status goes by stays, and the
# tables that every run writes do not grow with the runs.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use Scheduled;

my $s = Scheduled->start('main', <<END);
pg_activate.naptime = '1s'
pg_activate.debug_clock_offset = 0
autovacuum = off
END

sub count { return $s->value("SELECT count(*) FROM activate.$_[0]") }

# One that is paused: only housekeeping does anything to its runs.
$s->sync($_, options => '{"max_rejected": 100, "max_changed": 1}', rows => 5) foreach qw(health second);
$s->value("CALL activate.run_sync('$_')") foreach qw(health second);
$s->value("SELECT activate.pause_sync(name) FROM activate.sync");
my ($health, $second) = map { $s->value("SELECT sync_id FROM activate.sync WHERE name = '$_'") } qw(health second);

# Oldest first: [sync, status, keyed, untried, days ago, what is to become of it]
my @history = (
	[ $health, 'succeeded', 0, 0, 90, 'goes' ],
	[ $health, 'succeeded', 0, 0, 80, 'stays' ],    # the last success
	[ $health, 'partial', 0, 0, 79, 'goes' ],
	[ $health, 'partial', 0, 0, 78, 'stays' ],      # the last that was fresh
	[ $health, 'partial', 0, 7, 77, 'goes' ],
	[ $health, 'held', 0, 0, 76, 'stays' ],         # a person decides
	[ $health, 'partial', 0, 7, 75, 'stays' ],      # the last that knew how many rows are synced
	(map { [ $health, 'failed', 0, 0, 70 - $_, 'goes' ] } 1 .. 5),
	[ $health, 'interrupted', 0, 0, 60, 'stays' ],  # the last of the whole model
	(map { [ $health, 'succeeded', 1, 0, 50 - $_, 'goes' ] } 1 .. 5),
	[ $health, 'queued', 0, 0, 44, 'stays' ],
	[ $health, 'superseded', 0, 0, 43, 'goes' ],
	[ $health, 'cancelled', 0, 0, 43, 'goes' ],     # before it began
	(map { [ $health, 'succeeded', 1, 0, 42, 'stays' ] } 1 .. 9),    # of the newest ten
	[ $health, 'succeeded', 1, 0, 1, 'stays' ],
	(map { [ $second, 'succeeded', 0, 0, 31 + (3000 - $_) / 3000, 'goes' ] } 1 .. 3000),
	(map { [ $second, 'succeeded', 0, 0, 29, 'stays' ] } 1 .. 15),
);
$s->value('DELETE FROM activate.run WHERE sync_id IN (' . "$health, $second)");
my @rows = map { my ($sync, $status, $keyed, $untried, $days) = @$_;
	"($sync, '$status', @{[$keyed ? 'true' : 'false']}, $untried, clock_timestamp() - interval '$days days')" } @history;
while (my @some = splice @rows, 0, 500)
{
	$s->value('INSERT INTO activate.run (sync_id, cause, status, keyed, untried, started_at, finished_at, queued_at, rows_synced, error)'
		. " SELECT v.sync_id, 'schedule', v.status, v.keyed, v.untried, CASE WHEN v.status <> 'cancelled' THEN v.at END, v.at, v.at, v.sync_id, v.status"
		. ' FROM (VALUES ' . join(', ', @some) . ') AS v(sync_id, status, keyed, untried, at)');
}
my @numbers = split /\n/, $s->value("SELECT run_id FROM activate.run WHERE sync_id IN ($health, $second) ORDER BY run_id");
is(scalar @numbers, scalar @history, 'a history');
# Merged ones go with their age, whatever there is.
$s->value("INSERT INTO activate.run (sync_id, cause, status, queued_at, merged_into) VALUES ($second, 'manual', 'superseded', clock_timestamp() - interval '40 days', $numbers[-1])");
# What a sync that is gone left, and what one that a restore has yet to bring may own.
$s->value('INSERT INTO activate.invalid_row (sync_id, key, code, message, run_id) VALUES (0, $${}$$, $$x$$, $$x$$, 1), (1000000, $${}$$, $$x$$, $$x$$, 1)');
$s->value('INSERT INTO activate.claim (sync_id, run_id, ops, key_values, fingerprints, change_ids) SELECT v, 1, $${}$$, $${}$$, $${}$$, $${}$$ FROM unnest(ARRAY[0, 1000000]) AS v');
$s->value('INSERT INTO activate.sync_state (sync_id, anchor) VALUES (0, now()), (1000000, now())');
$s->value("INSERT INTO activate.destination_state (destination, closed) VALUES ('gone', false), ('closed', true), ('crm', false)");
# Events: a thousand old ones.
$s->value(q{INSERT INTO activate.event (kind, severity, message, at) SELECT 'old', 'info', i::text, clock_timestamp() - interval '50 days' FROM generate_series(1, 1000) AS i});
# Requests: of a sync that is there, and of one that is gone; the sequence has its own order.
$s->value(qq{INSERT INTO activate.request (sync_id, run_id, at, method, url, request_headers, request_bytes, request_cut, rows, attempt, ops, class, failed)
	SELECT s, 1, clock_timestamp() - make_interval(days => CASE WHEN i <= 2500 THEN 8 ELSE 6 END), 'POST', 'http://x', '{}', 0, false, 1, 1, 'upsert', 'accepted', true
	FROM (VALUES ($second, 2600), (0, 10)) AS v (s, n), generate_series(1, n) AS i});
my $before = $s->value('SELECT row_to_json(s) FROM (SELECT sync, health, last_run_id, last_status, last_success_at, fresh_as_of, rows_synced, rows_rejected, backlog, reason FROM activate.status) AS s ORDER BY sync');

# The clock says that it is time.
my $begun = time;
$s->clock(11 * 60);
$s->wait_for('old runs are gone', "SELECT count(*) < 100 FROM activate.run WHERE sync_id = $second");
$s->wait_for('and what comes last, too', 'SELECT NOT EXISTS (SELECT 1 FROM activate.destination_state WHERE destination = $$gone$$)');
pass(sprintf 'three thousand runs and a thousand events are gone in %.1f s', time - $begun);
my %there = map { $_ => 1 } split /\n/, $s->value("SELECT run_id FROM activate.run");
my @wrong = grep { ($there{ $numbers[$_] } ? 'stays' : 'goes') ne $history[$_][5] } 0 .. $#history;
is(join(', ', map { "$_: @{$history[$_]}" } @wrong[0 .. ($#wrong > 5 ? 5 : $#wrong)]), '', 'the right ones');
is($s->value('SELECT count(*) FROM activate.run WHERE merged_into IS NOT NULL'), 0, 'those that were merged, too');
is($s->value('SELECT row_to_json(s) FROM (SELECT sync, health, last_run_id, last_status, last_success_at, fresh_as_of, rows_synced, rows_rejected, backlog, reason FROM activate.status) AS s ORDER BY sync'),
	$before, 'status says what it said');
is($s->value("SELECT count(*) FROM activate.event WHERE kind = 'old'"), 100, 'the newest hundred events stay, however old');
is($s->value('SELECT count(*), min(sync_id) FROM activate.request'), "100|$second", 'requests of the last week stay, but for those of a sync that is gone');
is($s->value("SELECT string_agg(sync_id::text, ' ') FROM activate.$_ WHERE sync_id NOT IN (SELECT sync_id FROM activate.sync)"),
	'1000000', "$_ of a sync that is gone goes; what may yet come stays") foreach qw(invalid_row claim sync_state);
is($s->value("SELECT string_agg(destination, ' ' ORDER BY 1) FROM activate.destination_state"), 'closed crm',
	'and so does one of a destination, unless it is closed');
$s->value("DELETE FROM activate.$_ WHERE sync_id = 1000000") foreach qw(invalid_row claim sync_state);
cmp_ok($s->value("SELECT n_tup_del FROM pg_stat_user_tables WHERE relid = 'activate.run'::regclass"), '>=', 3000,
	'and autovacuum is told');

# A shorter retention acts at once, where a scheduler is.
$s->sync('often', schedule => '1 day');
$s->wait_until('a scheduler is there', sub { $s->pids('scheduler') == 1 });
$s->configure("pg_activate.run_retention = '28d'");
$s->wait_for('fifteen are too many now', "SELECT count(*) = 10 FROM activate.run WHERE sync_id = $second");
pass('a retention that is changed acts at once');
$s->configure("pg_activate.request_log_retention = '5d'");
$s->wait_for('a week is too long now', 'SELECT count(*) = 0 FROM activate.request');
pass('of requests, too');
my ($status, $out, $err) = $s->node->psql('postgres', "LOAD 'pg_activate'; ALTER SYSTEM SET pg_activate.run_retention = 0");
like($err, qr/outside the valid range/, 'none at all is not to be had');

# Runs, and what they do to the tables they write.
sub size { return $s->value("SELECT pg_relation_size('activate.sync_state')") }
sub updates { return $s->value('SELECT pg_stat_force_next_flush()') . $s->row("SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relid = 'activate.sync_state'::regclass")->{"n_tup_$_[0]"} }
sub runs
{
	my ($count) = @_;
	my $begun = time;
	$s->value("CALL activate.run_sync('often')") foreach 1 .. $count;
	return $count / (time - $begun);
}
runs(5);
my ($all, $hot) = (updates('upd'), updates('hot_upd'));
my $rate = runs(200);
is(size(), 8192, 'after 200 runs the table of states is still one page');
cmp_ok(updates('hot_upd') - $hot, '>=', 0.98 * (updates('upd') - $all), 'its updates are all in place');

# What a run reads of the runs before does not grow with them.
sub fetched { return $s->value("SELECT pg_stat_force_next_flush(); SELECT idx_tup_fetch FROM pg_stat_user_tables WHERE relid = 'activate.run'::regclass") }
$s->value('VACUUM activate.run');
my $fetched = fetched();
runs(20);
my $read = (fetched() - $fetched) / 20;
cmp_ok($read, '<', 100, sprintf 'after 200 runs one more reads %.0f of them', $read);
my $reader = Session->start($s->node, 'postgres');
$reader->query('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
my $held_rate = runs(200);
my $size = size();
cmp_ok($size, '<=', 8192 * (2 + 200 / 40), "with a snapshot held 200 runs add no more than they wrote ($size bytes)");
cmp_ok($held_rate, '>', 0.4 * $rate, sprintf '%.0f runs a second before, %.0f with it', $rate, $held_rate);
$reader->stop;
$s->value('VACUUM activate.sync_state');
runs(50);
cmp_ok(size(), '<=', $size, 'and afterwards it does not grow on');

done_testing;
