# Whatever a user types as a mapping, key, schedule, option, model, match or
# connector, and whatever a destination answers: an answer or an error with an SQLSTATE, never a crash, an internal error or a
# byte read or written out of bounds.  The library is built under
# AddressSanitizer and UndefinedBehaviorSanitizer for it; the texts are
# mutations of good and of bad ones.  SEED and FUZZ_SECONDS (of each kind) are
# from the environment.
use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename;
use IPC::Run;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $libasan = `gcc -print-file-name=libasan.so 2>/dev/null`;
chomp $libasan;
plan skip_all => 'needs gcc with libasan' unless $libasan =~ m{^/} && -e $libasan;

my $tree = abs_path(dirname(__FILE__) . '/../..');
my $seed = $ENV{SEED} // int(rand(1e9));
my $seconds = $ENV{FUZZ_SECONDS} // 4;
my $batch = 200;
srand($seed);
note "SEED=$seed";

# A copy of the server by links, with that library in the place of the other.
sub server_copy
{
	my ($postgres) = grep { -x } map { "$_/postgres" } split /:/, $ENV{PATH};
	my $config = $ENV{PG_CONFIG} // 'pg_config';
	my ($bin, $lib) = map { my $dir = `$config --$_`; chomp $dir; $dir } qw(bindir pkglibdir);
	my ($root) = abs_path($postgres) =~ m{^(/.+)\Q$bin/postgres\E$} or die "$postgres is no private copy of the server";
	my $copy = PostgreSQL::Test::Utils::tempdir();
	system('cp', '-al', "$root/.", $copy) == 0 or die 'could not copy the server';
	unlink "$copy$lib/pg_activate.so";
	system('cp', "$tree/build/asan/pg_activate.so", "$copy$lib/pg_activate.so") == 0 or die 'could not install the library';
	return "$copy$bin";
}

