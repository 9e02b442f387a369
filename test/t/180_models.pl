# Every kind of relation and query is a model: what is at the destination is
# what it says, whatever happened to it between two runs.
use strict;
use warnings;

use Activate;
use Destination;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Session;
use Test::More;

my $json = JSON::PP->new->utf8->canonical->allow_nonref;
my $a = Activate->start('models');
my $d = Destination->start;
$a->server('d', $d);

sub create
{
	my ($name, $model, %option) = @_;
	my $mapping = $option{mapping} // 'name';
	my $owner = $option{owner} ? ", owner => '$option{owner}'" : '';
	my $key = $option{key} // 'id';
	my $sql = "SELECT activate.create_sync('$name', \$model\$$model\$model\$, '$key', 'd', '$name', mapping => \$m\$$mapping\$m\$,"
	  . " mode => 'mirror', on_removed => 'delete', options => '{\"remove_after\": \"0 s\", \"max_removed\": 1000, \"max_changed\": 1000}'$owner)";
	my ($status, $out, $error) = $a->node->psql('postgres', "\\set VERBOSITY verbose\n" . ($option{before} // '') . ";\n$sql");
	return $error;
}

# What the destination has: "1=a 2=b".
sub there
{
	my ($name) = @_;
	return join ' ', sort map { join('/', map { $_ // 'null' } @{ $_->{key} }{ sort keys %{ $_->{key} } }) . '=' . ($_->{fields}{name} // 'null') } @{ $d->records($name) };
}

# Runs it; the destination must have that, by added, changed and removed rows.
sub is_there
{
	my ($name, $wanted, $counts, $what, %option) = @_;
	my $run = $a->run($name, %option);
	is(there($name), $wanted, $what) or diag($run->{text});
	is("@$run{qw(status added changed removed)}", $counts, "$what: by that") or diag($run->{text});
	return $run;
}

# A run that must fail so; nothing is sent and nothing lost.
sub fails
{
	my ($name, $sqlstate, $message, $what, %option) = @_;
	my $before = there($name);
	my $run = $a->run($name, %option);
	is_deeply([ @$run{qw(sqlstate status requests)} ], [ $sqlstate, 'failed', 0 ], "$what: the run fails and sends nothing") or diag($run->{text});
	like($run->{text}, $message, "$what: it is said");
	is(there($name), $before, "$what: nothing is lost");
	return $run;
}

# ---------------------------------------------------------------- materialized

# given a materialized view that was never filled, or emptied of its data, then
# runs fail and say so, and nothing counts as removed
$a->sql("CREATE TABLE base (id int PRIMARY KEY, name text); INSERT INTO base VALUES (1, 'a'), (2, 'b');"
	. ' CREATE MATERIALIZED VIEW mv AS SELECT id, name FROM base WITH NO DATA; CREATE UNIQUE INDEX ON mv (id)');
is(create('mv', 'mv') =~ s/NOTICE.*//sr, '', 'a materialized view without data can be a model');
fails('mv', '55000', qr/materialized view "mv" has not been populated.*REFRESH MATERIALIZED VIEW/s, 'a materialized view without data');
$a->sql('REFRESH MATERIALIZED VIEW mv');
is_there('mv', '1=a 2=b', 'succeeded 2 0 0', 'filled');
$a->sql("UPDATE base SET name = 'A' WHERE id = 1");
is_there('mv', '1=a 2=b', 'succeeded 0 0 0', 'not refreshed');
$a->sql('REFRESH MATERIALIZED VIEW CONCURRENTLY mv');
is_there('mv', '1=A 2=b', 'succeeded 0 1 0', 'refreshed concurrently');
$a->sql('REFRESH MATERIALIZED VIEW mv WITH NO DATA');
fails('mv', '55000', qr/has not been populated/, 'without data again');
$a->sql('DELETE FROM base WHERE id = 2; REFRESH MATERIALIZED VIEW mv');
is_there('mv', '1=A', 'succeeded 0 0 1', 'filled again');

# ----------------------------------------------------------------- partitioned

# given a partitioned table, when partitions come and go, then so do their rows
$a->sql(<<'END');
CREATE TABLE part (id int, name text, region text, PRIMARY KEY (region, id)) PARTITION BY LIST (region);
CREATE TABLE part_eu PARTITION OF part FOR VALUES IN ('eu') PARTITION BY RANGE (id);
CREATE TABLE part_eu_1 PARTITION OF part_eu FOR VALUES FROM (0) TO (10);
CREATE TABLE part_us PARTITION OF part FOR VALUES IN ('us');
INSERT INTO part VALUES (1, 'a', 'eu'), (2, 'b', 'us');
END
create('part', 'part', key => 'region, id');
is_there('part', '1/eu=a 2/us=b', 'succeeded 2 0 0', 'partitions of partitions');
$a->sql("CREATE TABLE part_eu_2 PARTITION OF part_eu FOR VALUES FROM (10) TO (20); INSERT INTO part VALUES (11, 'c', 'eu');"
	. " CREATE TABLE part_other PARTITION OF part DEFAULT; INSERT INTO part VALUES (3, 'd', 'asia')");
is_there('part', '1/eu=a 11/eu=c 2/us=b 3/asia=d', 'succeeded 2 0 0', 'new partitions');
$a->sql('ALTER TABLE part DETACH PARTITION part_us');
is_there('part', '1/eu=a 11/eu=c 3/asia=d', 'succeeded 0 0 1', 'a partition detached');
$a->sql("UPDATE part_us SET name = 'B'; ALTER TABLE part_us ADD note text; ALTER TABLE part ADD note text; ALTER TABLE part ATTACH PARTITION part_us FOR VALUES IN ('us')");
is_there('part', '1/eu=a 11/eu=c 2/us=B 3/asia=d', 'succeeded 1 0 0', 'attached again, its columns in another order');
$a->sql("UPDATE part SET region = 'us', id = 30 WHERE id = 1");
is_there('part', '11/eu=c 2/us=B 3/asia=d 30/us=a', 'succeeded 1 0 1', 'a row moves to another partition');
create('part_leaf', 'part_us', key => 'id');
is_there('part_leaf', '2=B 30=a', 'succeeded 2 0 0', 'one partition alone');

# given inheritance, then children's rows are among them; ONLY leaves them out
$a->sql("CREATE TABLE parent (id int, name text); CREATE TABLE child (extra int) INHERITS (parent);"
	. " INSERT INTO parent VALUES (1, 'p'); INSERT INTO child VALUES (2, 'c', 0)");
create('inherited', 'parent');
create('only', 'SELECT id, name FROM ONLY parent');
is_there('inherited', '1=p 2=c', 'succeeded 2 0 0', 'inheritance');
is_there('only', '1=p', 'succeeded 1 0 0', 'ONLY');
$a->sql('ALTER TABLE child NO INHERIT parent');
is_there('inherited', '1=p', 'succeeded 0 0 1', 'no child any more');

# ------------------------------------------------------------- columns of tables

# given generated and dropped columns, and ones added with a default, then each
# has its value
$a->sql(<<'END');
CREATE TABLE cols (gone int, id int, v int, name text GENERATED ALWAYS AS ('n' || v) STORED);
INSERT INTO cols VALUES (0, 1, 1), (0, 2, 2);
ALTER TABLE cols DROP gone;
ALTER TABLE cols ADD fast text DEFAULT 'fast';
END
create('cols', 'cols', mapping => 'name, fast');
is_there('cols', '1=n1 2=n2', 'succeeded 2 0 0', 'a generated column after a dropped one');
is($d->record('cols', { id => 1 })->{fields}{fast}, 'fast', 'a column added with a default');
$a->sql("UPDATE cols SET v = 3 WHERE id = 1; ALTER TABLE cols ALTER fast SET DEFAULT 'slow'");
is_there('cols', '1=n3 2=n2', 'succeeded 0 1 0', 'a generated column changes');
$a->sql('ALTER TABLE cols ADD more int; ALTER TABLE cols DROP more; VACUUM FULL cols');
is_there('cols', '1=n3 2=n2', 'succeeded 0 0 0', 'columns that are not mapped come and go');

# ------------------------------------------------------------------------ views

# given views of each kind, with what they have of their own in them
$a->sql(<<'END');
CREATE VIEW plain AS SELECT id, name FROM base;
CREATE VIEW barrier WITH (security_barrier) AS SELECT * FROM plain WHERE id > 0;
CREATE VIEW invoker WITH (security_invoker) AS SELECT * FROM barrier;
CREATE RECURSIVE VIEW counting (id) AS VALUES (1) UNION ALL SELECT id + 1 FROM counting WHERE id < 3;
CREATE VIEW "Odd ""Name" AS SELECT id AS "The Id", name AS "The, Name" FROM base;
END
create($_, $_) foreach qw(plain barrier invoker);
is_there($_, '1=A', 'succeeded 1 0 0', "a view ($_)") foreach qw(plain barrier invoker);
create('counting', 'counting', mapping => "'n' || id AS name");
is_there('counting', '1=n1 2=n2 3=n3', 'succeeded 3 0 0', 'a recursive view');
create('odd', '"Odd ""Name"', key => '"The Id"', mapping => '"The, Name" AS name');
is_there('odd', '1=A', 'succeeded 1 0 0', 'odd names');

# ---------------------------------------------------------------------- queries

# given queries of all shapes, under the search_path they were written under
$a->sql(<<'END');
CREATE SCHEMA one; CREATE SCHEMA two;
CREATE TABLE one.t AS SELECT 1 AS id, 'one' AS name;
CREATE TABLE two.t AS SELECT 1 AS id, 'two' AS name;
CREATE FUNCTION one.f(text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT 'one ' || $1 $$;
CREATE FUNCTION two.f(text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT 'two ' || $1 $$;
END
my $sixty = join ', ', map { "$_ AS c$_" } 1 .. 60;
my @queries = (
	[ "VALUES (1, 'a'), (2, 'b')", '1=a 2=b', key => 'column1', mapping => 'column2 AS name' ],
	[ "WITH x AS (SELECT 1 AS id), y AS MATERIALIZED (SELECT id FROM x) SELECT y.id, 'w' AS name FROM x, y", '1=w' ],
	[ "SELECT 1 AS id, 'u' AS name UNION ALL SELECT 2, 'v' ORDER BY 2 DESC LIMIT 5", '1=u 2=v' ],
	[ "(SELECT 1 AS id, 'u' AS name) EXCEPT SELECT 2, 'v'", '1=u' ],
	[ "SELECT DISTINCT ON (id) id, name FROM (VALUES (1, 'a'), (1, 'b')) AS t(id, name) ORDER BY id, name DESC", '1=b' ],
	[ 'SELECT b.id, l.name FROM base AS b, LATERAL (SELECT upper(b.name) AS name) AS l', '1=A' ],
	[ "SELECT g AS id, 'g' || g AS name FROM generate_series(1, 3) AS g", '1=g1 2=g2 3=g3' ],
	[ "SELECT generate_series(1, 2) AS id, 'srf' AS name", '1=srf 2=srf' ],
	[ "SELECT id, name, $sixty FROM base", '1=A', mapping => '*' ],
	[ "/* comment */ SELECT id, -- one\n name FROM base -- last", '1=A' ],
	[ q{SELECT id, $q$it's; -- no comment$q$::text AS name FROM base;}, "1=it's; -- no comment" ],
	[ "SELECT id, E'\\x41' || U&'\\0042' || B'1'::text AS name FROM base ;  \n", '1=AB1' ],
	[ 'SELECT id, name FROM base TABLESAMPLE system (100) REPEATABLE (1)', '1=A' ],
	[ 'SELECT count(*) AS id, max(name) AS name FROM base GROUP BY GROUPING SETS ((), (id)) HAVING true LIMIT 1', '1=A' ],
	[ 'SELECT id, first_value(name) OVER w AS name FROM base WINDOW w AS (ORDER BY id)', '1=A' ],
	[ 'TABLE base', '1=A' ],
	[ 'SELECT id, f(name) AS name FROM t', '1=two two', before => 'SET search_path = two, one, public' ],
	[ 'SELECT id, f(name) AS name FROM t', '1=one one', before => 'SET search_path = one, two, public' ],
	[ 'SELECT id, name FROM ROWS FROM (json_to_recordset($$[{"id":1,"name":"j"}]$$) AS (id int, name text)) AS x', '1=j' ],
	[ "SELECT x.id, x.name FROM XMLTABLE('/r/i' PASSING '<r><i n=\"1\">x</i></r>' COLUMNS id int PATH '\@n', name text PATH '.') AS x", '1=x' ],
);
foreach my $i (0 .. $#queries)
{
	my ($query, $wanted, %option) = @{ $queries[$i] };
	my $error = create("q$i", $query, %option);
	unlike($error, qr/ERROR/, "a query: $query");
	my $n = () = $wanted =~ /=/g;
	is_there("q$i", $wanted, "succeeded $n 0 0", 'is what it says', set => { search_path => 'pg_catalog' });
	is($a->run("q$i")->{accepted}, 0, 'and stays so');
}

# given "$user" in the search_path, then it is the one it was written under
$a->sql("CREATE ROLE ann LOGIN; CREATE SCHEMA ann AUTHORIZATION ann; CREATE TABLE ann.mine AS SELECT 1 AS id, 'ann' AS name; ALTER TABLE ann.mine OWNER TO ann;"
	. ' GRANT USAGE ON SCHEMA activate TO ann; GRANT USAGE ON FOREIGN SERVER d TO ann; CREATE TABLE public.mine AS SELECT 1 AS id, $$public$$ AS name');
create('mine', 'SELECT id, name FROM mine', before => 'SET SESSION AUTHORIZATION ann; SET search_path = "$user", public');
is_there('mine', '1=ann', 'succeeded 1 0 0', '$user');

# given a temporary table that hides the model's, then the model is the model
create('shadowed', 'base');
create('shadowed_query', 'SELECT id, name FROM base');
my $session = Session->start($a->node, 'postgres');
$session->query("CREATE TEMP TABLE base AS SELECT 1 AS id, 'temp' AS name; SET search_path = pg_temp, public");
foreach my $name (qw(shadowed shadowed_query))
{
	$session->query("CALL activate.run_sync('$name')");
	is(there($name), '1=A', "a temporary table does not hide a table ($name)");
}
like($session->query("SELECT activate.create_sync('x', 'base', 'id', 'd', 'x')"), qr/22023.*temporary relation/s, 'nor is it a model');
$session->stop;

# given what is no model, then it is said what is
foreach my $case ([ 'a_sequence', '42809' ], [ 'an_index', '42809' ], [ 'a_type', '42809' ], [ 'nothing', '42P01' ],
	[ 'DELETE FROM base RETURNING *', '22023' ], [ 'SELECT 1; SELECT 2', '22023' ], [ 'SELECT * FROM base FOR UPDATE', '22023' ],
	[ 'SELECT 1 AS id INTO x', '22023' ], [ '', '22023' ], [ 'EXPLAIN SELECT 1', '22023' ])
{
	$a->sql('CREATE SEQUENCE IF NOT EXISTS a_sequence; CREATE INDEX IF NOT EXISTS an_index ON base (name)');
	$a->sql('CREATE TYPE a_type AS (id int)') if $case->[0] eq 'a_type';
	my $error = create('none', $case->[0]);
	like($error, qr/ERROR:  $case->[1].*HINT/s, "no model: '$case->[0]'");
}

# given the catalogs, sequences, our own views and tables of other extensions
$a->sql('SELECT nextval($$a_sequence$$)');
create('sequence', "SELECT 1 AS id, last_value::text AS name FROM a_sequence");
is_there('sequence', '1=1', 'succeeded 1 0 0', 'a sequence, by a query');
create('catalog', 'SELECT oid::int AS id, nspname AS name FROM pg_namespace WHERE nspname = $$public$$');
is($a->run('catalog')->{accepted}, 1, 'a catalog');
create('settings', 'pg_catalog.pg_settings', key => 'name', mapping => 'setting AS name');
ok($a->run('settings')->{accepted} > 300, 'pg_settings');
create('events', 'activate.events', key => 'event_id', mapping => 'kind AS name');
create('our_runs', 'activate.runs', key => 'run_id', mapping => 'status AS name');
my $run = $a->run('our_runs');
is($run->{status}, 'succeeded', 'our own views') or diag($run->{text});
is($a->run('events')->{status}, 'succeeded', 'events, for alerts');

# ---------------------------------------------------------- rows that are hidden

# given row security that hides rows from the owner, then it is said when the
# sync is defined; what the owner sees is the model
$a->sql(<<'END');
CREATE TABLE rls (id int PRIMARY KEY, name text, team text);
INSERT INTO rls VALUES (1, 'a', 'ann'), (2, 'b', 'bob');
ALTER TABLE rls ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON rls USING (team = current_user);
GRANT SELECT ON rls TO ann;
CREATE VIEW over_rls WITH (security_invoker) AS SELECT id, name FROM rls;
CREATE VIEW as_owner AS SELECT id, name FROM rls;
GRANT SELECT ON over_rls, as_owner TO ann;
CREATE TABLE grants (id int PRIMARY KEY, name text, secret text);
INSERT INTO grants VALUES (1, 'a', 's');
GRANT SELECT (id, name) ON grants TO ann;
END
foreach my $model ('rls', 'over_rls', 'SELECT id, name FROM (SELECT * FROM rls) AS x')
{
	like(create('hidden', $model, owner => 'ann'), qr/WARNING:  01000: row security decides which rows of "public.rls" role "ann" sees.*DETAIL.*counts as removed.*HINT:.*ON public.rls FOR SELECT TO ann/s,
		"row security is told of: $model");
	is_there('hidden', '1=a', 'succeeded 1 0 0', 'the owner\'s rows are the model');
	$a->sql("SELECT activate.drop_sync('hidden')");
	$d->reset;
}
unlike(create('hidden', 'as_owner', owner => 'ann'), qr/row security/, 'a view with its owner\'s rights hides nothing');
unlike(create('seen', 'rls'), qr/row security/, 'nor does a table from a superuser');
like(($a->node->psql('postgres', "SELECT activate.alter_sync('seen', owner => 'ann')"))[2], qr/row security/, 'the new owner of a sync is told, too');
create('narrow', 'grants', owner => 'ann');
is_there('narrow', '1=a', 'succeeded 1 0 0', 'rights on the columns that are mapped are enough');
like(create('wide', 'grants', owner => 'ann', mapping => 'secret'), qr/42501.*column "secret".*HINT:.*GRANT SELECT \(secret\)/s, 'one more needs one more');
$a->sql('REVOKE SELECT (name) ON grants FROM ann');
fails('narrow', '42501', qr/GRANT SELECT \(name\)/, 'a right taken away');

# given a run whose counts do not add up, then whatever test made it fails
my $last = $a->last_run;
$a->sql("UPDATE activate.run SET accepted = accepted + 1 WHERE run_id = $last");
like(Sums::wrong($a->node, 'postgres'), qr/^$last\|/, 'counts that do not add up are found');
$a->sql("UPDATE activate.run SET accepted = accepted - 1 WHERE run_id = $last");
is(Sums::wrong($a->node, 'postgres'), '', 'and those that do are not');

$a->sums_hold('models');
done_testing();
