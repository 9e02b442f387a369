# Each kind of model, mode, removal and type of key: from model to destination
# and back to what the mode promises, after random changes. SEED says which; MODES,
# such as "append mirror", does no others.
use strict;
use warnings;

use Activate;
use Destination;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use Test::More;

my $json = JSON::PP->new->utf8->canonical->allow_nonref;
my $seed = $ENV{SEED} // int rand 1_000_000;
my $rounds = $ENV{ROUNDS} // 3;
my $keys = 12;
srand $seed;
diag "SEED=$seed";

my $a = Activate->start('matrix');
my $d = Destination->start;
$d->config({ log => 0 });
$a->server('d', $d);

# ---------------------------------------------------------------- what there is

# Columns of the key and what they are for the row n.
my %key_types = (
	int => [ 'k int' => 'n' ],
	text => [ 'k text' => "'k\"' || n" ],
	uuid => [ 'k uuid' => 'md5(n::text)::uuid' ],
	time => [ 'k timestamptz' => "timestamptz '2026-01-01 00:00+00' + n * interval '7 hours'" ],
	numeric => [ 'k numeric' => 'n * 0.25' ],
	array => [ 'k int[]' => 'ARRAY[n, NULL]' ],
	pair => [ 'k int, l text' => 'n % 3', "'l' || n" ],
);

# How a model comes about from the table base_N.
my %kinds = (
	table => 'ALTER TABLE base_N RENAME TO model_N; CREATE VIEW base_N AS SELECT * FROM model_N',
	view => 'CREATE VIEW model_N AS SELECT * FROM base_N WHERE n > 0',
	matview => 'CREATE MATERIALIZED VIEW model_N AS SELECT * FROM base_N',
	partitioned => 'CREATE TABLE model_N (LIKE base_N) PARTITION BY HASH (n); DROP TABLE base_N;'
	  . join('', map { " CREATE TABLE part_N_$_ PARTITION OF model_N FOR VALUES WITH (MODULUS 3, REMAINDER $_);" } 0 .. 2)
	  . ' CREATE VIEW base_N AS SELECT * FROM model_N',
	inherited => 'CREATE TABLE model_N (LIKE base_N); ALTER TABLE base_N INHERIT model_N',
	foreign => q{CREATE FOREIGN TABLE model_N (COLUMNS) SERVER loop OPTIONS (table_name 'base_N')},
	query => '',
);
my %modes = (
	upsert => [ 'ignore' ],
	insert => [ 'ignore' ],
	update => [ 'ignore' ],
	append => [ 'ignore' ],
	replace => [ 'ignore' ],
	mirror => [ 'delete', 'archive', 'clear', 'update', 'remove' ],
);
# What the connector has no operation for is not to be had yet.
delete $modes{replace} if $a->sql("SELECT spec->'operations'->'replace' IS NOT NULL FROM activate.connector WHERE name = 'webhook'") ne 't';
%modes = map { $_ => $modes{$_} } split / /, $ENV{MODES} if $ENV{MODES};
my %needs = (append => { first_run => 'send' }, update => { removed_mapping => { v => "'gone'" } });
my %options = (remove_after => '0 s', max_removed => 100000, max_changed => 100000);

# -------------------------------------------------------------- what is refused

