# Rows that a destination is handed in steps and works on: what becomes of
# them is asked for until it is known, by whichever run.
use strict;
use warnings;

use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use Activate;
use Destination;

my $a = Activate->start('jobs');
my $crm = Destination->start;
my $json = JSON::PP->new->canonical;

# ------------------------------------------------------------- connectors

my $rows = { '$rows' => { op => '{{row.op}}', key => '{{row.key}}', fields => '{{row.fields}}', change_id => '{{row.change_id}}' } };
my $answer = {
	by => 'position', items => '/results', external_id => '/id', message => '/error', retry => '/retry',
	outcomes => [ map { { at => '/status', in => [$_], then => $_ } } qw(accepted rejected absent) ] };
my @steps = (
	{ request => { path => '/jobs', body => { object => '{{sync.object}}' } }, save => { job => '/id' } },
	{ request => { method => 'PUT', path => '/jobs/{{saved.job}}/rows', body => { rows => $rows } } },
	{ request => { method => 'PATCH', path => '/jobs/{{saved.job}}', body => { state => 'closed' } } });
my %poll = (
	request => { method => 'GET', path => '/jobs/{{saved.job}}' },
	every => [ '10 ms', '50 ms' ], state => '/state', running => [ 'open', 'working' ], done => ['done'],
	failed => [ 'failed', 'aborted' ], message => '/message');
my $abort = { method => 'PATCH', path => '/jobs/{{saved.job}}', body => { state => 'aborted' } };

my %upsert = (
	# create, upload, close; results of their own
	bulk => {
		idempotent => JSON::PP::true, batch => { max_rows => 100 }, steps => \@steps, poll => \%poll, abort => $abort,
		results => [ { request => { method => 'GET', path => '/jobs/{{saved.job}}/results' }, answer => $answer } ] },
	# one step; the last poll has the results
	single => {
		idempotent => JSON::PP::true, batch => { max_rows => 100 },
		steps => [ { request => { path => '/jobs', body => { object => '{{sync.object}}', rows => $rows } }, save => { job => '/id' } } ],
		poll => \%poll, answer => $answer });
$upsert{once} = { %{ $upsert{single} }, idempotent => JSON::PP::false };
$upsert{short} = { %{ $upsert{bulk} }, poll => { %poll, timeout => '300 ms' } };
$upsert{few} = { %{ $upsert{bulk} }, batch => { max_rows => 10 } };

sub connector
{
	my ($name, $upsert, %more) = @_;
	my $spec = $json->encode({ spec_version => 1, takes_key => JSON::PP::true, concurrency => 2,
		operations => { upsert => $upsert, delete => { like => 'upsert' } }, %more });
	$a->sql("INSERT INTO activate.connector (name, spec) VALUES ('$name', \$j\$$spec\$j\$)"
		. ' ON CONFLICT (name) DO UPDATE SET spec = EXCLUDED.spec');
	return;
}

foreach my $name (sort keys %upsert)
{
	connector($name, $upsert{$name}, $name eq 'few' ? (concurrency => 8, rate => { jobs => 2 }) : ());
	$a->server($name, $crm, connector => $name, timeout => '5s');
}

sub table
{
	my ($name, $count) = @_;
	$a->sql("CREATE TABLE $name (id int PRIMARY KEY, v int); INSERT INTO $name SELECT i, 0 FROM generate_series(1, $count) i");
	return;
}

sub create
{
	my ($name, $server, $count, $options) = @_;
	table("m_$name", $count);
	$options //= '{}';
	$a->sql("SELECT activate.create_sync('$name', 'm_$name', 'id', '$server', '$name', options => '{\"max_changed\": null}'::jsonb || '$options')");
	return;
}

# What the destination has, and what the model says.
sub equal
{
	my ($name, $what) = @_;
	return $a->same_values($crm, $name, "m_$name", $what);
}

sub jobs { return $a->sql('SELECT count(*) FROM activate.job') }
sub states { my ($name) = @_; return $a->sql("SELECT coalesce(string_agg(s || ' ' || n, ', ' ORDER BY s), '') FROM (SELECT activate_state AS s, count(*) AS n FROM activate_data.$name GROUP BY 1) AS q") }
sub paths { my ($since) = @_; return join ' ', map { "$_->{method} $_->{path}" =~ s/j\d+/j/r } @{ $crm->requests($since) } }
sub last_seq { my $r = $crm->requests; return @$r ? $r->[-1]{seq} : 0 }

# ---------------------------------------------------------------- as it goes

