# Whatever happens to a model, the diff is what plain SQL says it is: for a
# table, most of whose rows are never joined (sieve.c), and for the same rows
# through a view, which are.
use strict;
use warnings;

use Activate;
use Destination;
use Test::More;

my $seen = 0;
my $rows = 4000;
my $rounds = 7;
my $values = 'v1, v2, v3, v4';

# The bigint and timestamps are such that many hash alike.
my @kinds = (
	{
		name => 'bigint',
		columns => ['k bigint'],
		hash => 'hashint8extended(%1$s.k, 0)',
		key => sub { my $n = shift; return "(($n % 40)::bigint << 32) | ($n / 40 # ($n % 40))" },
	},
	{
		name => 'text and timestamptz',
		columns => [ 'k text', 'l timestamptz' ],
		hash => q{%1$s.k || timestamp_hash_extended(%1$s.l AT TIME ZONE 'UTC', 0)},
		key => sub {
			my $n = shift;
			return "chr(65 + $n % 7) || repeat('x', $n % 3), '2000-01-01 UTC'::timestamptz"
				. " + (($n % 100)::bigint << 32 | ($n / 100 # $n % 100)) * interval '1 microsecond'";
		},
	},
	{
		name => 'numeric, character and date',
		columns => [ 'k numeric', 'l character(4)', 'm date' ],
		hash => '%1$s.k',
		key => sub {
			my $n = shift;
			return "($n / 7)::numeric / 4, substr('abc', 1, $n % 4), '2000-01-01'::date + $n % 7";
		},
	},
);

my $activate = Activate->start('property');
my $destination = Destination->start;

$activate->server('d', $destination);
$activate->sql(q{ALTER DATABASE postgres SET timezone = 'UTC'});

# What the sync's last run sent, as the destination got it.
sub load_sent
{
	my ($object) = @_;
	my @requests = @{ $destination->requests($seen) };
	my @bodies = map { $_->{body} } grep { $_->{path} eq "/$object" } @requests;
	my $sql = "TRUNCATE sent_$object;\n";

	$sql .= "INSERT INTO sent_$object SELECT r ->> 'op', r -> 'key', CASE WHEN r ->> 'op' = 'upsert' THEN r -> 'fields' END"
		. " FROM jsonb_array_elements((\$body\$$_\$body\$::jsonb) -> 'rows') AS r;\n"
		foreach @bodies;
	$activate->sql($sql);
	$seen = $requests[-1]{seq} if @requests;
	return;
}

sub random_value
{
	return "(random() * 2)::int, (ARRAY['', 'a', NULL])[1 + (random() * 2)::int],"
		. " jsonb_build_object('a', (random() * 1)::int), (ARRAY[1.0, 1.00, NULL, 2])[1 + (random() * 3)::int]";
}

# A few rows at random, by where they lie.
sub some
{
	my ($n) = @_;
	return "ctid IN (SELECT ctid FROM model ORDER BY random() LIMIT $n)";
}

