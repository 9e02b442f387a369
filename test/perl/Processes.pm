package Processes;

=head1 NAME

Processes - a cluster with the library preloaded, and its background workers, for TAP tests

=head1 SYNOPSIS

  use Processes;
  my $p = Processes->start('main', "pg_activate.naptime = '1s'\n");
  $p->node;
  $p->sql('postgres', 'CREATE EXTENSION pg_activate');
  $p->pids('scheduler', 'postgres');                   # launcher, scheduler, run; of a database
  my $pid = $p->wait_for_one('scheduler', 'shop');     # dies after 30 s
  my $pid = $p->wait_for_one('scheduler', 'shop', $before);  # another one than that
  $p->wait_until('what', sub { ... }, 30);             # dies, too
  my $seconds = $p->timed('postgres', 'DROP DATABASE shop');

=cut

use strict;
use warnings;

use Carp;
use PostgreSQL::Test::Cluster;
use Time::HiRes qw(sleep time);

sub start
{
	my ($class, $name, $conf) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init(extra => [ '--encoding', 'UTF8', '--locale', 'C.UTF-8' ]);
	$node->append_conf('postgresql.conf', <<END);
shared_preload_libraries = 'pg_activate'
pg_activate.allowed_hosts = '*'
pg_activate.debug_late_off = on
restart_after_crash = on
END
	$node->append_conf('postgresql.conf', $conf) if defined $conf;
	$node->start;
	return bless { node => $node }, $class;
}

sub node { return $_[0]->{node} }

sub sql
{
	my ($self, $database, $sql) = @_;
	return $self->{node}->safe_psql($database, $sql);
}

sub wait_until
{
	my ($self, $what, $condition, $seconds) = @_;
	my $until = time + ($seconds // 30);

	until ($condition->())
	{
		croak "waited in vain for $what" if time > $until;
		sleep 0.02;
	}
	return;
}

# While the server is down, none.
sub pids
{
	my ($self, $kind, $database) = @_;
	my $and = defined $database ? "AND datname = '$database'" : '';
	my ($status, $out) = $self->{node}->psql('postgres',
		"SELECT pid FROM pg_stat_activity WHERE backend_type = 'pg_activate $kind' $and ORDER BY pid");
	return $status == 0 ? split(/\n/, $out) : ();
}

sub wait_for_one
{
	my ($self, $kind, $database, $before) = @_;
	my $pid;

	$self->wait_until("a $kind" . ($database ? " in $database" : ''),
		sub { ($pid) = grep { $_ != ($before // 0) } $self->pids($kind, $database); defined $pid });
	return $pid;
}

sub timed
{
	my ($self, $database, $sql) = @_;
	my $begun = time;
	$self->sql($database, $sql);
	return time - $begun;
}

1;