system("make -s -C '$tree' asan-build >'$tree/build/asan.log' 2>&1") == 0 or BAIL_OUT("the build under AddressSanitizer: $tree/build/asan.log");
$ENV{PATH} = server_copy() . ":$ENV{PATH}";
my $reports = PostgreSQL::Test::Utils::tempdir();
# Without translations: p11-kit, which comes with the server's LDAP, asks for
# them in a constructor before the sanitizer is ready, and then a lock of the C
# library is never let go.
my $untranslated = PostgreSQL::Test::Utils::tempdir() . '/untranslated.so';
append_to_file("$untranslated.c", "char *bindtextdomain(const char *domain, const char *folder) { return (char *) folder; }\n");
system('gcc', '-shared', '-fPIC', '-o', $untranslated, "$untranslated.c") == 0 or die 'could not compile';
my %sanitizer = (
	LD_PRELOAD => "$libasan:$untranslated",
	ASAN_OPTIONS => "detect_leaks=0:detect_stack_use_after_return=0:log_path=$reports/report",
	UBSAN_OPTIONS => "print_stacktrace=1:log_path=$reports/report");

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => [ '--encoding', 'UTF8', '--locale', 'C.UTF-8' ]);
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_activate'\nrestart_after_crash = on\nlog_min_messages = warning\nlog_min_error_statement = panic\nfsync = off\n");
{
	local @ENV{ keys %sanitizer } = values %sanitizer;
	$node->start;
}
$node->safe_psql('postgres', <<'END');
CREATE EXTENSION pg_activate;
CREATE SERVER crm FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url 'https://localhost:1');
CREATE TABLE health (id int PRIMARY KEY, "Größe, ""x""" numeric, score float8, tags text[], data jsonb, at timestamptz, mood text);
INSERT INTO health SELECT n, n / 7.0, n, ARRAY['a', NULL], jsonb_build_object('n', n), 'epoch', 'good' FROM generate_series(1, 3) AS n;
SELECT activate.create_sync('keep', 'health', 'id', 'crm', mapping => 'id, mood');
CREATE TABLE found (kind text, answer text, message text, hint text, statement text);
CREATE FUNCTION fuzz(kind text, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	state text; message text; hint text;
BEGIN
	BEGIN
		EXECUTE statement;
		-- what it did is undone
		RAISE SQLSTATE 'UNDO1';
	EXCEPTION WHEN SQLSTATE 'UNDO1' THEN
		RETURN 'ok';
	WHEN OTHERS THEN
		GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
	END;
	IF state LIKE 'XX%' THEN
		INSERT INTO found VALUES (kind, state, message, hint, statement);
	END IF;
	RETURN state;
END $$;
-- an error of a document names its place, and every row that is judged has an outcome
CREATE FUNCTION is_clear(kind text, operation text, outcome text, pointer text) RETURNS bool LANGUAGE plpgsql AS $$
BEGIN
	IF (kind = 'error' AND operation IS NULL AND pointer IS NULL) OR (kind IN ('row', 'answer') AND outcome IS NULL) THEN
		RAISE SQLSTATE 'XX999' USING MESSAGE = 'unclear';
	END IF;
	RETURN true;
END $$;
END

# That it watches at all.
my ($postmaster) = slurp_file($node->data_dir . '/postmaster.pid') =~ /^(\d+)/;
like(slurp_file("/proc/$postmaster/maps"), qr/libasan/, 'the server runs with AddressSanitizer');
like(`nm -D $tree/build/asan/pg_activate.so`, qr/__asan_report_load/, 'and the library is watched by it');

# ---------------------------------------------------------------------- texts
my %good = (
	mapping => [
		'id, mood', 'id AS customer_ref, round(score::numeric, 1) AS "Health", \'warehouse\' AS source', '* EXCEPT (tags)', '*',
		'id, (SELECT max(score) FROM health AS h WHERE h.id = health.id) AS most, /* c */ data -- end',
		'{"id": "id", "props": {"score": "score", "n": [1, true, null, "data->\'n\'"]}}',
		'{"id": "id", "phone": {"$sql": "mood", "$on": "insert", "$null": "omit", "$required": true}}',
		'{"a.b/c~d": "id", "\u00e9\ud83d\ude00": "mood", "": "at"}', 'health, to_jsonb(health) AS r, tags[1:2] AS t', 'U&"\00e9" AS x, id' ],
	key => [ 'id', 'mood', '"Größe, ""x"""', 'id, mood', 'ID', '"id"', ' id ,  at ' ],
	match => [ 'id', 'mood', '"id"', 'id, mood' ],
	schedule => [ 'manual', '15 minutes', '1 hour 30 minutes', '0 7 * * 1-5 Europe/Paris', '*/5 9-17/2 1,15 jan-mar mon', 'after keep', 'after "keep", keep', 'live', '@daily', '30 s' ],
	options => [
		'{"max_removed": "5 %", "max_changed": 100, "batch_size": 10}', '{"remove_after": "1 hour 30 minutes", "priority": -5}',
		'{"first_run": "baseline", "removed_mapping": {"mood": "\'gone\'", "n": [1, {}]}, "insert_mapping": "mood AS first_mood"}',
		'{"ignore_fields": ["mood"], "nulls": "omit", "changed_fields_only": true, "keep_payload": true}',
		'{"canary": 50, "delivery": "at_most_once", "on_model_change": "refuse", "freshness": "1 d"}', '{"max_run_time": null}', '{}' ],
	model => [
		'health', 'public.health', '"health"', 'SELECT id, mood, score, data, tags, at FROM health WHERE id > 1 ORDER BY id;',
		'WITH w AS (SELECT * FROM health) SELECT * FROM w -- c', 'VALUES (1, \'a\'), (2, \'b\')', '(SELECT * FROM health) UNION ALL (SELECT * FROM health)',
		'SELECT id, $q$x$q$ AS mood FROM health, LATERAL generate_series(1, id) AS g' ],
	name => [ 'health', 'Customer Health', 'x"y', 'größe', 'activate_x' ],
	spec => [
		'{"syncs": {"health": {"model": "health", "key": "id", "destination": "crm", "mapping": "id, ${field}", "options": {"batch_size": 5}}}}',
		'{"defaults": {"destination": "crm"}, "syncs": [{"name": "a", "model": "health", "key": "id", "schedule": "after b"}, {"name": "b", "model": "health", "key": "id"}]}' ]);
$good{connector} = [ map { slurp_file($_) } glob("$tree/src/connectors/*.json") ];
$good{response} = [
	'{"results":[{"status":"accepted","id":"r1"},{"status":"rejected","error":"no","retry":false}]}', '{"results":[]}', '<html>', '',
	'{"error":{"code":"X","message":"\u00e9\ud83d\ude00"},"results":null}' ];
my @tokens = ('"', "'", '$$', '$a$', '{', '}', '[', ']', '(', ')', ',', ';', '--', '/*', '*/', '\\', 'é', "\x{1F600}", ' AS ', ' FROM ', 'NULL', '*', '::int', ' OVER ()',
	'0', '-1', '99999999999999999999', '1e400', 'NaN', "\n", "\t", ' ', '.', '%', ':', '$1', '$sql', '$on', '\u0000', '\ud800', 'x' x 70, '(' x 3000, '[' x 3000, '{"a":' x 2000,
	'pg_catalog.', 'count(*)', 'random()', 'now()', 'generate_series(1,2)', 'EXCEPT', 'UNION', 'INTO', 'E\'\\\'', 'U&"', 'after ', 'L', '#', '?', '-', '/0', '*/0');

sub mutated
{
	my ($text, $others) = @_;
	foreach (1 .. 1 + int(rand(4)))
	{
		my $at = int(rand(1 + length $text));
		my $what = rand();
		if ($what < 0.35) { substr($text, $at, 0) = $tokens[ rand @tokens ] }
		elsif ($what < 0.55) { substr($text, $at, 1 + int(rand(6))) = '' if $at < length $text }
		elsif ($what < 0.7) { substr($text, $at, 1) = chr(1 + int(rand(254))) if $at < length $text }
		elsif ($what < 0.85)
		{
			my $other = $others->[ rand @$others ];
			$text = substr($text, 0, $at) . substr($other, int(rand(length $other)));
		}
		else { $text = substr($text, 0, $at) . substr($text, int(rand($at + 1))) }
		last if length $text > 20000;
	}
	return $text;
}

# A document with something else in the place of one of its values.
sub mutated_document
{
	my $document = decode_json($good{connector}[ rand @{ $good{connector} } ]);
	my @values = (undef, JSON::PP::true, 0, -1, 1e308, '', 'x', [], {}, [ [ [] ] ], "\x{1F600}", '{{row.fields.x|sha256}}', '{{', '/a/~2', '5xx', { '$rows' => 1 }, 'upsert', [429]);
	foreach (1 .. 1 + int(rand(3)))
	{
		my $at = $document;
		while (1)
		{
			my @keys = ref $at eq 'HASH' ? keys %$at : (0 .. $#$at);
			last unless @keys;
			my $slot = ref $at eq 'HASH' ? \$at->{ $keys[ rand @keys ] } : \$at->[ $keys[ rand @keys ] ];
			if ((ref $$slot ne 'HASH' && ref $$slot ne 'ARRAY') || rand() < 0.2)
			{
				$$slot = decode_json(encode_json([ $values[ rand @values ] ]))->[0];    # a copy: no circles
				last;
			}
			$at = $$slot;
		}
	}
	my $text = encode_json($document);
	utf8::decode($text);
	return $text;
}

sub quoted { my ($text) = @_; $text =~ s/\0//g; $text =~ s/'/''/g; $text =~ s/\\/\\\\/g; return " E'$text'" }

sub statement
{
	my ($kind, $text) = @_;
	my %argument = (name => 'health', model => 'health', key => 'id', mapping => 'id, mood', match => undef, schedule => 'manual', options => '{}');
	my $q = quoted($text);
	return "SELECT is_clear(kind, operation, outcome, pointer) FROM activate.check_connector((SELECT spec FROM activate.connector WHERE name = 'webhook'), "
	  . (200, 207, 400, 429)[ rand 4 ] . ", $q)" if $kind eq 'response';
	if ($kind eq 'connector')
	{
		$q = quoted(mutated_document()) if rand() < 0.7;
		return "SELECT activate.create_connector('fuzzed', $q)" if rand() < 0.1;
		return "SELECT is_clear(kind, operation, outcome, pointer) FROM activate.check_connector($q, 207, '{\"results\": [{}, null]}')";
	}
	return "SELECT * FROM activate.apply($q, dry_run => true, vars => '{\"field\": \"mood\"}')" if $kind eq 'spec';
	return (
		"SELECT activate.alter_sync('keep', $kind => $q)",
		"SELECT * FROM activate.plan_sync('keep', mapping => $q)",
		"SELECT * FROM activate.explain_row('keep', $q)")[ rand 3 ]
	  if ($kind eq 'mapping' && rand() < 0.2);
	return "SELECT activate.alter_sync('keep', $kind => $q)" if rand() < 0.2 && $kind ne 'name';
	$argument{$kind} = $text;
	my $list = join ', ', map { "$_ => " . quoted($argument{$_}) } grep { defined $argument{$_} } sort keys %argument;
	# Where it is one: what the diff and the rendering make of it.
	return "SELECT activate.create_sync($list, destination => 'crm'); SELECT * FROM activate.preview_requests("
	  . quoted($argument{name}) . "); SELECT activate.sync_sql(" . quoted($argument{name}) . ")";
}

my $has_apply = $node->safe_psql('postgres', q{SELECT count(*) FROM pg_proc WHERE proname = 'apply' AND pronamespace = 'activate'::regnamespace});
delete $good{spec} unless $has_apply;

foreach my $kind (sort keys %good)
{
	my $until = time + $seconds;
	my ($count, $worked, $last) = (0, 0, '');
	do
	{
		# First the good ones as they are.
		my @plain = $count == 0 ? @{ $good{$kind} } : ();
		my @statements = map { statement($kind, @plain ? shift @plain : rand() < 0.05 ? $good{$kind}[ rand @{ $good{$kind} } ] : mutated($good{$kind}[ rand @{ $good{$kind} } ], $good{$kind})) } 1 .. $batch;
		my $script = "SET client_min_messages = error; SET statement_timeout = '20s'; SET standard_conforming_strings = on; SET max_stack_depth = '2MB';\n";
		foreach my $statement (@statements)
		{
			my $tag = 'f' . int(rand(1e9));
			utf8::encode(my $bytes = $statement);
			$script .= "SELECT fuzz('$kind', \$$tag\$$bytes\$$tag\$);\n";
		}
		my ($out, $err) = ('', '');
		IPC::Run::run([ 'psql', '-XAtq', '-d', $node->connstr('postgres') ], '<', \$script, '>', \$out, '2>', \$err, IPC::Run::timeout(300));
		$count += @statements;
		$worked += () = $out =~ /^ok$/mg;
		$last = $err if $err =~ /server closed|terminated abnormally|connection to server|statement timeout/;
	} while (time < $until && $last eq '');
	diag(substr(join("\n", map { slurp_file($_) } glob("$reports/report*")), 0, 8000)) if $last ne '';
	is($last, '', "$kind: $count texts, $worked of them good; the server goes on");
	cmp_ok($worked, '>', 0, "$kind: some are good");
}

my $internal = $node->safe_psql('postgres', 'SELECT kind, answer, message, left(statement, 300) FROM found LIMIT 20');
is($internal, '', 'no internal errors');
my @report = map { slurp_file($_) } glob("$reports/report*");
is(substr(join("\n", @report), 0, 8000), '', 'nothing out of bounds, nothing undefined');
unlike(slurp_file($node->logfile), qr/terminated by signal|PANIC/, 'no crash');
is($node->safe_psql('postgres', 'SELECT string_agg(sync, \',\') FROM activate.syncs'), 'keep', 'and nothing is left of it');
$node->stop;
done_testing();
