# Jobs that take long: a worker does not wait for them, and whoever runs the
# sync next asks for them first.
use strict;
use warnings;

use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

use Scheduled;

my $s = Scheduled->start('main', "autovacuum = off\npg_activate.naptime = '1s'\npg_activate.debug_job_patience = '300ms'\n");
my $crm = $s->crm;

sub value { return $s->value($_[0]) }
sub jobs { return value(q{SELECT coalesce(string_agg(state || ' ' || row_count, ', '), '') FROM activate.job}) }

my $rows = '{"$rows": {"op": "{{row.op}}", "key": "{{row.key}}", "fields": "{{row.fields}}"}}';
value(<<END);
INSERT INTO activate.connector (name, spec) VALUES ('jobs', \$j\${
	"takes_key": true, "rate": {"jobs": 5, "requests": 1000, "per": "1 s"},
	"limits": {"request": {"method": "GET", "path": "/limits"}, "into": {"batch.max_rows": "/rows", "rate.concurrency": "/at_once"}},
	"operations": {
		"upsert": {"idempotent": true, "batch": {"max_rows": 100},
			"steps": [{"request": {"path": "/jobs", "body": {"object": "{{sync.object}}", "rows": $rows}}, "save": {"job": "/id"}}],
			"poll": {"request": {"method": "GET", "path": "/jobs/{{saved.job}}"}, "every": ["50 ms"], "timeout": "2 h",
				"state": "/state", "done": ["done"], "failed": ["failed"], "message": "/message"},
			"answer": {"by": "position", "items": "/results", "external_id": "/id", "message": "/error",
				"outcomes": [{"at": "/status", "in": ["accepted"], "then": "accepted"}, {"at": "/status", "in": ["rejected"], "then": "rejected"}]}}}
}\$j\$)
END
$s->server('slow', $crm, connector => 'jobs');

sub last_run
{
	my ($sync, $condition) = @_;
	$s->wait_for("a run of $sync that is $condition", "SELECT EXISTS (SELECT 1 FROM activate.run AS r JOIN activate.sync AS s USING (sync_id)"
		. " WHERE s.name = '$sync' AND r.finished_at IS NOT NULL AND $condition)");
	return $s->row("SELECT r.* FROM activate.run AS r JOIN activate.sync AS s USING (sync_id) WHERE s.name = '$sync'"
		. " AND r.finished_at IS NOT NULL AND $condition ORDER BY run_id DESC");
}

# given a job that takes longer than a worker waits, then the run is partial and its worker free
my $ahead = 0;
$crm->config({ job_polls => 1000000 });
$crm->script({ match => { path => '/limits' }, body => '{"rows": 4, "at_once": 3}', times => -1 });
$s->sync('people', destination => 'slow', rows => 10, schedule => '1 day');
my $first = value(q{SELECT activate.queue_run('people')});
my $run = last_run('people', "r.run_id = $first");
is($run->{status}, 'partial', 'a run that only waits for jobs ends');
like($run->{error}, qr/job j\d+ of destination "slow" is not done yet/, 'and says for what');
is("$run->{added} $run->{delayed}", '10 10', 'its rows are delayed');
is(jobs(), 'polling 4', 'the first job stays, of as many rows as the destination says that it takes');
$s->wait_until('the worker is gone', sub { !$s->pids('run') });
is(value(q{SELECT retry_at > now() + interval '50 seconds' AND NOT retry_rows FROM activate.sync_state JOIN activate.sync USING (sync_id) WHERE name = 'people'}),
	't', 'it is due again when the job is to be asked for');

# given that it is not done then, then nothing is compared, and it is asked for later again
$ahead += 120;
$s->clock($ahead);
$run = last_run('people', "r.run_id > $first");
is($run->{status}, 'postponed', 'a run that asked in vain is postponed');
is($run->{cause}, 'retry', 'it was made for the jobs');
ok(!$run->{rows_in_model}, 'and compared nothing');
is(value(q{SELECT count(*) FROM activate.job WHERE next_poll_at > submitted_at + interval '1 minute'}), 1, 'later each time');

# given that they are done, then what became of their rows is written down, and what changed meanwhile follows
value(q{UPDATE people SET v = 'second' WHERE id <= 2});
$crm->config({ job_polls => 0 });
$ahead += 1200;
$s->clock($ahead);
$run = last_run('people', "r.status = 'succeeded'");
is("$run->{added} $run->{changed} $run->{accepted}", '10 2 12', 'a later run settles the job, and sends the rest and what changed');
is(jobs(), '', 'no job is left');
is(scalar(@{ $crm->records('people') }), 10, 'all rows are there');
is($crm->record('people', { id => 1 })->{fields}{v}, 'second', 'as they are now');

