# Operations whose variants are jobs: a run with many rows hands them over in
# bulk, whatever was looked up of them before; results in CSV and by pages.
use strict;
use warnings;

use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

use Activate;
use Destination;

my $a = Activate->start('variants');
my $crm = Destination->start;
my $json = JSON::PP->new->canonical;

# ------------------------------------------------------------- connectors

my $row = { op => 'upsert', key => '{{row.key}}', external_id => '{{row.external_id}}', fields => '{{row.fields}}' };
my @outcomes = map { { at => '/status', in => [$_], then => $_ } } qw(accepted rejected absent);
my @steps = (
	{ request => { path => '/jobs', body => { object => '{{sync.object}}_bulk' } }, save => { job => '/id' } },
	{ request => { method => 'PUT', path => '/jobs/{{saved.job}}/rows', body => { rows => { '$rows' => $row } } } },
	{ request => { method => 'PATCH', path => '/jobs/{{saved.job}}', body => { state => 'closed' } } });
my %poll = (
	request => { method => 'GET', path => '/jobs/{{saved.job}}' },
	every => ['10 ms'], state => '/state', running => [ 'open', 'working' ], done => ['done'], failed => ['failed']);
my $abort = { method => 'PATCH', path => '/jobs/{{saved.job}}', body => { state => 'aborted' } };
my $csv = { request => { method => 'GET', path => '/jobs/{{saved.job}}/csv' },
	answer => { format => 'csv', by => 'key', is => '/key', message => '/error', outcomes => \@outcomes } };
my $pages = { request => { method => 'POST', path => '/jobs/{{saved.job}}/results', body => { from => '{{saved.next}}' } },
	next => '/cursor', answer => { by => 'key', is => '/key/id', items => '/results', message => '/error', outcomes => \@outcomes } };

my $lookup = {
	batch => { max_rows => 100 },
	request => { path => '/{{sync.object}}', body => { lookup => { field => '{{sync.match}}', values => { '$rows' => '{{row.match}}' } } } },
	answer => { by => 'match', items => '/records', match => '/fields/{{sync.match}}', external_id => '/id' } };
my $update = {
	request => { path => '/{{sync.object}}', body => { crm => 'update', id => '{{row.external_id}}', fields => '{{row.fields}}' } },
	answer => { by => 'none' } };
my $rules = [ { status => [404], then => 'absent' } ];

sub large
{
	my ($results, %more) = @_;
	return { from_rows => 20, idempotent => JSON::PP::true, batch => { max_rows => 100 }, steps => \@steps, poll => \%poll,
		abort => $abort, results => [$results], %more };
}

my %documents = (
	# as Salesforce's: few updates one by one, many in bulk
	bulk => { rules => $rules, operations => { lookup => $lookup, update => {
		idempotent => JSON::PP::true, needs => ['external_id'], %$update, large => large($csv, needs => ['external_id']) } } },
	paged => { rules => $rules, operations => { lookup => $lookup, update => {
		idempotent => JSON::PP::true, needs => ['external_id'], %$update, large => large($pages, needs => ['external_id']) } } },
	renewed => { secrets => ['bearer_token'], auth => [ { when => 'bearer_token', kind => 'bearer', token => '{{secret.bearer_token}}' } ],
		rules => [ @$rules, { status => [401], then => 'auth' } ], operations => { lookup => $lookup, update => {
		idempotent => JSON::PP::true, needs => ['external_id'], %$update, large => large($csv, needs => ['external_id']) } } },
	# what is known goes in bulk by its id, the rest is made one by one
	known => { rules => $rules, operations => { upsert => {
		idempotent => JSON::PP::true,
		request => { path => '/{{sync.object}}', body => { crm => 'create', fields => '{{row.fields}}' } },
		answer => { by => 'none', external_id => '/id' },
		by_id => { batch => { max_rows => 100 }, absent => 'match', steps => \@steps, poll => \%poll, abort => $abort, results => [$csv] } } } },
	# an address that needs an id which nobody asks for
	address => { operations => { upsert => {
		idempotent => JSON::PP::true, needs => ['external_id'], missing => 'send',
		request => { method => 'PUT', path => '/{{sync.object}}/{{row.external_id}}', body => { '$row' => $row } }, answer => { by => 'none' } } } });

foreach my $name (sort keys %documents)
{
	my $spec = $json->encode($documents{$name});
	$a->sql("INSERT INTO activate.connector (name, spec) VALUES ('$name', \$j\$$spec\$j\$)");
	$a->server($name, $crm, connector => $name, timeout => '5s');
}

