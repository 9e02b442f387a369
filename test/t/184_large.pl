# Tables as wide as they can be, mappings as long, and values of 50 MB.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use Activate;
use Destination;
use Session;

my $a = Activate->start('large');
my $d = Destination->start;
$a->server('d', $d, timeout => '60s');

sub create
{
	my ($name, $model, $mapping, $key) = @_;
	$key //= 'id';
	return ($a->node->psql('postgres', "\\set VERBOSITY verbose\nSET client_min_messages = warning;"
		. " SELECT activate.create_sync('$name', '$model', '$key', 'd', '$name', mapping => \$m\$$mapping\$m\$)"))[2];
}

sub sends
{
	my ($name, $accepted, $what, %option) = @_;
	my $run = $a->run($name, %option);
	is_deeply([ @$run{qw(status accepted)} ], [ 'succeeded', $accepted ], $what) or diag(substr $run->{text}, 0, 500);
	return;
}

# ------------------------------------------------------------------ many columns

# given a table of 1600 columns, mapped whole and in part
$a->sql('CREATE TABLE wide (id int, ' . join(', ', map { "c$_ int" } 1 .. 1599) . ')');
$a->sql('INSERT INTO wide SELECT i, ' . join(', ', map { "i + $_" } 1 .. 1599) . ' FROM generate_series(1, 200) AS i');
is(create('whole', 'wide', '*'), '', 'a table of 1600 columns, mapped whole');
is(create('part', 'wide', 'c1, c800, c1599'), '', 'and three of them');
sends('whole', 200, 'all fields are sent');
is(scalar keys %{ $d->record('whole', { id => 1 })->{fields} }, 1600, 'all of them');
sends('part', 200, 'three are sent');
sends('whole', 0, 'and once');
$a->sql('UPDATE wide SET c1599 = 0 WHERE id = 7; UPDATE wide SET c900 = 0 WHERE id = 8');
sends('whole', 2, 'the last column counts');
sends('part', 1, 'only those that are mapped');
is($d->record('whole', { id => 7 })->{fields}{c1599}, 0, 'and arrives');
$a->sql('ALTER TABLE wide DROP c5');
my $run = $a->run('whole');
is($run->{sqlstate}, '42703', 'a mapped column that is gone is named') or diag($run->{text});
like($run->{text}, qr/"c5"/, 'by its name');
sends('part', 0, 'who does not map it does not care');

# given mappings with very many fields, then as many as a table has columns go
my $fields = sub { join ', ', map { "id + $_ AS f$_" } 1 .. $_[0] };
$a->sql("CREATE TABLE narrow (id int PRIMARY KEY, a text, b text); INSERT INTO narrow SELECT i, 'a', 'b' FROM generate_series(1, 50) AS i");
foreach my $n (90, 91, 1000, 1600)
{
	is(create("fields$n", 'narrow', $fields->($n)), '', "$n fields");
	sends("fields$n", 50, 'are sent');
	is($d->record("fields$n", { id => 3 })->{fields}{"f$n"}, 3 + $n, 'to the last');
	sends("fields$n", 0, 'once');
}
foreach my $n (1601, 1650, 1664, 5000)
{
	like(create('more', 'narrow', $fields->($n)), qr/ERROR:  54011: the mapping of sync "more" has $n fields, and can have 1600.*HINT:.*jsonb_build_object/s,
		"$n fields are too many, and what to do is said");
}
is(create('nested', 'narrow', '{"all": {' . join(', ', map { "\"f$_\": \"id + $_\"" } 1 .. 1600) . '}}'), '', '1600 fields in an object');
sends('nested', 50, 'are sent, too');

