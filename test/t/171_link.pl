# The first run of a sync finds the records that the destination has already:
# no second one is made, and only what differs is sent.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use Activate;
use Destination;
use Scheduled;

my $a = Activate->start('main');
my $crm = Destination->start;

# The webhook, which then can be asked: by match or by the place in the answer.
my %lookup = (
	crm => q({"batch": {"max_rows": 200, "default_rows": 100},
		"request": {"method": "POST", "path": "/{{sync.object}}/lookup",
			"body": {"lookup": {"field": "{{sync.match}}", "values": {"$rows": "{{row.match}}"}}}},
		"answer": {"by": "match", "items": "/records", "match": "/fields/{{sync.match}}", "compare": ["trim", "lower"],
			"external_id": "/id", "fields": "/fields"}}),
	places => q({"batch": {"max_rows": 50},
		"request": {"method": "POST", "path": "/{{sync.object}}/lookup",
			"body": {"lookup": {"field": "{{sync.match}}", "each": true, "values": {"$rows": "{{row.match}}"}}}},
		"answer": {"by": "position", "items": "/records", "external_id": "/id"}}),
	single => q({"request": {"method": "POST", "path": "/{{sync.object}}/lookup",
			"body": {"lookup": {"field": "email", "values": ["{{row.fields.email}}"]}}},
		"answer": {"by": "match", "items": "/records", "match": "/fields/email", "external_id": "/id", "fields": "/fields",
			"absent": [404]}}));