# given a job that takes two polls, then rows are handed over, asked for and accepted
foreach my $kind (qw(bulk single))
{
	$crm->config({ job_polls => 2 });
	create("plain_$kind", $kind, 30);
	my $since = last_seq();
	my $run = $a->run("plain_$kind");
	is($run->{status}, 'succeeded', "$kind: a job") or diag $run->{text};
	is($run->{accepted}, 30, "$kind: all rows are accepted");
	equal("plain_$kind", "$kind: and there");
	is(paths($since), $kind eq 'bulk'
		? 'POST /jobs PUT /jobs/j/rows PATCH /jobs/j GET /jobs/j GET /jobs/j GET /jobs/j GET /jobs/j/results'
		: 'POST /jobs GET /jobs/j GET /jobs/j GET /jobs/j', "$kind: requests");
	is(jobs(), 0, "$kind: no job is left");
	is($a->sql("SELECT count(*) FROM activate_data.plain_$kind WHERE activate_external_id IS NOT NULL"), 30, "$kind: ids are known");

	# given a row that is refused in the results, then it alone is
	$a->sql("UPDATE m_plain_$kind SET v = 1");
	$crm->script({ match => { path => $kind eq 'bulk' ? '/jobs/*' : '/jobs', method => $kind eq 'bulk' ? 'PATCH' : 'POST' },
		reject_rows => { where => '"id": 7}', status => 'rejected', error => 'not this one' }, times => 1 });
	$run = $a->run("plain_$kind");
	is("$run->{accepted} $run->{rejected}", '29 1', "$kind: one row of a job is rejected") or diag $run->{text};
	is($a->row("plain_$kind", 7)->{activate_message}, 'not this one', "$kind: and says why");
	$a->sums_hold($kind);
}

# given more rows than fit into one job and a limit of jobs, then no more are open at a time
$crm->config({ job_polls => 3 });
create('capped', 'few', 55);
my $before = last_seq();
is($a->run('capped')->{status}, 'succeeded', 'more rows than one job takes');
my ($open, $most) = (0, 0);
foreach my $request (@{ $crm->requests($before) })
{
	$open++ if "$request->{method} $request->{path}" eq 'POST /jobs';
	$open-- if $request->{path} =~ m{/results$};
	$most = $open if $open > $most;
}
is($most, 2, 'no more than two of them at a time');
equal('capped', 'all rows are there');
is(scalar(grep { $_->{object} eq 'capped' } @{ $crm->jobs }), 6, 'six jobs');

# --------------------------------------------------------- what goes wrong

# given a job that the destination says has failed, then its rows are rejected with what it
# says, and sent again, since some may have been applied
$crm->config({ job_polls => 0, job_state => 'failed' });
foreach my $kind (qw(bulk once))
{
	create("failed_$kind", $kind, 5);
	my $run = $a->run("failed_$kind");
	my $row = $a->row("failed_$kind", 1);
	if ($kind eq 'bulk')
	{
		is($run->{sqlstate}, 'PA001', 'a job that failed is no success');
		like($run->{text}, qr/failed: the job is failed/, 'its message is told');
	}
	else
	{
		is(states("failed_$kind"), 'unknown 5', 'rows of a failed job that go at most once are left to a person');
		is($row->{activate_message}, 'the job is failed', 'with what it says');
	}
	is(jobs(), 0, "$kind: no job of it is left");
	$a->sums_hold("failed $kind");
}
$crm->config({ job_state => undef });
$a->run('failed_bulk', args => q(keys => '[1,2,3,4,5]'));
is(states('failed_bulk'), 'accepted 5', 'a failed job is made again');

# given jobs or results that vanish, then their rows are in doubt, and sent again by the next run
foreach my $what ([ 'bulk', '/jobs/*', 'GET', 404 ], [ 'single', '/jobs/*', 'GET', 410 ], [ 'bulk', '/jobs/*/results', 'GET', 404 ])
{
	my ($kind, $path, $method, $status) = @$what;
	my $name = "gone_${kind}_" . ($path =~ /results/ ? 'results' : 'job');
	create($name, $kind, 5);
	$crm->script({ match => { path => '/jobs/j*', method => 'GET', after => $path =~ /results/ ? 1 : 0 }, status => $status, times => 1 });
	my $run = $a->run($name);
	is($run->{status}, 'partial', "$name: it is partial") or diag $run->{text};
	is(states($name), 'doubt 5', "$name: rows are in doubt");
	is($a->row($name, 1)->{activate_code}, 'job_lost', "$name: and say why");
	is(jobs(), 0, "$name: no job is left");
	is($a->run($name)->{status}, 'succeeded', "$name: the next run sends them again");
	equal($name, "$name: all rows are there");
}

