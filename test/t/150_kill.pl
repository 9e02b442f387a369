# Whatever process is killed, whenever: the syncs go on by themselves, and the
# destination ends equal to the model.
#
# SEED, KILLS: another order of events, another number of kill -9; what ends
# processes more gently is not counted.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

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

$w->destination->config({ delay_ms => 30 });
foreach my $database (@databases)
{
	$w->mirrors($database, \@syncs, schedule => '1 second', rows => 60);
	$w->mirrors($database, ['follower'], schedule => 'after s1', rows => 20);
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
		my ($status, undef, $error) = $node->psql($mirror->{database}, $w->change_sql($mirror),
			extra_params => [ '-v', 'VERBOSITY=verbose' ]);
		push @change_failed, $error if $status != 0 && $error !~ qr/$crash|connection to server/;
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

# As long as nobody has waited for it, the next one thinks that it runs.
sub wait_for_postmaster
{
	my ($pid) = @_;
	$w->wait_for("postmaster $pid to be gone", 60, sub { !kill 0, $pid });
	return;
}

sub stop_postmaster
{
	my ($how) = @_;
	my %children = %{ $w->children };

	if ($how eq 'KILL')
	{
		my $pid = $node->{_pid};
		$node->kill9;
		wait_for_postmaster($pid);
	}
	else
	{
		my $start = time;
		$node->stop($how);
		note sprintf '%s stop: %.2f s', $how, time - $start;
	}
	wait_for_orphans(%children);
	return;
}

# 0: nobody has written it.
sub postmaster_pid
{
	open my $file, '<', $node->data_dir . '/postmaster.pid' or return 0;
	return int(readline($file) // 0);
}

# Killed once more while it starts.
sub kill_while_starting
{
	my $data = $node->data_dir;
	my $before = postmaster_pid();
	my ($pid, %children);

	system_log('pg_ctl', '-W', '-D', $data, '-l', $node->logfile, 'start');
	$w->wait_for('a postmaster', 60, sub { ($pid = postmaster_pid()) > 1 && $pid != $before });
	sleep rand 0.4;
	%children = %{ $w->children($pid) };
	kill 'KILL', $pid and $count{'new postmaster KILL'}++;
	wait_for_orphans(%children, $pid => 'postmaster');
	wait_for_postmaster($pid);
	return;
}

# A process of the kind: a new one, as soon as it is there, or any.
sub victim
{
	my ($kind, $new) = @_;
	my %known = map { $_ => 1 } $new ? $w->pids($kind) : ();
	my $until = time + (%known ? 3 : 15);	# a launcher comes back after five
	my @found;

	until (@found = grep { !$known{$_} } $w->pids($kind))
	{
		if (time > $until)
		{
			# A launcher or a scheduler that lives on has no successor.
			return (sort { $a <=> $b } keys %known)[0] if $new && %known;
			$w->diagnose;
			die "no $kind came";
		}
		sleep 0.001;
	}
	sleep($new ? rand(0.01) : rand(0.2));
	return $found[ rand @found ];
}

my @kinds = (
	(map { [ run => $_ ] } qw(KILL KILL KILL KILL TERM)), (map { [ scheduler => $_ ] } qw(KILL KILL TERM)),
	(map { [ launcher => $_ ] } qw(KILL KILL)), (map { [ postmaster => $_ ] } qw(KILL KILL fast immediate)));

sub kill_something
{
	my ($kind, $how) = @{ $kinds[ rand @kinds ] };

	# It is a while until the next launcher comes.
	($kind, $how) = (launcher => 'TERM') if rand() < 0.03;
	$count{"$kind $how"}++;
	if ($kind eq 'postmaster')
	{
		sleep rand 0.3;
		stop_postmaster($how);
		kill_while_starting() if $how eq 'KILL' && rand() < 0.5;
		$node->start;
		return;
	}
	# What a crash starts anew is killed while it starts.
	my $new = $kind eq 'run' ? rand() < 0.5 : rand() < 0.3;
	my $pid = victim($kind, $new);
	note "$how $kind $pid" . ($new ? ', new' : '');
	kill $how, $pid;
	if ($new && $kind ne 'run' && $how eq 'KILL')
	{
		# And its successor, too.
		$w->alive;
		kill 'KILL', victim($kind, 1);
		$count{"$kind $how"}++;
	}
	return;
}

srand $seed;
note "SEED=$seed KILLS=$kills";
my $start = time;
my $done = 0;
while ($done < $kills)
{
	change_models();
	kill_something();
	$w->alive;
	ask_bystander();
	$done = 0;
	$done += $count{$_} foreach grep { /KILL/ } keys %count;
}
note sprintf '%d kill -9 in %.0f s: %s', $done, time - $start, join ', ', map { "$_ $count{$_}" } sort keys %count;

# ------------------------------------------------------------------- what holds
change_models();
$w->wait_until_equal(90, 'after the last kill the destination becomes equal to the model');
cmp_ok($done, '>=', $kills, 'so many were killed');
cmp_ok($slowest_orphan, '<', ORPHAN, sprintf 'without a postmaster all its processes ended within %.2f s (%s)', $slowest_orphan, $slowest_name);
is(join("\n", @bystander_saw), '', 'other sessions saw what a crash does, no more');
is(join("\n", @change_failed), '', 'so did those who changed the models');

foreach my $database (@databases)
{
	my $a = $w->database($database);
	$w->wait_for("the claims of $database", 30, sub { $a->sql('SELECT count(*) FROM activate.claim') == 0 });
	pass("$database: no claim is left");
	$a->sums_hold($database);
	is($a->sql(<<'END'), '', "$database: each sync ran and succeeded");
SELECT name FROM activate.sync s WHERE NOT EXISTS (SELECT FROM activate.run r
	WHERE r.sync_id = s.sync_id AND status = 'succeeded' AND started_at > now() - interval '5 minutes')
END
	is($a->sql("SELECT DISTINCT status FROM activate.run WHERE status NOT IN ('succeeded', 'partial', 'interrupted', 'running', 'cancelled', 'postponed') ORDER BY 1"),
		'', "$database: no run failed");
	note "$database: ", $a->sql("SELECT string_agg(status || ' ' || n, ', ' ORDER BY status) FROM (SELECT status, count(*) AS n FROM activate.run GROUP BY 1) AS r");
}
$w->no_overlap('all runs');

my $log = slurp_file($node->logfile);
is(join("\n", $log =~ /^.*(?:PANIC|TRAP|deadlock detected|terminated by signal (?!9:|15:)).*$/mg), '',
	'the log tells of nothing worse than kill -9');
is(join("\n", grep { !/57P0|terminating/ } $log =~ /^.*\/pg_activate.* (?:ERROR|FATAL|WARNING): .*$/mg), '',
	'the workers had no error of their own');

$bystander->stop;
done_testing();
