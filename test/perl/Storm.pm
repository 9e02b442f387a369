package Storm;

=head1 NAME

Storm - everything that can fail does, again and again, and in the end model and destination agree

=head1 SYNOPSIS

  use Storm;
  my $cluster = Storm->cluster('storm');                       # for all storms of a test
  my $storm = Storm->new($cluster, name => 's1', mode => 'mirror', removed => 'clear', synchronous => 1);
  my $report = $storm->rage(seed => 1, faults => 200);
  # { mode, faults, destination, process => { kill => n, ... }, points => { before_claim => n }, rounds, rows,
  #   again, again_max, over, alone, window, doubted, lost, wrong, change_ids, claims, status, sums, seconds }
  my $report = $storm->rage(seed => 1, faults => 50, claims => 0);   # must end wrong: the control

In each round the model changes by statements of all kinds, the destination
does several things of Convergence.pm's list to some requests, and often a
process is ended besides: the session or the worker of the run, scheduler,
launcher or postmaster, by itself at a fault point or by a signal from outside;
once in a storm the standby takes over in the middle of a run.  The same seed
gives the same changes and faults, as far as processes that run side by side
let it.

A fault is a request that the destination did something to, a process that
ended, or a certificate that is over. Rows sent again are what the destination
had already, just so. They are weighed after each run in which nothing failed
and nothing is left to wait.
Where one fault came since the last such run (alone says how often), they are
what it cost: again_max is the most that one did. Where several came, each of
them may have cost what it may: a request its own rows, whatever ends a process
the rows of all requests that may be under way (window). over is by how many
rows that was ever exceeded: 0.

=cut

use strict;
use warnings;

use parent -norequire, 'Convergence';

use Carp;
use List::Util qw(min);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use Activate;
use Convergence;
use ExpiredTls;
use Session;

use constant { BATCH => 4, CONCURRENCY => 4, KEYS => 200 };

# Whose points these are; the others are passed by whatever makes a run.
my %processes = (
	before_register => 'launcher', after_register => 'launcher',
	scheduler_looking => 'scheduler', scheduler_looked => 'scheduler', run_requested => 'scheduler',
	before_housekeeping => 'scheduler', after_housekeeping => 'scheduler', before_attach => 'worker');

# Only first runs come by these, and those of other modes.
my %elsewhere = map { $_ => 1 } qw(before_baseline after_baseline after_link before_linked unit_recorded);

# A run comes by these again and again.
my %often = map { $_ => 1 } qw(before_claim after_claim after_send after_answer before_settle after_settle);

# What ends a run, or takes its time, comes once in a round at most.
my $slow = qr/hang|timeout|endless|bomb|86400|for ever|40[018]|redirect|refused|rejected|Retry-After|reset (?:in|at)/;

my $nodes = 0;

# All points that the source has; Storm->points, or without.
sub points
{
	my %points;
	foreach my $file (glob 'src/*.c')
	{
		$points{$_} = 1 foreach slurp_file($file) =~ /ACT_FAULT\("(\w+)"\)/g;
	}
	croak 'no fault points: the source is not here' if !%points;
	return sort keys %points;
}

sub points_of_storms { return grep { !$elsewhere{$_} } points() }

sub cluster
{
	my ($class, $name) = @_;
	my $secrets = PostgreSQL::Test::Utils::tempdir();
	my $tls = ExpiredTls->start("$secrets/expired.pem");
	my $a = Activate->start($name, quick => 1, init => { allows_streaming => 1 }, conf => <<"END");
shared_preload_libraries = 'pg_activate'
pg_activate.allowed_hosts = '*'
pg_activate.naptime = '1s'
pg_activate.debug_retry_pause = '1ms'
pg_activate.progress_interval = 0
shared_buffers = 16MB
max_wal_size = 256MB
wal_keep_size = 64MB
wal_retrieve_retry_interval = 100ms
log_replication_commands = off
log_statement = none
autovacuum = off
pg_activate.secrets_directory = '$secrets'
include_if_exists = 'storm.conf'
END
	$a->{expired} = $tls;
	return $a;
}

