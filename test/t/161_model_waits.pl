# A sync whose model cannot be read waits: its runs are put off without a row
# for each try, and it goes on by itself, at once where the change is seen.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use Scheduled;

my $s = Scheduled->start('main', <<END);
pg_activate.naptime = '1s'
pg_activate.debug_clock_offset = 0
autovacuum = off
END

sub state_of
{
	my ($sync) = @_;
	return $s->row("SELECT t.*, extract(epoch FROM retry_at - clock_timestamp())::int - current_setting('pg_activate.debug_clock_offset')::int AS retry,"
		. " extract(epoch FROM clock_timestamp() - model_problem_since)::int AS since"
		. " FROM activate.sync_state AS t JOIN activate.sync USING (sync_id) WHERE name = '$sync'");
}

sub status_of
{
	my ($sync) = @_;
	return $s->row("SELECT * FROM activate.status WHERE sync = '$sync'");
}

sub events
{
	my ($sync) = @_;
	return $s->value("SELECT coalesce(string_agg(kind, ' ' ORDER BY event_id), '') FROM activate.events WHERE sync = '$sync' AND kind ~ '^(model|run)'");
}

sub unseen
{
	my ($sql) = @_;
	$s->value("SET session_replication_role = replica; $sql; RESET session_replication_role");
	return;
}

