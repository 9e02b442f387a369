# Every built-in type as a value and, where it has an order, as a key; domains,
# arrays, composites and ranges over them, citext and hstore.
use strict;
use warnings;
no warnings "qw";

use Activate;
use Destination;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use Test::More;

my $json = JSON::PP->new->utf8->canonical->allow_nonref;
my $a = Activate->start('types');
my $d = Destination->start;
$a->server('d', $d);
$a->sql(<<'END');
CREATE SCHEMA t;
CREATE TYPE t.mood AS ENUM ('sad', 'ok', 'happy');
CREATE TYPE t.pair AS (a int, b text);
CREATE DOMAIN t.posint AS int CHECK (VALUE > 0);
CREATE DOMAIN t.moods AS t.mood[];
CREATE DOMAIN t.pairs AS t.pair;
CREATE DOMAIN t.days AS daterange;
CREATE TYPE t.textrange AS RANGE (subtype = text);
CREATE TABLE t."Named" (id int);
CREATE EXTENSION citext SCHEMA t;
CREATE EXTENSION hstore SCHEMA t;
CREATE EXTENSION ltree SCHEMA t;
CREATE COLLATION t.loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
END

# Type, three values that differ as values and as keys, what the first is as
# JSON; '' in the place of "key": it has no order and is refused as a key.
my @types = (
	[ 'bool', [qw(true false)], 'true', 'key' ],
	[ 'int2', [qw(-5 0 32767)], '-5', 'key' ],
	[ 'int4', [qw(-2147483648 0 7)], '-2147483648', 'key' ],
	[ 'int8', [qw(9223372036854775807 0 7)], '9223372036854775807', 'key' ],
	[ 'numeric', [qw(1.00 12345678901234567890.123456789 -0.5)], '1.00', 'key' ],
	[ 'numeric(6,1)', [qw(1.0 2.5 3.5)], '1.0', 'key' ],
	[ 'float4', [qw(0.1 1e30 -2)], '0.1', 'key' ],
	[ 'float8', [qw(1e+300 0.30000000000000004 -2)], '1e+300', 'key' ],
	[ 'money', [qw(1234.5 -1 3)], '"$1,234.50"', 'key' ],
	[ 'text', [ "a\"\\\xc3\xa9 b", '', 'x' ], "\"a\\\"\\\\\xc3\xa9 b\"", 'key' ],
	[ 'text COLLATE t.loose', [qw(Ann bob cid)], '"Ann"', 'key' ],
	[ 'text COLLATE "C"', [qw(Ann ann cid)], '"Ann"', 'key' ],
	[ 'varchar(9)', [qw(ab c d)], '"ab"', 'key' ],
	[ 'char(4)', [qw(ab c d)], '"ab  "', 'key' ],
	[ '"char"', [qw(x y z)], '"x"', 'key' ],
	[ 'name', [qw(ab c d)], '"ab"', 'key' ],
	[ 'bytea', [ '\x00ff', '\x', '\x41' ], '"\\\\x00ff"', 'key' ],
	[ 'date', [qw(2026-11-23 0044-03-15BC 9999-12-31)], '"2026-11-23"', 'key' ],
	[ 'time', [qw(12:00:01.5 00:00 24:00)], '"12:00:01.5"', 'key' ],
	[ 'timetz', [qw(12:00:00+02 12:00:00+03 00:00+00)], '"12:00:00+02"', 'key' ],
	[ 'timestamp', [ '2026-11-23 01:02:03.000004', '1999-01-01', '2000-01-01' ], '"2026-11-23T01:02:03.000004"', 'key' ],
	[ 'timestamptz', [ '2026-11-23 01:02:03+01', '1999-01-01', '2000-01-01' ], '"2026-11-23T00:02:03+00:00"', 'key' ],
	[ 'interval', [ '1 mon -2 days 03:04:05', '1 year', '0.5 s' ], '"1 mon -2 days +03:04:05"', 'key' ],
	[ 'uuid', [ map { $_ x 32 } qw(a b c) ], '"' . join('-', map { 'a' x $_ } 8, 4, 4, 4, 12) . '"', 'key' ],
	[ 'inet', [qw(10.0.0.1/8 10.0.0.1 ::1)], '"10.0.0.1/8"', 'key' ],
	[ 'cidr', [qw(10.0.0.0/8 10.0.0.0/16 ::1/128)], '"10.0.0.0/8"', 'key' ],
	[ 'macaddr', [qw(08:00:2b:01:02:03 08:00:2b:01:02:04 08:00:2b:01:02:05)], '"08:00:2b:01:02:03"', 'key' ],
	[ 'macaddr8', [qw(08:00:2b:01:02:03:04:05 08:00:2b:01:02:03:04:06 08:00:2b:01:02:03:04:07)], '"08:00:2b:01:02:03:04:05"', 'key' ],
	[ 'bit(3)', [qw(101 000 111)], '"101"', 'key' ],
	[ 'varbit', [qw(10 1 111)], '"10"', 'key' ],
	[ 'pg_lsn', [qw(16/B374D848 0/0 1/1)], '"16/B374D848"', 'key' ],
	[ 'xid8', [qw(99 1 2)], '"99"', 'key' ],
	[ 'oid', [qw(4294967295 1 2)], '"4294967295"', 'key' ],
	[ 'tid', [qw[(1,2) (0,1) (3,3)]], '"(1,2)"', 'key' ],
	[ 'oidvector', [ '1 2', '3', '4' ], '["1","2"]', 'key' ],
	[ 'int2vector', [ '1 2', '3', '4' ], '[1,2]', 'key' ],
	[ 'regclass', [qw(t."Named" pg_class pg_type)], '"t.\\"Named\\""', 'key' ],
	[ 'regtype', [qw(t.mood int4 text[])], '"t.mood"', 'key' ],
	[ 'regproc', [qw(activate.version now pg_backend_pid)], '"activate.version"', 'key' ],
	[ 'regprocedure', [qw{upper(text) lower(text) now()}], '"upper(text)"', 'key' ],
	[ 'regoper', [ '||/', '|/', '!!' ], '"||/"', 'key' ],
	[ 'regoperator', [ '+(integer,integer)', '-(integer,integer)', '/(integer,integer)' ], '"+(integer,integer)"', 'key' ],
	[ 'regrole', [qw(pg_monitor pg_read_all_data pg_signal_backend)], '"pg_monitor"', 'key' ],
	[ 'regnamespace', [qw(t public pg_catalog)], '"t"', 'key' ],
	[ 'regconfig', [qw(english german simple)], '"english"', 'key' ],
	[ 'regdictionary', [qw(english_stem german_stem simple)], '"english_stem"', 'key' ],
	[ 'regcollation', [qw("C" "POSIX" t.loose)], '"\\"C\\""', 'key' ],
	[ 'xml', [qw(<a/> <b/> <c/>)], '"<a/>"', '' ],
	[ 'json', [ '{"a": 1.50}', '[]', 'null' ], '{"a": 1.50}', '' ],
	[ 'jsonb', [ '{"a": [1.50, null]}', '"x"', '7' ], '{"a": [1.50, null]}', 'key' ],
	[ 'jsonpath', [ '$.a', '$.b', '$' ], '"$.\\"a\\""', '' ],
	[ 'tsvector', [ "'b':2 'a':1", 'x', 'y' ], q{"'a':1 'b':2"}, 'key' ],
	[ 'tsquery', [ 'a & b', 'x', 'y' ], q{"'a' & 'b'"}, 'key' ],
	[ 'pg_snapshot', [qw(1:5:2 1:5: 1:6:)], '"1:5:2"', '' ],
	[ 'xid', [qw(7 8 9)], '"7"', '' ],
	[ 'cid', [qw(7 8 9)], '"7"', '' ],
	[ 'point', [qw{(1,2) (0,0) (3,3)}], '"(1,2)"', '' ],
	[ 'line', [qw({1,2,3} {1,0,0} {0,1,0})], '"{1,2,3}"', '' ],
	[ 'lseg', [qw{[(0,0),(1,1)] [(0,0),(2,1)] [(0,0),(3,1)]}], '"[(0,0),(1,1)]"', '' ],
	[ 'box', [qw{(1,1),(0,0) (2,1),(0,0) (3,1),(0,0)}], '"(1,1),(0,0)"', '' ],
	[ 'path', [qw{[(0,0),(1,1)] ((0,0),(1,1)) [(0,0)]}], '"[(0,0),(1,1)]"', '' ],
	[ 'polygon', [qw{((0,0),(1,1)) ((0,0),(2,1)) ((0,0))}], '"((0,0),(1,1))"', '' ],
	[ 'circle', [qw{<(0,0),1> <(0,0),2> <(0,0),3>}], '"<(0,0),1>"', '' ],
	[ 'aclitem', [qw(pg_monitor=r/pg_monitor pg_monitor=w/pg_monitor =r/pg_monitor)], '"pg_monitor=r/pg_monitor"', '' ],
	[ 'refcursor', [qw(a b c)], '"a"', '' ],
	[ 'int4[]', [ '{1,NULL,3}', '{}', '{{1,2},{3,4}}' ], '[1,null,3]', 'key' ],
	[ 'text[]', [ '{"a,b",c}', '{NULL}', '{}' ], '["a,b","c"]', 'key' ],
	[ 'jsonb[]', [ '{"{\"a\": 1}",NULL}', '{}', '{1}' ], '[{"a": 1},null]', 'key' ],
	[ 'numeric[]', [ '{1.0,2.50}', '{}', '{1}' ], '[1.0,2.50]', 'key' ],
	[ 'point[]', [ '{"(1,2)"}', '{}', '{"(3,4)"}' ], '["(1,2)"]', '' ],
	[ 't.mood', [qw(sad ok happy)], '"sad"', 'key' ],
	[ 't.mood[]', [ '{sad,NULL}', '{}', '{ok}' ], '["sad",null]', 'key' ],
	[ 't.pair', [ '(1,"x y")', '(,)', '(2,)' ], '{"a":1,"b":"x y"}', 'key' ],
	[ 't.pair[]', [ '{"(1,x)"}', '{}', '{"(,)"}' ], '[{"a":1,"b":"x"}]', 'key' ],
	[ 'int4range', [ '[1,5)', 'empty', '(,)' ], '"[1,5)"', 'key' ],
	[ 'numrange', [ '[1.0,5.00]', 'empty', '(,)' ], '"[1.0,5.00]"', 'key' ],
	[ 'tsrange', [ '[2026-01-01,2026-01-02)', 'empty', '(,)' ], '"[\\"2026-01-01 00:00:00\\",\\"2026-01-02 00:00:00\\")"', 'key' ],
	[ 'tstzrange', [ '[2026-01-01 00:00+00,2026-01-02 00:00+00)', 'empty', '(,)' ], '"[\\"2026-01-01 00:00:00+00\\",\\"2026-01-02 00:00:00+00\\")"', 'key' ],
	[ 'daterange', [ '[2026-01-01,2026-01-02)', 'empty', '(,)' ], '"[2026-01-01,2026-01-02)"', 'key' ],
	[ 't.textrange', [ '[a,"b c")', 'empty', '(,)' ], '"[a,\\"b c\\")"', 'key' ],
	[ 'int4multirange', [ '{[1,3),[5,6)}', '{}', '{(,)}' ], '"{[1,3),[5,6)}"', 'key' ],
	[ 'datemultirange', [ '{[2026-01-01,2026-01-02)}', '{}', '{(,)}' ], '"{[2026-01-01,2026-01-02)}"', 'key' ],
	[ 't.posint', [qw(1 2 3)], '1', 'key' ],
	[ 't.moods', [ '{sad}', '{}', '{ok}' ], '["sad"]', 'key' ],
	[ 't.pairs', [ '(1,x)', '(,)', '(2,)' ], '{"a":1,"b":"x"}', 'key' ],
	[ 't.days', [ '[2026-01-01,2026-01-02)', 'empty', '(,)' ], '"[2026-01-01,2026-01-02)"', 'key' ],
	[ 't.citext', [qw(Ann bob cid)], '"Ann"', 'key' ],
	[ 't.hstore', [ 'a=>1, b=>NULL', '', 'c=>3' ], '{"a": "1", "b": null}', 'key' ],
	[ 't.ltree', [qw(a.b c d.e)], '"a.b"', 'key' ],
);

