# Whatever process is killed, whenever: the syncs go on by themselves, and the
# destination ends equal to the model.
#
# SEED, KILLS: another order of events, another number of them; KILL_SECONDS:
# so long and no longer.
use strict;
use warnings;

use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use Chaos;
use Session;
use Workers;

# Promised is 1 s; what is too slow ten times over fails.
use constant ORPHAN => 10;

plan skip_all => 'needs /proc/PID/task/PID/children' unless -r "/proc/$$/task/$$/children";

my $seed = $ENV{SEED} // 1;
my $kills = $ENV{KILLS} // 50;
my @databases = qw(a b);
my @syncs = qw(s1 s2 s3);
my $w = Workers->start('main', databases => \@databases, conf => "shared_buffers = 16MB\nmax_wal_size = 256MB\n");
my $node = $w->node;

$w->destination->config({ delay_ms => 50 });
foreach my $database (@databases)
{
	$w->mirrors($database, \@syncs, schedule => '1 second', rows => 60);
	$w->mirrors($database, ['follower'], schedule => 'after s1', rows => 20);
	$w->mirrors($database, ['called'], rows => 20);
	$w->database($database)->sql("SELECT activate.queue_run('called')");
}
$w->wait_until_equal(60, 'before the first kill the destination is equal to the model');

# ------------------------------------------------------------ what may be seen
# Another session, of a database without the extension, and what it is told
# when others crash.
my $bystander = Session->start($node, 'template1');
my @bystander_saw;
my $crash = qr/server closed the connection unexpectedly|connection to server was lost|57P01|57P02|57P03/;

sub ask_bystander
{
	my $answer = eval { $bystander->query('SELECT 1') } // 'connection to server was lost';
	return if $answer eq '1';
	push @bystander_saw, $answer if $answer !~ $crash;
	$bystander->stop;
	$w->alive;
	$bystander = Session->start($node, 'template1');
	return;
}

my @change_failed;

sub change_models
{
	foreach my $mirror (@{ $w->{mirrors} })
	{
		next if rand() < 0.5;
		my $sql = $w->change_sql($mirror);
		$sql = "BEGIN; $sql SELECT activate.queue_run('called'); COMMIT" if $mirror->{name} eq 'called';
		my ($status, undef, $error) = $node->psql($mirror->{database}, $sql,
			extra_params => [ '-v', 'VERBOSITY=verbose' ]);
		push @change_failed, $error if $status != 0 && $error !~ qr/$crash|connection to server/;
	}
	return;
}

# What was interrupted again and again waits a while before it is tried again.
sub queue_called
{
	foreach my $database (@databases)
	{
		$w->wait_for('a queued run', 30, sub { ($node->psql($database, "SELECT activate.queue_run('called')"))[0] == 0 });
	}
	return;
}

# -------------------------------------------------------------------- killing
my ($slowest_orphan, $slowest_name) = (0, 'none');
my %count;

# The children of a postmaster that is gone.
sub wait_for_orphans
{
	my (%children) = @_;
	my $start = time;
	my (@left, $last);

	# One that has ended and that nobody waited for has no title.
	while (@left = grep { $w->title($_) =~ /postgres/ } keys %children)
	{
		$last = $left[0];
		if (time > $start + ORPHAN)
		{
			fail("process $_, $children{$_}, has no postmaster any more") foreach @left;
			kill 'KILL', @left;
			last;
		}
		sleep 0.01;
	}
	return unless defined $last && time - $start > $slowest_orphan;
	($slowest_orphan, $slowest_name) = (time - $start, $children{$last});
	return;
}

sub stop_postmaster
{
	my ($how) = @_;
	my %children = %{ $w->children };
	my $pid = $w->postmaster;

	if ($how eq 'KILL')
	{
		$node->kill9;
	}
	else
	{
		my $start = time;
		$node->stop($how);
		note sprintf '%s stop: %.2f s', $how, time - $start;
	}
	wait_for_orphans(%children);
	# Until somebody has taken note of its end, the next one believes that it lives.
	$w->wait_for('the end of the postmaster', 30, sub { !kill 0, $pid });
	return;
}

# Killed once more while it starts, by whatever it has come to.
sub kill_while_starting
{
	my $pid = fork // die "fork: $!";

	if ($pid == 0)
	{
		open STDIN, '<', '/dev/null';
		open STDOUT, '>>', $node->logfile;
		open STDERR, '>&', \*STDOUT;
		exec 'postgres', '-D', $node->data_dir or POSIX::_exit(127);
	}
	sleep rand 0.4;
	my %children = %{ $w->children($pid) };
	$count{'new postmaster KILL'} += kill 'KILL', $pid;
	waitpid $pid, 0;
	wait_for_orphans(%children);
	return;
}

# A process of the kind; starting: one that was not there before, at once.
sub victim
{
	my ($kind, $starting) = @_;
	my %known = map { $_ => 1 } $starting ? $w->pids($kind) : ();
	my ($pid) = $w->wait_for("a $kind", 15, sub { (grep { !$known{$_} } $w->pids($kind))[0] });

	sleep rand($starting ? 0.02 : $kind eq 'run' ? 0.05 : 0.2);
	return $pid;
}