# given a job that takes longer than its timeout, then it is aborted and its rows are in doubt
$crm->config({ job_polls => 100000 });
create('slow', 'short', 5);
is($a->run('slow')->{status}, 'partial', 'a job that is not done in time');
is(states('slow'), 'doubt 5', 'leaves rows in doubt');
is($a->row('slow', 1)->{activate_code}, 'job_timeout', 'and says why');
$crm->config({ job_polls => 1 });
$a->outlive_late('slow');
is($a->run('slow')->{status}, 'succeeded', 'which the next run sends again');

# given a job of which nothing can be told, then it is asked again, but not for longer than its timeout
create('mute', 'short', 5);
$crm->script({ match => { path => '/jobs/j*', method => 'GET' }, status => 500, times => -1 });
is($a->run('mute')->{delayed} . ' ' . jobs(), '5 1', 'a job whose polls fail stays');
my $mute = $a->run('mute', set => { 'pg_activate.debug_clock_offset' => 60 });
is(states('mute'), 'doubt 5', 'until its time is over: then its rows are in doubt') or diag $mute->{text};
like($a->row('mute', 1)->{activate_message}, qr/job j\d+ was given up: its state cannot be told: HTTP 500/, 'and say why');
is($a->sql('SELECT string_agg(state, $$ $$) FROM activate.job WHERE row_count = 0'), 'aborting', 'the destination is still to be told');
$crm->script([]);
is($a->run('mute', set => { 'pg_activate.debug_clock_offset' => 120 })->{status}, 'succeeded', 'the next run sends them again');
equal('mute', 'all rows are there');
is(jobs(), 0, 'and no job is left');

# given a poll that is throttled, fails, hangs up or makes no sense, then it is asked again
create('bumpy', 'bulk', 5);
my $since = last_seq();
$crm->script(
	(map { { match => { path => '/jobs/j*', method => 'GET' }, %$_ } } { status => 429, headers => { 'Retry-After' => '0' } },
		{ status => 503 }, { close => 'before' }, { status => 500 }, { body => 'no JSON' }));
my $run = $a->run('bumpy');
is($run->{status}, 'succeeded', 'polls that fail are made again') or diag $run->{text};
equal('bumpy', 'and nothing was sent twice');
is(scalar(grep { $_->{method} eq 'PUT' } @{ $crm->requests($since) }), 1, 'rows went once');

# given credentials that are refused when the job is asked for, then the run fails and the job waits for the next one
create('locked', 'bulk', 5);
$crm->script({ match => { path => '/jobs/j*', method => 'GET' }, status => 401 });
$run = $a->run('locked');
is("$run->{sqlstate} $run->{delayed}", 'PA001 5', 'a poll that is refused fails the run, and its rows are delayed');
is($a->sql('SELECT state FROM activate.job'), 'polling', 'the job stays');
$since = last_seq();
is($a->run('locked')->{status}, 'succeeded', 'the next run asks again');
is(paths($since) =~ /POST|PUT|PATCH/ ? 'sent' : 'asked', 'asked', 'and sends nothing twice');
equal('locked', 'all rows are there');

# given steps whose answers are lost, then nothing is in doubt before the last one
foreach my $step ([ 'POST', '/jobs' ], [ 'PUT', '/jobs/*' ], [ 'PATCH', '/jobs/*' ])
{
	my $name = "lost_" . lc $step->[0];
	create($name, 'bulk', 5);
	$since = last_seq();
	$crm->script({ match => { method => $step->[0], path => $step->[1] }, close => 'after', apply => 'before' });
	$run = $a->run($name);
	is($run->{status}, 'succeeded', "$name: done in one run") or diag $run->{text};
	equal($name, "$name: all rows are there");
	is($a->sql("SELECT count(*) FROM activate_data.$name WHERE activate_late_until IS NOT NULL"), 0, "$name: nothing was in doubt");
	is(scalar(grep { $_->{object} eq $name && $_->{state} eq 'done' } @{ $crm->jobs }), 1, "$name: one job was begun") or diag paths($since);
	is(scalar(grep { $_->{object} eq $name && $_->{state} eq 'open' && $_->{rows} } @{ $crm->jobs }), 0, "$name: none is left open with rows");
}

