# dbt rebuilds everything, again and again, and is killed in the middle, while
# syncs over its tables, views and materialized views run every second: nothing
# is removed at the destination, no statement of dbt's fails, nobody has to do
# anything, and in the end the destination has what the models have.
#
# SEED, ROUNDS: another order of events, another number of them.
use strict;
use warnings;

use JSON::PP;
use Test::More;
use Time::HiRes qw(sleep time);

use Dbt;
use Scheduled;

my $json = JSON::PP->new->canonical;
my $seed = $ENV{SEED} // 1;
my $rounds = $ENV{ROUNDS} // 25;
my $s = Scheduled->start('main', <<END);
pg_activate.naptime = '1s'
pg_activate.max_workers = 4
max_worker_processes = 12
END
my $node = $s->node;

$s->value(<<'END');
CREATE ROLE dbt LOGIN;
CREATE ROLE team NOLOGIN;
CREATE SCHEMA raw AUTHORIZATION dbt;
CREATE SCHEMA analytics AUTHORIZATION dbt;
GRANT USAGE ON SCHEMA analytics, activate TO team;
GRANT USAGE ON FOREIGN SERVER crm TO team;
CREATE TABLE raw.source (id int PRIMARY KEY, v text NOT NULL);
ALTER TABLE raw.source OWNER TO dbt;
INSERT INTO raw.source SELECT i, 'first' FROM generate_series(1, 40) AS i;
END

# ------------------------------------------------------------------ the project
my $dbt = Dbt->start($node, 'postgres', user => 'dbt', schema => 'analytics', grant => 'team');

# What is to be had of each sync, as SQL; the model is that, or what is named.
my %model = (
	score => { select => 'SELECT id, v FROM analytics.score', name => 'analytics.score' },
	score_late => { select => 'SELECT id, v FROM analytics.score', name => 'analytics.score', remove_after => '1 hour' },
	score_view => { select => 'SELECT id, v FROM analytics.score_view', name => 'analytics.score_view' },
	score_top => { select => 'SELECT id, v FROM analytics.score_top', name => 'analytics.score_top' },
	score_mat => { select => 'SELECT id, v FROM analytics.score_mat', name => 'analytics.score_mat' },
	inc => { select => 'SELECT id, v FROM analytics.inc', name => 'analytics.inc' },
	seed => { select => 'SELECT id, v FROM analytics.seed', name => 'analytics.seed' },
	snap => { select => 'SELECT id, v FROM analytics.snap WHERE dbt_valid_to IS NULL' },
	query => { select => 'SELECT a.id, a.v || b.v AS v FROM analytics.score a JOIN analytics.score_view b USING (id)' },
);

sub build
{
	my (%option) = @_;
	my $source = 'select id, v from raw.source';

	$dbt->seed('seed', 'select id, v from raw.source');
	$dbt->table('score', $source);
	# Its grant comes only when all is built.
	$dbt->view('score_view', 'select id, v from analytics.score', no_grant => 1);
	$dbt->view('score_top', 'select id, v from analytics.score_view where id <= 15');
	$dbt->materialized_view('score_mat', 'select id, v from analytics.score', %option);
	$dbt->incremental('inc', $source, %option);
	$dbt->snapshot('snap', $source);
	$dbt->hook('grant select on all tables in schema analytics to team');
	return;
}

build();
is(join("\n", $dbt->errors), '', 'the project builds');

