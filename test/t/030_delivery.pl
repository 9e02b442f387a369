# What becomes of rows on their way: retries, refusals, limits, the brake, and
# what run_sync() raises.
use strict;
use warnings;

use Activate;
use Destination;
use IO::Socket::INET;
use JSON::PP;
use POSIX qw(ceil strftime);
use Test::More;
use Time::HiRes qw(time);

my $activate = Activate->start('delivery');
my $d = Destination->start;
$activate->server('crm', $d, timeout => '5s');

my $table = 0;

# A fresh sync over a fresh table of $rows rows; its name.
sub fresh
{
	my ($rows, %option) = @_;
	my $name = 's' . ++$table;
	my $options = encode_json($option{options} // {});
	my $mode = $option{mode} // 'upsert';

	$activate->sql("CREATE TABLE $name (id int PRIMARY KEY, v text);"
		. " INSERT INTO $name SELECT i, 'v' || i FROM generate_series(1, $rows) AS i;"
		. " SELECT activate.create_sync('$name', '$name', 'id', 'crm', 'c', mapping => 'v', mode => '$mode',"
		. ($mode eq 'mirror' ? " on_removed => 'delete'," : '')
		. " options => '$options')");
	$d->reset;
	return $name;
}

# The same with all rows accepted once, and all of them changed since.
sub changed
{
	my ($rows, %option) = @_;
	my $name = fresh($rows, %option);
	$activate->run($name);
	$activate->sql("UPDATE $name SET v = 'w' || id");
	return $name;
}

sub requests { return $d->stats->{requests} }

sub state_of
{
	my ($sync, $key) = @_;
	my $row = $activate->row($sync, $key);
	return ref $row ? $row->{activate_state} : 'none';
}

sub attempts { return $activate->sql("SELECT coalesce(sum(activate_attempts), 0) FROM activate_data.$_[0]") }

sub is_run
{
	my ($run, $wanted, $name) = @_;
	my %got = map { $_ => $run->{$_} // '' } keys %$wanted;
	return is_deeply(\%got, $wanted, $name) || diag $run->{text}, explain $run;
}

# ------------------------------------------------------------ tries again

# given faults of the transport, when they end, then the run never noticed
foreach my $fault ({ close => 'before' }, { close => 'after' }, { close => 'after', reset => 1 }, { close => 'mid' },
	{ status => 500 }, { status => 502, apply => 'before' }, { status => 503 }, { status => 408 })
{
	my $sync = fresh(10);
	my $what = encode_json($fault);

	$d->script({ %$fault, times => 2 });
	my $run = $activate->run($sync);
	is_run($run, { sqlstate => '', status => 'succeeded', accepted => 10 }, "$what twice: then accepted");
	is(scalar @{ $d->records('c') }, 10, "$what twice: all there");
}

# given a destination that is down, then the run fails after five tries and everything is in doubt
{
	my $sync = fresh(10);
	$d->script({ status => 500, times => -1 });
	my $run = $activate->run($sync);
	is_run($run, { sqlstate => 'PA001', status => 'failed', delayed => 10, requests => 5, retries => 4 }, 'down: failed');
	is(state_of($sync, 1), 'doubt', 'down: in doubt, since a 5xx says nothing');
	is(attempts($sync), 0, 'down: nobody is charged');
	my $ids = join ' ', map { $_->{change_id} } @{ $d->rows };
	$d->reset;
	is_run($activate->run($sync), { status => 'succeeded', accepted => 10 }, 'up again: accepted');
	my %before = map { $_ => 1 } split / /, $ids;
	is(scalar(grep { !$before{ $_->{change_id} } } @{ $d->rows }), 0, 'the same versions have their change_ids again');
}

# given nobody who listens, then nothing is in doubt
{
	my $closed = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1');
	my $port = $closed->sockport;
	close $closed;
	$activate->sql("CREATE SERVER nobody FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url 'http://127.0.0.1:$port');"
		. " CREATE TABLE n (id int PRIMARY KEY, v text); INSERT INTO n VALUES (1, 'a');"
		. " SELECT activate.create_sync('n', 'n', 'id', 'nobody', mapping => 'v')");
	my $run = $activate->run('n');
	is_run($run, { sqlstate => 'PA001', status => 'failed', delayed => 1 }, 'nobody listens: failed');
	is($activate->sql('SELECT count(*) FROM activate_data.n'), 0, 'nobody listens: certainly not applied');
}

# given pauses between tries, then they grow and are not all alike
{
	my $sync = fresh(1);
	$d->script({ status => 500, times => 4 });
	my $start = time;
	my $run = $activate->run($sync, set => { 'pg_activate.debug_retry_pause' => '100ms' });
	is_run($run, { status => 'succeeded', retries => 4 }, 'four retries');
	my @times = map { $_->{time} } @{ $d->requests };
	my @pauses = map { $times[$_] - $times[ $_ - 1 ] } 1 .. $#times;
	ok(!(grep { $pauses[$_] > 0.1 * 2**$_ + 0.3 } 0 .. 3), "pauses within their bounds: @pauses");
}

# given 429, then what Retry-After asks is waited for
foreach my $form (qw(seconds date))
{
	my $sync = fresh(10);
	my $value = $form eq 'seconds' ? 1 : strftime('%a, %d %b %Y %H:%M:%S GMT', gmtime(time + 4));
	$d->script({ status => 429, headers => { 'Retry-After' => "$value" } });
	my $run = $activate->run($sync);
	is_run($run, { status => 'succeeded', accepted => 10, requests => 2 }, "429, Retry-After in $form: accepted");
	my @times = map { $_->{time} } @{ $d->requests };
	cmp_ok($times[1] - $times[0], '>=', 0.99, "Retry-After in $form: waited");
}
{
	my $sync = fresh(10);
	$d->script({ status => 429, headers => { 'Retry-After' => '86400' }, times => -1 });
	is_run($activate->run($sync), { sqlstate => '01PA1', status => 'partial', delayed => 10, requests => 1 },
		'a day of patience is not asked of a run');
	is($activate->sql("SELECT count(*) FROM activate_data.$sync"), 0, '429 is certain: nothing is in doubt');
	$sync = fresh(10);
	$d->script({ status => 500, headers => { 'Retry-After' => '86400' }, times => -1 });
	is_run($activate->run($sync), { sqlstate => 'PA001', status => 'failed', delayed => 10, requests => 1 },
		'nor by a 500');
}

# ---------------------------------------------------------------- row by row

# given answers for each row, then each row has its own fate
{
	my $sync = fresh(10, options => { max_rejected => 100 });
	$d->script({ reject_rows => [
			{ where => '"v1"', error => 'no such city' },
			{ where => '"v2"', error => 'never', retry => 0 },
			{ where => '"v3"', status => 'absent' } ], times => -1 });
	my $run = $activate->run($sync);
	is_run($run, { sqlstate => '01PA1', status => 'partial', accepted => 7, rejected => 2, absent => 1 }, 'row by row');
	is_deeply([ map { state_of($sync, $_) } 1 .. 4 ], [qw(rejected refused absent accepted)], 'states');
	is($activate->row($sync, 1)->{activate_message}, 'no such city', "the destination's words");

	# back-off: a minute, then two
	my $seen = requests();
	is_run($activate->run($sync), { status => 'partial', added => 3, delayed => 1, skipped => 1, absent => 1 }, 'at once: not again');
	is(requests(), $seen, 'nothing was sent');
	$run = $activate->run($sync, set => { 'pg_activate.debug_clock_offset' => 61 });
	is_run($run, { rejected => 1, skipped => 1, absent => 1 }, 'a minute later: once more');
	is($activate->row($sync, 1)->{activate_attempts}, 2, 'two attempts');
	$run = $activate->run($sync, set => { 'pg_activate.debug_clock_offset' => 61 + 61 });
	is_run($run, { rejected => 0, delayed => 1 }, 'the pause has doubled');
	$run = $activate->run($sync, set => { 'pg_activate.debug_clock_offset' => 61 + 121 });
	is_run($run, { rejected => 1 }, 'two minutes later');
	is($activate->row($sync, 2)->{activate_attempts}, 1, 'refused for good is not asked again');

	# a person names the keys
	$run = $activate->run($sync, args => q{keys => '[1, {"id": 2}]'});
	is_run($run, { rejected => 2, added => 2 }, 'named: asked at once, both');

	# what changed is asked at once, and starts anew
	$activate->sql("UPDATE $sync SET v = '\"v1\"' || id WHERE id = 2; UPDATE $sync SET v = 'fine' WHERE id = 1");
	$run = $activate->run($sync);
	is_run($run, { accepted => 2, absent => 1 }, 'changed: asked at once');
	is($activate->row($sync, 1)->{activate_attempts}, 0, 'nothing is left of its refusals');
	$activate->sums_hold('row by row');
}

# given a destination that repeats the request in its errors, then no secret is kept
{
	my $sync = fresh(3, options => { max_rejected => 100 });
	$activate->sql("CREATE USER MAPPING FOR PUBLIC SERVER crm OPTIONS (bearer_token 'tell-nobody-42')");
	$d->script({ reject_rows => { where => '"v1"', error => 'bad token tell-nobody-42' } });
	is_run($activate->run($sync), { rejected => 1, accepted => 2 }, 'an error with our token');
	is($activate->row($sync, 1)->{activate_message}, 'bad token ********', 'is kept without it');
	$activate->sql('DROP USER MAPPING FOR PUBLIC SERVER crm');
}

# given max_attempts, then a row is parked until it changes
{
	my $sync = fresh(10, options => { max_attempts => 2, max_rejected => 100 });
	$d->script({ reject_rows => { where => 'v1"', error => 'no' }, times => -1 });
	$activate->run($sync);
	$activate->run($sync, set => { 'pg_activate.debug_clock_offset' => 100 });
	my $run = $activate->run($sync, set => { 'pg_activate.debug_clock_offset' => 86400 * 30 });
	is_run($run, { rejected => 0, skipped => 1 }, 'parked');
	$activate->sql("UPDATE $sync SET v = 'another v1' WHERE id = 1");
	is_run($activate->run($sync), { rejected => 1 }, 'it changed: asked again');
	is($activate->row($sync, 1)->{activate_attempts}, 1, 'and charged from the beginning');
	isnt($activate->row($sync, 1)->{activate_next_attempt_at}, undef, 'not parked yet');
}

# given max_rows, then the first in key order go and the rest is delayed
{
	my $sync = fresh(10);
	is_run($activate->run($sync, args => 'max_rows => 4'),
		{ sqlstate => '01PA1', status => 'partial', accepted => 4, delayed => 6 }, 'max_rows');
	is_deeply([ map { $_->{key}{id} } @{ $d->rows } ], [ 1 .. 4 ], 'the first in key order');
	is_run($activate->run($sync), { status => 'succeeded', accepted => 6 }, 'the rest');
}

# given keys, then no other row is looked at, removed ones neither
{
	my $sync = changed(10, mode => 'mirror', options => { remove_after => '0 s' });
	$activate->sql("DELETE FROM $sync WHERE id IN (3, 4)");
	$d->reset;
	is_run($activate->run($sync, args => q{keys => '[1, 3]'}),
		{ status => 'succeeded', changed => 1, removed => 1, accepted => 2 }, 'keys');
	is_deeply([ map { "$_->{op} $_->{key}{id}" } @{ $d->rows } ], [ 'upsert 1', 'delete 3' ], 'only these');
}

# given remove_after, when a removed row comes back, then it waits anew
{
	my $sync = changed(10, mode => 'mirror', options => { remove_after => '1 hour' });
	my $hours = sub { return (set => { 'pg_activate.debug_clock_offset' => 3600 * $_[0] + 10 }) };
	$activate->run($sync);
	$activate->sql("DELETE FROM $sync WHERE id = 1");
	is_run($activate->run($sync), { leaving => 1, removed => 0 }, 'gone: leaving');
	$activate->sql("INSERT INTO $sync VALUES (1, 'new')");
	$d->script({ reject_rows => { where => 'new', error => 'no' } });
	is_run($activate->run($sync), { rejected => 1 }, 'back, and refused');
	$activate->sql("DELETE FROM $sync WHERE id = 1");
	is_run($activate->run($sync, $hours->(1)), { leaving => 1, removed => 0 }, 'gone again: leaving again');
	is_run($activate->run($sync, $hours->(2)), { leaving => 0, removed => 1, accepted => 1 }, 'an hour later: removed');
}

# given ids in answers, then they are kept and sent back
{
	my $sync = fresh(3);
	$activate->run($sync);
	is($activate->row($sync, 1)->{activate_external_id}, 'r1', 'the id is kept');
	$activate->sql("UPDATE $sync SET v = 'w'");
	my $seen = $d->requests->[-1]{seq};
	$activate->run($sync);
	is_deeply([ map { $_->{external_id} } @{ $d->rows($seen) } ], [qw(r1 r2 r3)], 'and sent back');
}

# ------------------------------------------------------- refused as a whole

# given three bad rows of 1000 in batches that are refused as a whole, then all
# others are accepted in the same run, with few requests
foreach my $bad ([ 137, 138, 139 ], [ 5, 50, 95 ], [ 1, 500, 1000 ], [ 1, 2, 3 ])
{
	my $sync = fresh(1000, options => { batch_size => 100 });
	$activate->sql("UPDATE $sync SET v = 'poison' || id WHERE id IN (" . join(',', @$bad) . ')');
	$d->script({ refuse_batch_if => 'poison', times => -1 });
	my $run = $activate->run($sync);
	my $extra = $run->{requests} - 10;
	my $limit = 3 * (3 * ceil(log(100) / log(2)) + 6);
	is_run($run, { sqlstate => '01PA1', status => 'partial', accepted => 997, rejected => 3 }, "@$bad are bad: the others arrive");
	cmp_ok($extra, '<=', $limit, "@$bad: $extra more requests, at most $limit");
	note "@$bad: $extra more requests";
	is($activate->sql("SELECT string_agg(id::text, ' ' ORDER BY id) FROM activate_data.$sync WHERE activate_state = 'rejected'"),
		"@$bad", 'just these are rejected');
}

# given a batch whose first try was applied and whose second is refused, then
# its rows are in doubt, however it is taken apart
foreach my $first ({ status => 500, apply => 'before' }, { close => 'after' })
{
	my $sync = changed(4);
	$d->script($first, { status => 400, times => -1 });
	$activate->run($sync, args => q{keys => '[1, 2]'});
	$d->script([]);
	is($activate->sql("SELECT count(*) FROM activate_data.$sync WHERE activate_in_doubt AND activate_fingerprint IS NULL"), 2,
		encode_json($first) . ', then 400: in doubt');
}

# given a connection that is used again and closed once the request is applied,
# then libcurl's second copy is no certainty either
{
	my $sync = changed(4, options => { batch_size => 2 });
	$d->script({ match => { after => 1 }, close => 'after' }, { match => { after => 1 }, status => 400, times => -1 });
	$activate->sql("ALTER SERVER crm OPTIONS (ADD concurrency '1')");
	my $seen = requests();
	my $run = $activate->run($sync);
	$activate->sql('ALTER SERVER crm OPTIONS (DROP concurrency)');
	note requests() - $seen . " requests, $run->{requests} of them ours";
	is($activate->sql("SELECT count(*) FROM activate_data.$sync WHERE activate_in_doubt"), 2, 'sent twice: in doubt');
}

# given bodies that are too large, then they are halved until they fit
{
	my $sync = fresh(100);
	$d->config({ max_rows => 10 });
	is_run($activate->run($sync), { status => 'succeeded', accepted => 100 }, '413: halved');
	cmp_ok(requests(), '<=', 32, '413: ' . requests() . ' requests');
	$d->config({ max_rows => 0 });
}

# ------------------------------------------------------------------ the brake

# given a field that the destination doesn't know, then the run stops soon and
# nobody is charged
foreach my $size (100, 2, 1)
{
	foreach my $kind (qw(batch row))
	{
		foreach my $first (1, 0)
		{
			my $what = "every $kind refused, batches of $size" . ($first ? ', first run' : '');
			my $sync = $first ? fresh(1000, options => { batch_size => $size }) : changed(1000, options => { batch_size => $size });
			$d->reset;
			$d->script($kind eq 'batch' ? { status => 422, body => '{"error":"unknown field v"}', times => -1 }
				: { reject_rows => { where => '"op"', error => 'unknown field v' }, times => -1 });
			my $run = $activate->run($sync);
			is_run($run, { sqlstate => 'PA001', status => 'failed', delayed => 1000, rejected => 0 }, $what);
			like($run->{text}, qr/unknown field v/, "$what: the destination's reason");
			cmp_ok(requests(), '<=', 20, "$what: " . requests() . ' requests');
			is(attempts($sync), 0, "$what: nobody is charged");
			$d->script([]);
			is_run($activate->run($sync), { status => 'succeeded', accepted => 1000 }, "$what: then corrected");
		}
	}
}

# given refusals for many reasons, then max_rejected ends the run
{
	my $sync = fresh(200, options => { batch_size => 10 });
	$d->script({ match => { after => 1 }, reject_rows => { where => '"op"', error => 'no' }, times => -1 });
	my $run = $activate->run($sync);
	is_run($run, { sqlstate => 'PA001', status => 'failed' }, 'max_rejected: failed');
	cmp_ok($run->{rejected}, '<=', 60, "max_rejected: $run->{rejected} of 200 were asked");
	is($run->{accepted} + $run->{rejected} + $run->{delayed}, 200, 'the rest is delayed');
}

# given credentials, an address or a redirect that is wrong, then one request is enough
foreach my $status (401, 403, 404, 302)
{
	my $sync = fresh(1000);
	$d->script({ $status == 302 ? (location => $d->url . '/elsewhere') : (status => $status), times => -1 });
	my $run = $activate->run($sync);
	is_run($run, { sqlstate => 'PA001', status => 'failed', delayed => 1000, requests => 1 }, "$status: stops");
	is($activate->sql("SELECT count(*) FROM activate_data.$sync"), 0, "$status: nothing in doubt, nobody charged");
	like($run->{text}, qr/HINT: .*elsewhere/s, 'the error says where the redirect leads') if $status == 302;
}

# given results that don't fit the rows, then they are in doubt
foreach my $results (qw(short long unknown cut))
{
	my $sync = changed(10);
	$d->script({ results => $results, times => -1 });
	my $run = $activate->run($sync);
	is_run($run, { sqlstate => 'PA001', delayed => 10 }, "results $results: failed");
	is($activate->sql("SELECT count(*) FROM activate_data.$sync WHERE activate_in_doubt"), 10, "results $results: in doubt");
}

# given a destination that waits, then waiting costs no CPU
{
	my $sync = changed(40, options => { batch_size => 1 });
	$d->script({ delay_ms => 300, times => 8 });
	my $seen = requests();
	my $under_way = $activate->begin($sync);
	$d->wait_for_requests($seen + 4);
	my $pid = $activate->backend;
	my $ticks = sub { open my $f, '<', "/proc/$pid/stat" or return 0; my @f = split ' ', <$f>; return $f[13] + $f[14] };
	my $before = $ticks->();
	$d->wait_for_requests($seen + 8);
	cmp_ok($ticks->() - $before, '<=', 10, 'less than 100 ms of CPU in 300 ms of waiting');
	is_run($activate->end($under_way), { status => 'succeeded', accepted => 40 }, 'all the same');
}

# ------------------------------------------------------- what run_sync raises

# given a run under way, then another one is refused, naming the process
{
	my $sync = fresh(10);
	$d->script({ hang => 1, times => -1 });
	my $under_way = $activate->begin($sync, set => { 'pg_activate.debug_retry_pause' => '1ms' });
	$d->wait_for_requests(1);
	my $pid = $activate->backend;
	my $run = $activate->run($sync);
	is($run->{sqlstate}, '55006', 'already running');
	like($run->{text}, qr/Process $pid runs it/, 'by whom');
	$activate->sql("SELECT pg_cancel_backend($pid)");
	$run = $activate->end($under_way);
	is_run($run, { sqlstate => '57014', status => 'cancelled', delayed => 10 }, 'cancelled');
	is(state_of($sync, 1), 'doubt', 'what was under way is in doubt');
	$d->script([]);
	is_run($activate->run($sync), { sqlstate => '', status => 'succeeded' }, 'free again');
}

# given max_run_time, then the run ends by itself
{
	my $sync = fresh(1000, options => { batch_size => 1, max_run_time => '300 ms' });
	$d->config({ delay_ms => 20 });
	my $run = $activate->run($sync);
	is_run($run, { sqlstate => 'PA003', status => 'cancelled' }, 'max_run_time');
	is($run->{accepted} + $run->{delayed}, 1000, 'the rest is delayed');
	$d->config({ delay_ms => 0 });
}

# given a mass change beyond a limit, then the run is held before its first byte
{
	my $sync = changed(200, options => { max_changed => '10 %' });
	my $seen = requests();
	is_run($activate->run($sync), { sqlstate => 'PA002', status => 'held', changed => 200, delayed => 200 }, 'held');
	is(requests(), $seen, 'nothing was sent');
}

# given a transaction that is not run_sync's own, then it is refused before anything is done
{
	my $sync = fresh(1);
	my $call = "CALL activate.run_sync('$sync')";
	$activate->sql("CREATE FUNCTION call_it() RETURNS void LANGUAGE plpgsql AS \$\$ BEGIN $call; END \$\$");
	my %refused = (
		'in a block' => "BEGIN;\n$call;\nROLLBACK;",
		'in a function' => 'SELECT call_it();',
		'under EXCEPTION' => "DO \$\$ BEGIN $call; EXCEPTION WHEN division_by_zero THEN NULL; END \$\$;",
		'after ; in one string' => "SELECT 1\\; $call;",
	);
	foreach my $where (sort keys %refused)
	{
		my ($status, $out, $err) = $activate->node->psql('postgres', "\\set VERBOSITY verbose\n$refused{$where}");
		like($err, qr/ERROR:  25001: run_sync cannot run inside a transaction block.*HINT: .*autocommit/s, $where);
	}
	is(requests(), 0, 'nothing was sent');
	is($activate->sql("SELECT count(*) FROM activate.run AS r JOIN activate.sync AS s USING (sync_id) WHERE s.name = '$sync'"), 0, 'no run');
	$activate->sql("DO \$\$ BEGIN $call; END \$\$");
	is(requests(), 1, 'a DO block is fine');
}

$activate->sums_hold('delivery');
done_testing();