sub create_sql
{
	my ($name, $model, $mode, $removal, $key, $options) = @_;
	my $removed = defined $removal ? "'$removal'" : 'NULL';
	return "SELECT activate.create_sync('$name', '$model', '$key', 'd', '$name', mapping => 'v, w', mode => '$mode', on_removed => $removed, options => \$o\$"
	  . $json->encode({ %options, %{ $options // {} } }) . '$o$);';
}

# given combinations that make no sense, then each is refused as documented
$a->sql('CREATE TABLE anything (k int, v text, w int)');
my %refused = (
	(map { $_ => '22023' } map { my $mode = $_; map { "$mode $_" } qw(delete archive clear update remove) } qw(upsert insert update append)),
	'mirror ' => '22023',    # must say what happens
	'mirror update' => '22023',    # and to what it is updated
	'append ignore' => '22023',    # must say what the first run does
	'nonsense ignore' => '22023',
	'upsert nonsense' => '22023',
);
foreach my $case (sort keys %refused)
{
	my ($mode, $removal) = split / /, $case;
	my (undef, undef, $error) = $a->node->psql('postgres', "\\set VERBOSITY verbose\n" . create_sql('refused', 'anything', $mode, $removal, 'k', {}));
	like($error, qr/ERROR:  $refused{$case}:.*HINT:  \S/s, "mode $mode with on_removed '" . ($removal // '') . "' is refused, and what to do is said");
}

# --------------------------------------------------------------------- the matrix

my @all;
foreach my $kind (sort keys %kinds)
{
	foreach my $mode (sort keys %modes)
	{
		foreach my $removal (@{ $modes{$mode} })
		{
			foreach my $key (sort keys %key_types)
			{
				push @all, { n => scalar @all, kind => $kind, mode => $mode, removal => $removal, key => $key, rows => {}, there => {}, sent => {}, values => [ 'first' ] };
			}
		}
	}
}
diag scalar(@all) . ' combinations';

# The key of each n as the destination shows it.
my %shown;
foreach my $type (sort keys %key_types)
{
	my ($columns, @expressions) = @{ $key_types{$type} };
	my @names = $columns =~ /(?:^|, )(\w)/g;
	my $object = "'{' || " . join(" || ', ' || ", map { "'\"$names[$_]\": ' || to_jsonb($expressions[$_])" } 0 .. $#names) . " || '}'";
	$shown{$type} = { map { $_->{n} => $_->{key} } @{ $a->rows("SELECT n, $object AS key FROM generate_series(1, $keys) AS n") } };
}

my ($host, $port) = ($a->node->host, $a->node->port);
$a->sql("SET client_min_messages = warning; SET TimeZone = 'UTC'; CREATE EXTENSION postgres_fdw; CREATE SERVER loop FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '$host', port '$port', dbname 'postgres');"
	. ' CREATE USER MAPPING FOR CURRENT_USER SERVER loop');
my $setup = "SET client_min_messages = error;\n";
foreach my $c (@all)
{
	my ($columns) = @{ $key_types{ $c->{key} } };
	my $all_columns = "n int, $columns, v text, w int";
	my $model = $c->{kind} eq 'query' ? "SELECT * FROM base_$c->{n} WHERE n IS NOT NULL" : "model_$c->{n}";
	my $sql = $kinds{ $c->{kind} };
	$sql =~ s/_N/_$c->{n}/g;
	$sql =~ s/COLUMNS/$all_columns/;
	$c->{key_list} = join ', ', $columns =~ /(?:^|, )(\w)/g;
	my $options = { %{ $needs{ $c->{mode} eq 'append' ? 'append' : $c->{removal} } // {} } };
	$setup .= "CREATE TABLE base_$c->{n} ($all_columns); $sql;\n" . create_sql("s$c->{n}", $model, $c->{mode}, $c->{removal}, $c->{key_list}, $options) . "\n";

	# What is there before: an update finds the even ones.
	next unless $c->{mode} eq 'update';
	my @there = grep { $_ % 2 == 0 } 1 .. $keys;
	$d->http(POST => "/s$c->{n}", '{"rows": [' . join(', ', map { '{"op": "upsert", "key": ' . $shown{ $c->{key} }{$_} . ', "fields": {"v": "seed", "w": 0}}' } @there) . ']}');
	$c->{there} = { map { $_ => [ 'seed', 0, 0 ] } @there };
}
$a->sql($setup);

sub quoted { my ($value) = @_; return defined $value ? "'$value'" : 'NULL' }

sub insert_sql
{
	my ($c, $n) = @_;
	my (undef, @expressions) = @{ $key_types{ $c->{key} } };
	my ($v, $w) = @{ $c->{rows}{$n} };
	my @key = map { s/\bn\b/$n/gr } @expressions;
	return "INSERT INTO base_$c->{n} VALUES (" . join(', ', $n, @key, quoted($v), quoted($w)) . ');';
}

# Rows come, go, change, become others, and what was before; or all of it is made anew.
sub change
{
	my ($c) = @_;
	my $rows = $c->{rows};
	my $sql = '';
	foreach (1 .. 1 + int rand 6)
	{
		my $n = 1 + int rand $keys;
		my $value = [ rand() < 0.3 ? $c->{values}[ rand @{ $c->{values} } ] : 'v' . int rand 10000, rand() < 0.2 ? undef : int rand 5 ];
		push @{ $c->{values} }, $value->[0];
		my $what = rand;
		if (!$rows->{$n})
		{
			$rows->{$n} = $value;
			$sql .= insert_sql($c, $n);
		}
		elsif ($what < 0.2 && keys %$rows > 1)
		{
			delete $rows->{$n};
			$sql .= "DELETE FROM base_$c->{n} WHERE n = $n;";
		}
		elsif ($what < 0.35)
		{
			my $other = 1 + int rand $keys;
			next if $rows->{$other};
			my ($columns, @expressions) = @{ $key_types{ $c->{key} } };
			my @names = $columns =~ /(?:^|, )(\w)/g;
			$rows->{$other} = delete $rows->{$n};
			$sql .= "UPDATE base_$c->{n} SET n = $other" . join('', map { ", $names[$_] = " . ($expressions[$_] =~ s/\bn\b/$other/gr) } 0 .. $#names) . " WHERE n = $n;";
		}
		elsif ($what < 0.4)
		{
			my @stay = grep { rand() < 0.7 } sort keys %$rows;
			@stay = ($n) if !@stay;
			%$rows = map { $_ => $rows->{$_} } @stay;
			$sql .= "DELETE FROM base_$c->{n};" . join '', map { insert_sql($c, $_) } @stay;
		}
		else
		{
			$rows->{$n} = $value;
			$sql .= "UPDATE base_$c->{n} SET v = " . quoted($value->[0]) . ', w = ' . quoted($value->[1]) . " WHERE n = $n;";
		}
	}
	return $sql;
}

# What a run makes of the destination, by what the mode promises.
sub expect
{
	my ($c) = @_;
	my ($rows, $there) = @$c{qw(rows there)};

	foreach my $n (sort keys %$rows)
	{
		next if $c->{mode} =~ /^(?:insert|append)$/ && $c->{sent}{$n}++;
		next if $c->{mode} eq 'update' && !$there->{$n};
		$there->{$n} = [ @{ $rows->{$n} }, 0 ];
	}
	%$there = map { $_ => $there->{$_} } keys %$rows if $c->{mode} eq 'replace';
	return unless $c->{mode} eq 'mirror';
	foreach my $n (grep { !$rows->{$_} } sort keys %$there)
	{
		delete $there->{$n} if $c->{removal} =~ /^(?:delete|remove)$/;
		$there->{$n}[2] = 1 if $c->{removal} eq 'archive';
		$there->{$n} = [ undef, undef, 0 ] if $c->{removal} eq 'clear';
		$there->{$n}[0] = 'gone' if $c->{removal} eq 'update';
	}
	return;
}

sub canonical { return $json->encode($json->decode($_[0])) }

# What is not as it should be, of all combinations.
sub differences
{
	my (%found, @wrong);
	foreach my $record (@{ $d->records })
	{
		$found{ $record->{object} }{ $json->encode($record->{key}) } = $json->encode([ @{ $record->{fields} }{qw(v w)}, $record->{archived} ? 1 : 0 ]);
	}
	foreach my $c (@all)
	{
		my %wanted = map { canonical($shown{ $c->{key} }{$_}) => $json->encode([ $c->{there}{$_}[0], defined $c->{there}{$_}[1] ? 0 + $c->{there}{$_}[1] : undef, $c->{there}{$_}[2] ]) } keys %{ $c->{there} };
		my $is = $found{"s$c->{n}"} // {};
		foreach my $key (sort keys %{ { %wanted, %$is } })
		{
			my ($w, $i) = ($wanted{$key} // 'nothing', $is->{$key} // 'nothing');
			push @wrong, "s$c->{n} ($c->{kind}, $c->{mode}, $c->{removal}, $c->{key}): $key is $i, not $w" if $w ne $i;
		}
	}
	return join "\n", @wrong > 20 ? (@wrong[ 0 .. 19 ], @wrong - 20 . ' more') : @wrong;
}

# Runs all of them; the runs as hashes by sync.
sub run_all
{
	my $last = $a->last_run;
	my $sql = "SET client_min_messages = error; SET pg_activate.progress_interval = 0;\n" . join '', map { "CALL activate.run_sync('s$_->{n}');\n" } @all;
	my ($status, undef, $error) = $a->node->psql('postgres', $sql, on_error_stop => 0);
	diag($error) if $error;
	return { map { $_->{sync} => $_ } @{ $a->rows("SELECT * FROM activate.runs WHERE run_id > $last") } };
}

foreach my $round (1 .. $rounds)
{
	my $sql = 'SET TimeZone = UTC;';
	foreach my $c (@all)
	{
		my $changes = change($c);
		# The first row comes before anything else, since a removing mode is held without any.
		$changes .= "REFRESH MATERIALIZED VIEW model_$c->{n};" if $c->{kind} eq 'matview';
		$sql .= "$changes\n";
	}
	$a->sql($sql);
	my $runs = run_all();
	expect($_) foreach @all;
	is(differences(), '', "round $round: the destination is what each mode promises");
	my @wrong = grep { my $run = $runs->{"s$_->{n}"}; !$run || $run->{status} ne ($_->{mode} eq 'update' && $run->{absent} ? 'partial' : 'succeeded') || $run->{rows_in_model} != keys %{ $_->{rows} } } @all;
	is(join(' ', map { "s$_->{n}=" . ($runs->{"s$_->{n}"}{status} // 'none') } @wrong), '', "round $round: each run succeeded and read its model");
}

# given nothing changed, then nothing is sent
my $idle = run_all();
is(join(' ', map { "s$_->{n}=$idle->{\"s$_->{n}\"}{requests}" } grep { $idle->{"s$_->{n}"}{requests} != 0 } @all), '', 'then nothing is sent');

is($a->sql(join ' UNION ALL ', map { "SELECT 's$_->{n}' FROM activate.plan_sync('s$_->{n}') AS p WHERE p.added + p.changed + p.removed <> 0" } grep { $_->{mode} ne 'update' } @all), '', 'nor planned');

$a->sums_hold("SEED=$seed");
done_testing();
