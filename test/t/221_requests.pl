# The request debugger: whatever destinations answer, in databases of whatever
# encoding, what is logged is text without secrets and of bounded length; and a
# run that ends badly writes down what it has in hand.
use strict;
use warnings;
use utf8;

use Activate;
use Destination;
use Encode;
use IO::Socket::INET;
use MIME::Base64;
use Test::More;
use Time::HiRes qw(sleep time);

my $a = Activate->start('requests');
my $d = Destination->start;
my $secret = 'canary/of+the&Größe=42';

# One that answers each request with the same bytes.
my ($raw, $raw_pid, $raw_port);

sub answer_raw
{
	my ($bytes) = @_;
	kill 'KILL', $raw_pid and waitpid $raw_pid, 0 if $raw_pid;
	$raw //= IO::Socket::INET->new(Listen => 20, LocalAddr => '127.0.0.1', ReuseAddr => 1) or die "$!";
	$raw_port = $raw->sockport;
	$raw_pid = fork // die "$!";
	return if $raw_pid;
	while (my $client = $raw->accept)
	{
		my ($head, $length) = ('', 0);
		while (my $line = <$client>)
		{
			$length = $1 if $line =~ /^Content-Length: (\d+)/i;
			last if $line =~ /^\r?\n$/;
		}
		read $client, my $body, $length if $length;
		print $client $bytes;
		close $client;
	}
	exec 'true';
}

sub http { my ($status, $headers, $body) = @_; return "HTTP/1.1 $status\r\n" . join('', map { "$_\r\n" } @$headers, 'Content-Length: ' . length $body, 'Connection: close') . "\r\n$body" }

# Makes one row that has not been sent, and sends it.
sub send_one
{
	my ($database, $sync) = @_;
	local $a->{database} = $database;
	$a->sql("SET client_encoding = UTF8; UPDATE $sync SET n = n + 1; DELETE FROM activate.request");
	$a->node->psql($database, "LOAD 'pg_activate'; SET pg_activate.debug_retry_pause = '1ms'; SET pg_activate.progress_interval = 0; CALL activate.run_sync('$sync')");
	return decode('UTF-8', $a->sql('SET client_encoding = UTF8; SELECT class, http_status, response_body, response_headers, problem FROM activate.requests ORDER BY request_id LIMIT 1'));
}

# given bytes that are no text, in databases of every kind, then they are shown all the same
my $bytes = "ok \x{e2}\x{82}\x{ac} \x{c3}\x{bc} \x00 \xff\xfe \x{f0}\x{9f}\x{98} end \x{e6}\x{97}\x{a5}";
my %shown = (
	UTF8 => 'ok € ü \x00 \xff\xfe \xf0\x9f\x98 end 日',
	SQL_ASCII => 'ok € ü \x00 \xff\xfe \xf0\x9f\x98 end 日',
	LATIN1 => 'ok \u20ac ü \x00 \xff\xfe \xf0\x9f\x98 end \u65e5',
	EUC_JP => 'ok \u20ac ü \x00 \xff\xfe \xf0\x9f\x98 end 日');
foreach my $encoding (sort keys %shown)
{
	my $database = lc $encoding;
	answer_raw(http('422 No', [ 'Content-Type: text/plain', "X-Odd: a\xff\xe2\x82\xacb", 'Set-Cookie: a=1', 'Set-Cookie: b=2', 'Vary: a', 'VARY: b' ], $bytes));
	$a->node->safe_psql('postgres', "CREATE DATABASE $database ENCODING '$encoding' LOCALE 'C' TEMPLATE template0");
	$a->node->safe_psql($database, "CREATE EXTENSION pg_activate; ALTER DATABASE $database SET pg_activate.allowed_hosts = '*';"
		. " CREATE SERVER odd FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url 'http://127.0.0.1:$raw_port');"
		. " CREATE TABLE odd (id int PRIMARY KEY, n int); INSERT INTO odd VALUES (1, 1); SELECT activate.create_sync('odd', 'odd', 'id', 'odd')");
	my ($class, $status, $body, $headers) = split /\|/, send_one($database, 'odd');
	is("$class $status", 'batch_refused 422', "$encoding: a refusal");
	is($body, $shown{$encoding}, "$encoding: its body");
	like($headers, qr/"vary": "a, b"/, "$encoding: headers of one name are one");
	like($headers, qr/"set-cookie": "\*{8}, \*{8}"/, "$encoding: cookies are masked");
	like($headers, qr/"x-odd": "a\\\\xff.{1,3}b"/, "$encoding: headers are text, too");
}

