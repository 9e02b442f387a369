# What an answer means decides what becomes of the rows: throttling, refused
# credentials and a destination that is set up wrongly charge nobody, and what
# a connector's document says of its answers comes before what HTTP says.
use strict;
use warnings;

use Activate;
use Destination;
use ExpiredTls;
use JSON::PP;
use POSIX qw(floor strftime);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $hosts = "$ENV{TESTDATADIR}/hosts.$$";
my $secrets = PostgreSQL::Test::Utils::tempdir();
my $d = Destination->start;
my $activate;
{
	local %ENV = (%ENV, LD_PRELOAD => $ENV{ACT_SHIM}, ACT_SHIM_HOSTS_FILE => $hosts);
	write_file($hosts, 'gone.test=FAIL,later.test=HANG:0');
	$activate = Activate->start('answers');
	$activate->node->append_conf('postgresql.conf', "pg_activate.secrets_directory = '$secrets'");
	$activate->node->restart;
}
my $count = 0;
my $port = $d->port;

sub write_file
{
	my ($path, $content) = @_;
	open my $file, '>', "$path.new" or die "$path: $!";
	print $file $content;
	close $file;
	chmod 0600, "$path.new";
	rename "$path.new", $path or die $!;
	return;
}

# As HTTP writes it; LC_TIME is C in tests.
sub http_date { return strftime('%a, %d %b %Y %H:%M:%S GMT', gmtime $_[0]) }

# The webhook, with what a document says of its answers.
sub connector
{
	my ($name, $members, $outcomes) = @_;
	$outcomes //= '';
	$activate->sql("INSERT INTO activate.connector (name, spec) SELECT '$name',"
		. " replace(replace(replace(spec::text, '\"webhook\"', '\"$name\"'), '\"takes_key\": true,', \$\$\"takes_key\": true, $members,\$\$),"
		. " '\"outcomes\": [', \$\$\"outcomes\": [$outcomes\$\$)::json FROM activate.connector WHERE name = 'webhook'");
	return;
}