sub given
{
	my ($name, $server, $rows, $mode) = @_;
	$a->sql("CREATE TABLE $name AS SELECT i AS id, 'user' || i AS email, i AS score FROM generate_series(1, $rows) AS i;"
		. " ALTER TABLE $name ADD PRIMARY KEY (id)");
	$a->sql("SELECT activate.create_sync('$name', 'public.$name', 'id', '$server', object => '$name', match => 'email',"
		. " mapping => 'email, score', mode => '$mode', options => '{\"max_changed\": null, \"max_rejected\": 100}')");
	return;
}

sub seed
{
	my ($object, @emails) = @_;
	$crm->http(POST => "/$object", $json->encode({ crm => 'create', fields => { email => $_ } })) foreach @emails;
	return;
}

sub seq { my $r = $crm->requests(0); return @$r ? $r->[-1]{seq} : 0 }

# Each request by its method and path, and how often it came.
sub asked
{
	my ($since) = @_;
	my %count;
	$count{ "$_->{method} $_->{path}" =~ s/j\d+/j/r }++ foreach @{ $crm->requests($since) };
	return join ', ', map { "$_ $count{$_}" } sort keys %count;
}

# ------------------------------------------------- bulk by the number of rows
given('few', 'bulk', 3, 'update');
seed('few', map { "user$_" } 1 .. 3);
my $since = seq();
my $run = $a->run('few');
is("$run->{status} $run->{accepted}", 'succeeded 3', 'few rows') or diag $run->{text};
is(asked($since), 'POST /few 4', 'are looked up together and updated one by one');

given('many', 'bulk', 30, 'update');
seed('many', map { "user$_" } 1 .. 25);
is($a->sql("SELECT string_agg(DISTINCT split_part(url, '/', 4), ' ') FROM activate.preview_requests('many', 9)"), 'many',
	'a preview of many rows shows the lookup');
$crm->config({ job_polls => 2 });
$crm->script({ match => { path => '/jobs/j*', method => 'PATCH' },
	reject_rows => { where => '"id": 7}', status => 'rejected', error => 'say ""no"", twice' }, times => 1 });
$since = seq();
$run = $a->run('many');
is("$run->{accepted} $run->{rejected} $run->{absent}", '24 1 5', 'many rows: each has what the lines of CSV say of it, or no record') or diag $run->{text};
is(asked($since), 'GET /jobs/j 3, GET /jobs/j/csv 1, PATCH /jobs/j 1, POST /jobs 1, POST /many 1, PUT /jobs/j/rows 1',
	'they are looked up together and go as one job');
is($a->row('many', 7)->{activate_message}, 'say "no", twice', 'a message keeps its quotes and commas');
is($a->sql('SELECT count(*) FROM activate_data.many WHERE activate_external_id IS NOT NULL'), 25, 'the ids that were looked up are kept');
$a->sums_hold('many');

# --------------------------------------------------- a cursor in the body
given('paged', 'paged', 25, 'update');
seed('paged', map { "user$_" } 1 .. 25);
$crm->config({ job_polls => 0, page_rows => 10 });
$since = seq();
$run = $a->run('paged');
is("$run->{status} $run->{accepted}", 'succeeded 25', 'results of three pages') or diag $run->{text};
is(join(' ', map { $json->encode($json->decode($_->{body})) } grep { $_->{path} =~ /results/ } @{ $crm->requests($since) }),
	'{} {"from":"10"} {"from":"20"}', 'are asked for by a cursor in the body');
$crm->config({ page_rows => 0 });

# ----------------------------------------------------- the run ends meanwhile
given('ended', 'bulk', 30, 'update');
seed('ended', map { "user$_" } 1 .. 30);
$crm->config({ job_polls => 100000 });
my $under_way = $a->begin('ended');
$a->node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM activate.job WHERE state = 'polling'}) or die 'no job';
is($a->sql('SELECT operation FROM activate.jobs'), 'update/large', 'the job is that of the variant');
$a->sql('SELECT activate.cancel_run((SELECT max(run_id) FROM activate.run))');
$run = $a->end($under_way);
is("$run->{status} $run->{delayed}", 'cancelled 30', 'a run that ends while the job is asked for');
$crm->config({ job_polls => 0 });
$since = seq();
$run = $a->run('ended');
is("$run->{status} $run->{accepted}", 'succeeded 30', 'the next one, with nothing of its own to send, reads what became of it') or diag $run->{text};
is(asked($since), 'GET /jobs/j 1, GET /jobs/j/csv 1', 'and sends nothing again');
is($a->sql('SELECT count(*) FROM activate_data.ended WHERE activate_external_id IS NOT NULL'), 30, 'ids that were looked up before it ended are known');