sub quoted { my ($text) = @_; $text =~ s/'/''/g; return "'$text'" }
sub literal { my ($type, $text) = @_; $type =~ s/ COLLATE.*//; return quoted($text) . "::$type" }

# ------------------------------------------------------------------ as values

# given a model with a column of each type, when a value of each changes in
# turn, then just the rows in which one did are sent
my (@columns, @mapped, @rows);
foreach my $i (0 .. $#types)
{
	push @columns, "c$i $types[$i][0]";
	push @mapped, "c$i";
}
$a->sql("CREATE TABLE wide (id int PRIMARY KEY, " . join(', ', @columns) . ')');
my $first = join ', ', map { literal($_->[0], $_->[1][0]) } @types;
$a->sql("INSERT INTO wide SELECT i, $first FROM generate_series(0, $#types) AS i; INSERT INTO wide (id) VALUES (-1)");
$a->sql("SELECT activate.create_sync('wide', 'wide', 'id', 'd', 'wide', mapping => '" . join(', ', @mapped) . "')");
my $run = $a->run('wide');
is_deeply([ @$run{qw(status accepted)} ], [ 'succeeded', @types + 1 ], 'all are accepted') or diag($run->{text});

my ($body) = grep { /"rows"/ } map { $_->{body} } @{ $d->requests };
utf8::encode($body);
foreach my $i (0 .. $#types)
{
	my ($type, undef, $golden) = @{ $types[$i] };
	like($body, qr/"c$i": ?\Q$golden\E[,}]/, "$type is sent as $golden");
}
is($a->run('wide')->{accepted}, 0, 'unchanged, nothing is sent');
foreach my $n (1, 2)
{
	my $updates = join ';', map { $n < @{ $types[$_][1] } ? "UPDATE wide SET c$_ = " . literal($types[$_][0], $types[$_][1][$n]) . " WHERE id = $_" : () } 0 .. $#types;
	my $changed = grep { $n < @{ $_->[1] } } @types;
	$a->sql($updates);
	is($a->run('wide')->{accepted}, $changed, "value $n of each type is seen");
	is($a->run('wide')->{accepted}, 0, 'once');
}

# -------------------------------------------------------------------- as keys

# given each type with an order, then it is a key; the others are refused
my @keys = grep { $types[$_][3] eq 'key' } 0 .. $#types;
foreach my $i (0 .. $#types)
{
	my ($type, $values) = @{ $types[$i] };
	my ($bare) = split / COLLATE/, $type;
	$a->sql("CREATE TABLE k$i (k $type, v int); INSERT INTO k$i VALUES " . join ', ', map { '(' . literal($type, $_) . ', 0)' } @$values);
	my ($status, $out, $error) = $a->node->psql('postgres',
		"\\set VERBOSITY verbose\nSELECT activate.create_sync('k$i', 'k$i', 'k', 'd', 'k$i', mapping => 'v', mode => 'mirror', on_removed => 'delete',"
		. ' options => \'{"remove_after": "0 s", "max_removed": 100, "max_changed": 100}\')');
	if ($types[$i][3] eq 'key')
	{
		is($status, 0, "$type is a key") or diag($error);
	}
	else
	{
		like($error, qr/42804: key column "k" of sync "k$i" has type .*, which has no order.*HINT:.*k::text/s, "$type is no key, and what to do is said");
	}
}

# One round of all syncs: accepted of each.
sub round
{
	my ($arguments) = @_;
	my $last = $a->last_run;
	my $sql = join '', map { "CALL activate.run_sync('k$_'" . (defined $arguments ? ', keys => ' . quoted($arguments->{$_} // '[]') : '') . ");\n" } @keys;
	my ($status, $out, $error) = $a->node->psql('postgres', "SET client_min_messages = error; SET pg_activate.progress_interval = 0;\n$sql");
	my %accepted = map { substr($_->{sync}, 1) => "$_->{status} $_->{added} $_->{changed} $_->{removed} $_->{accepted}" . ($_->{error} ? " $_->{error}" : '') }
	  @{ $a->rows("SELECT sync, status, added, changed, removed, accepted, error FROM activate.runs WHERE run_id > $last") };
	diag($error) if $error;
	return \%accepted;
}

sub all_are
{
	my ($round, $wanted, $name) = @_;
	my @wrong = map { my $w = $wanted->($_); ($round->{$_} // 'no run') eq $w ? () : "$types[$_][0]: " . ($round->{$_} // 'no run') . ", not $w" } @keys;
	is(join("\n", @wrong), '', $name);
	return;
}

sub there
{
	my ($n, $name) = @_;
	my %count;
	$count{ $_->{object} }++ foreach @{ $d->records };
	is(join(', ', map { "$types[$_][0]: " . ($count{"k$_"} // 0) } grep { ($count{"k$_"} // 0) != $n->($_) } @keys), '', $name);
	return;
}

my $many = sub { scalar @{ $types[ $_[0] ][1] } };
all_are(round(), sub { my $n = $many->(@_); "succeeded $n 0 0 $n" }, 'each key is accepted');
there($many, 'and there');
all_are(round(), sub { 'succeeded 0 0 0 0' }, 'nothing is sent again');

# given keys as the views show them, then run_sync and explain_row know them
$a->sql(join ';', map { "UPDATE k$_ SET v = 1" } @keys);
my %shown;
foreach my $i (@keys)
{
	my ($status, $out, $error) = $a->node->psql('postgres', "SELECT key FROM activate.preview_sync('k$i', 10) ORDER BY key::text LIMIT 1");
	$shown{$i} = $out;
	diag("k$i: $error") if $error;
}
my $named = round({ map { $_ => "[$shown{$_}]" } @keys });
all_are($named, sub { 'succeeded 0 1 0 1' }, 'run_sync(keys) takes the key as it is shown');
foreach my $i (@keys)
{
	my ($status, $out, $error) = $a->node->psql('postgres', 'SELECT in_model FROM activate.explain_row(' . quoted("k$i") . ', ' . quoted($shown{$i}) . ')');
	is($out, 't', "explain_row finds a key of type $types[$i][0]") or diag("$shown{$i}: $error");
	my $bare = $json->decode($shown{$i})->{k};
	next if ref $bare eq 'HASH' || ref $bare eq 'ARRAY';
	($status, $out, $error) = $a->node->psql('postgres', 'SELECT in_model FROM activate.explain_row(' . quoted("k$i") . ', (' . quoted($shown{$i}) . "::jsonb) -> 'k')");
	is($out, 't', "and as the bare value") or diag("$shown{$i}: $error");
}
all_are(round(), sub { my $n = $many->(@_) - 1; "succeeded 0 $n 0 $n" }, 'the others follow');

# given keys that the destination rejects, then they can be named as the view shows them
$a->sql(join ';', "SET search_path = public, t", map { "UPDATE k$_ SET v = 2 WHERE k = " . literal($types[$_][0], $types[$_][1][0]) } @keys);
$d->script([ { match => { method => 'POST' }, times => scalar @keys, reject_rows => [ { where => '"v":2', status => 'rejected', error => 'no' } ] } ]);
round();
$d->script([]);
my %rejected = map { substr($_->{sync}, 1) => $json->encode([ $_->{key} ]) } @{ $a->rows("SELECT sync, key FROM activate.rejections WHERE sync LIKE 'k%'") };
is(join(' ', map { $types[$_][0] } grep { !$rejected{$_} } @keys), '', 'the view of rejections names each');
my $retried = round(\%rejected);
all_are($retried, sub { 'succeeded 0 1 0 1' }, 'and its keys can be sent again');

# given a restart, and a dump restored elsewhere, then nothing is sent again
$a->node->restart;
all_are(round(), sub { 'succeeded 0 0 0 0' }, 'after a restart nothing is sent');
$a->sql('CREATE DATABASE copy TEMPLATE template0');
my $dump = $a->node->basedir . '/dump';
$a->node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, '-d', $a->node->connstr('postgres') ], 'dump');
$a->node->command_ok([ 'pg_restore', '-d', $a->node->connstr('copy'), $dump ], 'restore');
my ($status, $out, $error) = $a->node->psql('copy', <<'END');
SET client_min_messages = error;
SELECT activate.confirm_cluster('move') > 0;
SELECT string_agg(sync, ' ') FROM activate.syncs AS s, activate.plan_sync(s.sync) AS p WHERE p.added + p.changed + p.removed + p.invalid > 0;
END
is($out =~ s/\s+$//r, 't', 'a restored copy has nothing to send') or diag($error);

# given rows that leave, then just they are removed
$a->sql(join ';', "SET search_path = public, t", map { "DELETE FROM k$_ WHERE k = " . literal($types[$_][0], $types[$_][1][0]) } @keys);
all_are(round(), sub { 'succeeded 0 0 1 1' }, 'a removed key is removed');
there(sub { $many->(@_) - 1 }, 'at the destination');

# ------------------------------------------------------------- keys that equal

# given keys that equal each other in another form, then nothing is removed or
# sent for it, and what is unlike is a key of its own
$a->sql(<<'END');
CREATE TABLE forms (k numeric, v int);
INSERT INTO forms VALUES (1.0, 1), (2, 1);
CREATE TABLE floats (k float8, v int);
INSERT INTO floats VALUES ('-0', 1), (1, 1), ('NaN', 1), ('Infinity', 1);
CREATE TABLE loose (k text COLLATE t.loose, v int);
INSERT INTO loose VALUES ('Ann', 1);
END
foreach my $name (qw(forms floats loose))
{
	$a->sql("SELECT activate.create_sync('$name', '$name', 'k', 'd', '$name', mapping => 'v', mode => 'mirror', on_removed => 'delete',"
		. ' options => \'{"remove_after": "0 s", "max_invalid": 10}\')');
	$run = $a->run($name);
}
$a->sql("UPDATE forms SET k = 1.00 WHERE k = 1; UPDATE floats SET k = 0 WHERE k = 0; UPDATE loose SET k = 'ANN'");
foreach my $name (qw(forms floats loose))
{
	$run = $a->run($name);
	is_deeply([ @$run{qw(added changed removed)} ], [ 0, 0, 0 ], "$name: an equal key is the same row") or diag($run->{text});
}
is($run = $a->run('floats')->{invalid}, 2, 'NaN and infinity as keys are invalid rows');
is(scalar @{ $d->records('floats') }, 2, 'the others are there');

# given values that no type of JSON holds, then they are invalid rows
$a->sql(<<'END');
CREATE TABLE odd (id int, a float8, b numeric, c date, d timestamptz, e float8[]);
INSERT INTO odd VALUES (1, 0, 0, 'now', 'now', '{}'), (2, 'NaN', 0, 'now', 'now', '{}'), (3, 0, 'Infinity', 'now', 'now', '{}'),
	(4, 0, 0, 'infinity', 'now', '{}'), (5, 0, 0, 'now', '-infinity', '{}'), (6, 0, 0, 'now', 'now', '{NaN}');
SELECT activate.create_sync('odd', 'odd', 'id', 'd', 'odd', mapping => 'a, b, c, d, e', options => '{"max_invalid": 10}');
END
$run = $a->run('odd');
is_deeply([ @$run{qw(status accepted invalid)} ], [ 'partial', 1, 5 ], 'values that JSON cannot hold');

# given expressions of types that are no values, then it is said at once
foreach my $case ([ 'ROW(1, $$a$$)', '' ], [ 'pg_typeof(id)', '' ], [ 'NULL', '' ], [ '$$x$$', '' ],
	[ '(SELECT NULL::void)', '0A000' ], [ 'int4out(id)', '' ])
{
	my ($mapping, $wanted) = @$case;
	my (undef, undef, $message) = $a->node->psql('postgres', "\\set VERBOSITY verbose\nSELECT activate.create_sync('x', 'odd', 'id', 'd', 'x', mapping => \$m\$$mapping AS x\$m\$, if_exists => 'replace')");
	my ($state) = $message =~ /ERROR:  (\w{5})/;
	is($state // '', $wanted, "a value of $mapping") or diag($message);
}

$a->sums_hold('types');
done_testing();
