# What a destination can take is shared by all that send to it: workers and
# sessions together keep its rate, its concurrency, the pauses it asks for and
# its quota; whether it is down one request finds out; priority goes first.
# Runs alone: it measures.

use strict;
use warnings;

use List::Util qw(max min sum);
use Test::More;
use Time::HiRes qw(sleep time);

use Scheduled;
use Session;

my $s = Scheduled->start('main', <<'END_CONF');
pg_activate.naptime = '200ms'
pg_activate.max_workers = 6
END_CONF
my $crm = $s->crm;

sub posts
{
	my @posts = sort { $a->{time} <=> $b->{time} } grep { $_->{method} eq 'POST' } @{ $crm->requests };
	return @posts;
}

# The most arrivals in any span of time so long.
sub most_in
{
	my ($seconds, @requests) = @_;
	my $most = 0;

	foreach my $first (0 .. $#requests)
	{
		my $count = grep { $_->{time} >= $requests[$first]{time} && $_->{time} < $requests[$first]{time} + $seconds } @requests;
		$most = max($most, $count);
	}
	return $most;
}

# Syncs of so many rows each, one row a request, that nothing runs by itself.
my $count = 0;

sub syncs
{
	my ($server, $rows, @options) = @_;
	my @names;
	foreach my $option (@options)
	{
		push @names, 't' . ++$count;
		$s->sync($names[-1], destination => $server, rows => $rows, options => $option);
	}
	return @names;
}

sub queue { $s->value("SELECT activate.queue_run('$_')") foreach @_; return }

sub over
{
	my ($seconds, @names) = @_;
	foreach my $name (@names)
	{
		$s->wait_until("the run of $name is over",
			sub { my ($run) = reverse $s->runs($name); return $run && $run->{finished_at} }, $seconds);
	}
	return;
}

sub statuses { return join ' ', map { (reverse $s->runs($_))[0]{status} } @_ }

sub shown
{
	my ($server) = @_;
	return $s->row("SELECT * FROM activate.destinations WHERE destination = '$server'");
}

# ------------------------------------------------------------------------ rate
# given two workers and a session behind one rate, then they keep it together
{
	$s->server('paced', $crm, batch_size => 1, concurrency => 8, rate_limit => '20/s');
	my @names = syncs('paced', 40, '{}', '{}', '{}');
	my $session = Session->start($s->node, 'postgres', options => '-c client_min_messages=error');

	$crm->reset;
	queue(@names[ 0, 1 ]);
	$session->send("CALL activate.run_sync('$names[2]')");
	$s->wait_for('the rate limit is what it waits for',
		"SELECT EXISTS (SELECT 1 FROM activate.progress WHERE waiting_for = 'rate limit')");
	over(60, @names);
	my @requests = posts();
	my $took = $requests[-1]{time} - $requests[0]{time};

	is(scalar @requests, 120, 'rate: all rows went, each in a request');
	cmp_ok(most_in(1, @requests), '<=', 20, 'rate: never more than 20 in any second, two workers and a session together');
	cmp_ok($took, '<', 120 / 20 * 1.25, sprintf 'rate: and hardly fewer: %.1f a second', 119 / $took);
	is(statuses(@names), 'succeeded succeeded succeeded', 'rate: all runs end well');

	# Each had its turn: the first third of the time holds rows of all.
	my %early = map { $_->{path} => 1 } @requests[ 0 .. 39 ];
	is(scalar keys %early, 3, 'rate: each of equal ones has its turns');
	$session->wait;
	$session->stop;
	is(shown('paced')->{rate_limit}, '20/s', 'rate: shown');
	is(shown('paced')->{in_flight}, 0, 'rate: nothing is under way any more');
	ok(defined shown('paced')->{p95}, 'rate: and how long requests take');
}

# given several windows, then all of them hold
{
	$s->server('windows', $crm, batch_size => 1, concurrency => 8, rate_limit => '50/s, 20/2s');
	my ($name) = syncs('windows', 50, '{}');
	$crm->reset;
	queue($name);
	over(60, $name);
	cmp_ok(most_in(2, posts()), '<=', 20, 'windows: the narrower one holds');
	is(scalar posts(), 50, 'windows: all rows went');
}

# ----------------------------------------------------------------- concurrency
# given three runs behind a concurrency of two, then no more than two requests are under way
{
	$s->server('narrow', $crm, batch_size => 1, concurrency => 2);
	my @names = syncs('narrow', 30, '{}', '{}', '{}');
	$crm->reset;
	$crm->config({ delay_ms => 30 });
	queue(@names);
	$s->wait_for('the others are what one waits for',
		"SELECT EXISTS (SELECT 1 FROM activate.progress WHERE waiting_for = 'concurrency')");
	over(60, @names);
	my @requests = posts();
	my $took = $requests[-1]{ended} - $requests[0]{time};
	is($crm->stats->{max_busy}, 2, 'concurrency: two at a time, of three runs');
	cmp_ok($took, '<', 90 * 0.030 / 2 * 2, sprintf 'concurrency: a place that is free is taken at once (%.2f s)', $took);
	$crm->config({ delay_ms => 0 });
}

# given a run that is killed with requests under way, then its places are free
{
	my @names = syncs('narrow', 4, '{}', '{}');
	my $session = Session->start($s->node, 'postgres');
	$crm->reset;
	$crm->script({ hang => 1, times => 2 });
	$session->send("CALL activate.run_sync('$names[0]', max_rows => 4)");
	$crm->wait_for_requests(1);
	$s->wait_until('it has a place', sub { shown('narrow')->{in_flight} > 0 });
	$s->value('SELECT pg_terminate_backend(' . $session->pid . ')');
	queue($names[1]);
	over(20, $names[1]);
	is(statuses($names[1]), 'succeeded', 'who is gone holds no place');
	is(shown('narrow')->{in_flight}, 0, 'and counts as nothing under way');
}

# -------------------------------------------------------------------- priority
# given a run of high priority that begins last, then it is done first
{
	$s->server('queue', $crm, batch_size => 1, concurrency => 1);
	my @names = syncs('queue', 60, '{}', '{}');
	my ($urgent) = syncs('queue', 20, '{"priority": 10}');
	$crm->reset;
	$crm->config({ delay_ms => 20 });
	queue(@names);
	$crm->wait_for_requests(10);
	queue($urgent);
	over(60, $urgent, @names);
	my @paths = map { substr $_->{path}, 1 } posts();
	my ($first) = grep { $paths[$_] eq $urgent } 0 .. $#paths;
	my $between = grep { $_ ne $urgent } @paths[ $first .. $first + 19 ];

	# One batch goes alone first; its rows are written down before the next.
	cmp_ok($between, '<=', 4, "priority: the urgent one goes first ($between of others in between)");
	my @rest = grep { $_ ne $urgent } @paths;
	my $mine = grep { $_ eq $names[0] } @rest[ 20 .. 79 ];
	cmp_ok(abs($mine - 30), '<=', 10, "priority: equal ones take turns ($mine of 60)");
	$crm->config({ delay_ms => 0 });
}

# ------------------------------------------------------------------- throttled
# given a 429 that one run gets, then none of them sends before it is over
{
	$s->server('throttling', $crm, batch_size => 1, concurrency => 4);
	my @names = syncs('throttling', 30, '{}', '{}');
	$crm->reset;
	$crm->config({ delay_ms => 10 });
	$crm->script({ status => 429, headers => { 'Retry-After' => '2' }, match => { after => 15 } });
	queue(@names);
	$s->wait_for('both wait', "SELECT count(*) = 2 FROM activate.progress WHERE waiting_for = 'throttled'");
	ok(defined shown('throttling')->{throttled_until}, 'throttled: shown until when');
	over(60, @names);
	my @requests = posts();
	my ($no) = grep { $_->{status} == 429 } @requests;

	# What was on its way when the answer came is not called back.
	my @early = grep { $_->{time} < $no->{ended} + 1.9 && $_->{time} > $no->{ended} + 0.1 } @requests;
	is(scalar @early, 0, 'throttled: nobody sends while it lasts');
	my @later = grep { $_->{time} >= $no->{ended} + 1.9 } @requests;
	cmp_ok($later[1]{time}, '>=', $later[0]{ended}, 'throttled: then one request comes, and others when it was answered');
	is(statuses(@names), 'succeeded succeeded', 'throttled: and all goes');
	is(shown('throttling')->{throttled}, 1, 'throttled: counted');
	$crm->config({ delay_ms => 0 });
}

# --------------------------------------------------------------------- breaker
# given a destination that fails, then it is found down, runs end, and one
# request at a time tries until one comes through
{
	$s->server('broken', $crm, batch_size => 1, concurrency => 4);
	$s->configure("pg_activate.debug_retry_pause = '300ms'");
	my @names = syncs('broken', 20, '{}', '{}', '{}');
	$crm->reset;
	$crm->script({ status => 503, times => -1 });
	queue(@names);
	over(60, @names);
	is(statuses(@names), 'failed failed failed', 'breaker: all runs end');
	is(shown('broken')->{breaker}, 'open', 'breaker: open');
	cmp_ok(scalar(posts()), '<=', 40, 'breaker: after ' . scalar(posts()) . ' requests of three runs');
	is($s->value("SELECT count(*) FROM activate.events WHERE kind = 'destination_down' AND destination = 'broken'"), 1, 'breaker: one event');
	ok(defined shown('broken')->{down_since}, 'breaker: and since when');

	# A session tries: one at a time, as often as any request is tried.
	$crm->reset;
	$crm->script({ status => 503, times => -1 });
	like($s->session->query("CALL activate.run_sync('$names[0]')"), qr/does not answer as it should/, 'breaker: a session may try');
	is($crm->stats->{max_busy}, 1, 'breaker: with one request at a time');
	cmp_ok(scalar(posts()), '<=', 5, 'breaker: and few');

	$crm->reset;
	$crm->config({ delay_ms => 50 });
	is($s->session->query("CALL activate.run_sync('$names[0]')"), '', 'breaker: back, a run goes through');
	my @requests = posts();
	cmp_ok($requests[1]{time}, '>=', $requests[0]{ended}, 'breaker: first one request, and the others when it was answered');
	is(shown('broken')->{breaker}, 'closed', 'breaker: closed');
	ok(!defined shown('broken')->{down_since}, 'breaker: up');
	over(60, @names);
	$crm->config({ delay_ms => 0 });
	$s->configure("pg_activate.debug_retry_pause = '1ms'");
}

# ----------------------------------------------------------------------- quota
# given a quota of the day, then what is beyond waits for midnight there, also after a restart
{
	$s->server('daily', $crm, batch_size => 1, rate_limit => '25/day', time_zone => 'Asia/Tokyo');
	my $name = 'daily';
	$crm->reset;
	$s->sync($name, destination => 'daily', rows => 60, schedule => '1 hour');
	queue($name);
	over(30, $name);
	is(statuses($name), 'partial', 'quota: the run ends');
	is(scalar(posts()), 25, 'quota: with what the day allows');
	is(shown('daily')->{used_today}, 25, 'quota: shown');
	is($s->value("SELECT throttled_until = (date_trunc('day', clock_timestamp() AT TIME ZONE 'Asia/Tokyo') + interval '1 day')"
			. " AT TIME ZONE 'Asia/Tokyo' FROM activate.destinations WHERE destination = 'daily'"),
		't', 'quota: until midnight in the zone of the account');

	$s->node->restart;
	$s->reconnect;
	$s->value("CALL activate.run_sync('$name')");
	is(statuses($name), 'partial', 'quota: a restart forgets nothing');
	is(scalar(posts()), 25, 'quota: and nothing more went');

	$s->clock(86400);
	$s->wait_until('the next day goes on', sub { scalar(posts()) == 50 });
	$s->clock(2 * 86400);
	$s->wait_until('and the day after it is all there', sub { scalar(posts()) == 60 });
	over(30, $name);
	is(statuses($name), 'succeeded', 'quota: each day some more, by itself');
}

done_testing();