sub new
{
	my ($class, $activate, %option) = @_;
	my $self = $class->SUPER::new($activate, keys => KEYS,
		server => { concurrency => CONCURRENCY, batch_size => BATCH }, %option);

	$self->{synchronous} = $option{synchronous};
	return $self;
}

# ------------------------------------------------------------------ the model

# A statement of any kind; the first row stays: an empty model is held, and rightly.
sub statement
{
	my ($self) = @_;
	my ($table, $dice) = ($self->{name}, rand);
	my ($id, $other) = map { 2 + int rand($self->{keys} - 1) } 1, 2;
	my $last = $id + int rand 40;
	my $value = join ', ', map { "'$_'" } split /,/, $self->any_value;
	my $set = join ', ', map { "$_ = (ARRAY['red', 'amber', 'green'])[1 + (id + " . int(rand 3) . ') % 3]' } @{ $self->{columns} };

	return "INSERT INTO $table VALUES ($id, $value) ON CONFLICT DO NOTHING" if $dice < 0.2;
	return "DELETE FROM $table WHERE id BETWEEN $id AND $last" if $dice < 0.4;
	return "INSERT INTO $table SELECT i, $value FROM generate_series($id, least($last, $self->{keys})) i ON CONFLICT DO NOTHING"
	  if $dice < 0.6;
	return "UPDATE $table SET id = $other WHERE id = $id AND NOT EXISTS (SELECT FROM $table WHERE id = $other)"
	  if $dice < 0.7;
	return "UPDATE $table SET $set WHERE id BETWEEN $id AND $last" if $dice < 0.97;
	return "TRUNCATE $table; INSERT INTO $table SELECT i, $value FROM generate_series(1, $id) i";
}