# given a key of as many columns as an index can have
my @key = map { "k$_" } 1 .. 32;
$a->sql('CREATE TABLE keys AS SELECT ' . join(', ', map { "i + $_ AS k$_" } 1 .. 32) . ', 0 AS v FROM generate_series(1, 20) AS i');
is(create('keys', 'keys', 'v', join ', ', @key), '', 'a key of 32 columns');
sends('keys', 20, 'is a key');
$a->sql('UPDATE keys SET v = 1 WHERE k32 = 33');
sends('keys', 1, 'to its last column');
is(create('widest', 'SELECT *, 1 AS id FROM keys', join(', ', map { "v + $_ AS f$_" } 1 .. 1600), join ', ', @key), '', 'with 1600 fields');
sends('widest', 20, 'are sent');
like(create('keys33', 'SELECT *, 1 AS k33 FROM keys', 'v', join ', ', @key, 'k33'), qr/54011.*HINT/s, 'one of 33 is none');

# ------------------------------------------------------------------- large values

# Pages of its own, in MB, as the kernel counts them.
sub own_memory
{
	my ($pid) = @_;
	open my $status, '<', "/proc/$pid/status" or return 0;
	my ($kb) = join('', <$status>) =~ /^RssAnon:\s+(\d+)/m;
	return ($kb // 0) / 1024;
}

# given values of 50 MB of each kind, then they arrive, in bounded memory
my %large = (
	text => [ q{(SELECT string_agg(md5(i::text), '') FROM generate_series(1, 1600000) AS i)}, 51200000 ],
	bytea => [ q{decode((SELECT string_agg(md5(i::text), '') FROM generate_series(1, 3200000) AS i), 'hex')}, 2 + 102400000 ],
	jsonb => [ q{(SELECT jsonb_agg(md5(i::text)) FROM generate_series(1, 1400000) AS i)}, undef ],
	repeated => [ q{repeat('a', 50 * 1024 * 1024)}, 50 * 1024 * 1024 ],
);
$d->config({ log => 0 });
foreach my $kind (sort keys %large)
{
	my ($expression, $length) = @{ $large{$kind} };
	$a->sql("CREATE TABLE l_$kind AS SELECT 1 AS id, $expression AS v; INSERT INTO l_$kind (id) VALUES (2)");
	create("l_$kind", "l_$kind", 'v');
	my $session = Session->start($a->node, 'postgres');
	$session->query('SET pg_activate.progress_interval = 0');
	my ($before, $peak, $start) = (own_memory($session->pid), 0, time);
	$session->send("CALL activate.run_sync('l_$kind')");
	while ($session->is_busy)
	{
		my $now = own_memory($session->pid);
		$peak = $now if $now > $peak;
		sleep 0.005;
	}
	is($session->wait, '', sprintf '50 MB of %s: %.1f s, %.0f MB', $kind, time - $start, $peak);
	cmp_ok($peak, '<', 500, "$kind: in bounded memory") if $peak;
	cmp_ok(own_memory($session->pid), '<', $before + 60, "$kind: which is given back") if $peak;
	my $records = $d->lines('records', "l_$kind");
	cmp_ok(length $records, '>', $length // 45000000, "$kind: it is there");
	$d->reset;
	$d->config({ log => 0 });
	$session->query("CALL activate.run_sync('l_$kind')");
	is($d->stats->{requests}, 0, "$kind: unchanged, nothing is sent");
	$session->stop;
	$a->sql("DROP TABLE l_$kind; SELECT activate.drop_sync('l_$kind')");
	$d->reset;
	$d->config({ log => 0 });
}

# given a value that no request can carry, then its row is invalid, and named;
# the others go
$a->sql("CREATE TABLE over AS SELECT 1 AS id, convert_to(repeat('a', 140 * 1024 * 1024), 'UTF8') AS v; INSERT INTO over VALUES (2, 'x')");
create('over', 'over', 'v');
$a->sql("SELECT activate.alter_sync('over', options => '{\"max_invalid\": 10}')");
$run = $a->run('over');
is_deeply([ @$run{qw(status accepted invalid)} ], [ 'partial', 1, 1 ], 'a row over the limit is left out') or diag($run->{text});
like($a->sql(q{SELECT key::text || ' ' || message FROM activate.rejections WHERE sync = 'over'}), qr/^\{"id": 1\}.* MB/, 'and named, with its size');

$a->sums_hold('large');
done_testing();
