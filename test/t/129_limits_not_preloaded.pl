# Without the library preloaded each session keeps to the limits by itself,
# the quota of the day is one for all, and the view says what is not known.

use strict;
use warnings;

use Test::More;

use Activate;
use Destination;
use Session;

my $a = Activate->start('main');
my $crm = Destination->start;
my $session = Session->start($a->node, 'postgres', options => '-c client_min_messages=error -c pg_activate.progress_interval=0');

sub posts
{
	my @posts = sort { $a->{time} <=> $b->{time} } grep { $_->{method} eq 'POST' } @{ $crm->requests };
	return @posts;
}

sub given
{
	my ($name, $rows, %option) = @_;
	$a->server($name, $crm, batch_size => 1, concurrency => 4, %option);
	$a->sql("CREATE TABLE $name AS SELECT i AS id, 'a' AS v FROM generate_series(1, $rows) AS i; ALTER TABLE $name ADD PRIMARY KEY (id)");
	$a->sql("SELECT activate.create_sync('$name', 'public.$name', 'id', '$name', object => '$name', mapping => 'v')");
	$crm->reset;
	return;
}

# given a rate, then a session keeps it
given('paced', 30, rate_limit => '20/s');
is($session->query("CALL activate.run_sync('paced')"), '', 'a run with a rate limit');
my @requests = posts();
is(scalar @requests, 30, 'all rows went');
my @early = grep { $_->{time} < $requests[0]{time} + 1 } @requests;
cmp_ok(scalar @early, '<=', 20, 'no more than the limit in the first second: ' . @early);
is($a->sql("SELECT rate_limit, breaker IS NULL, throttled_until IS NULL, throttled IS NULL, p95 IS NULL, in_flight IS NULL, requests"
		. " FROM activate.destinations WHERE destination = 'paced'"), '20/s|t|t|t|t|t|30', 'what is not shared is not shown');

# given a quota, then all sessions use up the same
given('daily', 20, rate_limit => '12/day');
$a->sql("CALL activate.run_sync('daily', max_rows => 5)");
is(scalar(posts()), 5, 'one session');
$a->sql("CALL activate.run_sync('daily', max_rows => 5)");
is(scalar(posts()), 10, 'another one');
$a->node->psql('postgres', "CALL activate.run_sync('daily')", stderr => \my $warning);
is(scalar(posts()), 12, 'a third one gets what is left');
like($warning, qr/no requests left today\. It takes 12 a day; the next one may go at .* 00:00:00.*ALTER SERVER daily /s, 'the caller is told what to do');
is($a->sql("SELECT backlog, fresh_as_of IS NULL FROM activate.status WHERE sync = 'daily'"), '8|t', 'rows that wait are not forgotten');
is($a->sql('SELECT error FROM activate.runs ORDER BY run_id DESC LIMIT 1'), 'destination "daily" has no requests left today', 'and says so');

# given a destination that this session found down, then its next run tries with one request at a time
given('broken', 10, timeout => '2s');
$session->query("SET pg_activate.debug_retry_pause = '1ms'");
$crm->script({ status => 503, times => -1 });
like($session->query("CALL activate.run_sync('broken')"), qr/does not answer as it should/, 'found down');
$crm->reset;
$crm->config({ delay_ms => 30 });
is($session->query("CALL activate.run_sync('broken')"), '', 'back');
@requests = posts();
cmp_ok($requests[1]{time}, '>=', $requests[0]{ended}, 'first one request, and the others when it was answered');
is($crm->stats->{max_busy}, 4, 'then as many as may be');

$session->stop;
$a->sums_hold('without preload');
done_testing();