sub mutate
{
	my ($self) = @_;
	my $before = $self->model;
	my $first = join ', ', map { "'$_'" } split /,/, $self->first_value('red');

	my $sql = join ";\n", map { $self->statement } 0 .. rand 5;
	$self->{activate}->sql("BEGIN; $sql; INSERT INTO $self->{name} VALUES (1, $first) ON CONFLICT DO NOTHING; COMMIT");
	my $now = $self->model;
	my %changed = map { $_ => $now->{$_} }
	  grep { ($before->{$_} // '') ne ($now->{$_} // '') } keys %{ { %$before, %$now } };
	return ($before, \%changed);
}

sub change
{
	my ($self, %new) = @_;
	return unless %new;
	my $ids = join ', ', sort { $a <=> $b } keys %new;
	my $rows = join ', ', map { "($_, '" . join("', '", split /,/, $new{$_}) . "')" } sort { $a <=> $b } grep { defined $new{$_} } keys %new;
	$self->{activate}->sql("BEGIN; DELETE FROM $self->{name} WHERE id IN ($ids);"
		. ($rows eq '' ? '' : " INSERT INTO $self->{name} VALUES $rows;") . ' COMMIT');
	return;
}

# --------------------------------------------------------------------- faults

# Several behaviours, each for a request or two of the run.
sub script
{
	my ($self) = @_;
	my @names = sort keys %Convergence::scripts;
	my ($slow_ones, @script) = (0);

	foreach (0 .. 3 + rand 9)
	{
		my $name = $names[ rand @names ];
		my $is_slow = $name =~ $slow;
		my @all = ref $Convergence::scripts{$name} eq 'ARRAY' ? @{ $Convergence::scripts{$name} } : $Convergence::scripts{$name};
		next if $is_slow && $slow_ones++;
		push @script, map { { %$_, times => 1 + int(rand 1.3), match => { after => int rand($is_slow ? 16 : 6) } } } @all;
	}
	$self->{destination}->script(\@script);
	return;
}

# A fault that the log does not tell of.
sub took
{
	my ($self, $what) = @_;
	$self->{report}{process}{$what}++;
	$self->{report}{faults}++;
	return;
}

# Adds the faults that the log tells of since it was last read: [point, action].
sub read_log
{
	my ($self) = @_;
	my $file = $self->{activate}->node->logfile;
	my $size = -s $file;
	my $text = $size > $self->{log_at} ? slurp_file($file, $self->{log_at}) : '';

	# A line may still be on its way.
	$text =~ s/[^\n]*\z//;
	$self->{log_at} += length $text;
	while ($text =~ /fault point "(\w+)": (\w+)/g)
	{
		next if $2 eq 'wait';
		$self->{report}{points}{$1}++;
		$self->took($2);
	}
	return;
}

sub faults
{
	my ($self) = @_;
	$self->read_log;
	return $self->{report}{faults} + $self->{destination}->stats->{faults};
}

# Settings that all processes take up: faults for whoever comes by, and the
# clock.  The standby has them, too: one that is promoted runs syncs at once.
sub settings
{
	my ($self, $faults) = @_;
	my $activate = $self->{activate};
	my $offset = ($activate->{days} // 0) * 86400;

	foreach my $node (grep { defined } $activate->node, $activate->{standby})
	{
		open my $out, '>', $node->data_dir . '/storm.conf' or croak $!;
		print $out "pg_activate.debug_faults = '$faults'\npg_activate.debug_clock_offset = $offset\n",
		  'synchronous_standby_names = ', $self->{synchronous} ? "'*'" : "''", "\n";
		close $out;
		kill 'HUP', $node->{_pid} if $node->{_pid};
	}
	return;
}

sub wait_for
{
	my ($self, $seconds, $condition) = @_;
	my $until = time + $seconds;
	until ($condition->())
	{
		return 0 if time > $until;
		sleep 0.02;
	}
	return 1;
}

# ------------------------------------------------- rounds: a run in a session

sub call { my ($self, %option) = @_; return $self->{activate}->run($self->{name}, %option, set => $self->{set}) }

# What cleans up after an error comes only after one.
sub at_point
{
	my ($self, $point, $action) = @_;
	return $self->call(faults => "before_marks:error,$point:$action") if $point eq 'before_abandon';
	return $self->call(faults => "$point:$action:" . ($often{$point} ? int rand 4 : 0));
}

# The server stops while the run stands at a point.
sub stopped
{
	my ($self, $point, $how) = @_;
	my $activate = $self->{activate};
	my $node = $activate->node;
	my $under_way = $activate->begin($self->{name}, faults => "$point:wait", set => $self->{set});

	$self->wait_for(5, sub {
		return $activate->has_ended($under_way)
		  || $activate->sql(q{SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'CALL activate.run_sync%'
			AND wait_event_type = 'Extension' AND wait_event = 'Extension'}) == 1;
	});
	delete $activate->{session};
	if ($how eq 'KILL')
	{
		# It starts again when it and its children are gone.
		my $pid = $node->{_pid};
		$node->kill9;
		$self->wait_for(20, sub { !kill 0, $pid }) or croak 'the server does not end';
		$self->wait_for(20, sub { $node->{_pid} = undef; $node->start(fail_ok => 1) }) or croak 'the server does not start';
	}
	else
	{
		$node->stop($how);
		$node->start;
	}
	$self->took("postmaster $how");
	return $activate->end($under_way);
}

sub while_waiting
{
	my ($self, $how) = @_;
	my $run = $self->interrupted($how, set => $self->{set});
	delete $self->{activate}{session} if $how eq 'crash';
	$self->took($how eq 'crash' ? 'postmaster immediate' : "session $how");
	return $run;
}

# The destination's certificate is over: nothing is sent until there is a new one.
sub expired
{
	my ($self) = @_;
	my $activate = $self->{activate};
	my $url = $self->{destination}->url;
	my $over = $activate->{expired}->url;

	$activate->sql("ALTER SERVER $self->{name} OPTIONS (SET base_url '$over', ADD ca_file 'expired.pem')");
	my $run = $self->call;
	$activate->sql("ALTER SERVER $self->{name} OPTIONS (SET base_url '$url', DROP ca_file)");
	# Without anything to be sent nobody comes by it.
	$self->took('certificate expired') if ($run->{text} // '') =~ /certificate has expired/;
	return $run;
}

# ---------------------------------------------------- rounds: a run by workers

# False: it was interrupted too often and waits a while.
sub queued
{
	my ($self) = @_;
	return eval { $self->{activate}->sql("SELECT activate.queue_run('$self->{name}')"); 1 };
}

sub queue_is_done
{
	my ($self) = @_;
	return $self->{activate}->sql("SELECT count(*) FROM activate.run WHERE status IN ('queued', 'running')") eq '0';
}

# Whoever of the server's processes comes to a point ends there.
sub by_worker
{
	my ($self, $point, $action) = @_;
	my $before = $self->faults - $self->{destination}->stats->{faults};

	$self->settings("$point:$action");
	# Housekeeping is done at once when its setting is another one.
	$self->{activate}->sql('ALTER SYSTEM SET pg_activate.run_retention = ' . (10000 + int rand 10000) . '; SELECT pg_reload_conf()')
	  if $point =~ /housekeeping/;
	$self->wait_for(1.5, sub { $self->read_log; return $self->{report}{faults} > $before || $self->queue_is_done })
	  if $self->queued;
	$self->settings('');
	$self->{activate}->alive;
	return;
}

# A process of the server is ended from outside, best in the middle of a run.
sub signalled
{
	my ($self, $kind, $signal) = @_;

	$self->{destination}->script({ hang => 1, apply => 'before', times => -1 });
	if ($self->queued)
	{
		$self->wait_for(1.5, sub { $self->{destination}->stats->{busy} > 0 || $self->queue_is_done });
		my $pid = $self->{activate}->sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'pg_activate $kind' LIMIT 1");
		$self->took("$kind $signal") if $pid =~ /^\d+$/ && kill $signal, $pid;
	}
	$self->{activate}->alive;
	return;
}

# ------------------------------------------------------------------ promotion

sub attach_standby
{
	my ($self) = @_;
	my $activate = $self->{activate};
	my $primary = $activate->node;
	my $name = 'standby' . ++$nodes;

	$primary->backup($name);
	my $standby = PostgreSQL::Test::Cluster->new($name);
	$standby->init_from_backup($primary, $name, has_streaming => 1);
	$standby->start;
	$activate->{standby} = $standby;
	$self->standby_follows;
	return;
}

sub standby_follows
{
	my ($self) = @_;
	my $state = $self->{synchronous} ? 'sync' : 'async';

	$self->settings('');
	$self->wait_for(20, sub {
		return $self->{activate}->sql("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = '$state'") eq '1';
	}) or croak "the standby does not follow ($state)";
	return;
}

# The primary is gone in the middle of a run, and the standby takes its place,
# with a standby of its own.
sub promoted
{
	my ($self) = @_;
	my $activate = $self->{activate};
	my $old = $activate->node;
	my $standby = delete $activate->{standby};

	$self->{destination}->script({ hang => 1, apply => 'before', times => -1 });
	my $under_way = $activate->begin($self->{name}, set => $self->{set});
	$self->wait_for_busy($under_way);
	delete $activate->{session};
	$old->stop('immediate');
	$under_way->{handle}->finish;
	$standby->promote;
	$activate->take_over($standby);
	$self->read_log;
	$self->{log_at} = 0;
	$old->clean_node;
	$self->took('promotion, ' . ($self->{synchronous} ? 'synchronous' : 'asynchronous'));
	$self->attach_standby;

	# What an asynchronous standby missed it finds by itself, or is told.
	$self->{destination}->script([]);
	$self->{doubted} = !$self->{synchronous};
	return if $self->{synchronous} || rand() < 0.5;
	$activate->sql(q{SELECT activate.confirm_cluster('recovered')});
	my $held = $self->call;
	is($held->{status}, 'held', 'recovered: the next run is held') or diag $held->{text};
	# Before the model changes: what was approved is what is sent.
	$activate->sql("SELECT activate.approve_run($held->{run_id})");
	return $self->call;
}

# ------------------------------------------------------------------ the storm

# All that can be done to processes, in the order of the seed.
sub deck
{
	my ($self) = @_;
	my @points = grep { !$elsewhere{$_} } points();
	my @of_runs = grep { !$processes{$_} && $_ ne 'run_taken' } @points;
	my @cards = (
		(map { my $p = $_; map { [ at_point => $p, $_ ] } qw(kill error term fatal) } @of_runs),
		(map { my $h = $_; map { [ stopped => $_, $h ] } qw(after_send after_answer) } qw(immediate fast)), [ stopped => "after_send", "KILL" ],
		(map { [ while_waiting => $_ ] } qw(crash kill kill cancel cancel terminate terminate)),
		([ 'expired' ]) x 3);

	push @cards,
	  (map { my $p = $_; map { [ by_worker => $p, $_ ] } qw(kill term) } qw(run_taken before_attach scheduler_looking scheduler_looked run_requested)),
	  (map { [ by_worker => $_, 'kill' ] } grep { /register|housekeeping/ } @points),
	  (map { [ by_worker => $of_runs[ rand @of_runs ], (qw(kill error term fatal))[ rand 4 ] ] } 1 .. 8),
	  (map { my $s = $_; map { [ signalled => $_, $s ] } qw(run scheduler) } qw(KILL TERM)), [ signalled => 'launcher', 'KILL' ],
	  $self->{name} =~ /[05]$/ ? [ signalled => 'launcher', 'TERM' ] : ()
	  if !$self->{set};
	return map { $_->[1] } sort { $a->[0] <=> $b->[0] } map { [ rand, $_ ] } @cards;
}

# After a run in which nothing failed, what was sent again since the last one.
sub weigh
{
	my ($self) = @_;
	my ($report, $before) = ($self->{report}, $self->{weighed});
	my $faults = $self->faults;
	my $stats = $self->{destination}->stats;
	my $again = $stats->{repeats} - $before->{repeats};
	my $requests = $stats->{faults} - $before->{requests} - $self->{held};
	my $processes = $faults - $before->{faults} - ($stats->{faults} - $before->{requests});

	$self->{weighed} = { faults => $faults, requests => $stats->{faults}, repeats => $stats->{repeats} };
	$self->{held} = 0;
	if ($self->{doubted})
	{
		$report->{doubted} += $again;
		$self->{doubted} = 0;
		return;
	}
	# Rows in doubt that had left the model are not asked about before they are back.
	my $left = $self->{left};
	$self->{left} = $self->{activate}->sql("SELECT count(*) FROM activate_data.$self->{name} WHERE activate_in_doubt");
	my $allowed = $processes * $report->{window} + $requests * ($self->{mode} eq 'replace' ? KEYS : BATCH) + $left;
	note "$again rows again after $requests requests and $processes others that failed" if $again > $allowed / 2;
	$report->{again} += $again;
	$report->{over} = $again - $allowed if $again - $allowed > $report->{over};
	return if $requests + $processes != 1 || $left > 0;
	$report->{alone}++;
	$report->{again_max} = $again if $again > $report->{again_max};
	return;
}

# Requests that hang when a process ends are part of that, and no faults of
# their own; those that ran into their timeout before, or a retry after, are.
sub round
{
	my ($self, $how, @what) = @_;
	my $report = $self->{report};
	my ($requests, $processes) = ($self->{destination}->stats->{faults}, $report->{faults});
	my $run = $self->$how(@what);

	$self->{held} += min(CONCURRENCY, $self->{destination}->stats->{faults} - $requests)
	  if $how =~ /^(?:while_waiting|signalled|promoted)$/ && $report->{faults} > $processes;
	return $run;
}

# Until a run succeeds: back-off is over by then, and workers are done with theirs.
sub settle
{
	my ($self) = @_;
	my $run;

	$self->{destination}->script([]);
	foreach (1 .. 10)
	{
		$self->{activate}{days} += 30;
		$self->settings('');
		$run = $self->call;
		last if ($run->{status} // '') eq 'succeeded';
	}
	return $run;
}

# What became of the rows.
sub count_differences
{
	my ($self) = @_;
	my $report = $self->{report};
	my $text = $self->agrees;

	$report->{difference} = $text;
	$report->{lost} = () = $text =~ /is nothing, not (?!nothing)/g;
	$report->{wrong} = ($text eq '' ? 0 : scalar(my @all = split /; /, $text)) - $report->{lost};
	return;
}

sub rage
{
	my ($self, %option) = @_;
	my $begun = time;
	my $activate = $self->{activate};
	my $promotion = 0;
	my @deck;

	srand $option{seed};
	$self->{set} = { 'pg_activate.debug_claims_off' => 'on' } if exists $option{claims} && !$option{claims};
	my $report = $self->{report} = { mode => $self->{mode}, faults => 0, process => {}, points => {}, rounds => 0, again => 0, again_max => 0,
		over => 0, alone => 0, doubted => 0, window => $self->{mode} eq 'replace' ? KEYS : BATCH * CONCURRENCY };
	$self->{log_at} = -s $activate->node->logfile;
	$self->{weighed} = { faults => 0, requests => 0, repeats => 0 };
	$self->{held} = $self->{left} = 0;
	if (!$self->{set})
	{
		$activate->{standby} ? $self->standby_follows : $self->attach_standby;
		$promotion = int($option{faults} * (0.2 + rand 0.6));
	}

	while ((my $faults = $self->faults) < $option{faults})
	{
		my ($before, $changed) = $self->mutate;
		my ($how, @what) = @{ (@deck = @deck ? @deck : $self->deck)[0] };
		shift @deck;
		($how, $promotion, @what) = ("promoted", 0) if $promotion && $faults >= $promotion;

		$report->{rounds}++;
		# Some faults come alone, to be weighed alone.
		my $alone = rand() < 0.4;
		$self->script if !$alone;
		my $started = time;
		my $run = $self->round($how, @what);
		note sprintf '%d faults, %s: %s %s (%.2f s)', $faults, join(' ', $how, @what), ref $run ? ($run->{status} // 'none', $run->{sqlstate}) : ('', ''), time - $started;
		$self->{destination}->script([]);
		$self->revert($before, $changed);
		next if !$alone && rand() < 0.5;
		my $clean = $alone ? $self->settle : $self->call;
		# Otherwise something still waits for its time.
		$self->weigh if ($clean->{status} // '') eq 'succeeded';
		croak 'too many rounds for these faults' if $report->{rounds} > 10 * $option{faults};
	}
	my $run = $self->settle;
	$self->weigh;
	$report->{faults} = $self->faults;
	$report->{destination} = $self->{destination}->stats->{faults};
	$report->{rows} = $self->{destination}->stats->{rows};
	$report->{status} = $run->{status} // $run->{text};
	$self->count_differences;
	$report->{change_ids} = $self->change_ids;
	$report->{claims} = $activate->sql('SELECT count(*) FROM activate.claim');
	$report->{sums} = Sums::wrong($activate->node, 'postgres');
	$report->{seconds} = time - $begun;
	return $report;
}

# Nothing of it stays but the destination's memory of it, which goes, too.
sub end
{
	my ($self) = @_;
	$self->{activate}->sql("SELECT activate.drop_sync('$self->{name}'); DROP SERVER $self->{name}");
	$self->{destination}->stop;
	return;
}

1;
