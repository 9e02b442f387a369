# The same bytes leave whatever role, database and session are set to, by CALL
# and by the worker, and nothing is sent again when settings change.
use strict;
use warnings;

use Activate;
use Destination;
use PostgreSQL::Test::Cluster;
use Test::More;
use Time::HiRes qw(sleep time);

my $node = PostgreSQL::Test::Cluster->new('settings');
$node->init(extra => [ '--encoding', 'UTF8', '--locale', 'C.UTF-8' ]);
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_activate'\npg_activate.allowed_hosts = '*'\npg_activate.naptime = '1h'");
$node->start;
my $a = bless { node => $node }, 'Activate';
my $d = Destination->start;
$a->sql('CREATE EXTENSION pg_activate');
$a->server('d', $d);

# What depends on settings, as values and in expressions.
my $mapping = <<'END';
	b, by, d, ts, tz, i, f4, f8, n, m, x, j, arr, name,
	d::text AS d_text, ts::text AS ts_text, tz::text AS tz_text, tz::date AS tz_date, i::text AS i_text, by::text AS by_text,
	f8::text AS f8_text, m::text AS m_text, x::text AS x_text, arr::text AS arr_text, n::money AS n_money,
	to_char(n, 'FM9G999G999D99L') AS n_char, to_char(ts, 'TMMonth TMDay') AS month, to_tsvector(name || ' dogs') AS words,
	to_json(tz) AS tz_json, xmlelement(name e, by) AS x_by, xmlparse(content '<a/><b/>') AS x_content,
	quote_ident(name) AS quoted, 'a\b' AS backslash, E'it\'s' AS quote, name = NULL AS equals_null,
	'01/02/03'::date AS ymd, '2026-01-01 12:00 EST'::timestamptz AS est, '1.5'::money AS cents,
	'{1,NULL}'::text[] AS nulls, upper(name) AS up, length(name) + 1 AS one_more,
	(SELECT count(*) FROM lookup) AS there, (SELECT string_agg(v, ',' ORDER BY v) FROM lookup WHERE v <> 'z') AS list,
	(SELECT relname FROM pg_class WHERE oid = 'lookup'::regclass) AS relname, 'lookup'::regclass AS class, "select" AS sel
END
$a->sql(<<"END");
CREATE ROLE own LOGIN;
CREATE ROLE other LOGIN;
GRANT own TO other;
GRANT USAGE ON SCHEMA activate TO own, other;
GRANT USAGE ON FOREIGN SERVER d TO own, other;
CREATE TABLE lookup (v text);
INSERT INTO lookup VALUES ('b'), ('a'), ('z');
CREATE TABLE model (id int PRIMARY KEY, b bool, by bytea, d date, ts timestamp, tz timestamptz, i interval, f4 float4, f8 float8,
	n numeric, m money, x xml, j jsonb, arr text[], name text, "select" int);
INSERT INTO model SELECT i, i % 2 = 0, decode('00ff41', 'hex'), '2026-03-04', '2026-03-04 05:06:07.08', '2026-03-04 23:30:00+00',
	'1 year -2 days 3 hours', 0.1, 1 / 3.0::float8, 1234567.891, 1234.5, '<a b="c">d</a>', '{"a": [1, null]}', '{a,NULL,"c d"}', 'Name''s "' || i, i
	FROM generate_series(1, 20) AS i;
CREATE INDEX ON model (name);
ALTER TABLE model OWNER TO own; ALTER TABLE lookup OWNER TO own;
ALTER TABLE model ENABLE ROW LEVEL SECURITY; ALTER TABLE model FORCE ROW LEVEL SECURITY;
CREATE POLICY most ON model USING (id < 20);
SET TimeZone = 'Europe/Paris';
SET client_min_messages = error;
SELECT activate.create_sync('s', 'public.model', 'id', 'd', 's', mapping => \$m\$$mapping\$m\$, mode => 'mirror', on_removed => 'delete', owner => 'own');