# given a sync that runs only when called, whose run was cancelled, then a worker asks for its job and does nothing else
$crm->config({ job_polls => 1000000 });
$s->sync('calls', destination => 'slow', rows => 3);
my $session = Session->start($s->node, 'postgres');
$session->send(q{CALL activate.run_sync('calls')});
$s->wait_for('the job', q{SELECT count(*) = 1 FROM activate.job});
$s->wait_for('progress', q{SELECT waiting_for ~ '^job j[0-9]+ at slow$' FROM activate.progress WHERE sync = 'calls'});
value(q{SELECT activate.cancel_run((SELECT max(run_id) FROM activate.run))});
$session->wait;
is(jobs(), 'polling 3', 'its job stays');
value(q{UPDATE calls SET v = 'changed'});
$crm->config({ job_polls => 0 });
$ahead += 1200;
$s->clock($ahead);
$s->wait_for('the job is settled', q{SELECT count(*) = 0 FROM activate.job});
$run = last_run('calls', "r.cause = 'retry'");
is("$run->{status} $run->{added} $run->{changed} $run->{accepted}", 'succeeded 3 0 3', 'only the job was asked for');
is($crm->record('calls', { id => 1 })->{fields}{v}, 'first', 'what changed since waits for a call');

# given a server that is killed while a worker waits for a job, then the job is settled when it is back, and nothing sent twice
$crm->config({ job_polls => 1000000 });
$s->sync('killed', destination => 'slow', rows => 5, schedule => '1 day');
value(q{SELECT activate.queue_run('killed')});
$s->wait_for('the job', q{SELECT count(*) = 1 FROM activate.job});
my $repeats = $crm->stats->{repeats};
$s->node->stop('immediate');
$crm->config({ job_polls => 0 });
$s->node->start;
$s->reconnect;
$s->clock($ahead + 120);
$run = last_run('killed', "r.status = 'succeeded'");
is("$run->{added} $run->{accepted}", '5 5', 'after a crash the job is settled');
is($crm->stats->{repeats}, $repeats, 'and nothing is sent twice');
is(value(q{SELECT count(*) FROM activate_data.killed WHERE activate_late_until IS NOT NULL}), 0, 'nor was anything in doubt');

# given a sync that is paused, then its job waits; given one that is dropped, then its job is forgotten
$crm->config({ job_polls => 1000000 });
$s->sync('paused', destination => 'slow', rows => 2, schedule => '1 day');
my $queued = value(q{SELECT activate.queue_run('paused')});
last_run('paused', "r.run_id = $queued");
value(q{SELECT activate.pause_sync('paused')});
is(jobs(), 'polling 2', 'a paused sync keeps its job');
$crm->config({ job_polls => 0 });
value(q{SELECT activate.resume_sync('paused')});
$ahead += 2400;
$s->clock($ahead);
$run = last_run('paused', "r.status = 'succeeded'");
is($run->{accepted}, 2, 'which is asked for when it goes on');
$crm->config({ job_polls => 1000000 });
value(q{UPDATE paused SET v = 'third'});
$queued = value(q{SELECT activate.queue_run('paused')});
last_run('paused', "r.run_id = $queued");
value(q{SELECT activate.drop_sync('paused')});
is(jobs(), '', 'a sync that is dropped leaves no job');

# given credentials that are refused when a job is asked for, then the next run is as long in coming as after any failure
$s->sync('locked', destination => 'slow', rows => 2, schedule => '1 day');
my $locked = value(q{SELECT activate.queue_run('locked')});
last_run('locked', "r.run_id = $locked");
$crm->script({ match => { method => 'GET', path => '/jobs/*' }, status => 401, times => -1 });
$ahead += 120;
$s->clock($ahead);
$locked = last_run('locked', "r.run_id > $locked")->{run_id};
is(value(qq{SELECT retry_at > r.finished_at + interval '20 seconds' FROM activate.sync_state AS t JOIN activate.run AS r USING (sync_id) WHERE r.run_id = $locked}), 't', 'a job that cannot be asked for is left alone for a while') or $s->diagnose;
$crm->script({ match => { path => '/limits' }, body => '{"rows": 4, "at_once": 3}', times => -1 });
$crm->config({ job_polls => 0 });
$ahead += 2400;
$s->clock($ahead);
last_run('locked', "r.status = 'succeeded'");
is(jobs(), '', 'and settled in the end');

# given jobs of another sync that take all the places, then the worker that waits for one is free, too
$s->value(q{UPDATE activate.connector SET spec = jsonb_set(spec::jsonb, '{rate,jobs}', '1')::json WHERE name = 'jobs'});
$s->configure('pg_activate.max_workers = 1');
$crm->config({ job_polls => 1000000 });
$s->sync('takes', destination => 'slow', rows => 2, schedule => '1 day');
my $takes = value(q{SELECT activate.queue_run('takes')});
last_run('takes', "r.run_id = $takes");
$s->sync('waits', destination => 'slow', rows => 2, schedule => '1 day');
my $waits = value(q{SELECT activate.queue_run('waits')});
$run = last_run('waits', "r.run_id = $waits");
is("$run->{status} $run->{delayed}", 'partial 2', 'a run that waits for the jobs of others ends');
like($run->{error}, qr/as many jobs as destination "slow" takes/, 'and says for what');
$crm->config({ job_polls => 0 });
$ahead += 120;
$s->clock($ahead);
last_run('takes', "r.status = 'succeeded'");
$ahead += 120;
$s->clock($ahead);
last_run('waits', "r.status = 'succeeded'");
is(jobs(), '', 'both are done');
done_testing();
