package Scheduled;

=head1 NAME

Scheduled - syncs of one database that run by themselves, for TAP tests

=head1 SYNOPSIS

  use Scheduled;
  my $s = Scheduled->start('main', "pg_activate.naptime = '1s'\n");
  $s->sync('health', schedule => '1 second', rows => 3);   # with a model of that name
  $s->value('SELECT ...');                 # in a session that stays; rows as text
  $s->row('SELECT * FROM ... LIMIT 1');    # the first row as a hash, or undef
  $s->wait_until('it ran', sub { ... });   # dies after 30 s, saying what is there
  $s->wait_for('it ran', 'SELECT ...');    # until that is true
  $s->clock(3600);                         # the clock of workers and of this session, ahead
  $s->runs('health');                      # rows of activate.run, the oldest first
  $s->crm;                                 # the Destination behind the server crm
  $s->pids('scheduler');                   # launcher, scheduler, run

=cut

use strict;
use warnings;

use Carp;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use Test::More;
use Time::HiRes qw(sleep time);

use Destination;
use Session;

my $json = JSON::PP->new->utf8->canonical->allow_nonref;

sub start
{
	my ($class, $name, $conf) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	my $self = bless { node => $node, crm => Destination->start }, $class;

	$node->init(extra => [ '--encoding', 'UTF8', '--locale', 'C.UTF-8' ]);
	$node->append_conf('postgresql.conf', <<END);
shared_preload_libraries = 'pg_activate'
pg_activate.allowed_hosts = '*'
pg_activate.debug_retry_pause = '1ms'
pg_activate.debug_late_off = on
restart_after_crash = on
END
	$node->append_conf('postgresql.conf', $conf) if defined $conf;
	$node->start;
	$self->value('CREATE EXTENSION pg_activate');
	$self->server('crm', $self->{crm});
	return $self;
}

sub node { return $_[0]->{node} }
sub crm { return $_[0]->{crm} }

sub session
{
	my ($self) = @_;
	$self->{session} //= Session->start($self->{node}, 'postgres', options => '-c client_min_messages=error');
	return $self->{session};
}

# After the server went down.
sub reconnect { delete $_[0]->{session}; return }

sub value
{
	my ($self, $sql) = @_;
	my $text = $self->session->query($sql);
	croak "$sql: $text" if $text =~ /^(?:ERROR|FATAL|PANIC):|connection to server was lost/m;
	return $text;
}

sub row
{
	my ($self, $sql) = @_;
	my $text = $self->value("SELECT row_to_json(q) FROM ($sql) AS q LIMIT 1");
	return $text eq '' ? undef : $json->decode($text);
}

sub server
{
	my ($self, $name, $destination, %option) = @_;
	my %all = (connector => 'webhook', base_url => $destination->url, timeout => '5s', %option);
	my $options = join ', ', map { "$_ '$all{$_}'" } sort keys %all;
	$self->value("CREATE SERVER $name FOREIGN DATA WRAPPER activate OPTIONS ($options)");
	return;
}

sub sync
{
	my ($self, $name, %option) = @_;
	my $rows = delete $option{rows} // 1;
	my $server = delete $option{destination} // 'crm';
	my $more = join '', map { ", $_ => '$option{$_}'" } sort keys %option;
	$self->value("CREATE TABLE IF NOT EXISTS $name (id int PRIMARY KEY, v text NOT NULL);"
		. " INSERT INTO $name SELECT i, 'first' FROM generate_series(1, $rows) AS i ON CONFLICT DO NOTHING;"
		. " SELECT activate.create_sync('$name', 'public.$name', 'id', '$server', object => '$name', mapping => 'v'$more)");
	return;
}

sub runs
{
	my ($self, $sync) = @_;
	my $text = $self->value("SELECT coalesce(json_agg(r ORDER BY run_id), '[]') FROM activate.run AS r"
		. " JOIN activate.sync AS s USING (sync_id) WHERE s.name = '$sync' AND r.merged_into IS NULL");
	return @{ $json->decode($text) };
}

# What a test that waits in vain would like to know.
sub diagnose
{
	my ($self) = @_;
	diag $_, "\n", $self->session->query($_) foreach
	  'SELECT clock_timestamp()', 'TABLE activate.workers', 'TABLE activate.destination_state',
	  'SELECT name, t.* FROM activate.sync_state AS t JOIN activate.sync USING (sync_id) ORDER BY sync_id LIMIT 20',
	  'SELECT run_id, sync_id, cause, status, queued_at, started_at, finished_at, missed, error FROM activate.run ORDER BY run_id DESC LIMIT 10';
	return;
}

sub wait_until
{
	my ($self, $what, $condition, $seconds) = @_;
	my $until = time + ($seconds // 30);
	until ($condition->())
	{
		next if time < $until && sleep 0.02;
		$self->diagnose;
		croak "waited in vain until $what";
	}
	return;
}

sub wait_for
{
	my ($self, $what, $sql, $seconds) = @_;
	$self->wait_until($what, sub { $self->value($sql) =~ /^t\b/ }, $seconds);
	return;
}

# Seconds ahead, for workers and for this session; never back but by the test's will.
sub clock
{
	my ($self, $seconds) = @_;
	$self->{ahead} = $seconds;
	$self->value("LOAD 'pg_activate'; SET pg_activate.debug_clock_offset = $seconds");
	$self->configure("pg_activate.debug_clock_offset = $seconds");
	return;
}

sub ahead { return $_[0]->{ahead} // 0 }

sub configure
{
	my ($self, $line) = @_;
	$self->{node}->append_conf('postgresql.conf', "$line\n");
	$self->{node}->reload;
	return;
}

sub pids
{
	my ($self, $kind) = @_;
	return split /\n/,
	  $self->value("SELECT pid FROM pg_stat_activity WHERE backend_type = 'pg_activate $kind' ORDER BY pid");
}

1;