CREATE SCHEMA evil;
GRANT USAGE ON SCHEMA evil TO PUBLIC;
CREATE FUNCTION evil.trap() RETURNS bool LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION USING MESSAGE = ''evil code ran''; END';
CREATE DOMAIN evil.text AS pg_catalog.int4;
CREATE DOMAIN evil.jsonb AS pg_catalog.int4;
CREATE DOMAIN evil.uuid AS pg_catalog.int4;
CREATE DOMAIN evil.timestamptz AS pg_catalog.int4;
CREATE VIEW evil.pg_class AS SELECT 'evil' AS relname, 0::oid AS oid;
CREATE TABLE evil.model (id int); CREATE TABLE evil.lookup (v pg_catalog.text); CREATE TABLE evil.s (id int);
CREATE TABLE evil.sync (sync_id int); CREATE TABLE evil.run (run_id int);
END
foreach my $type (qw(text int4 int8 uuid bool timestamptz oid tid jsonb))
{
	foreach my $operator ('=', '<>', '<', '<=', '>', '>=', '+', '-', '||')
	{
		(my $name = $operator) =~ s/(.)/sprintf '%02x', ord $1/ge;
		$a->sql("CREATE FUNCTION evil.op_$name(pg_catalog.$type, pg_catalog.$type) RETURNS bool LANGUAGE sql AS 'SELECT evil.trap()';"
			. " CREATE OPERATOR evil.$operator (LEFTARG = pg_catalog.$type, RIGHTARG = pg_catalog.$type, FUNCTION = evil.op_$name)");
	}
}
foreach my $case ([ '->>', 'jsonb', 'text' ], [ '->', 'jsonb', 'text' ], [ '@>', 'jsonb', 'jsonb' ], [ '?', 'jsonb', 'text' ], [ '-', 'timestamptz', 'interval' ], [ '+', 'timestamptz', 'interval' ])
{
	my ($operator, $left, $right) = @$case;
	(my $name = $operator) =~ s/(.)/sprintf '%02x', ord $1/ge;
	$a->sql("CREATE FUNCTION evil.op_${name}_$right(pg_catalog.$left, pg_catalog.$right) RETURNS bool LANGUAGE sql AS 'SELECT evil.trap()';"
		. " CREATE OPERATOR evil.$operator (LEFTARG = pg_catalog.$left, RIGHTARG = pg_catalog.$right, FUNCTION = evil.op_${name}_$right)");
}
foreach my $function ('upper(pg_catalog.text)', 'length(pg_catalog.text)', 'now()', 'count(pg_catalog.int8)', 'min(pg_catalog.text)', 'max(pg_catalog.int8)',
	'jsonb_build_object(VARIADIC pg_catalog.text[])', 'to_jsonb(anyelement)', 'quote_ident(pg_catalog.text)', 'clock_timestamp()',
	'jsonb_array_elements(pg_catalog.jsonb)', 'jsonb_typeof(pg_catalog.jsonb)', 'unnest(anyarray)', 'pg_has_role(pg_catalog.oid, pg_catalog.text)', 'format(pg_catalog.text)')
{
	$a->sql("CREATE FUNCTION evil.$function RETURNS bool LANGUAGE sql AS 'SELECT evil.trap()'");
}
$a->sql('GRANT SELECT ON ALL TABLES IN SCHEMA evil TO PUBLIC');

# Bodies of the requests since then, without what is of the run alone.
sub bodies
{
	my ($since) = @_;
	my $text = join "\n", map { utf8::encode($_->{body}); $_->{body} } grep { $_->{method} eq 'POST' } @{ $d->requests($since) };
	$text =~ s/"run_id": ?\d+/"run_id":0/g;
	$text =~ s/"change_id": ?"[^"]*"/"change_id":""/g;
	return $text;
}

my $seen = 0;
sub sent
{
	my $requests = $d->requests($seen);
	my $text = bodies($seen);
	$seen = $requests->[-1]{seq} if @$requests;
	return $text;
}