my @kinds = (
	(map { [ run => $_ ] } qw(KILL KILL KILL KILL TERM)), (map { [ scheduler => $_ ] } qw(KILL KILL TERM)),
	(map { [ launcher => $_ ] } qw(KILL KILL)), (map { [ postmaster => $_ ] } qw(KILL KILL fast immediate)));

sub kill_something
{
	my ($kind, $how) = @{ $kinds[ rand @kinds ] };

	# It is a while until the next launcher comes.
	($kind, $how) = (launcher => 'TERM') if rand() < 0.03;
	if ($kind eq 'postmaster')
	{
		$count{"$kind $how"}++;
		sleep rand 0.3;
		stop_postmaster($how);
		kill_while_starting() if $how eq 'KILL' && rand() < 0.5;
		$node->start;
		return;
	}
	# Run workers come all the time, the others when a crash starts them anew.
	my $starting = rand() < 0.5;
	my $pid = victim($kind, $starting && $kind eq 'run');
	note "$how $kind $pid" . ($starting ? ', starting' : '');
	# A run that has ended meanwhile does not count.
	kill($how, $pid) or return;
	$count{"$kind $how"}++;
	if ($starting && $kind ne 'run' && $how eq 'KILL')
	{
		$w->wait_for('the crash', 10, sub { $w->title($pid) eq '' });
		$count{"$kind KILL"} += kill 'KILL', victim($kind, 1);
	}
	return;
}

srand $seed;
note "SEED=$seed KILLS=$kills";
my $start = time;
my $done = 0;
while ($done < $kills && !($ENV{KILL_SECONDS} && time - $start > $ENV{KILL_SECONDS}))
{
	change_models();
	kill_something();
	$w->alive;
	ask_bystander();
	$done = 0;
	$done += $count{$_} foreach grep { /KILL/ } keys %count;
}
Chaos::tell('%d of %d kill -9 in %.0f s: %s', $done, $kills, time - $start, join ', ', map { "$_ $count{$_}" } sort keys %count);

# ----------------------------------------------------- at each point, at least once
# Each process that comes by dies there, those that a crash starts anew, too.
sub crashes
{
	my @lines = slurp_file($node->logfile) =~ /^.* was terminated by signal 9: .*$/mg;
	return scalar @lines;
}

foreach my $point (qw(before_attach scheduler_looked before_claim after_claim after_send before_settle after_settle))
{
	my $before = crashes();
	my $start = time;

	$node->append_conf('postgresql.conf', "pg_activate.debug_faults = '$point:kill'\n");
	$node->reload;
	change_models();
	$w->wait_for("two crashes at $point", 30, sub { crashes() >= $before + 2 });
	$node->append_conf('postgresql.conf', "pg_activate.debug_faults = ''\n");
	$node->reload;
	queue_called();
	$w->wait_until_equal(30, "killed at $point: the destination becomes equal to the model");
	note sprintf '%s: %.1f s, %d crashes', $point, time - $start, crashes() - $before;
	ask_bystander();
}

# ------------------------------------------------------------------- what holds
change_models();
queue_called();
$w->wait_until_equal(90, 'after the last kill the destination becomes equal to the model');
cmp_ok($done, '>=', $ENV{KILL_SECONDS} ? 1 : $kills, 'so many were killed');
cmp_ok($slowest_orphan, '<', ORPHAN, sprintf 'without a postmaster all its processes ended within %.2f s (%s)', $slowest_orphan, $slowest_name);
is(join("\n", @bystander_saw), '', 'other sessions saw what a crash does, no more');
is(join("\n", @change_failed), '', 'so did those who changed the models');

foreach my $database (@databases)
{
	my $a = $w->database($database);
	$w->wait_for("the claims of $database", 30, sub { $a->sql('SELECT count(*) FROM activate.claim') == 0 });
	pass("$database: no claim is left");
	$w->wait_for("the queued runs of $database", 30, sub { $a->sql("SELECT count(*) FROM activate.run WHERE status = 'queued'") == 0 });
	pass("$database: what was queued was run");
	$a->sums_hold($database);
	is($a->sql(<<'END'), '', "$database: each sync ran and succeeded");
SELECT name FROM activate.sync s WHERE NOT EXISTS (SELECT FROM activate.run r
	WHERE r.sync_id = s.sync_id AND status = 'succeeded' AND started_at > now() - interval '5 minutes')
END
	is($a->sql("SELECT DISTINCT status FROM activate.run WHERE status NOT IN ('succeeded', 'partial', 'interrupted', 'running', 'cancelled', 'postponed') AND merged_into IS NULL ORDER BY 1"),
		'', "$database: no run failed");
	note "$database: ", $a->sql("SELECT string_agg(status || ' ' || n, ', ' ORDER BY status) FROM (SELECT status, count(*) AS n FROM activate.run GROUP BY 1) AS r");
}
$w->no_overlap('all runs');

my $log = slurp_file($node->logfile);
is(join("\n", $log =~ /^.*(?:PANIC|TRAP|deadlock detected|terminated by signal (?!9:|15:)).*$/mg), '',
	'the log tells of nothing worse than kill -9');
is(join("\n", grep { !/57P0|terminating/ } $log =~ /^.*\/pg_activate.* (?:ERROR|FATAL|WARNING): .*$/mg), '',
	'the workers had no error of their own');
unlike($log, qr/were left out/, 'nor any that the log left out');

$bystander->stop;
done_testing();