# given rows of a single step that go at most once, then a lost answer leaves them to a person
create('lost_once', 'once', 5);
$crm->script({ match => { method => 'POST', path => '/jobs' }, close => 'after', apply => 'before' });
$a->run('lost_once');
is(states('lost_once'), 'unknown 5', 'at most once: unknown');

# given a row that makes the upload be refused, then it is found, and jobs begun in vain are aborted
create('poison', 'bulk', 16);
$crm->script({ match => { method => 'PUT', path => '/jobs/*' }, refuse_batch_if => '"id": 5}', times => -1 });
$run = $a->run('poison');
is("$run->{accepted} $run->{rejected}", '15 1', 'a row that makes uploads be refused stands alone') or diag $run->{text};
is(scalar(grep { $_->{object} eq 'poison' && $_->{state} eq 'open' } @{ $crm->jobs }), 0, 'no job is left open');
is(jobs(), 0, 'nor in the table');
$crm->script([]);

# given a first step that is refused, then the run fails and charges no row
create('refused', 'bulk', 5);
$crm->script({ match => { method => 'POST', path => '/jobs' }, status => 400, body => '{"error":"no such object"}' });
$run = $a->run('refused');
is($run->{sqlstate}, 'PA001', 'a job that cannot be made fails the run');
is(states('refused'), '', 'no row is charged');

# ------------------------------------------------------------ the run ends

# given a run that is cancelled while the destination works, then the next one asks and settles
foreach my $kind (qw(bulk single))
{
	my $name = "cancelled_$kind";
	$crm->config({ job_polls => 100000 });
	create($name, $kind, 20);
	my $under_way = $a->begin($name);
	$a->node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM activate.job WHERE state = 'polling'}) or die 'no job';
	$a->sql("SELECT activate.cancel_run((SELECT max(run_id) FROM activate.run))");
	$run = $a->end($under_way);
	is($run->{status}, 'cancelled', "$kind: cancelled");
	is($run->{delayed}, 20, "$kind: its rows are delayed");
	is(jobs(), 1, "$kind: the job stays");
	is($a->sql('SELECT count(*) FROM activate.claim'), 0, "$kind: no claim does");
	is(states($name), '', "$kind: nothing is in doubt");
	$since = last_seq();
	$crm->config({ job_polls => 1 });
	$a->sql("UPDATE m_$name SET v = 9 WHERE id <= 3");
	$run = $a->run($name);
	is($run->{status}, 'succeeded', "$kind: the next run succeeds") or diag $run->{text};
	is("$run->{added} $run->{changed} $run->{accepted}", '20 3 23', "$kind: with the job's rows and what changed meanwhile");
	equal($name, "$kind: all is there");
	is($crm->requests($since)->[0]{method}, 'GET', "$kind: it asks before it compares");
	is(jobs(), 0, "$kind: no job is left");
	$a->sums_hold("cancelled $kind");
}

# given a job that was forgotten meanwhile, then its rows are in doubt, and sent again by the same run
$crm->config({ job_polls => 100000 });
create('forgotten', 'bulk', 10);
my $under_way = $a->begin('forgotten');
$a->node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM activate.job WHERE state = 'polling'}) or die 'no job';
$a->sql('SELECT activate.cancel_run((SELECT max(run_id) FROM activate.run))');
$a->end($under_way);
$crm->config({ forget_jobs => 1, job_polls => 0 });
$run = $a->run('forgotten');
is($run->{status}, 'partial', 'the job was forgotten') or diag $run->{text};
is("$run->{accepted} $run->{unknown} " . jobs(), '10 0 0', 'its rows went again');
equal('forgotten', 'and are there');

# given a connector that has no jobs any more, then rows of the old ones are in doubt, and go its new way
$crm->config({ job_polls => 100000 });
create('altered', 'single', 10);
$under_way = $a->begin('altered');
$a->node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM activate.job WHERE state = 'polling'}) or die 'no job';
$a->sql('SELECT activate.cancel_run((SELECT max(run_id) FROM activate.run))');
$a->end($under_way);
connector('single', { idempotent => JSON::PP::true, batch => { max_rows => 100 },
	request => { path => '/{{sync.object}}', body => { rows => $rows } }, answer => $answer });
$run = $a->run('altered');
is("$run->{accepted} " . jobs(), '10 0', 'a connector without jobs sends what the old one left') or diag $run->{text};
equal('altered', 'and it is there');
connector('single', $upsert{single});