foreach my $name (sort keys %model)
{
	my $of = $model{$name}{name} // $model{$name}{select};
	my $options = $json->encode({ remove_after => $model{$name}{remove_after} // '0 s' });
	$s->value("SELECT activate.create_sync('$name', \$\$$of\$\$, 'id', 'crm', object => '$name', mapping => 'v', mode => 'mirror',"
		. " on_removed => 'delete', schedule => '1 second', owner => 'team', options => '$options')");
}

# What differs between models and destination; '' nothing.
sub difference
{
	my @wrong;
	foreach my $name (sort keys %model)
	{
		my $model = $json->decode($s->value("SELECT coalesce(json_object_agg(id, v), '{}') FROM ($model{$name}{select}) q"));
		my %there = map { $_->{key}{id} => $_->{fields}{v} } @{ $s->crm->records($name) };
		push @wrong, $name if $json->encode($model) ne $json->encode(\%there);
	}
	return join ' ', @wrong;
}

# Requests are looked at as they come, and forgotten here.
my ($seen, @removals) = (0);

sub look_at_requests
{
	foreach my $request (@{ $s->crm->requests($seen) })
	{
		$seen = $request->{seq};
		next unless $request->{method} eq 'POST';
		push @removals, map { "$request->{path} $_->{op} $_->{key}{id}" }
		  grep { $_->{op} ne 'upsert' } @{ $json->decode($request->{body})->{rows} };
	}
	return;
}

$s->wait_until('the destination has the models', sub { difference() eq '' }, 60);

# ------------------------------------------------------------------- the nights
srand $seed;
note "SEED=$seed ROUNDS=$rounds";
my ($killed, $full) = (0, 0);

foreach my $round (1 .. $rounds)
{
	my $refresh = rand() < 0.4;

	$s->value("UPDATE raw.source SET v = 'round $round' WHERE id % 10 = " . int rand 10);
	$dbt->kill_after(int rand 60) if rand() < 0.4;
	my $done = $dbt->run(sub { build(full_refresh => $refresh) });
	$killed++ unless $done;
	$full++ if $done && $refresh;
	$dbt->kill_after(undef);
	sleep rand 0.7;
}
cmp_ok($killed, '>', 0, "dbt was killed $killed times");
cmp_ok($full, '>', 0, "and came to the end of $full full refreshes");

$s->value(q{UPDATE raw.source SET v = 'last'});
ok($dbt->run(sub { build(full_refresh => 1) }), 'it runs once more');
is(join("\n", $dbt->errors), '', 'no statement of dbt failed');
$s->wait_until('the destination has the models', sub { difference() eq '' }, 60);
pass('in the end the destination has what the models have');
look_at_requests();
is(join(', ', @removals), '', 'nothing was removed meanwhile');

is($s->value(q{SELECT string_agg(DISTINCT status || ': ' || coalesce(error, ''), E'\n') FROM activate.run WHERE status NOT IN ('succeeded', 'postponed', 'running')}),
	'', 'no run failed: a sync whose model is away waits');
$s->wait_for('all are well', q{SELECT bool_and(health = 'ok') FROM activate.status}, 60);
pass('all syncs are well, and nobody did anything');
is($s->value(q{SELECT count(*) FROM activate.sync_state WHERE model_problem_since IS NOT NULL}), '0', 'none waits');
is($s->value(<<'END'), '', 'who was told that a model changed was told that it is back');
SELECT sync FROM activate.event WHERE kind LIKE 'model%' GROUP BY sync
HAVING count(*) FILTER (WHERE kind = 'model_changed') < count(*) FILTER (WHERE kind = 'model_restored')
	OR (array_agg(kind ORDER BY event_id DESC))[1] <> 'model_restored'
END
note $s->value(q{SELECT string_agg(kind || ' ' || n, ', ') FROM (SELECT kind, count(*) AS n FROM activate.event GROUP BY kind) q});
note $s->value(q{SELECT string_agg(status || ' ' || n, ', ') FROM (SELECT status, count(*) AS n FROM activate.run GROUP BY status) q});
cmp_ok($s->value(q{SELECT count(*) FROM activate.run WHERE status = 'postponed' AND error NOT LIKE '%does not exist%' AND error NOT LIKE '%is not readable%'}),
	'==', 0, 'and what waited, waited for its model');

# --------------------------------------------------- what really left is removed
$s->value('DELETE FROM raw.source WHERE id IN (3, 5, 20)');
build(full_refresh => 1);
$s->wait_until('the rows leave', sub { @{ $s->crm->records('score') } == 37 && @{ $s->crm->records('score_top') } == 13 }, 60);
look_at_requests();
is_deeply([ sort grep { m{^/score } } @removals ], [ '/score delete 20', '/score delete 3', '/score delete 5' ], 'these and no others');
is(scalar @{ $s->crm->records('score_late') }, 40, 'but not before remove_after');

is($s->value(q{SELECT count(*) FROM activate.run WHERE status NOT IN ('running', 'interrupted') AND added + changed + removed <>
	accepted + rejected + delayed + unknown + waiting + absent + skipped + held_out}), '0', 'the sums of all runs hold');
done_testing();
