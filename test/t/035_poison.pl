# Bad rows among good ones, and destinations that refuse everything, from the
# beginning or from some moment on.
use strict;
use warnings;

use Activate;
use Destination;
use POSIX qw(ceil);
use Test::More;
use Time::HiRes qw(time);

my $activate = Activate->start('poison');
my $d = Destination->start;
$activate->server('crm', $d, timeout => '5s');

my $table = 0;

# A fresh sync over $rows rows; its name.  proven: it has sent before, so that no first batch goes alone.
sub fresh
{
	my ($rows, $batch_size, %option) = @_;
	my $name = 'p' . ++$table;
	my $options = sprintf '{"batch_size": %d, "max_rejected": "%s"}', $batch_size, $option{max_rejected} // '10 %';

	$activate->sql("CREATE TABLE $name (id int PRIMARY KEY, v text, city text);"
		. " INSERT INTO $name SELECT i, 'v' || i, 'Rome' FROM generate_series(1, $rows) AS i;"
		. " SELECT activate.create_sync('$name', '$name', 'id', 'crm', 'c', mapping => 'v, city', mode => 'upsert', options => '$options')");
	$activate->sql("UPDATE activate.sync SET first_batch_alone = false WHERE name = '$name'") if $option{proven};
	$d->reset;
	$d->config({ log => 0 });
	return $name;
}

sub requests { return $d->stats->{requests} }
sub count { my ($sync, $where) = @_; return $activate->sql("SELECT count(*) FROM activate_data.$sync WHERE $where") }

sub log2_up { my ($n) = @_; return ceil(log($n) / log(2) - 1e-9) }

# given three bad rows in 10 000 and a destination that refuses whole batches,
# then 9 997 are accepted in the same run, with few requests
foreach my $batch_size (100, 500, 1000)
{
	foreach my $bad ([ 1357, 4999, 8642 ], [ 2001, 2050, 2099 ], [ 5000, 5001, 5002 ], [ 1, 5555, 10000 ])
	{
		my $sync = fresh(10000, $batch_size);
		my $list = join ', ', @$bad;

		$activate->sql("UPDATE $sync SET v = 'poison' WHERE id IN ($list)");
		$d->script({ refuse_batch_if => 'poison', body => '{"error": "no such person"}', times => -1 });
		my $run = $activate->run($sync);
		my $extra = $run->{requests} - 10000 / $batch_size;
		my $bound = 3 * log2_up($batch_size) + 6;
		is("$run->{status} $run->{accepted} $run->{rejected} $run->{delayed}", 'partial 9997 3 0',
			"rows $list are bad, batches of $batch_size: all others arrive") || diag $run->{text};
		cmp_ok($extra, '<=', $bound, "rows $list are bad, batches of $batch_size: $run->{requests} requests, $extra more than without, at most $bound");
		note "rows $list, batches of $batch_size: $run->{requests} requests, $extra more";
		is($activate->sql("SELECT string_agg(key::text || message, ' ' ORDER BY (key ->> 'id')::int) FROM activate.rejections WHERE sync = '$sync'"),
			join(' ', map { qq({"id": $_}HTTP 400: no such person) } @$bad), 'just these are rejected, with the reason');
		is($activate->sql('SELECT count(*) FROM activate.claim'), 0, 'no claim is left');
	}
}

