package Activate;

=head1 NAME

Activate - a cluster with the extension, and runs in it, for TAP tests

=head1 SYNOPSIS

  use Activate;
  my $a = Activate->start('delivery');           # restarts by itself after a crash
  my $a = Activate->start('s', conf => "...\n", init => { allows_streaming => 1 },
                          quick => 1);           # asks by one session, made anew when it is lost
  $a->sql('CREATE TABLE ...');                   # dies on errors; returns rows as text
  $a->server('crm', $destination, timeout => '300ms');

  my $run = $a->run('s');                        # CALL activate.run_sync('s')
  my $run = $a->run('s', args => "max_rows => 5", faults => 'before_settle:kill',
                    set => { 'pg_activate.debug_clock_offset' => 3600 });
  $run->{sqlstate};                              # '' where it raised nothing; '01PA1' for a warning
  $run->{text};                                  # all that psql printed
  $run->{status}, $run->{accepted}, ...          # its row of activate.run, undef without one
  my $under_way = $a->begin('s');                # does not wait
  $a->has_ended($under_way);
  my $run = $a->end($under_way);

  $a->alive;                                     # waits until the server takes connections
  $a->crash;                                     # pg_ctl stop -m immediate, and start
  $a->same_values($destination, 'contacts', 'public.model', 'name');
                                                 # one test: field v is the same on both sides
  $a->sums_hold('name');                         # one test: added + changed + removed = ...
  my $row = $a->row('s', 7);                     # a row of the snapshot, by its key, as a hash

=cut

use strict;
use warnings;

use Carp;
use IPC::Run;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use Test::More;
use Time::HiRes qw(sleep time);

use Session;
use Sums;

my $json = JSON::PP->new->utf8->canonical->allow_nonref;

