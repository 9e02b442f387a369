# Databases in LATIN1, EUC_JP, SQL_ASCII and UTF8: names and values arrive as
# they are, what cannot be UTF-8 is an invalid row, and answers with characters
# that the database lacks are understood all the same.
use strict;
use warnings;
use utf8;

use Activate;
use Destination;
use Encode;
use PostgreSQL::Test::Cluster;
use Test::More;


my $node = PostgreSQL::Test::Cluster->new('encodings');
$node->init(extra => [ '--encoding', 'UTF8', '--locale', 'C' ]);
$node->start;
my $d = Destination->start;
my $url = $d->url;

my ($database, %words);

sub psql
{
	my ($sql) = @_;
	my ($out, $error) = ('', '');
	my $script = encode("UTF-8", "\\set VERBOSITY verbose\nSET client_min_messages = warning; SET client_encoding = UTF8; SET pg_activate.progress_interval = 0;\n$sql");
	IPC::Run::run([ 'psql', '-XAtq', '-d', $node->connstr($database) ], '<', \$script, '>', \$out, '2>', \$error);
	return (decode('UTF-8', $out =~ s/\n$//r), decode('UTF-8', $error));
}

sub sql
{
	my ($sql) = @_;
	my ($out, $error) = psql($sql);
	die "$sql: $error" if $error =~ /ERROR/;
	return $out;
}

# The last run of all.
sub run_is
{
	my ($name, $wanted, $what, $arguments) = @_;
	my (undef, $error) = psql("CALL activate.run_sync('$name'" . ($arguments // '') . ')');
	my $is = sql("SELECT status || ' ' || added || ' ' || changed || ' ' || removed || ' ' || accepted || ' ' || invalid FROM activate.run ORDER BY run_id DESC LIMIT 1");
	is($is, $wanted, "$database: $what") or diag($error);
	return $error;
}

sub fields { my ($object, $key) = @_; my ($record) = grep { join('', values %{ $_->{key} }) eq $key } @{ $d->records($object) }; return $record->{fields} }

foreach my $case ([ 'UTF8', 'Größe日', 'Zürich 日本 😀' ], [ 'LATIN1', 'Größe', 'Zürich' ], [ 'EUC_JP', '大きさ', '日本' ], [ 'SQL_ASCII', 'Größe日', 'Zürich 日本 😀' ])
{
	my ($encoding, $name, $value) = @$case;
	$database = lc $encoding;
	$node->safe_psql('postgres', "CREATE DATABASE $database ENCODING '$encoding' LOCALE 'C' TEMPLATE template0");
	# A client of an SQL_ASCII database gets and sends bytes as they are.
	sql("CREATE EXTENSION pg_activate; ALTER DATABASE $database SET pg_activate.allowed_hosts = '*'");
	sql(<<"END");
CREATE SERVER d FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url '$url');
CREATE TYPE "t$name" AS ENUM ('$value', 'b');
CREATE TYPE "p$name" AS ("m$name" text);
CREATE TABLE "$name" ("k$name" text PRIMARY KEY, "v$name" text, e "t$name", p "p$name", j jsonb, b bytea);
INSERT INTO "$name" VALUES ('$value', '$value "x"', '$value', ROW('$value'), jsonb_build_object('$value', '$value'), '\\x00ff'), ('b', 'ascii', 'b', NULL, NULL, NULL);
SELECT activate.create_sync('$name', '"$name"', '"k$name"', 'd', 'o-$database', mapping => '"v$name", e, p, j, b, ''$value'' AS "c$name", 1 AS plain',
	mode => 'mirror', on_removed => 'delete', options => '{"remove_after": "0 s", "max_removed": 10, "max_invalid": 10, "max_rejected": 10}');
END

	# given names and values in the database's encoding, then they arrive in UTF-8
	run_is($name, 'succeeded 2 0 0 2 0', 'names of all kinds');
	is_deeply(fields("o-$database", $value), { "v$name" => "$value \"x\"", e => $value, p => { "m$name" => $value }, j => { $value => $value }, b => '\x00ff', "c$name" => $value, plain => 1 },
		"$database: fields and values are what they are");
	run_is($name, 'succeeded 0 0 0 0 0', 'once');

	# given keys that are not ASCII, then they are known by what is shown
	sql(qq{UPDATE "$name" SET "v$name" = 'new'});
	my $key = sql("SELECT key FROM activate.preview_sync('$name') WHERE key::text LIKE '%$value%'");
	run_is($name, 'succeeded 0 1 0 1 0', 'a key by its name', ", keys => '[$key]'");
	is(sql("SELECT in_model FROM activate.explain_row('$name', '$key')"), 't', "$database: and explained");
	run_is($name, 'succeeded 0 1 0 1 0', 'the other');

	# given an answer with characters that the database may not have, then what
	# it said is kept as far as can be, and the run goes on
	$d->script([ { match => { method => 'POST' }, reject_rows => [ { where => 'rejected', status => 'rejected', error => "nein: \x{65e5}\x{672c} \x{1F600} \x{e9}" } ] } ]);
	sql(qq{UPDATE "$name" SET "v$name" = 'rejected' WHERE e = 'b'; UPDATE "$name" SET "v$name" = 'fine' WHERE e <> 'b'});
	run_is($name, 'partial 0 2 0 1 0', 'an answer in other characters');
	like(sql("SELECT message FROM activate.rejections WHERE sync = '$name'"), qr/^nein: /, "$database: what it said is kept");
	run_is($name, 'succeeded 0 1 0 1 0', 'and sent again', q{, keys => '["b"]'});

	# given an external id in such characters, then it goes out as it came; one
	# that the database cannot hold is not kept, since half of it is another's
	sql(qq{INSERT INTO "$name" VALUES ('c', 'c', 'b')});
	my $id = "\x{65e5}\x{e9}\x{1F600}";
	$d->script([ { match => { method => 'POST' }, status => 200, apply => 'before', headers => { 'Content-Type' => 'application/json' }, body => qq({"results": [{"status": "accepted", "id": "$id"}]}) } ]);
	my ($error) = run_is($name, 'succeeded 1 0 0 1 0', 'an id in other characters');
	$d->script([]);
	sql(qq{UPDATE "$name" SET "v$name" = 'd' WHERE "k$name" = 'c'});
	my $since = $d->requests->[-1]{seq};
	run_is($name, 'succeeded 0 1 0 1 0', 'the row of that id');
	my ($row) = @{ $d->rows($since) };
	is($row->{external_id}, $encoding =~ /LATIN1|EUC_JP/ ? undef : $id, "$database: the id goes out as it came, or not at all");

	# given rows that leave, then they do there, too
	sql(qq{DELETE FROM "$name" WHERE "k$name" = '$value'});
	run_is($name, 'succeeded 0 0 1 1 0', 'a row leaves');
	is(fields("o-$database", $value), undef, "$database: it is gone");
	is(sql("SELECT count(*) FROM activate.runs WHERE sync = '$name'") > 5, 1, "$database: views know its name");
}

# given bytes that are no UTF-8, in a database that takes any, then they are
# invalid rows or errors that name them
$database = 'sql_ascii';
sql(<<'END');
CREATE TABLE bytes (id int PRIMARY KEY, v text);
INSERT INTO bytes VALUES (1, 'fine'), (2, E'\xff\xfe'), (3, E'cut \xc3'), (4, E'\xed\xa0\x80'), (5, E'\xf5\x80\x80\x80');
SELECT activate.create_sync('bytes', 'bytes', 'id', 'd', 'bytes', options => '{"max_invalid": 10}');
CREATE TABLE keys (k text PRIMARY KEY, v text);
INSERT INTO keys VALUES ('fine', 'a'), (E'\xff', 'b');
SELECT activate.create_sync('keys', 'keys', 'k', 'd', 'keys', options => '{"max_invalid": 10}');
END
run_is('bytes', 'partial 1 0 0 1 4', 'what is no UTF-8 is an invalid row');
is(sql("SELECT string_agg(key::text || ' ' || message, E'\\n' ORDER BY key::text) FROM activate.rejections WHERE sync = 'bytes'") =~ s/mapping field "v": //gr,
	join("\n", map { "{\"id\": $_} bytes that are not valid UTF-8" } 2 .. 5), 'and named');
run_is('keys', 'partial 1 0 0 1 1', 'so is a key');
sql(q{UPDATE bytes SET v = 'mended' WHERE id = 2});
run_is('bytes', 'partial 1 0 0 1 3', 'mended, it goes');
foreach my $bad ([ q{SELECT activate.create_sync(E'n\xff', 'bytes', 'id', 'd', 'x')}, 'the name' ],
	[ q{SELECT activate.create_sync('x', 'bytes', 'id', 'd', 'x', mapping => E'v AS "f\xff"')}, 'a field' ],
	[ q{SELECT activate.create_sync('x', 'bytes', 'id', 'd', E'o\xff')}, 'the object' ])
{
	my ($statement, $what) = @$bad;
	my (undef, $error) = psql($statement);
	like($error, qr/ERROR:  22021:.*HINT:/s, "$what that is no UTF-8 is refused when it is defined") or diag($error);
}

# given text that has no counterpart in Unicode, then it is an invalid row
$database = 'euc_jp';
sql(<<'END');
SET client_encoding = 'EUC_JP';
CREATE TABLE gaiji (id int PRIMARY KEY, v text);
INSERT INTO gaiji VALUES (1, 'fine'), (2, E'\xf5\xa1\xf5\xa2');
SELECT activate.create_sync('gaiji', 'gaiji', 'id', 'd', 'gaiji', options => '{"max_invalid": 10}');
END
run_is('gaiji', 'partial 1 0 0 1 1', 'what has no counterpart in Unicode is an invalid row');
like(sql("SELECT message FROM activate.rejections WHERE sync = 'gaiji'"), qr/cannot be converted to UTF-8/, 'and named');

done_testing();