# given a field that the destination does not know, in 184 220 rows, then at
# most 20 requests, nobody is charged, and the error says what to do
foreach my $kind (qw(batch row))
{
	foreach my $proven (0, 1)
	{
		foreach my $batch_size (100, 1000)
		{
			my $what = "every $kind refused, batches of $batch_size, " . ($proven ? 'concurrency 4' : 'first batch alone');
			my $sync = fresh(184220, $batch_size, proven => $proven);
			$d->script($kind eq 'batch' ? { status => 422, body => q({"error": "unknown field 'city'"}), times => -1 }
				: { reject_rows => { where => '"op"', error => q(unknown field 'city') }, times => -1 });
			my $start = time;
			my $run = $activate->run($sync);
			is("$run->{sqlstate} $run->{status} $run->{delayed} $run->{rejected}", 'PA001 failed 184220 0', "$what: stops")
			  || diag $run->{text};
			cmp_ok(requests(), '<=', 20, "$what: " . requests() . ' requests');
			note sprintf '%s: %d requests, %.1f s', $what, requests(), time - $start;
			like($run->{text}, qr/refuses every row for the same reason/, "$what: the error says so");
			like($run->{text}, qr/field "city": .*unknown field 'city'.* 0 rows not sent|field "city": .*unknown field 'city'.*rows not sent; nothing counts/,
				"$what: with the field, the reason");
			like($run->{text}, qr/Correct field "city" or leave it out: SELECT activate\.alter_sync\('$sync'/, "$what: and what to type");
			is(count($sync, 'activate_attempts > 0'), 0, "$what: nobody is charged");
			is($activate->sql('SELECT count(*) FROM activate.claim'), 0, "$what: no claim is left");
		}
	}
}

# given a destination that begins to refuse everything after thousands of rows,
# then the run stops soon, and the rows of that time are charged nothing
foreach my $kind (qw(batch row))
{
	foreach my $batch_size (100, 500)
	{
		my $what = "refused from the 5001st row on, every $kind, batches of $batch_size";
		my $sync = fresh(20000, $batch_size, proven => 1);
		my $after = 5000 / $batch_size;
		$d->script($kind eq 'batch' ? { match => { after => $after }, status => 400, body => '{"error": "quota of the day"}', times => -1 }
			: { match => { after => $after }, reject_rows => { where => '"op"', error => 'quota of the day' }, times => -1 });
		my $run = $activate->run($sync);
		is("$run->{sqlstate} $run->{status} $run->{accepted} $run->{rejected} $run->{delayed}", 'PA001 failed 5000 0 15000', "$what: stops")
		  || diag $run->{text};
		cmp_ok($run->{requests} - $after, '<=', 24, "$what: " . ($run->{requests} - $after) . ' requests since');
		like($run->{text}, qr/begun to refuse every row.*quota of the day.*5000 rows were accepted/s, "$what: the error says so");
		is(count($sync, "activate_state <> 'accepted'"), 0, "$what: nobody is charged");
		$d->script([]);
		$run = $activate->run($sync);
		is("$run->{status} $run->{accepted}", 'succeeded 15000', "$what: the next run goes on");
	}
}

# given rows that are fine one by one and refused together, then each is sent
# alone at worst, and nobody is charged
{
	my $sync = fresh(400, 50);
	$d->script({ match => { contains => '},{"op"' }, status => 400, times => -1 });
	my $run = $activate->run($sync);
	is("$run->{status} $run->{accepted} $run->{rejected}", 'succeeded 400 0', 'refused together: all arrive');
	cmp_ok($run->{requests}, '>=', 400, 'refused together: each alone in the end');
	cmp_ok($run->{requests}, '<=', 800, "refused together: $run->{requests} requests for 400 rows");
}

# given a size that the destination does not take, then it is remembered
{
	my $sync = fresh(5000, 500);
	$d->config({ max_rows => 130, log => 0 });
	my $run = $activate->run($sync);
	is("$run->{status} $run->{accepted} $run->{rejected}", 'succeeded 5000 0', '413: all arrive');
	cmp_ok($run->{requests}, '<=', 5000 / 65 + 8, "413: $run->{requests} requests, not each batch is refused first");
	$d->config({ max_rows => 0 });
}

# given an answer that is lost in the middle of a search, then the doubt is
# that of the rows in that request
{
	my $sync = fresh(64, 64);
	$activate->sql("UPDATE $sync SET v = 'poison' WHERE id = 64");
	$activate->sql("ALTER SERVER crm OPTIONS (SET timeout '300ms')");
	$d->script({ refuse_batch_if => 'poison', times => -1 }, { match => { contains => '"id": 33' }, hang => 1, apply => 'before', times => 9 });
	my $run = $activate->run($sync);
	$activate->sql("ALTER SERVER crm OPTIONS (SET timeout '5s')");
	is(count($sync, 'activate_in_doubt AND activate_state IS NOT NULL'), 16, 'a probe without an answer: its rows are in doubt') || diag $run->{text};
	is($activate->sql("SELECT min(id) || ' ' || max(id) FROM activate_data.$sync WHERE activate_in_doubt"), '33 48', 'and no others');
	is($activate->sql('SELECT count(*) FROM activate.claim'), 0, 'no claim is left');
	$d->script({ refuse_batch_if => 'poison', times => -1 });
	$run = $activate->run($sync);
	is(count($sync, "activate_state = 'accepted'"), 63, 'the next run brings all of the others') || diag $run->{text};
}

# given a search that a crash interrupts, then nothing is lost: what was
# answered and written down stays, the rest is in doubt
{
	my $sync = fresh(1000, 100);
	$activate->sql("UPDATE $sync SET v = 'poison' WHERE id IN (150, 151, 777)");
	$d->script({ refuse_batch_if => 'poison', times => -1 });
	$activate->run($sync, faults => 'after_settle:kill');
	$activate->run($sync, faults => 'before_settle:kill');
	my $run = $activate->run($sync);
	is(count($sync, "activate_state = 'accepted'"), 997, 'killed in a search: all good ones arrive');
	is($activate->sql("SELECT string_agg(id::text, ' ' ORDER BY id) FROM activate_data.$sync WHERE activate_state = 'rejected'"),
		'150 151 777', 'killed in a search: just the bad ones are rejected');
	is($activate->sql('SELECT count(*) FROM activate.claim'), 0, 'killed in a search: no claim is left');
}

$activate->sums_hold('poison');
done_testing();