# As that user under these settings: what psql said.
sub call
{
	my ($settings, $user, @sql) = @_;
	my $output = '';
	local $ENV{PGUSER} = $user;
	local $ENV{PGOPTIONS} = '-c pg_activate.progress_interval=0';
	my @commands = map { ('-c', $_) } @$settings, @sql;
	IPC::Run::run([ 'psql', '-XAtq', '-v', 'VERBOSITY=verbose', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'), @commands ], '>', \$output, '2>', \$output);
	$output =~ s/^NOTICE:.*\n(?:(?:DETAIL|HINT|LOCATION):.*\n)*//mg;
	return $output;
}

my $reset = q{SET client_min_messages = warning; SELECT activate.reset_sync('s', 'resend')};
is(call([], 'own', q{CALL activate.run_sync('s')}), '', 'the reference');
my $reference = sent();
is(scalar(() = $reference =~ /"op"/g), 19, 'row security holds: 19 rows of 20');
like($reference, qr/"tz_text": ?"2026-03-05 00:30:00\+01"/, "the time zone is create_sync's");
like($reference, qr/"n_char": ?"1,234,567\.89 ?"/, 'numbers are as in C');

# Renamed with 16.
my $parallel = $a->sql(q{SELECT current_setting('debug_parallel_query', true) IS NOT NULL}) eq 't' ? 'debug_parallel_query' : 'force_parallel_mode';
my @settings = (
	[ q{SET DateStyle = 'SQL, DMY'}, q{SET IntervalStyle = 'iso_8601'} ],
	[ q{SET DateStyle = 'German'}, q{SET IntervalStyle = 'sql_standard'} ],
	[ q{SET DateStyle = 'Postgres, MDY'}, q{SET IntervalStyle = 'postgres_verbose'} ],
	[ q{SET TimeZone = 'Pacific/Kiritimati'} ],
	[ q{SET TimeZone = '<+05>-5'}, q{SET timezone_abbreviations = 'Australia'} ],
	[ q{SET bytea_output = 'escape'}, q{SET extra_float_digits = -15} ],
	[ q{SET extra_float_digits = 3}, q{SET xmlbinary = 'hex'} ],
	[ q{SET lc_monetary = 'C.UTF-8'}, q{SET lc_numeric = 'C.UTF-8'}, q{SET lc_time = 'C.UTF-8'} ],
	[ q{SET default_text_search_config = 'pg_catalog.german'} ],
	[ q{SET xmloption = 'document'}, q{SET array_nulls = off} ],
	[ q{SET standard_conforming_strings = off}, q{SET escape_string_warning = on}, q{SET backslash_quote = off} ],
	[ q{SET quote_all_identifiers = on}, q{SET transform_null_equals = on} ],
	[ q{SET search_path = evil, pg_catalog, public} ],
	[ q{SET search_path = ''} ],
	[ q{SET search_path = 'nowhere'} ],
	[ q{SET search_path = pg_temp, evil}, q{CREATE TEMP TABLE model (id int)}, q{CREATE TEMP TABLE lookup (v int)} ],
	[ q{SET default_transaction_isolation = 'serializable'} ],
	[ q{SET default_transaction_isolation = 'repeatable read'}, q{SET default_transaction_deferrable = on} ],
	[ q{SET default_transaction_read_only = on} ],
	[ q{SET row_security = off} ],
	[ q{SET lock_timeout = '1ms'}, q{SET idle_in_transaction_session_timeout = '1ms'} ],
	[ q{SET idle_session_timeout = '30s'} ],
	[ q{SET work_mem = '64kB'}, q{SET maintenance_work_mem = '1MB'}, q{SET hash_mem_multiplier = 1} ],
	[ q{SET jit = on}, q{SET jit_above_cost = 0}, q{SET jit_inline_above_cost = 0}, q{SET jit_optimize_above_cost = 0} ],
	[ qq{SET $parallel = on}, q{SET parallel_setup_cost = 0}, q{SET parallel_tuple_cost = 0}, q{SET min_parallel_table_scan_size = 0} ],
	[ qq{SET $parallel = regress} ],
	[ q{SET max_parallel_workers = 0}, q{SET max_parallel_workers_per_gather = 0} ],
	[ q{SET enable_seqscan = off}, q{SET enable_hashjoin = off}, q{SET enable_sort = off} ],
	[ q{SET enable_mergejoin = off}, q{SET enable_hashjoin = off}, q{SET enable_material = off} ],
	[ q{SET enable_indexscan = off}, q{SET enable_bitmapscan = off}, q{SET enable_nestloop = off}, q{SET enable_hashagg = off} ],
	[ q{SET plan_cache_mode = 'force_generic_plan'}, q{SET cursor_tuple_fraction = 1}, q{SET join_collapse_limit = 1}, q{SET from_collapse_limit = 1} ],
	[ q{SET client_encoding = 'LATIN1'} ],
	[ q{SET client_min_messages = 'error'} ],
	[ q{SET synchronous_commit = 'off'} ],
	[ q{SET check_function_bodies = off}, q{SET default_toast_compression = 'pglz'} ],
	[ q{SET temp_tablespaces = ''}, q{SET default_tablespace = ''}, q{SET default_table_access_method = 'heap'} ],
	[ q{SET gin_fuzzy_search_limit = 1}, q{SET synchronize_seqscans = off}, q{SET constraint_exclusion = on} ],
	[ q{SET application_name = ''}, q{SET tcp_keepalives_idle = 1}, q{SET statement_timeout = '1h'} ],
	[ q{SET vacuum_cost_delay = 100}, q{SET geqo_threshold = 2}, q{SET geqo = on} ],
);
my @superuser = (
	[ q{SET session_replication_role = 'replica'} ],
	[ q{SET ROLE own} ],
	[ q{SET ROLE other} ],
	[ q{SET SESSION AUTHORIZATION other}, q{SET DateStyle = 'German'} ],
	[ q{SET zero_damaged_pages = on}, q{SET ignore_checksum_failure = on} ],
	[ q{SET log_statement = 'all'}, q{SET debug_print_plan = on}, q{SET log_executor_stats = on} ],
	[ q{SET lc_messages = 'C.UTF-8'}, q{SET max_stack_depth = '200kB'} ],
);
foreach my $case ((map { [ $_, 'own' ] } @settings), (map { [ $_, (getpwuid $<)[0] ] } @superuser))
{
	my ($set, $user) = @$case;
	my $name = join '; ', @$set;
	is(call($set, $user, q{CALL activate.run_sync('s')}), '', "$name: a run");
	is(sent(), '', 'nothing is sent again');
	$a->sql($reset);
	is(call($set, $user, q{CALL activate.run_sync('s')}), '', 'all is sent');
	ok(sent() eq $reference, 'the same bytes') or diag(sent());
}
is(call([], 'own', q{CALL activate.run_sync('s')}), '', 'without settings');
is(sent(), '', 'nothing is sent again');

# given settings of the role or the database, then the worker sends the same,
# too; the last ones only it must not heed
sub queue
{
	# What the session asks for itself goes before what the database has.
	local $ENV{PGOPTIONS} = '-c statement_timeout=0 -c idle_in_transaction_session_timeout=0 -c idle_session_timeout=0 -c default_transaction_read_only=off -c client_min_messages=warning';
	my $run = $a->sql(q{SELECT activate.queue_run('s')});
	my $until = time + 30;
	my $status;
	sleep 0.02 while ($status = $a->sql("SELECT status FROM activate.run WHERE run_id = $run")) =~ /^(?:queued|running)$/ && time < $until;
	return $status;
}

foreach my $set (@settings, [ q{SET statement_timeout = '1ms'} ], [ q{SET default_tablespace = 'missing'}, q{SET temp_tablespaces = 'missing'} ],
	[ q{SET idle_in_transaction_session_timeout = '1ms'}, q{SET idle_session_timeout = '1ms'} ], [ q{SET exit_on_error = on} ], [ q{SET role = 'other'} ])
{
	my @of_role = grep { /^SET/ && !/client_encoding|SET role/ } @$set;
	my $name = join '; ', @of_role;
	next unless @of_role;
	foreach my $whose ('ROLE own', 'DATABASE postgres')
	{
		$node->safe_psql('template1', join ';', map { s/^SET search_path = ''/SET search_path = ""/r } map { "ALTER $whose $_" } @of_role);
		is(queue(), 'succeeded', "$whose: $name: the worker");
		is(sent(), '', 'sends nothing again');
		if ($whose eq 'ROLE own')
		{
			$a->sql($reset);
			is(queue(), 'succeeded', 'all is sent');
			ok(sent() eq $reference, 'the same bytes') or diag(sent());
		}
		$node->safe_psql('template1', "ALTER $whose RESET ALL");
	}
}

# given a sync that was defined under a search_path of traps, then only what
# its author wrote is looked up there
my $evil = q{SET search_path = evil, pg_catalog, public};
$a->sql('CREATE TABLE plain (id int, k text, at timestamptz, v text, PRIMARY KEY (id, k, at)); INSERT INTO plain SELECT i, i, now(), i FROM generate_series(1, 200) AS i; ALTER TABLE plain OWNER TO own');
my @steps = (
	q{SELECT activate.create_sync('trap', 'public.plain', 'id, k, at', 'd', 'trap', mapping => 'v', mode => 'mirror', on_removed => 'delete', options => '{"remove_after": "0 s", "max_removed": 1000}')},
	q{CALL activate.run_sync('trap')},
	q{CALL activate.run_sync('trap')},
	q{UPDATE public.plain SET v = 'x' WHERE id OPERATOR(pg_catalog.=) 7},
	q{DELETE FROM public.plain WHERE id OPERATOR(pg_catalog.=) 8},
	q{SELECT FROM activate.preview_sync('trap')},
	q{SELECT FROM activate.preview_requests('trap')},
	q{SELECT FROM activate.plan_sync('trap')},
	q{SELECT FROM activate.plan_sync('trap', mapping => 'v, k')},
	q{DO $$ DECLARE k pg_catalog.jsonb; BEGIN SELECT p.key INTO k FROM activate.preview_sync('trap') AS p LIMIT 1; PERFORM activate.explain_row('trap', k); END $$},
	q{CALL activate.run_sync('trap')},
	q{SELECT FROM activate.alter_sync('trap', mapping => 'v, k', resend => 'none')},
	q{SELECT FROM activate.reset_sync('trap', 'baseline')},
	q{SELECT FROM activate.reset_sync('trap', 'resend')},
	q{CALL activate.run_sync('trap')},
	q{SELECT FROM activate.status}, q{SELECT FROM activate.runs}, q{SELECT FROM activate.syncs}, q{SELECT FROM activate.progress},
	q{SELECT FROM activate.rejections}, q{SELECT FROM activate.events}, q{SELECT FROM activate.destinations},
	q{SELECT FROM activate.pause_sync('trap')}, q{SELECT FROM activate.resume_sync('trap')},
	q{SELECT FROM activate.next_runs('trap', 3)}, q{SELECT FROM activate.check_destination('d')},
	q{SELECT FROM activate.alter_sync('trap', schedule => '15 minutes', new_name => 'trapped')},
	q{SELECT FROM activate.drop_sync('trapped')},
);
foreach my $step (@steps)
{
	my $said = call([ $evil, 'SET client_min_messages = error' ], 'own', $step);
	unlike($said, qr/ERROR/, "under traps: $step");
}

$a->sums_hold('settings');
done_testing();