sub start
{
	my ($class, $name, %option) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init(extra => [ '--encoding', 'UTF8', '--locale', 'C.UTF-8' ], %{ $option{init} // {} });
	$node->append_conf('postgresql.conf', "restart_after_crash = on\nclient_min_messages = warning\n" . ($option{conf} // ''));
	$node->start;
	my $self = bless { node => $node, quick => $option{quick} }, $class;
	$self->sql('CREATE EXTENSION pg_activate');
	$self->sql(q{ALTER DATABASE postgres SET pg_activate.allowed_hosts = '*'});
	return $self;
}

sub node { return $_[0]->{node} }

sub sql
{
	my ($self, $sql) = @_;
	my $until = time + 60;
	return $self->ask($sql) if $self->{quick};
	while (1)
	{
		my $answer = eval { $self->{node}->safe_psql($self->{database} // 'postgres', $sql) };
		return $answer if defined $answer;
		# A server that goes down may have answered a moment ago; nothing was asked of it.
		croak $@ if time > $until || $@ !~ /psql:\ error:\ connection\ to\ server\ [^\n]*failed:\ (?:server\ closed\ the\ connection\ unexpectedly|
			FATAL:\ +(?:the\ database\ system\ is\ (?:starting\ up|not\ yet\ accepting\ connections|in\ recovery\ mode)|
			terminating\ connection\ because\ of\ crash))/x;
		sleep 0.02;
	}
	return;
}

# By a session that stays open.  When a crash takes it, the question is asked
# once more: it must be one that may be.
sub ask
{
	my ($self, $sql) = @_;
	my $until = time + 60;

	while (time < $until)
	{
		my $session = $self->{session} //= eval { Session->start($self->{node}, $self->{database} // 'postgres') };
		my $answer = $session ? $session->query($sql) : 'psql: error';

		if ($answer !~ /connection to server was lost|server closed the connection|terminating connection|^psql: error/)
		{
			croak "$answer: $sql" if $answer =~ /^(?:psql:<stdin>:\d+: )?(?:ERROR|FATAL): /m;
			return $answer;
		}
		delete $self->{session};
		sleep 0.02;
	}
	croak "the server does not come back: $sql";
}

# Another server in its place, a standby that was promoted.
sub take_over
{
	my ($self, $node) = @_;
	delete $self->{session};
	$self->{node} = $node;
	return;
}

# Rows of a query as hashes.
sub rows
{
	my ($self, $sql) = @_;
	return $json->decode($self->sql("SELECT coalesce(json_agg(q), '[]') FROM ($sql) AS q"));
}

# One test: the records of an object have the field v that the rows of a table
# have, both by id.
sub same_values
{
	my ($self, $destination, $object, $table, $what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 2;
	my %there = map { $_->{key}{id} => $_->{fields}{v} } @{ $destination->records($object) };
	my %here = map { $_->{id} => $_->{v} } @{ $self->rows("SELECT id, v FROM $table") };
	return is_deeply(\%there, \%here, $what);
}

sub server
{
	my ($self, $name, $destination, %option) = @_;
	my %all = (connector => 'webhook', base_url => $destination->url, %option);
	my $options = join ', ', map { "$_ '$all{$_}'" } sort keys %all;
	$self->sql("CREATE SERVER $name FOREIGN DATA WRAPPER activate OPTIONS ($options)");
	return;
}

sub begin
{
	my ($self, $sync, %option) = @_;
	my %set = ('pg_activate.debug_retry_pause' => '1ms', 'pg_activate.progress_interval' => 0,
		%{ $option{set} // {} });
	$set{'pg_activate.debug_faults'} = $option{faults} if $option{faults};
	my $arguments = join ', ', "'$sync'", $option{args} // ();
	my $under_way = { self => $self, sync => $sync, text => '', last => $self->last_run };

	# As arguments: what comes by stdin is written only when somebody pumps.
	my @commands = ("LOAD 'pg_activate'", (map { "SET $_ = '$set{$_}'" } sort keys %set),
		"CALL activate.run_sync($arguments)", '\\echo ended');
	$under_way->{handle} = IPC::Run::start(
		[ 'psql', '-XAtq', '-v', 'VERBOSITY=verbose', '-v', 'SHOW_CONTEXT=never', '-d',
			$self->{node}->connstr('postgres'), map { ('-c', $_) } @commands ],
		'<', \undef, '>', \$under_way->{text}, '2>', \$under_way->{text}, IPC::Run::timeout(120));
	return $under_way;
}

sub end
{
	my ($self, $under_way) = @_;
	$under_way->{handle}->finish;
	$under_way->{text} =~ s/^ended\n//m;
	my ($sqlstate) = $under_way->{text} =~ /(?:ERROR|FATAL|WARNING): +([0-9A-Z]{5}):/;
	my $run = {};

	# Killed, it says nothing; the server comes back.
	$self->alive;
	my $found = $self->rows("SELECT * FROM activate.run WHERE run_id > $under_way->{last} ORDER BY run_id DESC LIMIT 1");
	$run = $found->[0] if @$found;
	return { %$run, sqlstate => $sqlstate // '', text => $under_way->{text} };
}

# Whether it has ended by itself.
sub has_ended
{
	my ($self, $under_way) = @_;
	$under_way->{handle}->pump_nb;
	return $under_way->{text} =~ /^ended$/m;
}

sub run
{
	my ($self, $sync, %option) = @_;
	return $self->end($self->begin($sync, %option));
}

# Until no request of the sync whose answer was lost can be applied any more.
sub outlive_late
{
	my ($self, $sync) = @_;
	$self->sql("SELECT pg_sleep(greatest(0, extract(epoch FROM max(activate_late_until) - clock_timestamp()))) FROM activate_data.$sync");
	return;
}

sub last_run
{
	my ($self) = @_;
	return $self->sql('SELECT coalesce(max(run_id), 0) FROM activate.run');
}

# After a crash connections are refused, or end at once, for a while.
sub alive
{
	my ($self) = @_;
	my $until = time + 60;
	return $self->ask('SELECT 1') if $self->{quick};
	while (1)
	{
		# It may hang up before it has read anything.
		my ($status, $out) = eval { $self->{node}->psql('postgres', 'SELECT 1') };
		return if defined $status && $status == 0 && $out eq '1';
		croak 'the server does not come back' if time > $until;
		sleep 0.02;
	}
	return;
}

sub crash
{
	my ($self, $how) = @_;
	delete $self->{session};
	$self->{node}->stop($how // 'immediate');
	$self->{node}->start;
	return;
}

# The backend that runs a sync, or undef.
sub backend
{
	my ($self) = @_;
	my $pid = $self->sql(q{SELECT pid FROM pg_stat_activity WHERE query LIKE 'CALL activate.run_sync%' AND pid <> pg_backend_pid() LIMIT 1});
	return $pid eq '' ? undef : $pid;
}

sub sums_hold
{
	my ($self, $name) = @_;
	return is(Sums::wrong($self->{node}, $self->{database} // 'postgres'), '', "$name: the sums of all runs hold");
}

sub row
{
	my ($self, $sync, $key) = @_;
	return $self->rows("SELECT * FROM activate_data.$sync WHERE id = $key")->[0];
}

1;
