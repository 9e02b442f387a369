# The launcher is always there, and starts a scheduler where the extension is.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use Session;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => [ '--encoding', 'UTF8', '--locale', 'C.UTF-8' ]);
$node->append_conf('postgresql.conf', <<END);
shared_preload_libraries = 'pg_activate'
restart_after_crash = on
END
$node->start;

sub wait_until
{
	my ($what, $condition, $seconds) = @_;
	my $until = time + ($seconds // 30);
	until ($condition->())
	{
		die "waited in vain for: $what" if time > $until;
		sleep 0.02;
	}
	return;
}

# Processes of a kind, as "pid database" lines.
sub processes
{
	my ($kind, $database) = @_;
	my $and = defined $database ? "AND datname = '$database'" : '';
	my ($status, $out) = $node->psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'pg_activate $kind' $and");
	return $status == 0 ? split(/\n/, $out) : ();
}

wait_until('the launcher', sub { processes('launcher') == 1 });
is(scalar(processes('scheduler')), 0, 'no scheduler where the extension is not');

my $begun = time;
$node->safe_psql('postgres', 'CREATE EXTENSION pg_activate');
wait_until('a scheduler', sub { processes('scheduler', 'postgres') == 1 });
cmp_ok(time - $begun, '<', 3, 'CREATE EXTENSION brings a scheduler at once');

for my $signal (qw(TERM KILL))
{
	my ($launcher) = processes('launcher');
	my $restarted = time;
	kill $signal, $launcher;
	wait_until("another launcher after $signal", sub { my ($now) = processes('launcher'); defined $now && $now != $launcher });
	wait_until("a scheduler after $signal", sub { processes('scheduler', 'postgres') == 1 });
	note sprintf 'launcher and scheduler back %.1f s after %s', time - $restarted, $signal;
	pass("back after $signal");
}

$node->stop('fast');
done_testing();