# ... but no other version of a row, as long as the old job may still be applied
$crm->config({ job_polls => 100000 });
$a->server('single_late', $crm, connector => 'single', timeout => '4s');
create('overtaken', 'single_late', 3);
$under_way = $a->begin('overtaken');
$a->node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM activate.job WHERE state = 'polling'}) or die 'no job';
$a->sql('SELECT activate.cancel_run((SELECT max(run_id) FROM activate.run))');
$a->end($under_way);
connector('single', { idempotent => JSON::PP::true, batch => { max_rows => 100 },
	request => { path => '/{{sync.object}}', body => { rows => $rows } }, answer => $answer });
$a->sql("UPDATE m_overtaken SET v = v + 1000 WHERE id = 1");
$run = $a->run('overtaken');
is("$run->{accepted} $run->{delayed}", '2 4', 'a changed row of a lost job waits (lost are three, and one of them stays)') or diag $run->{text};
$a->node->poll_query_until('postgres', q{SELECT NOT EXISTS (SELECT FROM activate_data.overtaken WHERE activate_late_until > clock_timestamp())}) or die 'waits for ever';
is($a->run('overtaken')->{accepted}, 1, 'and goes when that is over');
equal('overtaken', 'all is there');
connector('single', $upsert{single});

# given a destination that gets another name meanwhile, then the job goes along, and its rows go once
$crm->config({ job_polls => 100000 });
$a->server('old_name', $crm, connector => 'bulk', timeout => '5s');
create('renamed', 'old_name', 10);
$under_way = $a->begin('renamed');
$a->node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM activate.job WHERE state = 'polling'}) or die 'no job';
$a->sql('SELECT activate.cancel_run((SELECT max(run_id) FROM activate.run))');
$a->end($under_way);
$a->sql(q{ALTER SERVER old_name RENAME TO new_name; SELECT activate.alter_sync('renamed', destination => 'new_name', resend => 'none')});
$crm->config({ job_polls => 0 });
$since = last_seq();
is($a->run('renamed')->{accepted}, 10, 'a job whose destination has another name is settled');
is(paths($since), 'GET /jobs/j GET /jobs/j/results', 'and nothing is sent twice');
equal('renamed', 'all rows are there');

# -------------------------------------------------------------------- crashes

# given a run that is killed wherever, then rows are neither lost nor sent twice once the job is known,
# and nothing is in doubt that a request had not gone out for
$crm->config({ job_polls => 2 });
$a->server('crash_bulk', $crm, connector => 'bulk', timeout => '1s');
create('crash', 'crash_bulk', 25);
my $v = 0;
my $days = 0;
is($a->run('crash')->{status}, 'succeeded', 'before the crashes');
foreach my $fault ('after_claim:kill', (map { ("before_job:kill:$_", "after_job:kill:$_") } 0 .. 2),
	(map { ("after_send:kill:$_", "after_answer:kill:$_") } 0 .. 6), 'before_settle:kill', 'after_settle:kill', 'before_finish:kill')
{
	$v++;
	$days++;
	$a->sql("UPDATE m_crash SET v = $v");
	$since = last_seq();
	my %set = ('pg_activate.debug_clock_offset' => 86400 * $days);
	$a->run('crash', faults => $fault, set => \%set);
	$run = $a->run('crash', set => \%set);
	is($run->{status}, 'succeeded', "$fault: the next run succeeds") or diag $run->{text};
	equal('crash', "$fault: all is there");
	is(jobs(), 0, "$fault: no job is left");
	# Once a job was closed and known, its rows go no second time.
	my @closed = grep { $_->{method} eq 'PATCH' && $_->{body} =~ /closed/ && $_->{status} == 200 } @{ $crm->requests($since) };
	is(scalar @closed, 1, "$fault: rows were applied once");
}
# given a job that is forgotten after the last step was lost in a crash, then its rows are in doubt, and go again
$crm->config({ job_polls => 0 });
create('closing', 'crash_bulk', 5);
$a->run('closing', faults => 'after_send:kill:2');
is($a->sql('SELECT state FROM activate.job'), 'starting', 'killed while it asked for the last step');
$crm->config({ forget_jobs => 1 });
$run = $a->run('closing');
is($run->{status}, 'partial', 'a job that is forgotten before it was known to be begun') or diag $run->{text};
is("$run->{accepted} " . jobs(), '5 0', 'keeps nothing from going again');
equal('closing', 'all rows are there');
$crm->config({ job_polls => 2 });

$a->sums_hold('crashes');
is(scalar(grep { $_->{object} eq 'crash' && $_->{state} eq 'open' } @{ $crm->jobs }) <= 4 ? 1 : 0, 1, 'jobs that nobody had heard of apart, none is left open');

done_testing();