# ------------------------------------------------- credentials change meanwhile
$a->sql("CREATE USER MAPPING FOR PUBLIC SERVER renewed OPTIONS (bearer_token 'first-token-of-all')");
given('renewed', 'renewed', 20, 'update');
seed('renewed', map { "user$_" } 1 .. 20);
$crm->config({ job_polls => 100000 });
$under_way = $a->begin('renewed');
$a->node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM activate.job WHERE state = 'polling'}) or die 'no job';
$a->sql("ALTER USER MAPPING FOR PUBLIC SERVER renewed OPTIONS (SET bearer_token 'second-token-of-all')");
# what is counted begins before: the job is being asked for all the time
$since = seq();
$crm->config({ require_auth => 'Bearer second-token-of-all', job_polls => 0 });
$run = $a->end($under_way);
is("$run->{status} $run->{accepted}", 'succeeded 20', 'credentials that change while a job is asked for') or diag $run->{text};
is(join(' ', map { "$_->{method} $_->{status}" } @{ $crm->requests($since) }) =~ s/^(GET 200 )+(?=GET 401)//r, 'GET 401 GET 200 GET 200', 'it is asked for with the new ones, and nothing is sent again');
is($a->sql('SELECT count(*) FROM activate.job'), 0, 'the job is read to its end');
$crm->config({ require_auth => undef });

# -------------------------------------------- by id as a job, and gone again
given('known', 'known', 5, 'upsert');
$run = $a->run('known');
is("$run->{status} $run->{accepted}", 'succeeded 5', 'records are made one by one') or diag $run->{text};
my $id = $a->row('known', 2)->{activate_external_id};
$a->sql('UPDATE known SET score = score + 100');
$crm->script({ match => { path => '/jobs/j*', method => 'PATCH' }, reject_rows => { where => '"id": 2}', status => 'absent' }, times => 1 });
$since = seq();
$run = $a->run('known');
is("$run->{status} $run->{accepted} $run->{absent}", 'succeeded 5 0', 'those that are known go as a job by their ids') or diag $run->{text};
is(asked($since), 'GET /jobs/j 1, GET /jobs/j/csv 1, PATCH /jobs/j 1, POST /jobs 1, POST /known 1, PUT /jobs/j/rows 1',
	'and the one whose record is gone is made anew in the same run');
isnt($a->row('known', 2)->{activate_external_id}, $id, 'by another id');

# given the same of a job that an earlier run began, then the run that reads it makes the record anew
$id = $a->row('known', 3)->{activate_external_id};
$a->sql('UPDATE known SET score = score + 100');
$crm->config({ job_polls => 100000 });
$crm->script({ match => { path => '/jobs/j*', method => 'PATCH' }, reject_rows => { where => '"id": 3}', status => 'absent' }, times => 1 });
$under_way = $a->begin('known');
$a->node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM activate.job WHERE state = 'polling'}) or die 'no job';
$a->sql('SELECT activate.cancel_run((SELECT max(run_id) FROM activate.run))');
$a->end($under_way);
$crm->config({ job_polls => 0 });
$since = seq();
$run = $a->run('known');
is(asked($since), 'GET /jobs/j 1, GET /jobs/j/csv 1, POST /known 1', 'a job of an earlier run whose record is gone: it is made anew') or diag $run->{text};
isnt($a->row('known', 3)->{activate_external_id}, $id, 'by another id, too');
$a->sums_hold('known');

# ------------------------------------------------ no id where an address has one
given('address', 'address', 2, 'upsert');
$since = seq();
$run = $a->run('address');
is(asked($since), '', 'a request whose address lacks an id is not sent') or diag $run->{text};
is($a->sql("SELECT DISTINCT code || ': ' || message FROM activate.rejections WHERE sync = 'address'"),
	'not_rendered: {{row.external_id}} has no value, and the request cannot do without', 'and each row says why');
is($a->sql("SELECT count(*) FROM activate.preview_requests('address')"), 0, 'nor is it in a preview');

done_testing();