# given a long answer, then it is cut at a character, and a secret at the cut is not half there
$a->sql('CREATE SERVER raw FOREIGN DATA WRAPPER activate OPTIONS (connector $$webhook$$, base_url $$http://127.0.0.1:' . $raw_port . '$$)');
$a->sql('CREATE TABLE cut (id int PRIMARY KEY, n int); INSERT INTO cut VALUES (1, 1)');
$a->node->safe_psql('postgres', encode('UTF-8', "CREATE USER MAPPING FOR PUBLIC SERVER raw OPTIONS (bearer_token '$secret')"));
$a->sql(q{SELECT activate.create_sync('cut', 'cut', 'id', 'raw')});
my @forms = (encode('UTF-8', $secret), encode_base64(encode('UTF-8', $secret), ''),
	join('', map { /[A-Za-z0-9._~-]/ ? $_ : sprintf '%%%02X', ord } split //, encode('UTF-8', $secret)));
foreach my $before (65536 - 70 .. 65536)
{
	next if $before % 7;
	foreach my $form (@forms)
	{
		answer_raw(http('422 No', [], 'x' x $before . $form . "\x{c3}\x{bc}" x 5000));
		my (undef, undef, $body) = split /\|/, send_one('postgres', 'cut');
		fail("part of a secret is left at $before: " . substr $body, -80), last if $body =~ /canary|Y2FuYXJ5|cana|Y2Fu|can/;
		fail("too long or not cut at $before"), last unless length $body < 65536 + 100 && $body =~ /\.\.\. \[cut, \d+ bytes in all\]$/;
	}
}
pass('secrets at the cut are gone, in each form');

# given an answer that repeats the secret the way some language escapes it, then it is gone all the same
sub escaped { my ($characters, $format) = @_; return $secret =~ s/([$characters])/sprintf $format, ord $1/egr }
my %escaped = (
	'a slash in JSON' => encode('UTF-8', $secret =~ s{/}{\\/}gr),
	'JSON of ASCII' => escaped('^ -~', '\\u%04x'),
	'JSON fit for HTML' => encode('UTF-8', escaped('+&/', '\\u%04X')),
	'JSON in JSON' => encode('UTF-8', escaped('+&/', '\\\\u%04X')),
	'HTML' => encode('UTF-8', $secret =~ s/&/&amp;/gr),
	'HTML by numbers' => escaped('^ -%\'-~', '&#%d;'),
	'HTML by hexadecimal numbers' => escaped('^a-z', '&#x%X;'),
	'part of a path' => join('', map { /[A-Za-z0-9\/=+&]/ ? $_ : sprintf '%%%02x', ord } split //, encode('UTF-8', $secret)),
	'base64 in JSON' => encode_base64(encode('UTF-8', $secret), '') =~ s{/}{\\/}gr);
foreach my $how (sort keys %escaped)
{
	answer_raw(http('422 No', [], "you sent: Bearer $escaped{$how} and that is wrong"));
	my (undef, undef, $body) = split /\|/, send_one('postgres', 'cut');
	like($body, qr/^you sent: Bearer \*{8}=* and that is wrong$/, "as $how");
}
foreach my $user ('', 'a', 'ap', 'api', 'key')
{
	answer_raw(http('422 No', [], 'you sent: Basic ' . encode_base64(encode('UTF-8', "$user:$secret"), '')));
	my (undef, undef, $body) = split /\|/, send_one('postgres', 'cut');
	like($body, qr/^you sent: Basic \w{0,6}\*{8}\w?=*$/, "in base64 behind $user:");
}

# given an answer larger than is read at all, then the request is there, and says so
answer_raw(http('500 No', [], 'y' x 2_000_000));
like(send_one('postgres', 'cut'), qr/^uncertain\|(?:500)?\|.*the answer has more than \d+ bytes$/, 'an answer that is too long');

# given garbage, then what is known of it is there
answer_raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\nContent-Type: application/json\r\n\r\n{\"results\":");
like(send_one('postgres', 'cut'), qr/^uncertain\|200\|\|.*\|no whole answer: /, 'half an answer');
kill 'KILL', $raw_pid and waitpid $raw_pid, 0;
undef $raw_pid;

# given many large requests under way, then memory is bounded, and all that failed is there
$a->server('crm', $d, concurrency => 64, batch_size => 1);
$a->sql(q{CREATE TABLE large AS SELECT i AS id, repeat('large ' || i || ' ', 20000) AS v FROM generate_series(1, 90) AS i});
$a->sql(q{SELECT activate.create_sync('large', 'large', 'id', 'crm', object => 'large', mapping => 'v', options => '{"log": "all", "max_rejected": "100 %"}')});
$d->script({ match => { path => '/large' }, times => 1, apply => 'before' }, { match => { path => '/large' }, times => -1, reject_rows => { where => 'large', error => 'no' } });
is($a->run('large')->{accepted}, 1, 'ninety requests of 200 kB');
is($a->sql(q{SELECT count(*), max(length(request_body)) < 66000, min(request_bytes) > 100000 FROM activate.requests WHERE sync = 'large'}), '90|t|t', 'all are there, cut');
is($a->sql(q{SELECT count(*) FROM activate.rejections AS r JOIN activate.requests AS q USING (request_id) WHERE q.request_body LIKE '%large ' || (r.key ->> 'id') || ' large%'}), 89, 'each refused row names its own');

# given a run that is cancelled, then what was under way is there, and so is what was answered
sub wait_for
{
	my ($what, $test) = @_;
	my $until = time + 60;
	until ($test->()) { die "$what: never" if time > $until; sleep 0.02 }
	return;
}
sub made
{
	my ($name) = @_;
	$a->sql("CREATE TABLE $name AS SELECT i AS id, 1 AS n FROM generate_series(1, 4) AS i");
	$a->sql("SELECT activate.create_sync('$name', '$name', 'id', 'crm', object => '$name'); UPDATE activate.sync SET first_batch_alone = false WHERE name = '$name'");
	return;
}
foreach my $how (qw(cancel terminate kill))
{
	my $name = "ended_$how";
	$d->reset;
	made($name);
	$d->script({ match => { path => "/$name", contains => '"id":1' }, times => -1, status => 400 },
		{ match => { path => "/$name" }, times => -1, hang => 1 });
	my $under_way = $a->begin($name);
	wait_for("three requests under way, and one refused ($how)", sub { my $s = $d->stats; $s->{busy} == 3 && $s->{requests} == 4 });
	my $ends = $how eq 'cancel' ? q{SELECT pg_cancel_backend(pid) FROM activate.progress} :
		q{SELECT pg_terminate_backend(pid) FROM activate.progress};
	if ($how eq 'kill')
	{
		my $pid = $a->sql('SELECT pid FROM activate.progress');
		kill 'KILL', $pid;
	}
	else { $a->sql($ends) }
	my $run = $a->end($under_way);
	my $seen = $a->sql("SELECT string_agg(class || ' ' || n, ', ' ORDER BY class) FROM (SELECT class, count(*) AS n FROM activate.requests WHERE run_id = $run->{run_id} GROUP BY 1) AS q") // '';
	if ($how ne 'cancel')
	{
		unlike($seen, qr/uncertain/, "$how: with the process goes what it has not written");
		next;
	}
	is($seen, 'batch_refused 1, uncertain 3', "$how: what was in hand");
	is($a->sql("SELECT DISTINCT problem FROM activate.requests WHERE run_id = $run->{run_id} AND class = 'uncertain'"), 'the run ended before an answer arrived', "$how: and why");
	is($a->sql("SELECT count(*) FROM activate_data.$name AS e JOIN activate.requests AS q ON q.request_id = e.activate_request_id AND q.run_id = $run->{run_id}"), 4, "$how: its rows name their requests");
}
$d->reset;
made('ended');
is($a->run('ended')->{status}, 'succeeded', 'and other runs go on');

# given a run that raises, then what it has in hand is written by the transaction that ends it
$d->script({ match => { path => '/ended' }, times => 2, status => 429, headers => { 'Retry-After' => '0' } });
$a->sql('UPDATE ended SET n = n + 1');
my $run = $a->run('ended', faults => 'after_send:error:5');
is($a->sql("SELECT count(*) FROM activate.requests WHERE run_id = $run->{run_id} AND class = 'throttled'"), 2, 'two answers that settled no row');

# given no tries left and nothing settled for long, then the log does not wait for rows
$a->sql(q{SELECT activate.alter_sync('ended', options => '{"log": "errors"}')});
$d->script({ match => { path => '/ended' }, status => 429, headers => { 'Retry-After' => '8' } });
$a->sql('UPDATE ended SET n = n + 1');
my $under_way = $a->begin('ended');
wait_for('the request is seen before its run ends', sub { $a->sql(q{SELECT count(*) FROM activate.requests AS q JOIN activate.runs AS r USING (run_id) WHERE r.status = 'running'}) > 0 });
ok(!$a->has_ended($under_way), 'what was throttled is seen while its run waits');
cmp_ok($a->end($under_way)->{accepted}, '>=', 1, 'which then goes on');

# a sync keeps no more than so many, whatever the runs
$a->sql(q{INSERT INTO activate.request (sync_id, run_id, at, method, url, request_headers, request_bytes, request_cut, rows, attempt, ops, class, failed)
	SELECT sync_id, 1, clock_timestamp(), 'POST', 'http://x', '{}', 0, false, 1, 1, 'upsert', 'accepted', i % 2 = 0 FROM activate.sync, generate_series(1, 4000) AS i WHERE name = 'ended'});
$a->run('ended') for 1 .. 2;
is($a->sql(q{SELECT count(*) FILTER (WHERE failed), count(*) FILTER (WHERE NOT failed) FROM activate.request JOIN activate.sync USING (sync_id) WHERE name = 'ended'}), '1000|2000', 'the newest thousand that failed stay');

is($a->sql(encode('UTF-8', q{SELECT count(*) FROM activate.request AS r WHERE r::text ~ 'canary|Y2FuYXJ5'})), 0, 'the secret is nowhere');
$a->sums_hold($_) foreach qw(cut large ended);
done_testing();
