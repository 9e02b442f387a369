package Workers;

=head1 NAME

Workers - a cluster whose syncs run by themselves, and what must hold of it

=head1 SYNOPSIS

  use Workers;
  my $w = Workers->start('main', databases => [qw(a b)], conf => "max_worker_processes = 8\n");
  $w->database('a')->sql('...');                 # an Activate, with rows, sums_hold ...
  $w->database('a', 'x');                        # another one, made if need be
  $w->mirrors('a', [qw(s1 s2)], schedule => '1 second', rows => 20);
  $w->change('a', 's1');                         # some rows come, go and change
  $w->wait_until_equal(30);                      # each destination object is its model
  $w->wait_for('a run', 10, sub { ... });

  $w->children;                                  # pid => title of the postmaster's
  $w->pids('scheduler');                         # launcher, scheduler, run
  $w->clock(900);                                # the test build's clock, that far ahead
  $w->no_overlap('name');                        # tests: one run of a sync at a time
  $w->worker_lines($from);                       # lines that workers wrote to the log

All mirrors go to one destination, each to an object of its own.

=cut

use strict;
use warnings;

use Carp;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use Activate;
use Destination;

my $json = JSON::PP->new->utf8->canonical->allow_nonref;

sub start
{
	my ($class, $name, %option) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	my $self = bless { node => $node, mirrors => [], destination => Destination->start }, $class;

	$node->init(extra => [ '--encoding', 'UTF8', '--locale', 'C.UTF-8' ]);
	$node->append_conf('postgresql.conf', <<"END");
shared_preload_libraries = 'pg_activate'
pg_activate.allowed_hosts = '*'
restart_after_crash = on
client_min_messages = warning
log_statement = none
log_replication_commands = off
pg_activate.debug_clock_offset = 0
pg_activate.debug_late_off = on
log_line_prefix = '%m [%p] %d/%b '
END
	$node->append_conf('postgresql.conf', $option{conf}) if $option{conf};
	$node->start;
	$self->database($_) foreach @{ $option{databases} // [] };
	return $self;
}

sub node { return $_[0]->{node} }
sub destination { return $_[0]->{destination} }

# An Activate of one database, which is made with the extension and the server "crm".
sub database
{
	my ($self, $name, %option) = @_;
	my $node = $self->{node};
	my $url = $self->{destination}->url;

	return $self->{databases}{$name} if $self->{databases}{$name};
	$node->safe_psql('postgres', "CREATE DATABASE $name") if $name ne 'postgres';
	my $a = $self->{databases}{$name} = bless { node => $node, database => $name }, 'Activate';
	$a->sql(<<"END");
CREATE EXTENSION pg_activate;
CREATE SERVER crm FOREIGN DATA WRAPPER activate
	OPTIONS (connector 'webhook', base_url '$url', batch_size '@{[$option{batch_size} // 10]}', timeout '10s');
END
	return $a;
}

sub databases { return sort keys %{ $_[0]->{databases} } }

# Tables, each with a sync that keeps an object of the destination equal to it.
sub mirrors
{
	my ($self, $database, $names, %option) = @_;
	my $rows = $option{rows} // 10;
	my $schedule = $option{schedule} // 'manual';
	my $sql = "SET client_min_messages = warning;\n";

	foreach my $name (@$names)
	{
		my $options = $json->encode({ remove_after => '0 s', max_removed => 1000000, max_changed => 1000000,
			max_rejected => 1000000, %{ $option{options} // {} } });
		$sql .= <<"END";
CREATE TABLE $name (id int PRIMARY KEY, v text NOT NULL);
INSERT INTO $name SELECT i, 'first' FROM generate_series(1, $rows) i;
SELECT activate.create_sync('$name', 'public.$name', 'id', 'crm', object => '${database}_$name', mapping => 'v',
	mode => 'mirror', on_removed => 'delete', schedule => '$schedule', options => '$options');
END
		push @{ $self->{mirrors} }, { database => $database, name => $name, rows => $rows };
	}
	$self->database($database)->sql($sql);
	return;
}

# SQL that changes a model: the first row stays, an empty model would be held.
sub change_sql
{
	my ($self, $mirror) = @_;
	my $sql = '';

	foreach (1 .. 1 + int rand 5)
	{
		my $id = 1 + int rand $mirror->{rows};
		my $value = sprintf 'v%06d', rand 1000000;
		$sql .= $id > 1 && rand() < 0.25 ? "DELETE FROM $mirror->{name} WHERE id = $id;\n"
		  : "INSERT INTO $mirror->{name} VALUES ($id, '$value') ON CONFLICT (id) DO UPDATE SET v = excluded.v;\n";
	}
	return $sql;
}

sub change
{
	my ($self, $database, $name) = @_;
	my ($mirror) = grep { $_->{database} eq $database && $_->{name} eq $name } @{ $self->{mirrors} };
	$self->database($database)->sql($self->change_sql($mirror));
	return;
}

# What differs between the models and the destination, or ''.
sub difference
{
	my ($self) = @_;
	my (%model, %there, @differences);

	foreach my $database ($self->databases)
	{
		my @names = map { $_->{name} } grep { $_->{database} eq $database } @{ $self->{mirrors} };
		next unless @names;
		my $sql = join ' UNION ALL ', map { "SELECT '$_' AS sync, id, v FROM $_" } @names;
		$model{"$database\_$_->{sync}"}{ $_->{id} } = $_->{v} foreach @{ $self->database($database)->rows($sql) };
	}
	foreach my $record (@{ $self->{destination}->records })
	{
		$there{ $record->{object} }{ $record->{key}{id} } = $record->{fields}{v};
	}
	foreach my $object (sort keys %model)
	{
		my ($m, $t) = ($model{$object}, $there{$object} // {});
		my @wrong = grep { ($m->{$_} // 'nothing') ne ($t->{$_} // 'nothing') }
		  sort { $a <=> $b } keys %{ { %$m, %$t } };
		push @differences, "$object: " . join ', ', map {
			"$_ is " . ($t->{$_} // 'nothing') . ', not ' . ($m->{$_} // 'nothing') } @wrong
		  if @wrong;
	}
	return join '; ', @differences;
}

# One test.  Returns the seconds it took.
sub wait_until_equal
{
	my ($self, $seconds, $name) = @_;
	my $start = time;
	my $difference;

	# A server that crashes just now does not answer.
	while (($difference = eval { $self->difference } // "$@") ne '' && time < $start + $seconds)
	{
		sleep 0.1;
	}
	my $took = time - $start;
	is($difference, '', sprintf '%s (%.1f s)', $name // 'the destination is equal to the model', $took)
	  or $self->diagnose;
	return $took;
}

# Whatever can be said when something is not as it should be.
sub diagnose
{
	my ($self) = @_;
	diag "$_: " . $self->children->{$_} foreach sort keys %{ $self->children };
	foreach my $database ($self->databases)
	{
		my ($status, $out) = $self->{node}->psql($database, <<'END');
SELECT * FROM activate.workers;
SELECT name, s.*, (SELECT row(r.*) FROM activate.run r WHERE r.sync_id = s.sync_id ORDER BY run_id DESC LIMIT 1)
	FROM activate.sync_state s JOIN activate.sync USING (sync_id) ORDER BY next_run_at LIMIT 10;
SELECT * FROM activate.event ORDER BY event_id DESC LIMIT 5;
END
		diag "$database: ", $out // '';
	}
	return;
}

sub wait_for
{
	my ($self, $what, $seconds, $condition) = @_;
	my $until = time + $seconds;
	my $found;

	until ($found = $condition->())
	{
		if (time > $until)
		{
			$self->diagnose;
			croak "waited $seconds s in vain for $what";
		}
		sleep 0.005;
	}
	return $found;
}

# After a crash connections are refused, or end at once, for a while.
sub alive
{
	my ($self, $seconds) = @_;
	my $until = time + ($seconds // 60);

	while (1)
	{
		my ($status, $out) = $self->{node}->psql('postgres', 'SELECT 1');
		return if $status == 0 && ($out // '') eq '1';
		croak 'the server does not come back' if time > $until;
		sleep 0.02;
	}
	return;
}

# ------------------------------------------------------------------ processes

sub _line
{
	my ($path) = @_;
	open my $file, '<', $path or return '';
	my $line = readline($file) // '';
	$line =~ tr/\0/ /;
	$line =~ s/\s+$//;
	return $line;
}

sub postmaster { return $_[0]->{node}->{_pid} }

sub title { return _line("/proc/$_[1]/cmdline") }

# The postmaster's: pid => title.
sub children
{
	my ($self, $postmaster) = @_;
	$postmaster //= $self->postmaster // return {};
	my @pids = split ' ', _line("/proc/$postmaster/task/$postmaster/children");
	my %found = map { $_ => $self->title($_) } @pids;
	return { map { $_ => $found{$_} } grep { $found{$_} ne '' } keys %found };
}

sub pids
{
	my ($self, $kind) = @_;
	my $children = $self->children;
	return sort { $a <=> $b } grep { $children->{$_} =~ /pg_activate $kind/ } keys %$children;
}

# A number of /proc/PID/status: voluntary_ctxt_switches, RssAnon (kB) ...
sub status
{
	my ($self, $pid, $name) = @_;
	open my $file, '<', "/proc/$pid/status" or return;
	my ($number) = join('', <$file>) =~ /^\Q$name\E:\s+(\d+)/m;
	return $number;
}

# Seconds of processor time of a process.
sub cpu
{
	my ($self, $pid) = @_;
	my ($ns) = split ' ', _line("/proc/$pid/schedstat");
	return defined $ns ? $ns / 1e9 : undef;
}

# The test build's clock.
sub clock
{
	my ($self, $seconds) = @_;
	$self->{node}->adjust_conf('postgresql.conf', 'pg_activate.debug_clock_offset', $seconds);
	$self->{node}->reload;
	return;
}

# ----------------------------------------------------------------- invariants

# The destination never saw two requests of different runs of a sync at the
# same time, nor one key in two; and the times of runs that ended do not overlap.
sub no_overlap
{
	my ($self, $name) = @_;
	my (%under_way, @wrong);

	foreach my $request (sort { $a->{time} <=> $b->{time} } @{ $self->{destination}->requests })
	{
		next if $request->{method} ne 'POST';
		utf8::encode($request->{body});
		my $body = $json->decode($request->{body});
		my @others = grep { $_->{ended} == 0 || $_->{ended} > $request->{time} } @{ $under_way{ $request->{path} } // [] };
		my $this = { ended => $request->{ended}, run => $body->{run_id},
			keys => { map { $json->encode($_->{key}) => 1 } @{ $body->{rows} } } };

		foreach my $other (@others)
		{
			push @wrong, "$request->{path}: runs $other->{run} and $this->{run} send at the same time"
			  if $other->{run} != $this->{run};
			push @wrong, "$request->{path}: key $_ is twice under way"
			  foreach grep { $other->{keys}{$_} } keys %{ $this->{keys} };
		}
		$under_way{ $request->{path} } = [ @others, $this ];
	}
	is(join('; ', @wrong), '', "$name: one request for a key, of one run, at a time");

	foreach my $database ($self->databases)
	{
		# When an interrupted one ended nobody knows: its requests tell.
		my $overlaps = $self->database($database)->sql(<<'END');
SELECT a.run_id, a.status, a.started_at, a.finished_at, b.run_id, b.status, b.started_at
	FROM activate.run a JOIN activate.run b USING (sync_id)
	WHERE a.run_id <> b.run_id AND a.status <> 'interrupted' AND a.merged_into IS NULL AND b.merged_into IS NULL
		AND a.started_at <= b.started_at AND a.finished_at > b.started_at
END
		is($overlaps, '', "$name: no two runs of a sync in $database at the same time");
	}
	return;
}

# ------------------------------------------------------------------------ log

sub log_size { return -s $_[0]->{node}->logfile }

# Lines since then that workers wrote, or the postmaster about them.
sub worker_lines
{
	my ($self, $from) = @_;
	return grep { m{/pg_activate |/postmaster .*(?:background worker|pg_activate)} && !/ (?:DETAIL|HINT|CONTEXT|STATEMENT):/ }
	  split /\n/, slurp_file($self->{node}->logfile, $from // 0);
}

1;