# Runs that are over and did not succeed.
sub ended_otherwise
{
	my ($sync) = @_;
	return join ', ', map { "$_->{status}: " . ($_->{error} // '') } grep { $_->{status} !~ /^(?:succeeded|running)$/ } $s->runs($sync);
}

sub has
{
	my ($sync, $id) = @_;
	my $record = $s->crm->record($sync, { id => $id });
	return $record ? $record->{fields}{v} : undef;
}

$s->value('LOAD $$pg_activate$$');
$s->clock(0);

# -------------------------------------------------- a change that nobody saw
# given a change that no event trigger saw, then the next run finds it, and is the last for now
$s->sync('unseen', schedule => '1 second', rows => 3, mode => 'mirror', on_removed => 'delete', options => '{"remove_after": "0"}');
$s->wait_until('rows arrive', sub { has('unseen', 3) });
unseen('ALTER TABLE unseen RENAME v TO w');
$s->wait_until('it waits', sub { defined state_of('unseen')->{model_problem} });
my $last = ($s->runs('unseen'))[-1];
is($last->{status}, 'postponed', 'the run that finds the model changed is postponed');
like($last->{error}, qr/^sync "unseen": mapping field "v": column "v" does not exist$/, 'and says why');
is(events('unseen'), 'model_changed', 'which is told once');
my $status = status_of('unseen');
is($status->{health}, 'waiting', 'the sync waits');
is($status->{reason}, 'mapping field "v": column "v" does not exist', 'and says for what');

# then it is tried again, later each time, without a run for each
my $runs = $s->runs('unseen');
my @pauses;
foreach my $try (1 .. 7)
{
	my $before = state_of('unseen');
	push @pauses, $before->{retry};
	$s->clock(($s->{ahead} // 0) + $before->{retry} + 1);
	$s->wait_until("try $try", sub { state_of('unseen')->{failures} > $before->{failures} });
}
push @pauses, state_of('unseen')->{retry};
my @expected = (5, 10, 20, 40, 80, 160, 300, 300);
is(scalar(grep { abs($pauses[$_] - $expected[$_]) <= 2 } 0 .. 7), 8, "it is tried again after @pauses seconds");
is(scalar $s->runs('unseen'), $runs, 'no try leaves a run');
is(events('unseen'), 'model_changed', 'nor tells anybody');

# when it is back, then it goes on by itself, for all the starts that were missed
unseen('ALTER TABLE unseen RENAME w TO v');
$s->value(q{UPDATE unseen SET v = 'second' WHERE id = 2});
$s->clock($s->{ahead} + 301);
$s->wait_until('the change arrives', sub { (has('unseen', 2) // '') eq 'second' });
my $next;
$s->wait_until('its run ends', sub { $next = ($s->runs('unseen'))[$runs]; $next && $next->{status} ne 'running' });
is($next->{status}, 'succeeded', 'back, it goes on by itself');
cmp_ok($next->{missed}, '>', 300, "once for the $next->{missed} starts that were missed");
is(events('unseen'), 'model_changed model_restored', 'and that is told');
is(state_of('unseen')->{model_problem_since}, undef, 'it does not wait any more');
$s->value(q{SELECT activate.pause_sync('unseen')});

# ---------------------------------------------------------- one that was seen
$s->sync('seen', schedule => '1 second', rows => 3, mode => 'mirror', on_removed => 'delete', options => '{"remove_after": "0"}');
$s->wait_until('rows arrive', sub { has('seen', 3) });
$s->wait_for('no run is under way', "SELECT NOT EXISTS (SELECT 1 FROM activate.run WHERE status = 'running')");
$s->value('DROP TABLE seen');
$runs = $s->runs('seen');
is(status_of('seen')->{health}, 'waiting', 'with the command the sync waits');
is(status_of('seen')->{reason}, sprintf('model "public.seen" does not exist (DROP TABLE by role "%s" on public.seen)',
	$s->value('SELECT current_user')), 'and says whose command it was');
# After two tries in vain the next one is 20 s away.
foreach my $try (1 .. 2)
{
	my $before = state_of('seen');
	$s->clock($s->{ahead} + $before->{retry} + 1);
	$s->wait_until("try $try", sub { state_of('seen')->{failures} > $before->{failures} });
}
cmp_ok(state_of('seen')->{retry}, '>', 10, 'the next try is a while away');
my $start = time;
$s->value(q{BEGIN; CREATE TABLE seen (id int, v text); INSERT INTO seen SELECT i, 'second' FROM generate_series(1, 3) AS i; COMMIT});
$s->wait_until('the new rows arrive', sub { (has('seen', 2) // '') eq 'second' });
cmp_ok(time - $start, '<', 8, sprintf 'the command that brings it back wakes it (%.1f s)', time - $start);
is(events('seen'), 'model_changed model_restored', 'told both times');
is(ended_otherwise('seen'), '', 'and no run knows of it');
is(scalar(grep { $_->{op} eq 'delete' } @{ $s->crm->rows }), 0, 'nothing was removed');

# ------------------------------------------------ who asks for a run meanwhile
$s->value('ALTER TABLE seen RENAME TO away');
my $run_id = $s->value(q{SELECT activate.queue_run('seen')});
$s->wait_for('it ends', "SELECT status = 'postponed' FROM activate.run WHERE run_id = $run_id");
like($s->row("SELECT * FROM activate.run WHERE run_id = $run_id")->{error}, qr/^model "public.seen" does not exist$/,
	'a run that is queued meanwhile is told why it was put off');
# While somebody has locked what it waits for, it is tried later each time.
$s->value('ALTER TABLE away RENAME TO seen; ALTER TABLE seen RENAME v TO w');
my $locker = Session->start($s->node, 'postgres', options => '-c client_min_messages=error');
$locker->query('BEGIN; LOCK TABLE seen IN ACCESS EXCLUSIVE MODE');
$run_id = $s->value(q{SELECT activate.queue_run('seen')});
my $tries = sub { return $s->value(q{SELECT n_tup_upd FROM pg_stat_all_tables WHERE relid = 'activate.sync_state'::regclass}) };
my $tried = $tries->();
sleep 6;
cmp_ok($tries->() - $tried, '<', 15, 'what is locked is not tried many times a second');
$locker->query('COMMIT');
$s->value('ALTER TABLE seen RENAME w TO v');
$s->wait_for('it ends', "SELECT status IN ('succeeded', 'postponed') FROM activate.run WHERE run_id = $run_id");
$run_id = $s->value(q{SELECT activate.queue_run('seen')});
$s->wait_for('it ends', "SELECT status = 'succeeded' FROM activate.run WHERE run_id = $run_id OR run_id = (SELECT merged_into FROM activate.run WHERE run_id = $run_id)");
$s->value(q{SELECT activate.pause_sync('seen')});

# ----------------------------------------------------------- a right is missing
$s->value('CREATE ROLE team; GRANT USAGE ON SCHEMA activate TO team; GRANT USAGE ON FOREIGN SERVER crm TO team');
$s->value('CREATE TABLE granted (id int PRIMARY KEY, v text); GRANT SELECT ON granted TO team');
$s->sync('granted', schedule => '1 second', owner => 'team');
$s->wait_until('rows arrive', sub { has('granted', 1) });
$s->value('REVOKE SELECT ON granted FROM team');
$s->wait_until('it waits', sub { defined state_of('granted')->{model_problem_since} });
is(status_of('granted')->{health}, 'ok', 'a missing right is nobody\'s concern');
is(events('granted'), '', 'for some time');
$s->clock($s->{ahead} + 300);
my $before = state_of('granted');
$s->wait_until('a try', sub { state_of('granted')->{failures} > $before->{failures} });
is(events('granted'), '', 'after 5 minutes nobody was told');
$s->clock($s->{ahead} + 301);
$s->wait_until('it is told', sub { events('granted') eq 'model_changed' });
pass('after 10 minutes it is told');
is(status_of('granted')->{health}, 'waiting', 'the sync waits');
is(status_of('granted')->{reason}, 'relation "public.granted" is not readable by role "team": GRANT SELECT ON public.granted TO team',
	'and says which GRANT is missing');
is(scalar(grep { $_->{status} eq 'postponed' } $s->runs('granted')), 1, 'one run was put off');
$start = time;
$s->value(q{GRANT SELECT ON granted TO team});
$s->value(q{UPDATE granted SET v = 'second'});
$s->wait_until('the change arrives', sub { has('granted', 1) eq 'second' });
cmp_ok(time - $start, '<', 8, sprintf 'the GRANT wakes it (%.1f s)', time - $start);
is(events('granted'), 'model_changed model_restored', 'and that is told');
# A right that comes back in time: nobody ever hears of it.
$s->value('REVOKE SELECT ON granted FROM team');
$s->wait_until('it waits', sub { defined state_of('granted')->{model_problem_since} });
$s->value(q{GRANT SELECT ON granted TO team});
$s->wait_until('it goes on', sub { !defined state_of('granted')->{model_problem_since} && ($s->runs('granted'))[-1]{status} eq 'succeeded' });
is(events('granted'), 'model_changed model_restored', 'a right that comes back in time is not told');
$s->value(q{SELECT activate.pause_sync('granted')});

# -------------------------------------------- what the model calls is away, too
# given a function that reads what is not there, then that is found by reading the model
$s->value(<<'END');
CREATE TABLE inner_table (id int, v text);
INSERT INTO inner_table VALUES (1, 'first');
CREATE FUNCTION inner_rows() RETURNS SETOF inner_table LANGUAGE plpgsql STABLE AS 'BEGIN RETURN QUERY SELECT i.id, i.v FROM inner_rows_of AS i; END';
CREATE VIEW inner_rows_of AS SELECT * FROM inner_table;
SELECT activate.create_sync('inner', 'SELECT id, v FROM inner_rows()', 'id', 'crm', object => 'inner', mapping => 'v', schedule => '1 second');
END
$s->wait_until('rows arrive', sub { has('inner', 1) });
$s->value('DROP VIEW inner_rows_of');
$s->wait_until('it waits', sub { defined state_of('inner')->{model_problem} });
is(($s->runs('inner'))[-1]{status}, 'postponed', 'what a function of the model misses is waited for');
is(state_of('inner')->{model_problem}, 'relation "inner_rows_of" does not exist', 'by its name');
foreach my $try (1 .. 3)
{
	my $before = state_of('inner');
	$s->clock($s->{ahead} + $before->{retry} + 1);
	$s->wait_until("try $try", sub { state_of('inner')->{failures} > $before->{failures} });
}
cmp_ok(state_of('inner')->{retry}, '>', 20, 'tried again later each time');
is(events('inner'), 'model_changed', 'and told once');
$s->value(q{CREATE VIEW inner_rows_of AS SELECT * FROM inner_table; UPDATE inner_table SET v = 'second'});
$s->clock($s->{ahead} + 301);
$s->wait_until('the change arrives', sub { has('inner', 1) eq 'second' });
$s->wait_until('it is told', sub { events('inner') eq 'model_changed model_restored' });
pass('and when it is back, the sync goes on');
$s->value(q{SELECT activate.pause_sync('inner')});

# --------------------------------------------------- the locks of somebody else
# given a run that reads a view over a table that somebody has locked, then it has
# no lock that he could wait for: who drops a table with its views comes that way
$s->value(<<'END');
CREATE TABLE deep (id int, v text);
INSERT INTO deep VALUES (1, 'first');
CREATE VIEW shallow AS SELECT * FROM deep;
SELECT activate.create_sync('shallow', 'public.shallow', 'id', 'crm', object => 'shallow', mapping => 'v', schedule => '1 second');
END
$s->wait_until('rows arrive', sub { has('shallow', 1) });
my $locking = Session->start($s->node, 'postgres', options => '-c client_min_messages=error -c deadlock_timeout=30s');
$locking->query('BEGIN; LOCK TABLE deep IN ACCESS EXCLUSIVE MODE');
my $blocked = q{SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'deep'::regclass AND NOT granted)};
$s->wait_for('a run waits', $blocked);
$s->wait_for('lets go', "SELECT NOT ($blocked)");
$s->wait_for('and comes again', $blocked);
$start = time;
is($locking->query('DROP TABLE deep CASCADE'), '', 'what a run reads can be dropped by who has a part of it locked');
cmp_ok(time - $start, '<', 5, sprintf 'at once (%.1f s)', time - $start);
$locking->query(q{CREATE TABLE deep AS SELECT 1 AS id, 'second' AS v; CREATE VIEW shallow AS SELECT * FROM deep; COMMIT});
$s->wait_until('the change arrives', sub { has('shallow', 1) eq 'second' });
is(ended_otherwise('shallow'), '', 'and no run fails for it');
$s->value(q{SELECT activate.pause_sync('shallow')});

# given a function of the model that raises what a lock raises, then the run fails
$s->value(<<'END');
CREATE FUNCTION raises(v text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS
	$$ BEGIN RAISE EXCEPTION 'nothing is locked' USING ERRCODE = 'lock_not_available'; END $$;
CREATE TABLE raising AS SELECT 1 AS id, 'first' AS v;
SELECT activate.create_sync('raising', 'public.raising', 'id', 'crm', object => 'raising', mapping => 'public.raises(v) AS v');
END
$run_id = $s->value(q{SELECT activate.queue_run('raising')});
$s->wait_for('it ends', "SELECT status = 'failed' FROM activate.run WHERE run_id = $run_id");
like($s->row("SELECT * FROM activate.run WHERE run_id = $run_id")->{error}, qr/nothing is locked/,
	'what only looks like a lock is not waited for');
$s->value(q{SELECT activate.drop_sync('raising')});

# ------------------------------------------------------- syncs called by people
$s->sync('called');
$run_id = $s->value(q{SELECT activate.queue_run('called')});
$s->wait_for('it ends', "SELECT status = 'succeeded' FROM activate.run WHERE run_id = $run_id");
$s->value('ALTER TABLE called RENAME TO away');
is(status_of('called')->{health}, 'waiting', 'a manual sync waits, too');
is(state_of('called')->{retry_at}, undef, 'but is not tried by itself');
$runs = $s->runs('called');
$s->value('ALTER TABLE away RENAME TO called');
is(status_of('called')->{health}, 'ok', 'and is well when its model is back');
is(state_of('called')->{retry_at}, undef, 'without a run');
is(scalar $s->runs('called'), $runs, 'that nobody called');

# given a queued run that was postponed, then the status says nothing of it once the model is back
$s->value('ALTER TABLE called RENAME TO away');
$run_id = $s->value(q{SELECT activate.queue_run('called')});
$s->wait_for('it is postponed', "SELECT status = 'postponed' FROM activate.run WHERE run_id = $run_id");
is(status_of('called')->{health}, 'waiting', 'a run that was queued is postponed, and the sync waits');
$s->value('ALTER TABLE away RENAME TO called');
$status = status_of('called');
is($status->{health}, 'ok', 'and is well when its model is back, though nobody has called it since');
is($status->{reason}, undef, 'with nothing to complain of');

# ----------------------------------------------------------------- on_model_change
$s->sync('fails', schedule => '1 second', options => '{"on_model_change": "fail"}');
$s->wait_until('rows arrive', sub { has('fails', 1) });
$s->value('ALTER TABLE fails RENAME v TO w');
$s->wait_until('a run fails', sub { ($s->runs('fails'))[-1]{status} eq 'failed' });
is(status_of('fails')->{health}, 'failing', 'on_model_change fail: each run fails');
is(events('fails'), 'run_failed', 'and nothing else is told');
is(state_of('fails')->{model_problem_since}, undef, 'nor waited for');
$before = scalar $s->runs('fails');
$s->clock($s->{ahead} + 120);
$s->wait_until('it fails again', sub { $s->runs('fails') > $before && ($s->runs('fails'))[-1]{status} eq 'failed' });
$s->value('ALTER TABLE fails RENAME w TO v');
$s->clock($s->{ahead} + 600);
$s->wait_until('it succeeds', sub { ($s->runs('fails'))[-1]{status} eq 'succeeded' });
pass('until it can be read');

is($s->value(q{SELECT count(*) FROM activate.run WHERE status NOT IN ('running', 'interrupted') AND added + changed + removed <>
	accepted + rejected + delayed + unknown + waiting + absent + skipped + held_out}), '0', 'the sums of all runs hold');
done_testing();
