package Soak;

=head1 NAME

Soak - what a process costs while it sends very many requests, for TAP tests

=head1 SYNOPSIS

  use Soak;
  Soak::run(requests => 200_000, runs => 20, bound => 1024);
  Soak::run(requests => 200_000, runs => 20, bound => 1024, seconds => 240);   # fewer requests where that takes longer

=head1 DESCRIPTION

One session sends a row a request: half of the requests in many runs, the
other half in one. Its own memory and its descriptors are looked at all the
while, and the growth for a thousand requests, from the line that fits best,
must be below C<bound> bytes; the first half of each is a warm-up, and what
grew is tried again, as a step is no leak. From the second run on another session holds a snapshot,
so that nothing dead can be removed, and the tables of the extension must stay in
bounds all the same.

=cut

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use Test::More;
use Time::HiRes qw(sleep time);

use Chaos;
use Destination;
use Session;

# The share of its requests before which a process takes what it then keeps: caches, arenas.
use constant WARM_UP => 0.5;

# What the destination takes for an answer: a run must last long enough to be
# looked at more than twice, however fast the machine is.
use constant ANSWER_MS => 8;

# Memory of its own, in bytes, and open descriptors; nothing once it is gone.
# Not pages of files: whether others have them, too, makes those private or not.
sub _look
{
	my ($pid) = @_;
	open my $rollup, '<', "/proc/$pid/smaps_rollup" or return;
	my ($own) = map { /^Anonymous:\s+(\d+)/ ? 1024 * $1 : () } <$rollup>;
	opendir my $folder, "/proc/$pid/fd" or return;
	return ($own, scalar grep { !/^\./ } readdir $folder);
}

# Least squares: growth of the second for one of the first.
sub _slope
{
	my @points = @_;
	my ($n, $sx, $sy, $sxx, $sxy) = (scalar @points, 0, 0, 0, 0);
	foreach my $point (@points)
	{
		my ($x, $y) = @$point;
		$sx += $x;
		$sy += $y;
		$sxx += $x * $x;
		$sxy += $x * $y;
	}
	my $d = $n * $sxx - $sx * $sx;
	return $d == 0 ? 0 : ($n * $sxy - $sx * $sy) / $d;
}

# Runs a statement and looks until it is done; points of (requests so far, bytes), descriptors.
sub _watch
{
	my ($self, $sql) = @_;
	my (@points, @fds);
	my $start = $self->{crm}->stats->{requests};
	my $began = time;

	$self->{session}->send($sql);
	while ($self->{session}->is_busy)
	{
		my ($bytes, $fds) = _look($self->{session}->pid) or last;
		push @points, [ $self->{crm}->stats->{requests}, $bytes ];
		push @fds, $fds;
		sleep 0.05;
	}
	is($self->{session}->wait(5), '', $sql);
	my $sent = $self->{crm}->stats->{requests} - $start;
	return { points => \@points, fds => \@fds, sent => $sent, rate => $sent / (time - $began) };
}

sub _changed
{
	my ($self, $table) = @_;
	return $self->{node}->safe_psql('postgres', "UPDATE $table SET v = v + 1");
}

# What the contexts of the session hold between two runs.
sub _contexts
{
	my ($self) = @_;
	return $self->{session}->query('SELECT sum(total_bytes) FROM pg_backend_memory_contexts');
}

sub _sizes
{
	my ($self) = @_;
	my %size = map { split /\|/ } split /\n/, $self->{node}->safe_psql('postgres', <<'END');
SELECT c.relname, pg_total_relation_size(c.oid) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'activate' AND c.relkind = 'r' AND c.relname IN ('claim', 'run', 'sync_state', 'event', 'invalid_row')
END
	return \%size;
}

sub _start
{
	my (%option) = @_;
	my $self = bless { crm => Destination->start }, __PACKAGE__;
	my $node = $self->{node} = PostgreSQL::Test::Cluster->new('soak');

	$self->{crm}->config({ log => 0, delay_ms => ANSWER_MS });
	$node->init;
	$node->append_conf('postgresql.conf', <<'END');
fsync = off
autovacuum_naptime = '1s'
autovacuum_vacuum_cost_delay = 0
pg_activate.allowed_hosts = '127.0.0.1'
END
	$node->start;
	my $url = $self->{crm}->url;
	$node->safe_psql('postgres', <<"END");
CREATE EXTENSION pg_activate;
CREATE SERVER crm FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url '$url', batch_size '1', concurrency '16');
CREATE TABLE many (id int PRIMARY KEY, v int);
CREATE TABLE one (id int PRIMARY KEY, v int);
INSERT INTO many SELECT i, 0 FROM generate_series(1, @{[int($option{requests} / 2 / $option{runs})]}) i;
INSERT INTO one SELECT i, 0 FROM generate_series(1, @{[int($option{requests} / 2)]}) i;
SET client_min_messages = warning;
SELECT activate.create_sync('many', 'public.many', 'id', 'crm', object => 'many', mapping => 'v', options => '{"max_changed": null}');
SELECT activate.create_sync('one', 'public.one', 'id', 'crm', object => 'one', mapping => 'v', options => '{"max_changed": null}');
END
	$self->{session} = Session->start($node, 'postgres', options => '-c pg_activate.progress_interval=0 -c client_min_messages=warning');
	return $self;
}

