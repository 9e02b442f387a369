# Rows go by what is known of their records: by id, by what a lookup finds, or
# as new ones; and another way when an answer says that it is otherwise.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use Activate;
use Destination;

my $a = Activate->start('main');
my $crm = Destination->start;

my $lookup = q("lookup": {"batch": {"max_rows": 100},
	"request": {"path": "/{{sync.object}}", "body": {"lookup": {"field": "{{sync.match}}", "values": {"$rows": "{{row.match}}"}}}},
	"answer": {"by": "match", "items": "/records", "match": "/fields/{{sync.match}}", "compare": ["lower"], "external_id": "/id"}});
my $create = q("request": {"path": "/{{sync.object}}", "body": {"crm": "create", "unique": "{{sync.match}}", "fields": "{{row.fields}}"}},
	"answer": {"by": "none", "external_id": "/id"});
my $silent = $create =~ s/"crm"/"silent": true, "crm"/r;
my $update = q("request": {"path": "/{{sync.object}}", "body": {"crm": "update", "id": "{{row.external_id}}", "fields": "{{row.fields}}"}},
	"answer": {"by": "none", "external_id": "/id"});
my $delete = q("request": {"path": "/{{sync.object}}", "body": {"crm": "delete", "id": "{{row.external_id}}"}}, "answer": {"by": "none"});
my $head = q("rules": [{"status": [409], "then": "found", "external_id": "/existing"}, {"status": [404], "then": "absent"}]);

my %documents = (
	# Creates, and goes by id once that is known.
	ids => qq({"name": "ids", $head, "operations": {
		"upsert": {"idempotent": true, $create, "by_id": {"idempotent": true, "absent": "match", $update}},
		"delete": {"idempotent": true, "absent": "accepted", "needs": ["external_id"], $delete}}}),
	# Is made of others: looks up, then updates or inserts.
	composed => qq({"name": "composed", $head, "operations": { $lookup,
		"insert": {"idempotent": true, $create},
		"update": {"idempotent": true, "needs": ["external_id"], $update},
		"upsert": {"idempotent": true, "needs": ["external_id"], "missing": "insert", $update},
		"delete": {"idempotent": true, "absent": "accepted", "needs": ["external_id"], $delete}}}),
	# Refuses what is there without saying which it is.
	silent => qq({"name": "silent", $head, "operations": { $lookup,
		"upsert": {"idempotent": true, $silent, "by_id": {"idempotent": true, "absent": "match", $update}}}}),
	# May create twice.
	once => qq({"name": "once", $head, "operations": { $lookup,
		"insert": { $create},
		"upsert": {"needs": ["external_id"], "missing": "insert", $update}}}));

foreach my $name (sort keys %documents)
{
	$a->sql("INSERT INTO activate.connector (name, spec) VALUES ('$name', \$j\$$documents{$name}\$j\$)");
	$a->server($name, $crm, connector => $name, timeout => '5s');
}

sub given
{
	my ($name, $server, $rows, %option) = @_;
	$a->sql("CREATE TABLE $name AS SELECT i AS id, 'user' || i || '\@example.com' AS email, i AS score"
		. " FROM generate_series(1, $rows) AS i; ALTER TABLE $name ADD PRIMARY KEY (id)");
	my $mode = $option{mode} // 'upsert';
	my $removed = $option{removed} ? ", on_removed => '$option{removed}'" : '';
	$a->sql("SELECT activate.create_sync('$name', 'public.$name', 'id', '$server', object => '$name', match => 'email',"
		. " mapping => 'email, score', mode => '$mode'$removed, options => '{\"max_removed\": 100, \"max_rejected\": 100, \"remove_after\": \"0s\"}')");
	return;
}

sub seed
{
	my ($object, @emails) = @_;
	$crm->http(POST => "/$object", JSON::PP->new->canonical->encode({ crm => 'create', fields => { email => $_, score => -1 } })) foreach @emails;
	return;
}