# A sync over so many rows, sent for the first time.
sub fresh
{
	my ($destination, $rows, $options) = @_;
	my $name = 's' . ++$count;
	$activate->sql("CREATE TABLE $name (id int PRIMARY KEY, v text); INSERT INTO $name SELECT i, 'v' || i FROM generate_series(1, $rows) AS i;"
		. " SELECT activate.create_sync('$name', '$name', 'id', '$destination', 'c', mapping => 'v', mode => 'upsert', options => '"
		. ($options // '{"batch_size": 2}') . "')");
	$d->reset;
	return $name;
}

sub charged { return $activate->sql("SELECT coalesce(sum(activate_attempts), 0) FROM activate_data.$_[0]") }

sub states
{
	my ($sync) = @_;
	return $activate->sql("SELECT string_agg(state || ' ' || n, ', ' ORDER BY state) FROM"
		. " (SELECT activate_state AS state, count(*) AS n FROM activate_data.$sync GROUP BY 1) AS s");
}

# The time until which a run that ended says that nothing is sent.
sub until_of
{
	my ($run) = @_;
	my ($until) = $run->{text} =~ /limits its rate until (.+?)(?:\. It asks .*)?$/m;
	return defined $until ? $activate->sql("SELECT extract(epoch FROM '$until'::timestamptz)") : 0;
}

# Seconds between a request and the next.
sub pause_after
{
	my ($n) = @_;
	my @requests = @{ $d->requests };
	return $requests[ $n + 1 ]{time} - $requests[$n]{time};
}

sub wait_until
{
	my ($what, $condition) = @_;
	my $until = time + 60;
	until ($condition->())
	{
		die "waited in vain for: $what" if time > $until;
		sleep 0.005;
	}
	return;
}

$activate->server('crm', $d, concurrency => 1);

# ------------------------------------------------------------------ throttled

# given a 429 that says how long, then nothing goes before, and the row is charged nothing
foreach my $case ([ 'seconds', sub { '1' }, 1 ], [ 'a fraction', sub { '1.25' }, 1.25 ],
	[ 'a date', sub { http_date($_[0]) }, undef ])
{
	my ($what, $value, $least) = @$case;
	my $sync = fresh('crm', 3);
	my $due = floor(time) + 3;
	$d->script({ status => 429, headers => { 'Retry-After' => $value->($due) }, times => 1 });
	my $run = $activate->run($sync);
	is($run->{status}, 'succeeded', "throttled, $what: the run waits and succeeds");
	if (defined $least) { cmp_ok(pause_after(0), '>=', $least - 0.01, "$what: nothing goes before"); }
	else { cmp_ok(time, '>=', $due, "$what: nothing goes before"); }
	is(scalar @{ $d->requests }, 3, "$what: one request more than batches");
	is(charged($sync), 0, "$what: nobody is charged");
}

# given more 429 than a request has tries, then it is still not given up
{
	my $sync = fresh('crm', 1);
	$d->script({ status => 429, times => 9 });
	is($activate->run($sync)->{status}, 'succeeded', 'throttling charges no try: nine times without a header');
}

# given a header that says when requests are counted anew, then in each form it is understood
foreach my $case ([ 'delta_s', sub { 900 } ], [ 'delta_ms', sub { 900_000 } ], [ 'epoch_s', sub { floor(time) + 900 } ],
	[ 'epoch_ms', sub { floor(1000 * time) + 900_000 } ], [ 'date', sub { http_date(time + 900) } ],
	[ 'auto', sub { floor(time) + 900 } ], [ 'auto', sub { 'limit=5, remaining=0, reset=900' } ])
{
	my ($form, $value) = @$case;
	my $name = "reset$count";
	connector($name, qq("rate": {"reset": {"header": "X-Reset", "as": "$form"}, "remaining": "X-Left"}));
	$activate->server($name, $d, connector => $name, concurrency => 1);
	my $sync = fresh($name, 5);
	my $said = $value->();
	$d->script({ status => 429, headers => { 'X-Reset' => "$said" }, times => 1 });
	my $run = $activate->run($sync);
	my $seconds = until_of($run) - time;
	is($run->{status}, 'partial', "$form ($said): the run does not wait for a quarter of an hour");
	ok($seconds <= 901 && $seconds >= 870, "$form: and says until when") or diag $run->{text};
	is(charged($sync), 0, "$form: nobody is charged");
	is($run->{delayed}, 5, "$form: all rows are delayed");
	is($activate->run($sync)->{status}, 'succeeded', "$form: and go with the next run");
}

# given a success that used up the last request, then nothing more goes before the reset
{
	my $name = "reset" . ($count - 1);
	my $sync = fresh($name, 5);
	$d->script({ status => 200, headers => { 'X-Left' => '0', 'X-Reset' => '900' }, times => 1 });
	my $run = $activate->run($sync);
	is($run->{status}, 'partial', 'nothing is left: the run ends');
	is("$run->{accepted} $run->{delayed}", '2 3', 'what went through is accepted');
	is(scalar @{ $d->requests }, 1, 'no request more');
	$sync = fresh($name, 5);
	$d->script({ status => 200, headers => { 'X-Left' => '0', 'X-Reset' => '1' }, times => 1 });
	is($activate->run($sync)->{status}, 'succeeded', 'a short wait is waited for');
	cmp_ok(pause_after(0), '>=', 0.99, 'before the second request');
	$sync = fresh($name, 2);
	$d->script({ status => 200, headers => { 'X-Left' => '0', 'X-Reset' => '900' }, times => 1 });
	is($activate->run($sync)->{status}, 'succeeded', 'after the last request nothing is lost by it');
}

# given a quota of a day, then it is over at midnight where the account is
connector('daily', q("rules": [{"status": [429], "at": "/policy", "in": ["DAILY"], "then": "throttle", "until": "midnight"}], "time_zone": "Asia/Kolkata"));
$activate->server('daily', $d, connector => 'daily');
$activate->server('daily_chatham', $d, connector => 'daily', time_zone => 'Pacific/Chatham');
$activate->server('daily_new_york', $d, connector => 'daily', time_zone => 'America/New_York');
foreach my $case ([ 'daily', 'Asia/Kolkata' ], [ 'daily_chatham', 'Pacific/Chatham' ], [ 'daily_new_york', 'America/New_York' ],
	[ 'daily_new_york', 'America/New_York', '2027-03-13 23:50:00-05', '2027-03-14 00:00:00-05' ],
	[ 'daily_new_york', 'America/New_York', '2027-03-14 00:10:00-05', '2027-03-15 00:00:00-04' ],
	[ 'daily_new_york', 'America/New_York', '2027-11-07 00:10:00-04', '2027-11-08 00:00:00-05' ])
{
	my ($server, $zone, $at, $midnight) = @$case;
	my $sync = fresh($server, 1);
	$d->script({ status => 429, body => '{"policy": "DAILY"}', headers => { 'Content-Type' => 'application/json', 'Retry-After' => '1' }, times => 1 });
	my $offset = defined $at ? $activate->sql("SELECT floor(extract(epoch FROM '$at'::timestamptz - clock_timestamp()))::int") : 0;
	my $left = defined $at ? $activate->sql("SELECT extract(epoch FROM '$midnight'::timestamptz - '$at')::int") :
		$activate->sql("SELECT ceil(extract(epoch FROM (date_trunc('day', clock_timestamp() AT TIME ZONE '$zone') + interval '1 day') AT TIME ZONE '$zone' - clock_timestamp()))::int");
	# A test that runs in the last minutes of a day somewhere finds a wait that is short enough.
	my $run = $activate->run($sync, set => { 'pg_activate.debug_clock_offset' => $offset });
	my $seconds = until_of($run) - time - $offset;
	if ($left > 310)
	{
		is($run->{status}, 'partial', "$zone: the run ends until midnight");
		cmp_ok(abs($seconds - $left), '<=', 20, "$zone: after $left s, says $seconds s");
	}
	is(charged($sync), 0, "$zone: nobody is charged");
}
{
	my ($ret, $out, $err) = $activate->node->psql('postgres',
		"CREATE SERVER nowhere FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url 'http://x', time_zone 'Europe/Pari')");
	like($err, qr/invalid value for option "time_zone": "Europe\/Pari" is no name of a time zone/, 'a time zone that there is not is refused');
}

# ------------------------------------------------------------------ credentials

# given a secret that is rotated in the middle of a run, then it goes on with the new one
write_file("$secrets/token", "first-token\n");
$activate->server('app', $d, concurrency => 3);
$activate->sql("CREATE USER MAPPING FOR PUBLIC SERVER app OPTIONS (bearer_token_file 'token')");
{
	my $sync = fresh('app', 12);
	$d->script({ delay_ms => 700, times => 1 });
	my $under_way = $activate->begin($sync);
	$d->wait_for_requests(1);
	write_file("$secrets/token", "second-token\n");
	$d->config({ require_auth => 'Bearer second-token' });
	my $run = $activate->end($under_way);
	is($run->{status}, 'succeeded', 'a rotated file: the run goes on');
	is($run->{accepted}, 12, 'every row is accepted');
	is(charged($sync), 0, 'nobody is charged');
	my @refused = grep { $_->{status} == 401 } @{ $d->requests };
	ok(@refused >= 1 && @refused <= 3, 'what was under way together was refused: ' . @refused);
	is(scalar @{ $d->requests }, 6 + @refused, 'and went once more');
}

# given a mapping that is altered in the middle of a run, then the same
$activate->server('app2', $d, concurrency => 1);
$activate->sql("CREATE USER MAPPING FOR PUBLIC SERVER app2 OPTIONS (bearer_token 'third-token')");
{
	my $sync = fresh('app2', 6);
	$d->script({ delay_ms => 700, times => 1 });
	my $under_way = $activate->begin($sync);
	$d->wait_for_requests(1);
	$activate->sql("ALTER USER MAPPING FOR PUBLIC SERVER app2 OPTIONS (SET bearer_token 'fourth-token')");
	$d->config({ require_auth => 'Bearer fourth-token' });
	my $run = $activate->end($under_way);
	is("$run->{status} $run->{accepted}", 'succeeded 6', 'an altered mapping: the run goes on');
}

# given credentials that are refused for good, then one request finds out, and no row is charged
{
	my $sync = fresh('app2', 6);
	$d->config({ require_auth => 'Bearer another' });
	my $run = $activate->run($sync);
	is($run->{status}, 'failed', '401 for good: the run fails');
	like($run->{text}, qr/destination "app2" refuses the credentials.*DETAIL: +HTTP 401.*HINT: +Check the secrets in the user mapping/s, 'and says why');
	is(scalar @{ $d->requests }, 1, 'after one request');
	is("$run->{delayed} " . charged($sync), '6 0', 'every row is delayed, none is charged');
}

# given new credentials that are refused as well, then each was tried once
{
	my $sync = fresh('app2', 6);
	$d->script({ delay_ms => 700, times => 1 });
	my $under_way = $activate->begin($sync);
	$d->wait_for_requests(1);
	$activate->sql("ALTER USER MAPPING FOR PUBLIC SERVER app2 OPTIONS (SET bearer_token 'fifth-token')");
	$d->script({ status => 401, body => 'who is fourth-token or fifth-token?', times => -1 });
	my $run = $activate->end($under_way);
	is($run->{status}, 'failed', 'the new ones are refused, too: the run fails');
	is(scalar(grep { $_->{status} == 401 } @{ $d->requests }), 2, 'each was tried once');
	like($run->{text}, qr/also with those that were set while the run was under way/, 'and it says so');
	unlike($run->{text}, qr/fourth-token|fifth-token/, 'neither secret is told');
	is(charged($sync), 0, 'nobody is charged');
}

# given credentials that cannot be read any more, then the run fails for the first reason and says the second
{
	my $sync = fresh('app', 6);
	write_file("$secrets/token", "second-token\n");
	$d->script({ delay_ms => 700, times => 1 });
	my $under_way = $activate->begin($sync);
	$d->wait_for_requests(1);
	unlink "$secrets/token" or die $!;
	$d->config({ require_auth => 'Bearer sixth-token' });
	my $run = $activate->end($under_way);
	is($run->{status}, 'failed', 'the file is gone: the run fails');
	like($run->{text}, qr/refuses the credentials.*HTTP 401.*cannot be read again: secret file "token" not found/s, 'and says both');
	is(charged($sync), 0, 'nobody is charged');
}

# given a server that leads elsewhere by now, then no new secret goes to the old place
$activate->server('moved', $d, concurrency => 1);
{
	my $sync = fresh('moved', 4);
	$d->script({ delay_ms => 700, times => 1 });
	my $under_way = $activate->begin($sync);
	$d->wait_for_requests(1);
	$activate->sql("ALTER SERVER moved OPTIONS (SET base_url 'http://localhost:$port');"
		. " CREATE USER MAPPING FOR PUBLIC SERVER moved OPTIONS (bearer_token 'for-the-new-place')");
	$d->script({ status => 401, times => -1 });
	my $run = $activate->end($under_way);
	is($run->{status}, 'failed', 'another address: the run fails');
	unlike(encode_json($d->requests), qr/for-the-new-place/, 'and the secret did not leave');
}

# given 403, then it is not asked again; a document may know better
foreach my $case ([ 'crm', 1 ], [ 'knows', 1 ])
{
	my ($server, $requests) = @$case;
	if ($server eq 'knows')
	{
		connector('knows', q("rules": [{"status": [403], "then": "auth"}]));
		$activate->server('knows', $d, connector => 'knows', concurrency => 1);
	}
	my $sync = fresh($server, 2);
	$d->script({ status => 403, times => -1 });
	my $run = $activate->run($sync);
	is("$run->{status} " . charged($sync), 'failed 0', "403 by $server: the run fails, nobody is charged");
	is(scalar @{ $d->requests }, $requests, 'after one request');
}

# ------------------------------------------------------------------ configuration

# A TLS server whose certificate is over.
my $tls = ExpiredTls->start("$secrets/expired.pem");
my $expired = $tls->url;
$activate->sql("CREATE SERVER over FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url '$expired', ca_file 'expired.pem');"
	. "CREATE SERVER gone FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url 'http://gone.test:$port');"
	. "CREATE SERVER later FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url 'http://later.test:$port')");

# given a destination that is set up wrongly, then the run stops at once, says what, and charges nobody
foreach my $case ([ 'over', undef, qr/certificate has expired/ ], [ 'gone', undef, qr/could not resolve host name "gone\.test"/ ],
	(map { [ 'crm', { status => $_, times => -1 }, qr/HTTP $_/ ] } 402, 404, 405, 410, 411, 415, 426, 428, 431, 501, 505, 511),
	[ 'crm', { status => 301, location => 'http://127.0.0.1:1/x', times => -1 }, qr/Redirects are not followed; this one leads to http:\/\/127\.0\.0\.1:1\/x/ ])
{
	my ($server, $script, $says) = @$case;
	my $what = defined $script ? $script->{status} : $server;
	my $sync = fresh($server, 4);
	$d->script($script) if defined $script;
	my $run = $activate->run($sync);
	is($run->{status}, 'failed', "$what: the run fails");
	like($run->{text}, qr/destination "$server" cannot be used as it is set up/, "$what: as it is set up");
	like($run->{text}, $says, "$what: and says what") or diag $run->{text};
	is("$run->{requests} $run->{delayed} " . charged($sync), '1 4 0', "$what: after one request, nobody is charged");
	is(states($sync), '', "$what: nothing is known of any row");
}
$tls->stop;

# given a name server that has no answer now, then it is a fault like another, tried again, and the destination is down
{
	my $sync = fresh('later', 2);
	my $run = $activate->run($sync);
	like($run->{text}, qr/destination "later" does not answer as it should.*5 tries, the last one: could not resolve host name "later\.test"/s,
		'a name server without an answer: five tries');
	is($activate->sql("SELECT down_since IS NOT NULL FROM activate.destination_state WHERE destination = 'later'"), 't', 'then it is down');
	is(charged($sync), 0, 'nobody is charged');
	write_file($hosts, 'gone.test=FAIL,later.test=127.0.0.1');
	is($activate->run($sync)->{status}, 'succeeded', 'a moment later it works');
}

# ------------------------------------------------------------------ a document's own

# given a document that overrides what a status means, then that counts
connector('own', q("rules": [
	{"status": [400], "at": "/error", "contains": "never again", "then": "refuse", "final": true},
	{"status": [404], "then": "refuse"},
	{"status": [403], "at": "/error", "in": ["slow down"], "then": "throttle", "wait": "1 s"},
	{"status": [400], "at": "/error", "in": ["too many rows"], "then": "halve"},
	{"status": [422], "then": "retry"},
	{"status": [409], "then": "rows"},
	{"status": [418], "then": "uncertain"},
	{"status": [420], "then": "auth"},
	{"status": [500], "then": "configuration"}]),
	q({"at": "/error", "in": ["busy"], "then": "retry"}, {"at": "/error", "in": ["limit"], "then": "throttled"},));
$activate->server('own', $d, connector => 'own', concurrency => 1);

sub json_answer { return (headers => { 'Content-Type' => 'application/json' }, body => encode_json({ error => $_[0] })) }

{
	my $sync = fresh('own', 8, '{"batch_size": 4}');
	$activate->sql("UPDATE $sync SET v = 'poison' WHERE id = 3; UPDATE activate.sync SET first_batch_alone = false WHERE name = '$sync'");
	$d->script({ refuse_batch_if => 'poison', json_answer('never again, please'), times => -1 });
	my $run = $activate->run($sync);
	is("$run->{accepted} $run->{rejected}", '7 1', 'refused for good: the row that causes it alone');
	is($activate->sql("SELECT activate_state || ' ' || activate_key FROM (SELECT activate_state, id AS activate_key FROM activate_data.$sync WHERE activate_state <> 'accepted') AS r"),
		'refused 3', 'which is refused');
	$d->reset;
	$run = $activate->run($sync, set => { 'pg_activate.debug_clock_offset' => 3 * 86400 });
	is($run->{requests}, 0, 'and is not sent again days later');
}
{
	my $sync = fresh('own', 4, '{"batch_size": 4}');
	$d->script({ status => 403, json_answer('slow down'), times => 1 });
	is($activate->run($sync)->{status}, 'succeeded', 'a 403 that throttles');
	cmp_ok(pause_after(0), '>=', 0.99, 'for as long as the document says');
	$sync = fresh('own', 4, '{"batch_size": 4}');
	$d->script({ status => 400, json_answer('too many rows'), times => 1 });
	is($activate->run($sync)->{status}, 'succeeded', 'a 400 that halves');
	is(join(' ', map { $_->{rows} } @{ $d->requests }), '4 2 2', 'in two halves');
	$sync = fresh('own', 4, '{"batch_size": 4}');
	$d->script({ status => 422, times => 2 });
	my $run = $activate->run($sync);
	is("$run->{status} $run->{requests}", 'succeeded 3', 'a 422 that is tried again');
	$sync = fresh('own', 4, '{"batch_size": 4}');
	$d->script({ status => 418, times => -1 });
	$run = $activate->run($sync);
	is($run->{status}, 'failed', 'a 418 that is uncertain');
	is(states($sync), 'doubt 4', 'leaves its rows in doubt');
	$sync = fresh('own', 4, '{"batch_size": 4}');
	$d->script({ status => 420, times => -1 });
	like($activate->run($sync)->{text}, qr/refuses the credentials/, 'a 420 about credentials');
	$sync = fresh('own', 4, '{"batch_size": 4}');
	$d->script({ status => 500, times => -1 });
	like($activate->run($sync)->{text}, qr/cannot be used as it is set up/, 'a 500 about the setup');
	is(states($sync), '', 'which leaves nothing in doubt');
}

# given a row that is put off, then it alone goes again, charged nothing
foreach my $error ('busy', 'limit')
{
	my $sync = fresh('own', 6, '{"batch_size": 3}');
	$d->script({ reject_rows => { where => '"v2"', status => 'rejected', error => $error }, times => 1 });
	my $run = $activate->run($sync);
	is("$run->{status} $run->{accepted}", 'succeeded 6', "$error: every row is accepted in one run");
	is(join(' ', sort map { $_->{rows} } @{ $d->requests }), '1 3 3', "$error: the row went again by itself");
	is(charged($sync), 0, "$error: and is not charged");
}

# given a destination that puts every row off for ever, then the run ends after a few tries
{
	my $sync = fresh('own', 9, '{"batch_size": 3}');
	$d->script({ reject_rows => { where => 'v', status => 'rejected', error => 'busy' }, times => -1 });
	my $run = $activate->run($sync);
	is("$run->{status} $run->{delayed}", 'failed 9', 'put off for ever: the run fails');
	is($run->{requests}, 5, 'after as many tries as a request has');
	is(charged($sync), 0, 'nobody is charged');
	$d->reset;
	is($activate->run($sync)->{status}, 'succeeded', 'until it takes them');
}

# ------------------------------------------------------------------ secrets

# given an answer that repeats the secret where its text is cut, then nothing of it is kept
$activate->sql("ALTER USER MAPPING FOR PUBLIC SERVER app2 OPTIONS (SET bearer_token 'Zq7Zq8Zq9Zq0Zq1Zq2Zq3Zq4')");
foreach my $before (1985, 1995, 1999)
{
	my $sync = fresh('app2', 1);
	$d->script({ status => 400, json_answer(('x' x $before) . 'Zq7Zq8Zq9Zq0Zq1Zq2Zq3Zq4 is wrong'), times => -1 });
	my $run = $activate->run($sync);
	unlike($run->{text}, qr/Zq/, "a secret after $before bytes is not told");
	unlike($activate->sql("SELECT coalesce(string_agg(message, ' '), '') FROM activate.pending WHERE sync = '$sync'"), qr/Zq/, 'nor kept');
}

$activate->sums_hold('answers');
done_testing;