# Growth for a thousand requests, in their second half.
sub _growth
{
	my ($points) = @_;
	my ($first, $last) = @$points ? ($points->[0][0], $points->[-1][0]) : (0, 0);
	my @warm = grep { $_->[0] >= $first + WARM_UP * ($last - $first) } @$points;
	return (1000 * _slope(@warm), scalar @warm);
}

# What grows once, as an arena does, does not grow when it is done again.
sub _grows_little
{
	my ($name, $bound, $points, $again) = @_;
	my ($slope, $times) = _growth($points);
	for (my $try = 1; $slope >= $bound && $try < 4; $try++)
	{
		Chaos::tell('%s: %.0f bytes of its own memory for 1000 requests; once more', $name, $slope);
		($slope, $times) = _growth($again->());
	}
	ok($times > 2, "$name: looked at $times times");
	Chaos::tell('%s: %.0f bytes of its own memory for 1000 requests', $name, $slope);
	return cmp_ok($slope, '<', $bound, sprintf '%s: %.0f bytes of its own memory for 1000 requests', $name, $slope);
}

sub _same_descriptors
{
	my ($name, $fds) = @_;
	my @second_half = @$fds[ @$fds / 2 .. $#$fds ];
	my ($most_before) = sort { $b <=> $a } @$fds[ 0 .. @$fds / 2 ];
	my ($most) = sort { $b <=> $a } @second_half;
	return cmp_ok($most, '<=', $most_before + 2, "$name: no more descriptors at the end ($most) than before ($most_before)");
}

sub run
{
	my (%option) = @_;
	my $self = _start(%option);
	my $holder = Session->start($self->{node}, 'postgres');
	my (@points, @fds, @rates, @totals);
	my $begun = time;

	foreach my $i (1 .. $option{runs})
	{
		# The first run has nobody beside it.
		$holder->query('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM activate.run') if $i == 2;
		$self->_changed('many');
		my $seen = $self->_watch(q{CALL activate.run_sync('many')});
		push @points, @{ $seen->{points} };
		push @fds, @{ $seen->{fds} };
		push @rates, $seen->{rate};
		push @totals, [ $self->{crm}->stats->{requests}, $self->_contexts ];
		last if $option{seconds} && $i > 2 && time - $begun > $option{seconds} / 2;
	}
	if (@totals < $option{runs})
	{
		# The same again in one run.
		$option{requests} = int($option{requests} * @totals / $option{runs});
		$option{runs} = @totals;
		$self->{node}->safe_psql('postgres', 'DELETE FROM one WHERE id > ' . int($option{requests} / 2));
		Chaos::tell('%d requests are what there is time for', $option{requests});
	}
	_grows_little("$option{runs} runs", $option{bound}, \@points, sub {
		return [ map { $self->_changed('many'); @{ $self->_watch(q{CALL activate.run_sync('many')})->{points} } } 1 .. $option{runs} ];
	});
	_same_descriptors("$option{runs} runs", \@fds);
	my $slope = 1000 * _slope(@totals[ 1 .. $#totals ]);
	cmp_ok($slope, '<', $option{bound}, sprintf '%d runs: %.0f bytes of memory contexts for 1000 requests', $option{runs}, $slope);
	note(sprintf 'requests a second: %.0f in the first run, %.0f in the last one, with all dead rows of the others kept', @rates[ 0, -1 ]);

	my $seen = $self->_watch(q{CALL activate.run_sync('one')});
	_grows_little('one run', $option{bound}, $seen->{points}, sub {
		$self->_changed('one');
		return $self->_watch(q{CALL activate.run_sync('one')})->{points};
	});
	_same_descriptors('one run', $seen->{fds});
	note(sprintf 'requests a second in one run: %.0f', $seen->{rate});
	Chaos::tell('soak: %d requests in %.0f s', $self->{crm}->stats->{requests}, time - $begun);

	my $size = $self->_sizes;
	my $claims = $self->{crm}->stats->{requests} * 400;
	note("with a snapshot held: $_ has $size->{$_} bytes") foreach sort keys %$size;
	cmp_ok($size->{run}, '<', 100_000 + 10_000 * $option{runs}, 'a row a run in activate.run');
	cmp_ok($size->{claim}, '<', $claims, 'activate.claim has no more than what the snapshot keeps');
	$holder->query('COMMIT');
	$self->{node}->safe_psql('postgres', 'VACUUM activate.claim');
	is($self->{node}->safe_psql('postgres', q{SELECT pg_relation_size('activate.claim')}), 0, 'and is empty once nobody holds it');
	is($self->{node}->safe_psql('postgres', 'SELECT count(*) FROM activate.claim'), 0, 'no claim is left');
	$holder->stop;
	$self->{session}->stop;
	return;
}

1;