foreach my $seed (1 .. 3)
{
	my $kind = $kinds[ $seed - 1 ];
	my $names = join ', ', map { /^(\w+)/ } @{ $kind->{columns} };
	my $using = "USING ($names)";
	my $key = 'jsonb_build_object(' . join(', ', map { "'$_', $_" } split /, /, $names) . ')';
	my $nulls = join ' OR ', map { "$_ IS NULL" } split /, /, $names;
	my $given = $kind->{key};
	my $insert = sub {
		my ($from, $value) = @_;
		return "INSERT INTO model ($names, $values) SELECT " . $given->('n') . ", $value FROM $from";
	};
	my $options = '{"batch_size": 1000, "max_removed": 1000000, "max_changed": 1000000, "max_invalid": 1000000}';

	$activate->sql("SET client_min_messages = error; SELECT activate.drop_sync('t', true), activate.drop_sync('v', true);"
		. ' DROP TABLE IF EXISTS model, accepted, sent_t, sent_v CASCADE;'
		. ' CREATE TABLE model (' . join(', ', @{ $kind->{columns} }) . ', v1 int, v2 text, v3 jsonb, v4 numeric);'
		. " CREATE VIEW same AS SELECT $names, $values FROM model;"
		. " CREATE TABLE accepted AS SELECT $names, ''::text AS value FROM model;"
		. ' CREATE TABLE sent_t (op text, key jsonb, fields jsonb); CREATE TABLE sent_v (LIKE sent_t)');
	$activate->sql($insert->("generate_series(0, $rows - 1) AS n", random_value()));
	foreach my $sync ([ 't', 'model' ], [ 'v', 'same' ])
	{
		$activate->sql("SELECT activate.create_sync('$sync->[0]', '$sync->[1]', '$names', 'd', '$sync->[0]', mapping => '$values',"
			. " mode => 'mirror', on_removed => 'delete', options => '{\"remove_after\": \"0 seconds\"}'::jsonb || '$options')");
	}

	foreach my $round (0 .. $rounds)
	{
		my @changes = (
			"UPDATE model SET (v1, v2, v3, v4) = (SELECT " . random_value() . ") WHERE " . some(20),
			"DELETE FROM model WHERE " . some(10),
			$insert->("(SELECT (random() * 2 * $rows)::int AS n FROM generate_series(1, 10)) AS n", random_value()),
			"UPDATE model SET ($names) = (SELECT " . $given->("((random() * $rows)::int)") . ") WHERE " . some(5),
			"INSERT INTO model SELECT * FROM model WHERE " . some(5),
			"INSERT INTO model ($names, $values) SELECT $names, (random() * 2)::int, v2, v3, v4 FROM model WHERE " . some(5),
			"UPDATE model SET k = NULL WHERE " . some(2),
			"DELETE FROM model WHERE k IS NULL",
			"DELETE FROM model AS a USING model AS b WHERE a.ctid < b.ctid AND (a.k) = (b.k) AND random() < 0.5"
				. join('', map { " AND a.$_ = b.$_" } split /, /, $names),
			"UPDATE model SET k = k",
			"SELECT 1");
		srand($seed * 1000 + $round);
		my @chosen = $round == 0 ? () : map { $changes[ int(rand(@changes)) ] } 1 .. 4;
		# values change places between keys of one hash
		push @chosen, "WITH pair AS MATERIALIZED (SELECT a.ctid AS a, b.ctid AS b FROM model AS a JOIN model AS b ON a.ctid < b.ctid AND a.v1 <> b.v1"
			. ' AND ' . sprintf($kind->{hash}, 'a') . ' = ' . sprintf($kind->{hash}, 'b') . ' ORDER BY random() LIMIT 3),'
			. ' place AS (SELECT a, b FROM pair UNION ALL SELECT b, a FROM pair)'
			. " UPDATE model AS m SET (v1, v2, v3, v4) = (o.v1, o.v2, o.v3, o.v4) FROM place AS p, model AS o"
			. ' WHERE m.ctid = a AND o.ctid = b' if $round % 2 == 1;
		$activate->sql("SELECT setseed(" . (($seed * 10 + $round) / 100) . ");\n" . join(";\n", @chosen)) if @chosen;
		$activate->sql('ANALYZE model, accepted');

		my $expected = $activate->rows(<<"SQL")->[0];
WITH keys AS (
  SELECT $names, count(*) AS n, count(DISTINCT ROW($values)::text) AS values, min(ROW($values)::text) AS value
  FROM model WHERE NOT ($nulls) GROUP BY $names),
joined AS (
  SELECT n, values, keys.value AS new, accepted.value AS old FROM keys FULL JOIN accepted $using)
SELECT count(*) FILTER (WHERE values = 1 AND old IS NULL) AS added,
  count(*) FILTER (WHERE values = 1 AND old <> new) AS changed,
  count(*) FILTER (WHERE n IS NULL) AS removed,
  count(*) FILTER (WHERE values = 1 AND old = new) AS unchanged,
  (SELECT count(*) FROM model) AS rows_in_model,
  coalesce(sum(n - 1) FILTER (WHERE values = 1), 0)
  + coalesce(sum(n) FILTER (WHERE values > 1), 0)
  + (SELECT count(*) FROM model WHERE $nulls) AS not_single
FROM joined
SQL
		my $rowsets = <<"SQL";
WITH good AS (
  SELECT $names, min(v1) AS v1, min(v2) AS v2, (array_agg(v3))[1] AS v3, min(v4) AS v4, min(ROW($values)::text) AS value
  FROM model WHERE NOT ($nulls) GROUP BY $names HAVING count(DISTINCT ROW($values)::text) = 1),
expected AS (
  SELECT 'upsert' AS op, $key AS key, jsonb_build_object('v1', v1, 'v2', v2, 'v3', v3, 'v4', v4) AS fields
  FROM good LEFT JOIN accepted $using WHERE accepted.value IS DISTINCT FROM good.value
  UNION ALL
  SELECT 'delete', $key, NULL FROM accepted AS a WHERE NOT EXISTS (SELECT 1 FROM model WHERE ROW(${\join ', ', map { "model.$_" } split /, /, $names}) = ROW(${\join ', ', map { "a.$_" } split /, /, $names})))
SQL
		foreach my $sync ('t', 'v')
		{
			my $run = $activate->run($sync);
			my %found = map { $_ => $run->{$_} } qw(added changed removed unchanged rows_in_model);
			$found{not_single} = $run->{invalid} + $run->{duplicates};
			my $name = "$kind->{name}, round $round, " . ($sync eq 't' ? 'table' : 'view');

			is_deeply(\%found, $expected, "$name: counts") or diag(explain([ \%found, $expected, \@chosen, $run->{text} ]));
			load_sent($sync);
			is($activate->sql("$rowsets (SELECT 'too many', * FROM (TABLE sent_$sync EXCEPT ALL TABLE expected) AS x"
					. " UNION ALL SELECT 'missing', * FROM (TABLE expected EXCEPT ALL TABLE sent_$sync) AS x) LIMIT 3"),
				'', "$name: rows sent");
		}

		# What is invalid stays as it was.
		$activate->sql(<<"SQL");
DELETE FROM accepted AS a WHERE NOT EXISTS (SELECT 1 FROM model WHERE ROW(${\join ', ', map { "model.$_" } split /, /, $names}) = ROW(${\join ', ', map { "a.$_" } split /, /, $names}));
CREATE TEMP TABLE good AS SELECT $names, min(ROW($values)::text) AS value FROM model WHERE NOT ($nulls)
GROUP BY $names HAVING count(DISTINCT ROW($values)::text) = 1;
UPDATE accepted AS a SET value = good.value FROM good WHERE ROW(${\join ', ', map { "good.$_" } split /, /, $names}) = ROW(${\join ', ', map { "a.$_" } split /, /, $names});
INSERT INTO accepted SELECT $names, good.value FROM good LEFT JOIN accepted AS a $using WHERE a.value IS NULL;
SQL
		is($activate->sql("SELECT count(*) FROM activate_data.t FULL JOIN accepted $using WHERE value IS NULL OR activate_fingerprint IS NULL"),
			0, "$kind->{name}, round $round: the table knows what was accepted");
	}
	$activate->sums_hold($kind->{name});
}

done_testing();
