# Side by side with pg_net: what is lost when its process is killed, how long
# it takes to end or to be shut down while nobody answers, what one request
# without an answer costs the others, and how many it sends in a second.
#
# PG_NET is a folder in which pg_net was built for this server; it is then
# measured in this run. Otherwise the figures known of it are printed: pg_net
# 0.20.4 (68ef0bf) with its default settings under PostgreSQL 15, as measured
# once with this kind of destination.
use strict;
use warnings;

use File::Copy;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use Destination;
use Scheduled;
use Session;

my $requests = $ENV{RIVAL_REQUESTS} // 1000;
my $rival = $ENV{PG_NET};
my (%ours, %theirs);

# What is printed of it where it is not there.
my %known = (
	lost => 'all of 1000 that were queued: its tables are unlogged',
	terminate => '7030 ms, with a request of 8 s under way',
	shutdown => '11140 ms, with a request of 12 s under way',
	others => '14213 ms for the other 999, with a timeout of 10 s',
	rate => '217 a second',
);

sub wait_until
{
	my ($what, $condition, $seconds) = @_;
	my $until = time + ($seconds // 120);
	until ($condition->())
	{
		die "waited in vain for $what" if time > $until;
		sleep 0.005;
	}
	return;
}

sub since { return sprintf '%.0f ms', 1000 * (time - $_[0]) }

sub is_gone
{
	my ($pid) = @_;
	wait_until('the end of the process', sub { !kill 0, $pid });
	return;
}

# ------------------------------------------------------------------- ours
sub measure_ours
{
	my $s = Scheduled->start('ours', "autovacuum = off\n");
	my ($crm, $node) = ($s->crm, $s->node);
	my $worker = sub { return $s->value(q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'pg_activate run'}) };
	my $status = sub { return $s->value("SELECT status FROM activate.run WHERE run_id = $_[0]") };
	my $there = sub { my $all = $crm->records('people'); return scalar grep { $_->{fields}{v} eq $_[0] } @$all };
	my $change = sub { $s->value("UPDATE people SET v = '$_[0]'"); return $s->value(q{SELECT activate.queue_run('people')}) };

	$s->value($_) for q{ALTER SERVER crm OPTIONS (SET timeout '60s', ADD batch_size '1', ADD concurrency '50')},
	  'CREATE TABLE people (id int PRIMARY KEY, v text)',
	  "INSERT INTO people SELECT i, 'first' FROM generate_series(1, $requests) i",
	  q{SELECT activate.create_sync('people', 'public.people', 'id', 'crm', object => 'people', mapping => 'v', options => '{"max_changed": null}')},
	  q{UPDATE activate.sync SET first_batch_alone = false};

	my $run = $s->value(q{SELECT activate.queue_run('people')});
	wait_until('the run', sub { $status->($run) eq 'succeeded' });
	$ours{rate} = sprintf '%.0f a second', $s->value("SELECT accepted / extract(epoch FROM finished_at - started_at) FROM activate.run WHERE run_id = $run");

	# One of them gets no answer: when do all the others have theirs?
	$crm->script({ hang => 1, match => { after => 10 } });
	my $start = time;
	$run = $change->('beside');
	wait_until('the others', sub { $there->('beside') >= $requests - 1 });
	$ours{others} = since($start) . " for the other @{[$requests - 1]}";

	# Ended, with requests under way.
	$s->value("SELECT activate.cancel_run($run)");
	wait_until('its end', sub { $status->($run) !~ /queued|running/ });
	my $seen = $crm->stats->{requests};
	$crm->script({ hang => 1, times => -1 });
	$change->('terminated');
	wait_until('requests', sub { $crm->stats->{requests} > $seen && $worker->() ne '' });
	my $pid = $worker->();
	$start = time;
	$s->value("SELECT pg_terminate_backend($pid)");
	is_gone($pid);
	$ours{terminate} = since($start);
	$ours{terminate_ms} = 1000 * (time - $start);

	# Killed in the middle.
	$crm->script({ delay_ms => 50, times => -1 });
	$seen = $crm->stats->{requests};
	$change->('killed');
	wait_until('requests', sub { $crm->stats->{requests} > $seen + $requests / 4 && $worker->() ne '' });
	kill 'KILL', $worker->();
	$s->reconnect;
	wait_until('the server', sub { ($node->psql('postgres', 'SELECT 1'))[0] == 0 });
	$crm->script;
	$s->reconnect;
	wait_until('all of them', sub { $there->('killed') == $requests });
	$ours{lost} = $requests - $there->('killed');

	# Shut down, with requests under way.
	wait_until('no run', sub { $s->value(q{SELECT count(*) FROM activate.run WHERE status IN ('queued', 'running')}) eq '0' });
	$crm->script({ hang => 1, times => -1 });
	$seen = $crm->stats->{requests};
	$change->('shut down');
	wait_until('requests', sub { $crm->stats->{requests} > $seen });
	$s->reconnect;
	$start = time;
	$node->stop('fast');
	$ours{shutdown} = since($start);
	$ours{shutdown_ms} = 1000 * (time - $start);
	return;
}