# How often each thing was asked for since then.
sub asked
{
	my ($object, $since) = @_;
	my %count;
	foreach my $request (@{ $crm->requests($since) })
	{
		next unless $request->{path} eq "/$object";
		my $body = JSON::PP->new->decode($request->{body});
		$count{ $body->{crm} // 'lookup' }++;
	}
	return join ' ', map { "$_ $count{$_}" } sort keys %count;
}

sub equals
{
	my ($name, $what) = @_;
	my $model = $a->sql("SELECT string_agg(email || ' ' || score, ', ' ORDER BY email) FROM $name");
	my @there = sort map { "$_->{fields}{email} $_->{fields}{score}" } @{ $crm->records($name) };
	is(join(', ', @there), $model // '', $what);
	return;
}

sub seq { my $requests = $crm->requests(0); return @$requests ? $requests->[-1]{seq} : 0 }

# ------------------------------------------------------------------- by id
given('people', 'ids', 10, mode => 'mirror', removed => 'delete');
my $since = seq();
my $run = $a->run('people');
is($run->{status}, 'succeeded', 'records are made');
is(asked('people', $since), 'create 10', 'one by one');
$since = seq();
$a->sql("UPDATE people SET email = 'renamed\@example.com', score = 99 WHERE id = 3");
$run = $a->run('people');
is(asked('people', $since), 'update 1', 'a row whose match changed is an update of the same record');
equals('people', 'so there is no second one');
$a->sql("DELETE FROM people WHERE id = 4");
$since = seq();
$run = $a->run('people');
is(asked('people', $since), 'delete 1', 'a row that left is deleted by its id');
equals('people', 'and gone');

# ------------------------------------------------------- the record is gone
my $id = $crm->record('people', { made => 5 })->{external_id};
$crm->http(POST => '/people', qq({"crm": "delete", "id": "$id"}));
$a->sql('UPDATE people SET score = score + 100 WHERE id = 5');
$since = seq();
$run = $a->run('people');
is("$run->{accepted} " . asked('people', $since), '1 create 1 update 1', 'a record that somebody deleted is made anew, in the same run');
isnt($a->row('people', 5)->{activate_external_id}, $id, 'and the row knows the new one');
equals('people', 'which has what the model says');

# ------------------------------------------------- it is there: 409 with an id
given('found', 'ids', 4);
seed('found', 'user2@example.com');
$since = seq();
$run = $a->run('found');
is("$run->{status} $run->{accepted} " . asked('found', $since), 'succeeded 4 create 4 update 1', 'a refused duplicate goes again as an update by the id that was told');
equals('found', 'no second one was made');

given('silent_found', 'silent', 4);
seed('silent_found', 'user2@example.com');
$since = seq();
$run = $a->run('silent_found');
is("$run->{status} $run->{accepted} " . asked('silent_found', $since), 'succeeded 4 create 4 lookup 1 update 1', 'without an id it is looked up');
equals('silent_found', 'and updated');

# --------------------------------------------------- looked up before the write
given('contacts', 'composed', 250);
seed('contacts', map { "USER$_\@example.com" } 1 .. 20);
is($a->sql("SELECT string_agg(DISTINCT method || ' ' || (body LIKE '%lookup%')::text, ', ') FROM activate.preview_requests('contacts', 2)"),
	'POST false, POST true', 'a preview shows the lookup first, and the request that follows where there is no record');
like($a->sql("SELECT explanation FROM activate.explain_row('contacts', '3')"), qr/Its record is looked up first\. If there is none, it is sent as insert\./,
	'explain_row says which way a row goes');
is($a->sql("SELECT requests FROM activate.plan_sync('contacts')"), 253, 'a plan counts lookups');
$since = seq();
$run = $a->run('contacts');
is("$run->{status} $run->{accepted} " . asked('contacts', $since), 'succeeded 250 create 230 lookup 3 update 20', 'set-wise, then each as what it is');
is(scalar @{ $crm->records('contacts') }, 250, 'no duplicates');
$a->sums_hold('contacts');
$since = seq();
$a->sql('UPDATE contacts SET score = score + 1 WHERE id <= 5');
$a->run('contacts');
is(asked('contacts', $since), 'update 5', 'what is known is not asked for again');

# ------------------------------------------------------------- who is whose
given('twins', 'composed', 3);
seed('twins', 'user1@example.com', 'user1@example.com');
$run = $a->run('twins');
is("$run->{accepted} $run->{rejected}", '2 1', 'a row that several records match is rejected');
is($a->sql("SELECT code || ': ' || message FROM activate.rejections WHERE sync = 'twins'"),
	'match_not_unique: 2 records of the destination match the row, and which one is its own cannot be told', 'with how many');

given('heirs', 'composed', 2);
$a->run('heirs');
$a->sql("UPDATE heirs SET email = 'moved\@example.com' WHERE id = 1; INSERT INTO heirs VALUES (3, 'user1\@example.com', 3)");
$run = $a->run('heirs');
is("$run->{accepted} $run->{rejected}", '1 1', 'a match that changed hands does not take the record of the row that had it');
is($a->sql("SELECT code FROM activate.rejections WHERE sync = 'heirs'"), 'record_taken', 'and says so');
$run = $a->run('heirs', args => "keys => '[3]'");
is($run->{accepted}, 1, 'then it has one of its own');
equals('heirs', 'as the model has it');

# ------------------------------------------------------------ mode update
given('partial', 'composed', 3, mode => 'update');
seed('partial', 'user2@example.com');
$run = $a->run('partial');
is("$run->{accepted} $run->{absent}", '1 2', 'an update of what is not there is absent');

# ---------------------------------------------- lost, throttled, refused lookups
given('lost', 'composed', 5);
$crm->script([ { match => { path => '/lost', contains => 'lookup' }, close => 'after' },
	{ match => { path => '/lost', contains => 'lookup' }, status => 429, headers => { 'Retry-After' => '0' } } ]);
$since = seq();
$run = $a->run('lost');
is("$run->{status} $run->{accepted} " . asked('lost', $since), 'succeeded 5 create 5 lookup 3', 'lookups are asked again');
given('poisoned', 'composed', 8);
$crm->script([ { match => { path => '/poisoned', contains => 'lookup' }, refuse_batch_if => 'user6@', times => -1 } ]);
$run = $a->run('poisoned');
is("$run->{status} $run->{accepted} $run->{rejected}", 'partial 7 1', 'a row that no lookup takes is found, and stops nobody');
$crm->script([]);

# --------------------------------------------------------------- ended between
given('killed', 'once', 6);
$crm->script([ { match => { path => '/killed', contains => 'lookup' }, delay_ms => 200 } ]);
$run = $a->run('killed', faults => 'after_answer:kill');
$a->alive;
is($a->sql("SELECT count(*) FROM activate.pending WHERE sync = 'killed'") . ' ' . scalar(@{ $crm->records('killed') }), '0 0',
	'a run that dies between lookup and write leaves nothing in doubt, not even where asking twice is not safe');
$run = $a->run('killed');
is("$run->{status} $run->{accepted} $run->{unknown}", 'succeeded 6 0', 'the next one sends all of it');
equals('killed', 'once');

# ---------------------------------------------------- an id outlives a refusal
given('kept', 'composed', 1);
seed('kept', 'user1@example.com');
$crm->script([ { match => { path => '/kept', contains => '"update"' }, status => 422, times => 2 } ]);
$run = $a->run('kept');
is($run->{accepted}, 0, 'an update is refused');
is($a->row('kept', 1)->{activate_external_id}, $crm->records('kept')->[0]{external_id}, 'and the id that a lookup told is kept');
$crm->script([]);

done_testing();
