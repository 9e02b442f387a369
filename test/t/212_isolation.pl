# A destination that is slow, silent or dead costs another one next to nothing
# of its rate: measured in pairs, by turns alone and beside it.
# test/bench/isolation.pl is the long form.
# Runs alone: it measures.
use strict;
use warnings;

use IO::Socket::INET;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use Destination;
use Scheduled;

# Promised are 95 % on a machine that has nothing else to do.
my $bound = $ENV{ISOLATION_BOUND} // 0.5;
my $pairs = $ENV{ISOLATION_PAIRS} // 3;
my $rows = $ENV{ISOLATION_ROWS} // 2000;
my $bad = 3;

my $s = Scheduled->start('main', <<'END');
autovacuum = off
fsync = off
max_worker_processes = 20
pg_activate.max_workers = 8
END
my $fast = $s->crm;
my $slow = Destination->start;
my $closed = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1');
my $nobody = $closed->sockport;
close $closed;

sub value { return $s->value($_[0]) }

$fast->config({ log => 0, careless => JSON::PP::true });
$slow->config({ log => 0 });
value("ALTER SERVER crm OPTIONS (ADD batch_size '1', ADD concurrency '8')");
$s->server('slow', $slow, batch_size => 1, concurrency => 8, timeout => '10min');
value("CREATE SERVER dead FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url 'http://127.0.0.1:$nobody', batch_size '1')");
value('CREATE TABLE fast (id int PRIMARY KEY, v int)');
value("INSERT INTO fast SELECT i, 0 FROM generate_series(1, $rows) i");
value(q{SELECT activate.create_sync('fast', 'public.fast', 'id', 'crm', object => 'fast', mapping => 'v', options => '{"max_changed": null}')});
foreach my $server (qw(slow dead))
{
	foreach my $i (1 .. $bad)
	{
		value("CREATE TABLE $server$i (id int PRIMARY KEY, v int); INSERT INTO $server$i SELECT i, 0 FROM generate_series(1, 1000) i;"
			. " SELECT activate.create_sync('$server$i', 'public.$server$i', 'id', '$server', object => '$server$i', mapping => 'v')");
	}
}

sub status_of { return value("SELECT status FROM activate.run WHERE run_id = $_[0]") }

# Rows a second of one run of all rows.
sub rate
{
	value('UPDATE fast SET v = v + 1');
	my $run = value(q{SELECT activate.queue_run('fast')});
	$s->wait_until("run $run", sub { status_of($run) !~ /queued|running/ }, 120);
	is(status_of($run), 'succeeded', 'the fast one: succeeded');
	return value("SELECT accepted / extract(epoch FROM finished_at - started_at) FROM activate.run WHERE run_id = $run");
}

sub median { my @sorted = sort { $a <=> $b } @_; return $sorted[ $#sorted / 2 ] }

# All syncs of the bad one are under way, and stay so.
sub begin_slow
{
	my ($behaviour) = @_;
	my $seen = $slow->stats->{requests};
	$slow->script({ %$behaviour, times => -1 });
	my @runs = map { value("SELECT activate.queue_run('slow$_')") } 1 .. $bad;
	$s->wait_until('requests', sub { $slow->stats->{requests} >= $seen + $bad }, 60);
	return sub { value("SELECT activate.cancel_run($_)") foreach @runs;
		$s->wait_until('their end', sub { !grep { status_of($_) =~ /queued|running/ } @runs }, 60) };
}

sub begin_dead
{
	my @runs = map { value("SELECT activate.queue_run('dead$_')") } 1 .. $bad;
	return sub { $s->wait_until('their end', sub { !grep { status_of($_) =~ /queued|running/ } @runs }, 60) };
}

rate();    # all rows are new
foreach my $case ([ 'silent', sub { begin_slow({ hang => 1 }) } ],
	[ 'slow (10 s)', sub { begin_slow({ delay_ms => 10_000 }) } ],
	[ 'dead', \&begin_dead ])
{
	my ($name, $begin) = @$case;
	my (@alone, @beside, @ratios);
	foreach (1 .. $pairs)
	{
		push @alone, rate();
		my $end = $begin->();
		push @beside, rate();
		$end->();
		push @ratios, $beside[-1] / $alone[-1];
	}
	# Of neighbours in time, since a machine has moods.
	my $ratio = median(@ratios);
	cmp_ok($ratio, '>=', $bound, sprintf '%s: %.0f rows/s beside it, %.0f alone: %.1f %% (the pairs: %s)', $name, median(@beside), median(@alone),
		100 * $ratio, join ', ', map { sprintf '%.0f %%', 100 * $_ } @ratios);
}

done_testing();
