# ClickHouse: a real server of it (Debian's 18.16) has what the model has, also
# after it was killed in mid run; what newer ones answer comes from a stand-in.
use strict;
use warnings;

use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

use Clickhouse;
use ConnectorTest;

use constant ROWS => 10_000;

plan skip_all => 'needs clickhouse-server' unless Clickhouse->is_installed;

my $t = ConnectorTest->start('clickhouse', sub { return [ 200, {}, '' ] }, secrets => { username => 'writer', password => 'secret' },
	conf => "pg_activate.debug_late_off = on\n");
my $ch = Clickhouse->start;

is($t->sql(q{SELECT count(*) FROM activate.check_connector('{"extends": "clickhouse"}') WHERE kind NOT IN ('request')}), 0,
	'nothing is wrong with the document');

# Servers before 22.2 do not know the token; the page says so.
$t->sql(q{SELECT activate.create_connector('clickhouse_old', '{"extends": "clickhouse",
	"operations": {"upsert": {"request": {"query": {"insert_deduplication_token": null}}},
		"insert": {"request": {"query": {"insert_deduplication_token": null}}}}}')});
$t->destination('real', options => { connector => 'clickhouse_old', base_url => $ch->url },
	secrets => { username => 'writer', password => 'secret' });
$t->destination('refused', options => { connector => 'clickhouse_old', base_url => $ch->url },
	secrets => { username => 'writer', password => 'wrong' });

# --------------------------------------------------------- the real server

$ch->query('CREATE TABLE people (id Int64, big Nullable(Int64), amount Nullable(Decimal(38, 10)), name String, note Nullable(String), '
	. 'active UInt8, at Nullable(DateTime), day Nullable(Date), tags Array(String), doc String, twice Int64 MATERIALIZED id * 2, '
	. '_version UInt64, _deleted UInt8) ENGINE = ReplacingMergeTree(_version) ORDER BY id');
$ch->query('CREATE TABLE events (id Int64, what String) ENGINE = MergeTree ORDER BY id');
$ch->query('CREATE DATABASE other');
$ch->query('CREATE TABLE other.`odd name` (id Int64, _version UInt64, _deleted UInt8) ENGINE = ReplacingMergeTree(_version) ORDER BY id');

my $rows = ROWS;
$t->sql(<<END);
CREATE TABLE people (id bigint PRIMARY KEY, big bigint, amount numeric, name text NOT NULL, note text, active boolean NOT NULL,
	at timestamptz, day date, tags text[] NOT NULL, doc jsonb NOT NULL, v int DEFAULT 0);
INSERT INTO people SELECT i, CASE i % 3 WHEN 0 THEN 9223372036854775807 WHEN 1 THEN -9223372036854775808 END,
	CASE WHEN i % 7 > 0 THEN 1234567890123456789012345678.0123456789::numeric - i END,
	'Zoë "' || i || '" \\ 東京 😀' || chr(9) || chr(10), CASE WHEN i % 2 = 0 THEN '' END, i % 2 = 0,
	'2026-03-29 01:30:00+00'::timestamptz + i * interval '1 minute', '2026-01-01'::date + (i % 300)::int,
	CASE i % 3 WHEN 0 THEN '{}' ELSE ARRAY['a,b', 'c"' || i] END::text[], jsonb_build_object('i', i, 'a', '[1, null]'::jsonb)
FROM generate_series(1, $rows) AS i;
END

sub model
{
	return $t->sql(<<'END') . "\n";
SELECT concat_ws(E'\t', id, coalesce(big::text, '\N'), coalesce(amount::numeric(38, 10)::text, '\N'), name, coalesce(note, '\N'), active::int,
	extract(epoch FROM at)::bigint, day, array_to_string(tags, ';'), doc)
FROM people ORDER BY id
END
}

# By its own client: some large answers over HTTP do not end in this version.
sub stored
{
	my $sql = <<'END';
SELECT id, big, amount, name, note, active, toUInt32(at), day, arrayStringConcat(tags, ';'), doc
FROM people FINAL WHERE _deleted = 0 ORDER BY id FORMAT TabSeparatedRaw
END
	my ($lines, $error);
	IPC::Run::run([ 'clickhouse-client', '--host', '127.0.0.1', '--port', $ch->tcp_port, '--query', $sql ],
		'<', \undef, '>', \$lines, '2>', \$error) or die $error;
	return $lines =~ s{ᴺᵁᴸᴸ}{\\N}gr;
}

sub stored_is_model
{
	my ($name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my @got = split /\n/, stored();
	my @wanted = split /\n/, model();
	my ($first) = grep { ($got[$_] // '') ne ($wanted[$_] // '') } 0 .. (@got > @wanted ? $#got : $#wanted);
	return ok(@wanted > ROWS && !defined $first, $name) || diag scalar(@got), ' ', scalar(@wanted), ' ', $first // '', "\n", $got[ $first // 0 ] // 'nothing', "\n", $wanted[ $first // 0 ] // 'nothing';
}

is($t->sql("CALL activate.refresh_destination('real', '{people,other.`odd name`}')"), '', 'what there is, is asked for');
is($t->sql("SELECT string_agg(object, ' ' ORDER BY object) FROM activate.objects('real')"), 'events other.`odd name` people {database}.{table} {table}', 'tables');
is($t->sql("SELECT string_agg(field || ' ' || type, ', ' ORDER BY field COLLATE \"C\") FROM activate.fields('real', 'people')"),
	'_deleted json, _version integer, active json, amount number, at timestamp, big integer, day date, doc text, id integer, name text, note text, tags array, twice integer',
	'columns and their types');
is($t->sql("SELECT field FROM activate.fields('real', 'people') WHERE NOT writable"), 'twice', 'what is computed is not written');
is($t->sql("SELECT field FROM activate.fields('real', 'people') WHERE is_unique"), 'id', 'the sorting key makes rows one');

my @all = (destination => 'real', object => 'people', mode => 'mirror', on_removed => 'delete',
	mapping => 'id, big, amount, name, note, active, at, day, tags, doc');
$t->sync('people', 'people', key => 'id', @all, options => '{"remove_after": 0, "batch_size": 100, "max_removed": "50 %"}');
is($t->sql("SELECT match FROM activate.sync WHERE name = 'people'"), '{id}', 'the key column is the match');

# given a server that is killed in mid run, then the run goes on, and what was not there is
my $under_way = $t->activate->begin('people', set => { 'pg_activate.debug_retry_pause' => '1s' });
until ($t->activate->has_ended($under_way) || $ch->query('SELECT count() FROM people') > 1000) { sleep 0.01 }
$ch->stop('KILL');
ok(!$t->activate->has_ended($under_way), 'the server is killed in mid run');
$ch->restart;
my $run = $t->activate->end($under_way);
is("$run->{status} $run->{rejected}", 'succeeded 0', 'the run goes on when the server is back') or diag $run->{text};
cmp_ok($run->{retries}, '>', 0, 'by trying again');
stored_is_model(ROWS . ' rows read back are those of the model');
$t->activate->sums_hold('people');

# when rows change, leave and come back, then the last one of each counts
$t->sql("UPDATE people SET note = NULL, big = big - 1 WHERE id % 10 = 0 AND big > 0; DELETE FROM people WHERE id % 5 = 1");
$run = $t->run('people');
is("$run->{status} $run->{removed}", 'succeeded 2000', 'changes and removals') or diag $run->{text};
stored_is_model('are there');
is($ch->query('SELECT count() FROM people FINAL WHERE _deleted = 1'), "2000\n", 'removed rows are marked');
$t->sql("INSERT INTO people SELECT 1, 5, 1.5, 'back', '', true, '2026-01-01', '2026-01-01', '{}', '{}'");
$run = $t->run('people');
stored_is_model('a row that is back is back');
is($ch->query('SELECT count() FROM people FINAL WHERE id = 1'), "1\n", 'once');

# events go to a plain table, without the two columns
$t->model('events', map { { id => $_, what => "e$_" } } 1 .. 3);
$t->sync('events', 'events', key => 'id', destination => 'real', object => 'events', mapping => 'id, what', mode => 'append',
	options => '{"first_run": "send"}');
is($t->run('events')->{status}, 'succeeded', 'events are appended');
$t->sql("UPDATE events SET what = 'other'; INSERT INTO events VALUES (4, 'e4')");
$t->run('events');
is($ch->query('SELECT id, what FROM events ORDER BY id'), "1\te1\n2\te2\n3\te3\n4\te4\n", 'each once');

# one row that the server cannot read is found among the others, and refused for good
$ch->query('CREATE TABLE picky (id Int64, at DateTime, _version UInt64, _deleted UInt8) ENGINE = ReplacingMergeTree(_version) ORDER BY id');
$t->sql("CREATE TABLE picky AS SELECT i AS id, CASE i WHEN 7 THEN 'nonsense' ELSE '2026-01-01 00:00:00' END AS at FROM generate_series(1, 20) AS i");
$t->sync('picky', 'picky', key => 'id', destination => 'real', object => 'default.picky', mapping => 'id, at', options => '{"max_rejected": 5}');
$run = $t->run('picky');
is("$run->{accepted} $run->{rejected}", '19 1', 'a value that cannot be read') or diag $run->{text};
$t->rows_become('only its row is refused', 'picky', { (map { $_ => 'accepted' } grep { $_ != 7 } 1 .. 20), 7 => 'refused CANNOT_PARSE' });
like($t->sql("SELECT message FROM activate.pending WHERE sync = 'picky'"), qr/Cannot (?:read|parse)/, 'in the words of the server');

# what is not a row's fault stops the run
foreach my $case ([ 'nobody', 'nope', 'mapping => \'id\'', qr/doesn't exist|does not exist/ ],
	[ 'column', 'picky', "mapping => 'id, id AS nothing'", qr/Unknown field/ ])
{
	my ($name, $object, $mapping, $says) = @$case;
	$t->sql("SELECT activate.create_sync('$name', 'public.events', key => 'id', destination => 'real', object => '$object', $mapping)");
	$run = $t->run($name);
	is($run->{status}, 'failed', "$name: the run stops");
	like($run->{text}, $says, 'and says what is wrong');
	is($run->{rejected}, 0, 'no row is charged');
}
$t->sql("SELECT activate.create_sync('who', 'public.events', key => 'id', destination => 'refused', object => 'picky', mapping => 'id')");
$run = $t->run('who');
is($run->{status}, 'failed', 'a wrong password');
like($run->{text}, qr/Wrong password/, 'is said');
is($t->sql("SELECT ok FROM activate.check_destination('real')"), 't', 'check_destination of the right one');
is($t->sql("SELECT bool_and(ok) FROM activate.check_destination('refused')"), 'f', 'and of the wrong one');

# ------------------------------------------------- what newer servers answer

$t->model('new', { id => 9007199254740993, amount => '12345678901234567890.12345' }, { id => 8, amount => '0.1' });
$t->sync('s', 'new', key => 'id', object => 'main.new', mapping => 'id, amount, v', mode => 'mirror', on_removed => 'delete', options => '{"remove_after": 0, "max_rejected": null}');
my @both = qw(8 9007199254740993);
sub both { my ($state) = @_; return { map { $_ => $state } @both } }

$t->means('success', 's', [ [ 200, { 'X-ClickHouse-Summary' => '{"written_rows":"2"}' }, '' ] ], status => 'succeeded', requests => 1, rows => both('accepted'));
my ($request) = grep { $_->{method} eq 'POST' } $t->requests;
my %query = %{ $request->{query} };
is($query{query}, 'INSERT INTO main.new FORMAT JSONEachRow', 'the statement');
is($query{wait_end_of_query}, 1, 'errors come before the status');
like($query{insert_deduplication_token}, qr/^[0-9a-f]{32}\z/, 'a request that is repeated is known again');
is($request->{headers}{authorization}, 'Basic d3JpdGVyOnNlY3JldA==', 'who writes');
like($request->{body}, qr/\A(\{"_version":\d{13},"_deleted":0,"id":\d+,"amount":[0-9.]+,"v":1\}\n){2}\z/, 'a line for each row');
like($request->{body}, qr/"id":9007199254740993,"amount":12345678901234567890.12345,/, 'each digit of numbers');

sub error
{
	my ($status, $code, $text) = @_;
	return [ $status, { 'X-ClickHouse-Exception-Code' => $code, 'Content-Type' => 'text/plain' }, "Code: $code. DB::Exception: $text (version 25.3.2.39 (official build))\n" ];
}
my @throttle = ([ 'too many parts', 500, 252, 'Too many parts (300). Merges are processing significantly slower than inserts. (TOO_MANY_PARTS)' ],
	[ 'too many queries', 500, 202, 'Too many simultaneous queries. Maximum: 100. (TOO_MANY_SIMULTANEOUS_QUERIES)' ],
	[ 'no memory', 500, 241, 'Memory limit (total) exceeded (MEMORY_LIMIT_EXCEEDED)' ]);
foreach my $case (@throttle)
{
	my ($name, @answer) = @$case;
	my $means = $t->means($name, 's', [ error(@answer) ], set => { 'pg_activate.debug_retry_pause' => '1ms' });
	is($means->{rejected}, 0, "$name: no row is charged");
	is_deeply($t->states('s'), both('accepted'), "$name: the rows go again when the server takes them") or diag explain $t->states('s');
}
$t->means('read-only replica', 's', [ error(500, 242, 'Table is in readonly mode (TABLE_IS_READ_ONLY)') ],
	status => 'succeeded', requests => 2, rows => both('accepted'));
$t->means('a lost answer', 's', [ undef ], status => 'succeeded', requests => 2, rows => both('accepted'));
my @tokens = map { $_->{query}{insert_deduplication_token} } ($t->requests)[ -2, -1 ];
is($tokens[0], $tokens[1], 'a lost answer: the same token');
$t->means('a bad row', 's',
	[ error(400, 117, 'Cannot parse JSON: (at row 2) (INCORRECT_DATA)'), error(400, 117, 'Cannot parse JSON: (at row 1) (INCORRECT_DATA)') ],
	rows => { 8 => 'refused CANNOT_PARSE', 9007199254740993 => 'accepted' });
$t->means('a constraint', 's', [ map { error(500, 469, 'Constraint `positive` for table main.new is violated at row 1 (VIOLATED_CONSTRAINT)') } 1 .. 3 ],
	rows => both('refused VIOLATED_CONSTRAINT'));
$t->means('no such table', 's', [ error(404, 60, 'Table main.new does not exist. (UNKNOWN_TABLE)') ], status => 'failed', text => qr/does not exist/);
$t->means('no right', 's', [ error(403, 497, 'writer: Not enough privileges. (ACCESS_DENIED)') ], status => 'failed', text => qr/Not enough privileges/);
$t->means('credentials', 's', [ error(403, 516, 'writer: Authentication failed (AUTHENTICATION_FAILED)') ], status => 'failed', text => qr/Authentication failed/);
$t->means('nonsense', 's', [ [ 500, {}, "\x00\xff" ] ], status => 'succeeded', requests => 2, rows => both('accepted'));

# events whose answer is lost are not sent twice
$t->sync('e', 'new', key => 'id', object => 'e', mapping => 'id', mode => 'append', options => '{"first_run": "send"}');
$t->vendor->tell(next => [ undef ]);
$run = $t->run('e');
is($run->{unknown}, 2, 'events without an answer are unknown: a table without ReplacingMergeTree would have them twice');

$t->sql('DELETE FROM new WHERE id = 8');
$t->vendor->clear;
$run = $t->run('s');
is($run->{removed}, 1, 'a row leaves');
like(($t->requests)[-1]{body}, qr/\A\{"_version":\d{13},"_deleted":1,"id":8\}\n\z/, 'a tombstone has the match');

done_testing();