sub connector
{
	my ($name) = @_;
	return <<"END";
INSERT INTO activate.connector (name, spec)
SELECT '$name', regexp_replace(replace(spec::text, '"name": "webhook"', '"name": "$name"'), '"operations": *{',
	\$j\$"operations": {"lookup": $lookup{$name}, \$j\$)::json
FROM activate.connector WHERE name = 'webhook'
END
}

foreach my $name (sort keys %lookup)
{
	$a->sql(connector($name));
	$a->server($name, $crm, connector => $name, timeout => '5s');
}

# Records that somebody typed in: known there by a number of their own.
sub seed
{
	my ($object, @records) = @_;
	my $number = 0;
	while (my @some = splice @records, 0, 500)
	{
		my $rows = [ map { { op => 'upsert', key => { number => ++$number }, fields => $_ } } @some ];
		$crm->http(POST => "/$object", JSON::PP->new->encode({ rows => $rows }));
	}
	return;
}

sub table
{
	my ($name, $rows) = @_;
	$a->sql("CREATE TABLE $name AS SELECT i AS id, 'user' || i || '\@example.com' AS email, i * 1.5 AS score, i % 2 = 0 AS active"
		. " FROM generate_series(1, $rows) AS i; ALTER TABLE $name ADD PRIMARY KEY (id)");
	return;
}

# As it would be typed, and answered by an API that knows only text.
sub typed
{
	my ($i, %other) = @_;
	return { email => "user$i\@example.com", score => $i * 1.5, active => $i % 2 ? 'false' : 'true', phone => 'theirs', %other };
}

sub create
{
	my ($name, %option) = @_;
	my $server = $option{server} // 'crm';
	my $mode = $option{mode} // 'upsert';
	$a->sql("SELECT activate.create_sync('$name', 'public.$name', 'id', '$server', object => '$name', match => 'email',"
		. " mapping => 'email, score, active', mode => '$mode', options => '{\"first_run\": \"link\", \"max_rejected\": 100}')");
	return;
}

# table, records and sync at once
sub given
{
	my ($name, $rows, $records, %option) = @_;
	table($name, $rows);
	seed($name, map { typed($_) } 1 .. $records) if $records;
	create($name, %option);
	return;
}

sub lookups
{
	my ($since) = @_;
	return scalar grep { $_->{path} =~ m{/lookup$} } @{ $crm->requests($since // 0) };
}

sub sums
{
	my ($run) = @_;
	return join ' ', map { "$_ $run->{$_}" } qw(added changed accepted skipped absent);
}

# ------------------------------------------------------------- 3 000 of them
# Of 3 500 rows 3 000 are there: 40 with another score, 30 with an email in
# capitals. Two records were never ours.
table('contacts', 3500);
seed('contacts', (map { typed($_, $_ <= 40 ? (score => -1) : $_ % 100 == 0 ? (email => "USER$_\@EXAMPLE.COM") : ()) } 1 .. 3000),
	{ email => 'somebody@else.com' }, { email => 'another@else.com' });
my %id = map { lc($_->{fields}{email}) => $_->{external_id} } @{ $crm->records('contacts') };
create('contacts');
my $before = $crm->stats->{requests};
my $run = $a->run('contacts');
is($run->{status}, 'succeeded', 'the first run succeeds');
is(sums($run), 'added 500 changed 70 accepted 570 skipped 0 absent 0', 'only what has no record, or another one, is sent');
is($run->{unchanged}, 2930, 'the others count as sent');
my @records = @{ $crm->records('contacts') };
is(scalar @records, 3502, 'no second record is made of any');
is(scalar(grep { ($id{ lc $_->{fields}{email} } // $_->{external_id}) ne $_->{external_id} } @records), 0, 'those that were there are those that are');
is(scalar(grep { ($_->{fields}{phone} // '') eq 'theirs' } @records), 3000, 'and keep what is not ours');
is($a->sql("SELECT count(*) FROM contacts AS c JOIN activate_data.contacts USING (id) WHERE activate_external_id IS NOT NULL AND activate_state = 'accepted'"),
	3500, 'every row knows its record');
is(lookups($before), 35, 'with a request for a hundred rows');
is($run->{requests}, $crm->stats->{requests} - $before, 'which count as requests of the run');
is($a->sql("SELECT details FROM activate.events WHERE kind = 'linked' AND sync = 'contacts'"),
	'{"none": 500, "same": 2930, "unclear": 0, "different": 70}', 'an event says what was found');
$before = $crm->stats->{requests};
$a->sql("INSERT INTO contacts VALUES (4000, 'new\@example.com', 0, true)");
$run = $a->run('contacts');
is(sums($run) . ' ' . lookups($before), 'added 1 changed 0 accepted 1 skipped 0 absent 0 0', 'later runs do not ask');

# ------------------------------------------------------------ who is who
given('unclear', 10, 8);
$crm->http(POST => '/unclear', JSON::PP->new->encode({ rows => [ { op => 'upsert', key => { number => 99 }, fields => typed(3) } ] }));
$a->sql("UPDATE unclear SET email = 'USER5\@example.com' WHERE id = 9");
$run = $a->run('unclear');
is(sums($run), 'added 3 changed 0 accepted 1 skipped 2 absent 0', 'whose record cannot be told is left alone');
is($a->sql("SELECT string_agg(key::text || ' ' || state || ' ' || code || ': ' || message, E'\\n' ORDER BY key::text) FROM activate.rejections WHERE sync = 'unclear'"),
	"{\"id\": 3} refused several_records: 2 records of the destination match the row, and which one is its own cannot be told\n"
	. "{\"id\": 9} refused record_taken: record " . $crm->record('unclear', { number => 5 })->{external_id}
	. " of the destination matches the row and is that of row {\"id\": 5} already", 'and why is said');
is(scalar @{ $crm->records('unclear') }, 10, 'no record is made for them');

# ------------------------------------------------------------------- modes
given('updated', 10, 6, mode => 'update');
$before = $crm->stats->{requests};
$run = $a->run('updated');
is(sums($run), 'added 4 changed 0 accepted 0 skipped 0 absent 4', 'in mode update, what is not there is absent');
is($crm->stats->{requests} - $before, 1, 'and not asked for twice');
given('inserted', 10, 6, mode => 'insert');
$a->sql('UPDATE inserted SET score = 0');
$run = $a->run('inserted');
is(sums($run), 'added 4 changed 0 accepted 4 skipped 0 absent 0', 'in mode insert, what is there is left as it is');

# ------------------------------------------------------- other ways to answer
given('places', 120, 100, server => 'places');
$run = $a->run('places');
is(sums($run), 'added 20 changed 100 accepted 120 skipped 0 absent 0', 'an answer by places, that tells no fields: all is sent');
is(scalar @{ $crm->records('places') }, 120, 'to the records that were there');
given('single', 5, 3, server => 'single');
$crm->script({ match => { path => '/single/lookup', contains => 'user4@' }, status => 404 });
$run = $a->run('single');
is(sums($run), 'added 2 changed 0 accepted 2 skipped 0 absent 0', 'one row at a time, where a status says that there is none');

# ------------------------------------------------------------------- errors
given('errors', 10, 8);
foreach my $case ([ 401, 'refuses the credentials' ], [ 400, 'cannot be asked for records' ], [ 500, 'does not answer as it should' ])
{
	$crm->script({ match => { path => '/errors/lookup' }, status => $case->[0], times => -1 });
	$before = $crm->stats->{requests};
	$run = $a->run('errors');
	is("$run->{sqlstate} $run->{status}", 'PA001 failed', "a lookup is answered with $case->[0]: the run fails");
	like($run->{text}, qr/$case->[1]/, 'and says so');
	is(scalar(grep { $_->{path} !~ /lookup/ } @{ $crm->requests($before) }), 0, 'nothing is sent');
}
$crm->script({ match => { path => '/errors/lookup' }, status => 500, times => 2 },
	{ match => { path => '/errors/lookup' }, status => 429, headers => { 'Retry-After' => '1' }, times => 1 },
	{ match => { path => '/errors/lookup' }, status => 413, times => 1 },
	{ match => { path => '/errors/lookup' }, status => 200, headers => { 'Content-Type' => 'application/json' }, body => '{"records": [{"fie', times => 1 });
$run = $a->run('errors');
is(sums($run), 'added 2 changed 0 accepted 2 skipped 0 absent 0', 'what passes is waited for, and what cannot be read is asked again');
is(scalar @{ $crm->records('errors') }, 10, 'as if nothing had been');

given('hanging', 10, 8);
$crm->script({ match => { path => '/hanging/lookup' }, hang => 1, times => -1 });
$before = $crm->stats->{requests};
my $under_way = $a->begin('hanging');
ok($a->node->poll_query_until('postgres', q{SELECT count(*) > 0 FROM activate.run JOIN activate.sync USING (sync_id) WHERE name = 'hanging' AND status = 'running'}), 'a lookup hangs');
$crm->wait_for_requests($before + 1);
my $begun = time;
$a->sql("SELECT pg_cancel_backend(pid) FROM activate.run WHERE status = 'running'");
$run = $a->end($under_way);
cmp_ok(time - $begun, '<', 2, sprintf 'and is cancelled (%.2f s)', time - $begun);
is($run->{status}, 'cancelled', 'as the run says');
$crm->script([]);
is(sums($a->run('hanging')), 'added 2 changed 0 accepted 2 skipped 0 absent 0', 'the next one goes on');

# -------------------------------------------------------------------- crash
given('crash', 6000, 5800);
$before = $crm->stats->{requests};
$run = $a->run('crash', faults => 'after_link:kill');
my $linked = $a->sql('SELECT count(*) FROM activate_data.crash WHERE activate_external_id IS NOT NULL');
cmp_ok($linked, '>=', 5000, "the server crashes, and the $linked rows whose records were found stay linked");
is(scalar @{ $crm->records('crash') }, 5800, 'nothing was sent');
$before = $crm->stats->{requests};
$run = $a->run('crash');
is(sums($run), 'added 200 changed 0 accepted 200 skipped 0 absent 0', 'the next run goes on');
cmp_ok(lookups($before), '<=', 11, 'and asks for the others only');

given('almost', 10, 8);
$a->run('almost', faults => 'before_linked:kill');
is(scalar @{ $crm->records('almost') }, 8, 'a crash before it is noted that all were linked: nothing was sent');
is(sums($a->run('almost')), 'added 2 changed 0 accepted 2 skipped 0 absent 0', 'the next run links none twice');

# ------------------------------------------------------------ only some keys
given('partly', 10, 8);
$run = $a->run('partly', args => "keys => '[1, 9]'");
is(sums($run), 'added 1 changed 0 accepted 1 skipped 0 absent 0', 'a run of some keys links those');
$run = $a->run('partly');
is(sums($run), 'added 1 changed 0 accepted 1 skipped 0 absent 0', 'and the first of all of them the others');
$a->sums_hold('first runs that link');
$a->node->stop;

# ---------------------------------------------------------------- by a worker
# Whose parents are found instead of sent goes, too.
my $s = Scheduled->start('worker', "pg_activate.naptime = '1s'\n");
$crm = $s->crm;
$s->value(connector('crm'));
$s->server('asked', $crm, connector => 'crm');
seed('firms', { email => 'firm@one.com', name => 'One' });
$s->value("CREATE TABLE firms AS SELECT 1 AS id, 'firm\@one.com' AS email, 'One' AS name; CREATE TABLE people AS SELECT 1 AS id, 1 AS firm");
$s->value("SELECT activate.create_sync('firms', 'public.firms', 'id', 'asked', object => 'firms', match => 'email', mapping => 'email, name',"
	. " schedule => '1 day', options => '{\"first_run\": \"link\"}')");
$s->value("SELECT activate.create_sync('people', 'public.people', 'id', 'crm', object => 'people',"
	. " mapping => 'activate.external_id(''firms'', firm) AS firm', schedule => '1 day')");
is($s->value('CALL activate.wait_for_run(' . $s->value("SELECT activate.queue_run('people')") . ')'), 'partial', 'a person waits for a firm');
is($s->value('CALL activate.wait_for_run(' . $s->value("SELECT activate.queue_run('firms')") . ')'), 'succeeded', 'the firm is found');
$s->wait_until('the person is there', sub { @{ $crm->records('people') } == 1 });
is($crm->records('people')->[0]{fields}{firm}, $crm->records('firms')->[0]{external_id}, 'and the person refers to it');
is($crm->records('firms')->[0]{writes}, 1, 'which nobody wrote to');
done_testing();