# ----------------------------------------------------------------- theirs
sub install_theirs
{
	copy("$rival/pg_net.so", "$ENV{PG_LIB}/pg_net.so") or die "pg_net.so: $!";
	copy($_, "$ENV{PG_SHARE}/extension/") or die "$_: $!" foreach "$rival/pg_net.control", glob "$rival/sql/pg_net--*.sql";
	return;
}

sub measure_theirs
{
	my $crm = Destination->start;
	my $node = PostgreSQL::Test::Cluster->new('theirs');
	my $url = $crm->url;
	install_theirs();
	$node->init;
	$node->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_net'\nautovacuum = off\nrestart_after_crash = on\n");
	$node->start;
	$node->safe_psql('postgres', 'CREATE EXTENSION pg_net');
	my $worker = sub { return $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type ~ 'pg_net'}) };
	my $post = sub {
		my ($count, $timeout) = @_;
		$node->safe_psql('postgres', "SELECT count(net.http_post('$url/people', jsonb_build_object('rows', jsonb_build_array("
			. "jsonb_build_object('op', 'upsert', 'key', jsonb_build_object('id', i), 'fields', jsonb_build_object('v', 'x')))),"
			. " timeout_milliseconds => $timeout)) FROM generate_series(1, $count) i");
	};
	wait_until('its process', sub { $worker->() ne '' });

	my $start = time;
	$post->($requests, 5000);
	wait_until('the requests', sub { $crm->stats->{requests} >= $requests });
	$theirs{rate} = sprintf '%.0f a second', $requests / (time - $start);

	$crm->reset;
	$crm->script({ hang => 1, match => { after => 10 } });
	$start = time;
	$post->($requests, 10_000);
	wait_until('the others', sub { $crm->stats->{requests} >= $requests });
	$theirs{others} = since($start) . " for the other @{[$requests - 1]}";
	wait_until('its answers', sub { $node->safe_psql('postgres', 'SELECT count(*) FROM net.http_request_queue') eq '0' });
	sleep 1;

	$crm->reset;
	$crm->script({ hang => 1, times => -1 });
	$post->(1, 8000);
	$crm->wait_for_requests(1);
	my $pid = $worker->();
	$start = time;
	$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
	is_gone($pid);
	$theirs{terminate} = since($start);

	wait_until('its process', sub { my $new = $worker->(); $new ne '' && $new ne $pid });
	$crm->reset;
	$crm->script({ delay_ms => 1000, times => -1 });
	$post->($requests, 5000);
	$crm->wait_for_requests(1);
	kill 'KILL', $worker->();
	wait_until('the server', sub { my ($status, $out) = $node->psql('postgres', 'SELECT count(*) FROM net.http_request_queue'); $status == 0 });
	sleep 2;
	my $sent = $crm->stats->{requests};
	my $left = $node->safe_psql('postgres', 'SELECT count(*) FROM net.http_request_queue');
	$theirs{lost} = sprintf '%d of %d', $requests - $sent - $left, $requests;

	wait_until('its process', sub { $worker->() ne '' });
	$crm->reset;
	$crm->script({ hang => 1, times => -1 });
	$post->(1, 12_000);
	$crm->wait_for_requests(1);
	$start = time;
	$node->stop('fast');
	$theirs{shutdown} = since($start);
	return;
}

measure_ours();
my $what = 'measured here';
if ($rival)
{
	measure_theirs();
}
else
{
	%theirs = %known;
	$what = 'known figures';
}

my @lines = ([ lost => 'rows lost by kill -9' ], [ terminate => 'pg_terminate_backend while nobody answers' ],
	[ shutdown => 'fast shutdown while nobody answers' ], [ others => 'beside one request without an answer' ], [ rate => 'requests, one row each' ]);
note(sprintf '%-44s %-28s %s', '', 'pg_activate', "pg_net ($what)");
note(sprintf '%-44s %-28s %s', $_->[1], $ours{ $_->[0] }, $theirs{ $_->[0] }) foreach @lines;

is($ours{lost}, 0, 'no row is lost');
cmp_ok($ours{terminate_ms}, '<', 1000, 'terminated at once');
cmp_ok($ours{shutdown_ms}, '<', 5000, 'shut down at once');
done_testing();
