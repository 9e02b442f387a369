# delivery at_most_once: what may have been applied is not sent again before a
# person says so; the row is unknown, and listed.
use strict;
use warnings;

use Activate;
use Destination;
use IO::Socket::INET;
use JSON::PP;
use Test::More;
use Time::HiRes qw(sleep time);

my $activate = Activate->start('at_most_once');
my $d = Destination->start;
$activate->server('crm', $d, timeout => '1s', concurrency => 1);

# The webhook, but for what it promises of repeated requests.
$activate->sql(q{INSERT INTO activate.connector (name, spec)
	SELECT 'careful', replace(replace(spec::text, '"webhook"', '"careful"'), '"idempotent": true,', '')::json
	FROM activate.connector WHERE name = 'webhook'});
$activate->server('careful', $d, connector => 'careful', timeout => '1s');

my $count = 0;

sub fresh
{
	my ($rows, %option) = @_;
	my $name = 's' . ++$count;
	my %options = (delivery => 'at_most_once', batch_size => 2, max_removed => '100 %', %{ $option{options} // {} });
	my $mode = $option{mode} // 'append';

	$options{first_run} = 'send' if $mode eq 'append';
	delete $options{delivery} if ($options{delivery} // '') eq '';
	my $options = encode_json(\%options);
	$activate->sql("CREATE TABLE $name (id int PRIMARY KEY, v text); INSERT INTO $name SELECT i, 'v' || i FROM generate_series(1, $rows) AS i;"
		. " SELECT activate.create_sync('$name', '$name', 'id', '" . ($option{destination} // 'crm') . "', 'c', mapping => 'v', mode => '$mode',"
		. ($option{on_removed} ? " on_removed => '$option{on_removed}'," : '') . " options => '$options');"
		. " UPDATE activate.sync SET first_batch_alone = false WHERE name = '$name'");
	$d->reset;
	return $name;
}

sub states
{
	my ($sync) = @_;
	return $activate->sql("SELECT string_agg(state || ' ' || n, ', ' ORDER BY state) FROM"
		. " (SELECT activate_state AS state, count(*) AS n FROM activate_data.$sync GROUP BY 1) AS s");
}

# How often each key went out.
sub sent
{
	my %times;
	$times{ $_->{key}{id} }++ for @{ $d->rows };
	return join ' ', map { "$_:$times{$_}" } sort { $a <=> $b } keys %times;
}

# given an answer that is lost in any way, then its rows are unknown, sent once, and listed
foreach my $fault ({ close => 'after' }, { close => 'after', reset => 1 }, { close => 'mid' }, { close => 'before' },
	{ status => 500, apply => 'before' }, { status => 502 }, { status => 408 }, { hang => 1, apply => 'before' },
	{ results => 'cut' }, { results => 'short' }, { results => 'unknown' }, { chunked_bad => 1 })
{
	my $sync = fresh(2);
	my $what = encode_json($fault);

	$d->script({ %$fault, times => 1 });
	my $run = $activate->run($sync);
	is("$run->{status} $run->{unknown} $run->{requests} $run->{retries}", 'failed 2 1 0', "$what: asked once, and the run says so")
	  || diag $run->{text};
	is(states($sync), 'unknown 2', "$what: unknown");
	is($activate->sql("SELECT string_agg(DISTINCT state || ' ' || (message IS NOT NULL), ',') FROM activate.pending WHERE sync = '$sync'"),
		'unknown true', "$what: listed with what was heard last");
	$run = $activate->run($sync);
	is("$run->{sqlstate} $run->{status} $run->{unknown} $run->{requests}", '01PA1 partial 2 0', "$what: not sent again");
	like($run->{text}, qr/2 unknown/, "$what: and the warning counts them");
	is($activate->sql("SELECT string_agg(severity || ' ' || details, ',') FROM activate.events WHERE kind = 'unknown' AND sync = '$sync'"),
		'warning {"rows": 2}', "$what: and one event told of them");
}

# given a connection that the destination closed meanwhile, then the request is not repeated on another
{
	my $sync = fresh(6);

	$d->script({ match => { after => 1 }, close => 'before', times => 1 });
	my $run = $activate->run($sync);
	is($run->{requests}, scalar(@{ $d->requests }), 'no request went out that was not counted');
	is("$run->{accepted} $run->{unknown}", '4 2', 'one batch of three is unknown, the others go on') || diag $run->{text};
	is(sent(), '1:1 2:1 5:1 6:1', 'nothing was applied twice');
}

# given the run is killed with its requests applied, then a later run finds them unknown: no duplicate
foreach my $point (qw(after_send before_settle))
{
	my $sync = fresh(6);

	$activate->run($sync, faults => "$point:kill");
	my $run = $activate->run($sync);
	# Answers are written down in groups: another request may have gone out meanwhile.
	ok($run->{unknown} == 2 || ($point eq 'before_settle' && $run->{unknown} == 4), "$point: the rows of its requests are unknown")
	  || diag $run->{unknown};
	is($activate->sql("SELECT details ->> 'rows' FROM activate.events WHERE kind = 'unknown' AND sync = '$sync'"),
		$run->{unknown}, "$point: and told of");
	$activate->run($sync) for 1 .. 3;
	unlike(sent(), qr/:[^1]/, "$point: no key was sent twice: " . sent());
	is($activate->sql("SELECT count(*) FROM activate.claim"), 0, "$point: no claim is left");
	is($activate->sql("SELECT count(*) FROM activate_data.$sync WHERE activate_state NOT IN ('accepted', 'unknown')"), 0,
		"$point: all others are accepted");
}

# given the session is cancelled while it waits for an answer, then its rows are unknown
{
	my $sync = fresh(2);

	$d->script({ hang => 1, apply => 'before' });
	my $under_way = $activate->begin($sync);
	$d->wait_for_requests(1);
	$activate->sql('SELECT pg_cancel_backend(' . $activate->backend . ')');
	my $run = $activate->end($under_way);
	is("$run->{status} $run->{unknown}", 'cancelled 2', 'cancelled: unknown');
	is($activate->run($sync)->{requests}, 0, 'cancelled: not sent again');
}

# given what is certain, then it is as ever: refused, delayed and tried again
{
	my $sync = fresh(2);

	$d->script({ status => 429, headers => { 'Retry-After' => '0' } });
	is($activate->run($sync)->{accepted}, 2, '429: tried again');
	$sync = fresh(2);
	$d->script({ reject_rows => { where => 'v1', error => 'no' } });
	my $run = $activate->run($sync);
	is("$run->{accepted} $run->{rejected} $run->{unknown}", '1 1 0', 'a refusal is no unknown');
	is($activate->run($sync, set => { 'pg_activate.debug_clock_offset' => 3600 })->{accepted}, 1, 'and is tried again');

	my $closed = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1');
	my $port = $closed->sockport;
	close $closed;
	$activate->sql("CREATE SERVER nobody FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url 'http://127.0.0.1:$port')");
	$sync = fresh(2, destination => 'nobody');
	$run = $activate->run($sync);
	is("$run->{delayed} $run->{unknown} $run->{requests}", '2 0 5', 'nobody listens: nothing is unknown, and all tries are used');
}

# given a destination that is down, then the first lost answer ends the run: not all rows become unknown
{
	my $sync = fresh(100);

	$d->script({ status => 500, times => -1 });
	my $run = $activate->run($sync);
	is("$run->{status} $run->{requests} $run->{unknown} $run->{delayed}", 'failed 1 2 98', 'down: one request is lost, and no more');
}

# given some of it came through before, then a lost answer does not end the run, but several in a row do
{
	my $sync = fresh(20);

	$d->script({ match => { after => 2 }, status => 500, times => -1 });
	my $run = $activate->run($sync);
	is("$run->{status} $run->{requests} $run->{accepted} $run->{unknown} $run->{delayed}", 'failed 5 4 6 10', 'down later: three are lost');
}

# given a person decides, then it is sent, or counts as sent
{
	my $sync = fresh(4);

	$d->script({ status => 500, apply => 'before', times => 2 });
	$activate->run($sync) for 1 .. 2;
	is(states($sync), 'unknown 4', 'four are unknown');
	my $run = $activate->run($sync, args => q(keys => '[1]'));
	is("$run->{status} $run->{accepted}", 'succeeded 1', 'named, it is sent');
	is(sent(), '1:2 2:1 3:1 4:1', 'it and no other');
	$activate->sql("SELECT activate.reset_sync('$sync', 'baseline')");
	is(states($sync), 'accepted 4', 'or it is taken as sent');
	is($activate->run($sync)->{status}, 'succeeded', 'and nothing is left');
}

# given an unknown event changes, leaves and comes back, then it stays unknown
{
	my $sync = fresh(1);

	$d->script({ close => 'after' });
	$activate->run($sync);
	$activate->sql("UPDATE $sync SET v = 'other'");
	is($activate->run($sync)->{unknown}, 1, 'changed: unknown');
	$activate->sql("DELETE FROM $sync");
	is($activate->run($sync)->{requests}, 0, 'gone: nothing is sent');
	is(states($sync), 'unknown 1', 'gone: unknown');
	$activate->sql("INSERT INTO $sync VALUES (1, 'v1')");
	is($activate->run($sync)->{unknown}, 1, 'back: unknown');
	is(sent(), '1:1', 'sent once');
	like($activate->sql("SELECT explanation FROM activate.explain_row('$sync', '1')"),
		qr/ask twice is not safe\. It is sent only by CALL/, 'explained');
}

# given an unknown record changes or leaves, where a newer version replaces the older one, then that is sent
{
	my $sync = fresh(2, mode => 'mirror', on_removed => 'update', options => { removed_mapping => 'false AS active', batch_size => 1 });

	$d->script({ match => { after => 1 }, close => 'after' });
	$activate->run($sync);
	is(states($sync), 'accepted 1, unknown 1', 'one is unknown');
	$activate->sql("UPDATE $sync SET v = 'other' WHERE id = 1; DELETE FROM $sync WHERE id = 2");
	my $run = $activate->run($sync);
	is("$run->{accepted} $run->{unknown} $run->{delayed}", '1 0 1', 'a newer version waits while the older one may still come');
	$activate->outlive_late($sync);
	$run = $activate->run($sync);
	is("$run->{accepted} $run->{unknown}", '1 0', 'and then goes');
	is(states($sync), 'accepted 1, removed 1', 'and accepted');

	$activate->sql("DELETE FROM $sync");
	$activate->sql("INSERT INTO $sync VALUES (0, 'zero')");
	$d->script({ close => 'after', match => { contains => 'active' } });
	$run = $activate->run($sync);
	is("$run->{accepted} $run->{unknown}", '1 1', 'a removal may be unknown, too') || diag $run->{text};
	is($activate->run($sync)->{requests}, 0, 'and is not sent again');
	is($activate->sql("SELECT op || ' ' || state FROM activate.pending WHERE sync = '$sync'"), 'update unknown', 'but listed');
}

# given an operation that is not idempotent, then that is the default, and at_least_once says otherwise
{
	my $sync = fresh(2, destination => 'careful', options => { delivery => '' });
	$d->script({ status => 500, apply => 'before' });
	my $run = $activate->run($sync);
	is("$run->{unknown} $run->{requests}", '2 1', 'not idempotent: at most once');

	$sync = fresh(2, destination => 'careful', options => { delivery => 'at_least_once' });
	$d->script({ status => 500, apply => 'before' });
	$run = $activate->run($sync);
	is("$run->{accepted} $run->{requests}", '2 2', 'at least once, since somebody says so');

	$sync = fresh(2, options => { delivery => '' });
	$d->script({ status => 500, apply => 'before' });
	is($activate->run($sync)->{accepted}, 2, 'idempotent: at least once');
}

# given the definition changes after a crash, then the claim says how it was sent
{
	my $sync = fresh(2);

	$activate->run($sync, faults => 'before_settle:kill');
	$activate->sql("SELECT activate.alter_sync('$sync', options => '{\"delivery\": \"at_least_once\"}')");
	is($activate->run($sync)->{unknown}, 2, 'sent at most once: unknown');
	is(sent(), '1:1 2:1', 'sent once');
}

$activate->sums_hold('at most once');
done_testing();
