package Convergence;

=head1 NAME

Convergence - a model that changes and a destination that fails, until both must agree

=head1 SYNOPSIS

  use Convergence;
  my $c = Convergence->new($activate, removed => 'delete');   # mirror of 100 keys, three values
  my $c = Convergence->new($activate, mode => 'replace');     # all of them as one unit, ordered by value
  my $c = Convergence->new($activate, mode => 'replace', order_only => 1);   # which is not sent
  $c->storm(seed => 1, rounds => 20);   # tests: agreement, sums, change_ids
  $c->agrees;                           # '' or what differs

  # of several columns, of which only those that differ are sent
  my $c = Convergence->new($activate, columns => [qw(band tone)], options => { changed_fields_only => JSON::PP::true });

  # a request applied whose answer is lost, the model put back before the next run
  my $difference = $c->lose('answer never sent', { close => 'after', times => -1 }, claims => 0);

The same seed gives the same changes and faults.

=cut

use strict;
use warnings;

use Carp;
use JSON::PP;
use Test::More;
use Time::HiRes qw(sleep time);

use Destination;

my $json = JSON::PP->new->utf8->canonical->allow_nonref;
my @values = qw(red amber green);
my $far = 30 * 86400;

# What the destination does to requests, each until the end of the run unless times says so.
our %scripts = (
	'applied, hangs up' => { close => 'after', times => -1 },
	'applied, resets' => { close => 'after', reset => 1, times => -1 },
	'applied, hangs up once' => { close => 'after' },
	'hangs up' => { close => 'before', times => -1 },
	'answer cut off' => { close => 'mid', times => -1 },
	'500 after applying' => { status => 500, apply => 'before', times => -1 },
	'500 after applying, then 400' => [ { status => 500, apply => 'before' }, { status => 400, times => 40 } ],
	'applied, hangs up, then 400' => [ { close => 'after' }, { status => 400, times => 40 } ],
	'500 before applying' => { status => 500, apply => 'none', times => -1 },
	'500 a few times' => { status => 500, apply => 'none', times => 3 },
	'applied, timeout' => { hang => 1, apply => 'before', times => -1 },
	'timeout once' => { hang => 1, apply => 'none' },
	'results too short' => { results => 'short', times => -1 },
	'results too long' => { results => 'long', times => -1 },
	'results cut off' => { results => 'cut', times => -1 },
	'results unknown' => { results => 'unknown', times => -1 },
	'results null' => { results => 'null', times => -1 },
	'no results' => { body => 'null', times => -1 },
	'answer resets in the middle' => { close => 'mid', reset => 1, times => -1 },
	'resets' => { close => 'before', reset => 1, times => -1 },
	'stale keep-alive' => { close => 'next', times => -1 },
	'length too short' => { content_length => 3, times => -1 },
	'length too long' => { content_length => 1000000, times => -1 },
	'bad chunk' => { chunked_bad => 1, times => -1 },
	'gzip bomb' => { gzip_bomb => 100_000_000 },
	'endless' => { endless => 1 },
	'header of 1 MB' => { header_bytes => 1 << 20, times => -1 },
	'redirect' => { location => 'http://127.0.0.1:1/', times => -1 },
	'408' => { status => 408, times => 3 },
	'503, Retry-After: 0' => { status => 503, headers => { 'Retry-After' => '0' }, times => 3 },
	'429, Retry-After: a date' => { status => 429, headers => { 'Retry-After' => 'Thu, 01 Jan 2015 00:00:00 GMT' }, times => 3 },
	'429, reset in 0 s' => { status => 429, headers => { 'X-RateLimit-Remaining' => '0', 'X-RateLimit-Reset' => '0' }, times => 3 },
	'429, reset at' => { status => 429, headers => { 'X-RateLimit-Remaining' => '0', 'X-RateLimit-Reset' => '1420070400' }, times => 3 },
	'429, reset at, ms' => { status => 429, headers => { 'X-RateLimit-Remaining' => '0', 'X-RateLimit-Reset' => '1420070400000' }, times => 3 },
	'html as JSON' => { results => 'html', headers => { 'Content-Type' => 'application/json' }, times => -1 },
	'429' => { status => 429, times => 6 },
	'429 for ever' => { status => 429, headers => { 'Retry-After' => '86400' }, times => -1 },
	'401' => { status => 401, times => -1 },
	'413' => { status => 413, times => 2 },
	'rows rejected' => { reject_rows => { where => 'amber', error => 'no' }, times => -1 },
	'batches refused' => { refuse_batch_if => 'amber', times => -1 },
);

my @points = qw(before_claim after_claim after_send before_settle after_settle);

sub new
{
	my ($class, $activate, %option) = @_;
	my $self = bless { activate => $activate, removed => $option{removed} // 'delete',
		columns => $option{columns} // ['band'], mode => $option{mode} // 'mirror',
		order_only => $option{order_only} // 0, keys => $option{keys} // 100 }, $class;
	my $columns = join ', ', @{ $self->{columns} };
	my $options = $json->encode({ remove_after => '0 s', max_removed => 1000000, max_rejected => 1000000,
		max_attempts => 1000, batch_size => 4,
		$self->{removed} eq 'update' ? (removed_mapping => { map { $_ => undef } @{ $self->{columns} } }) : (),
		%{ $option{options} // {} } });
	my $d = $self->{destination} = Destination->start;

	$self->{name} = $option{name} // 'storm';
	$d->config({ idempotency => 1 });
	$activate->server($self->{name}, $d, timeout => '300ms', %{ $option{server} // {} });
	$activate->sql("CREATE TABLE $self->{name} (id int PRIMARY KEY, "
		. join(', ', map { "$_ text NOT NULL" } @{ $self->{columns} }) . ')');
	$activate->sql(<<"END") if $self->{mode} eq 'replace';
SELECT activate.create_sync('$self->{name}', 'SELECT * FROM $self->{name} ORDER BY band, id', 'id', '$self->{name}', 'records',
	mapping => CASE $self->{order_only} WHEN 1 THEN 'id' ELSE 'band' END, mode => 'replace',
	options => '{"max_removed": 1000000, "max_attempts": 1000}');
END
	$activate->sql(<<"END") if $self->{mode} ne 'replace';
SELECT activate.create_sync('$self->{name}', '$self->{name}', 'id', '$self->{name}', 'records', mapping => '$columns',
	mode => '$self->{mode}', on_removed => '$self->{removed}', options => '$options');
END
	return $self;
}

# The model as it is now: key => value, those of several columns with commas.
sub model
{
	my ($self) = @_;
	my $columns = join ', ', @{ $self->{columns} };
	return { map { split /\|/ } split /\n/, $self->{activate}->sql("SELECT id, concat_ws(',', $columns) FROM $self->{name}") };
}

# Any value; of several columns some are as they were.
sub any_value
{
	my ($self, $before) = @_;
	my @before = split /,/, $before // '';
	my $count = @{ $self->{columns} };

	return join ',', map { $count > 1 && defined $before[$_] && rand() < 0.5 ? $before[$_] : $values[ rand @values ] }
		0 .. $count - 1;
}

# One value in the first column, red in the others.
sub first_value
{
	my ($self, $value) = @_;
	return join ',', $value, ('red') x (@{ $self->{columns} } - 1);
}

# Makes the model have these values (undef: no such row) for these keys.
sub change
{
	my ($self, %new) = @_;
	return unless %new;
	my $ids = join ', ', sort { $a <=> $b } keys %new;
	my $rows = join ', ', map { "($_, '" . join("', '", split /,/, $new{$_}) . "')" } sort { $a <=> $b } grep { defined $new{$_} } keys %new;
	$self->{activate}->sql("DELETE FROM $self->{name} WHERE id IN ($ids);"
		. ($rows eq '' ? '' : " INSERT INTO $self->{name} VALUES $rows;"));
	return;
}

sub mutate
{
	my ($self) = @_;
	my $model = $self->model;
	my %new;

	foreach (0 .. rand 30)
	{
		my $id = 1 + int rand $self->{keys};
		# The last row stays: an empty model is held, and rightly.
		$new{$id} = $id > 1 && rand() < 0.3 ? undef : $self->any_value($model->{$id});
	}
	$self->change(%new);
	return ($model, \%new);
}

# Puts back what was changed, removes it, or gives it a third value: what a
# lost answer must not turn into a lasting difference.
sub revert
{
	my ($self, $before, $changed) = @_;
	my %new;

	foreach my $id (sort { $a <=> $b } keys %$changed)
	{
		my $dice = rand;
		if ($dice < 0.5) { $new{$id} = $before->{$id} }
		elsif ($dice < 0.65) { $new{$id} = $id > 1 ? undef : $self->first_value($values[0]) }
		elsif ($dice < 0.75) { $new{$id} = $self->any_value($before->{$id}) }
	}
	$new{1} //= $self->first_value($values[0]) if exists $new{1};
	$self->change(%new);
	return;
}

# What differs between model and destination, or ''.
sub agrees
{
	my ($self) = @_;
	return $self->unit_agrees if $self->{mode} eq 'replace';
	my $model = $self->model;
	my %there;
	my @differences;
	# What left the model is nobody's business then.
	my $ignored = $self->{removed} eq 'ignore';

	foreach my $record (@{ $self->{destination}->records('records') })
	{
		my @fields = @{ $record->{fields} }{ @{ $self->{columns} } };
		next if $record->{archived} || ($self->{removed} =~ /^(clear|update)$/ && !grep { defined } @fields);
		$there{ $record->{key}{id} } = join ',', map { $_ // 'null' } @fields;
	}
	foreach my $id (1 .. $self->{keys})
	{
		my ($wanted, $found) = map { $_ // 'nothing' } $model->{$id}, $there{$id};
		next if $ignored && !defined $model->{$id};
		push @differences, "$id is $found, not $wanted" if $wanted ne $found;
	}
	return join '; ', @differences;
}

# The same rows in the same order, which the ids of the records tell.
sub unit_agrees
{
	my ($self) = @_;
	my @records = sort { substr($a->{external_id}, 1) <=> substr($b->{external_id}, 1) }
	  @{ $self->{destination}->records('records') };
	my $there = join ' ', map { join '|', $_->{key}{id}, values %{ $_->{fields} } } @records;
	my $column = $self->{order_only} ? 'id' : 'band';
	my $wanted = join ' ', split /\n/,
	  $self->{activate}->sql("SELECT id, $column FROM $self->{name} ORDER BY band, id");
	return $there eq $wanted ? '' : "has $there, not $wanted";
}

# No change_id stands for two contents, in all requests there ever were; of a
# unit no Idempotency-Key does.
sub change_ids
{
	my ($self) = @_;
	my (%content, @wrong);

	if ($self->{mode} eq 'replace')
	{
		foreach my $request (@{ $self->{destination}->requests })
		{
			my %header = map { lc $_ => $request->{headers}{$_} } keys %{ $request->{headers} };
			my $key = $header{'idempotency-key'};
			# Of one that was cut off on its way there is less than was sent.
			next if length($request->{body}) != $header{'content-length'};
			my $before = $content{$key} //= $request->{body};
			push @wrong, "$key: $before and $request->{body}" if $before ne $request->{body};
		}
		return join '; ', @wrong;
	}
	foreach my $row (@{ $self->{destination}->rows })
	{
		my $content = $json->encode([ @$row{qw(op key fields)} ]);
		my $before = $content{ $row->{change_id} } //= $content;
		push @wrong, "$row->{change_id}: $before and $content" if $before ne $content;
	}
	return join '; ', @wrong;
}

# Runs until one succeeds: back-off and absence are over by then.
sub settle
{
	my ($self, %option) = @_;
	my $run;

	foreach my $i (1 .. 5)
	{
		$run = $self->{activate}->run($self->{name}, %option,
			set => { 'pg_activate.debug_clock_offset' => $i * $far, %{ $option{set} // {} } });
		last if ($run->{status} // '') eq 'succeeded';
	}
	return $run;
}

# Until the destination has a request whose answer it keeps.
sub wait_for_busy
{
	my ($self, $under_way) = @_;
	my $until = time + 20;
	until ($self->{destination}->stats->{busy} > 0)
	{
		croak 'no request came' if time > $until;
		return 0 if $self->{activate}->has_ended($under_way);
		sleep 0.005;
	}
	return 1;
}

# A run that is ended while its requests are applied and not answered.
sub interrupted
{
	my ($self, $how, %option) = @_;
	my $activate = $self->{activate};

	$self->{destination}->script({ hang => 1, apply => 'before', times => -1 });
	my $under_way = $activate->begin($self->{name}, %option);
	if ($self->wait_for_busy($under_way))
	{
		my $pid = $activate->backend;
		if ($how eq 'crash') { $activate->crash }
		elsif ($how eq 'kill') { kill 'KILL', $pid if $pid }
		else { $activate->sql("SELECT pg_${how}_backend($pid)") if $pid }
	}
	return $activate->end($under_way);
}

my %faults;
foreach my $name (keys %scripts)
{
	$faults{$name} = sub {
		my ($self, %option) = @_;
		my @script = ref $scripts{$name} eq 'ARRAY' ? @{ $scripts{$name} } : $scripts{$name};
		# Some go through first.
		my $after = $option{after} // int rand 2;
		$self->{destination}->script([ map { { %$_, match => { after => $after } } } @script ]);
		return $self->{activate}->run($self->{name}, set => $option{set});
	};
}
foreach my $point (@points)
{
	foreach my $action (qw(kill error))
	{
		$faults{"$action $point"} = sub {
			my ($self, %option) = @_;
			my $skip = $option{after} // int rand 2;
			return $self->{activate}->run($self->{name}, faults => "$point:$action:$skip", set => $option{set});
		};
	}
}
foreach my $how (qw(crash kill cancel terminate))
{
	$faults{"$how while waiting"} = sub { my ($self, %option) = @_; return $self->interrupted($how, %option) };
}

sub storm
{
	my ($self, %option) = @_;
	my @names = sort keys %faults;
	my %seen;

	srand $option{seed};
	foreach my $round (1 .. $option{rounds})
	{
		# Each fault once, in an order of the seed's, before one comes again.
		@names = sort keys %faults if !@names;
		my ($fault) = splice @names, int rand @names, 1;
		my ($before, $changed) = $self->mutate;
		my $run = $faults{$fault}->($self);
		$seen{ $run->{status} // 'none' }++;
		note "$fault: " . ($run->{status} // 'none') . " $run->{sqlstate}";
		$self->{destination}->script([]);
		$self->revert($before, $changed);
		$option{each_round}->($round) if $option{each_round};
		# Now and then nothing fails in between.
		$self->{activate}->run($self->{name}) if rand() < 0.3;
	}
	my $run = $self->settle;
	is($run->{status}, 'succeeded', "seed $option{seed}: without faults a run succeeds") or diag $run->{text};
	is($self->agrees, '', "seed $option{seed}: the destination is equal to the model");
	is($self->change_ids, '', "seed $option{seed}: no change_id had two contents");
	is($self->{activate}->sql("SELECT count(*) FROM activate.claim"), '0', "seed $option{seed}: no claim is left");
	$self->{activate}->sums_hold("seed $option{seed}");
	note join ', ', map { "$_ $seen{$_}" } sort keys %seen;
	return;
}

# Faults that lose an answer after applying.
sub losses
{
	return ((grep { /^(applied|500 after applying$|answer cut|results)/ && !/400|once/ } sort keys %scripts),
		'html as JSON', 'kill before_settle', 'error before_settle', map { "$_ while waiting" } qw(crash kill cancel terminate));
}

# One row changes, is removed and is added; the answer is lost; the model goes
# back.  Returns what differs in the end.
sub lose
{
	my ($self, $fault, $claims) = @_;
	my %set = ('pg_activate.debug_claims_off' => $claims ? 'off' : 'on');

	$self->{destination}->script([]);
	my ($red, $green) = map { $self->first_value($_) } qw(red green);
	$self->change(1 => $red, 2 => $red, 3 => undef, map { $_ => $red } 4 .. 8);
	$self->settle;
	$self->change(1 => $green, 2 => undef, 3 => $green);
	$faults{$fault}->($self, after => 0, set => \%set);
	$self->{destination}->script([]);
	$self->change(1 => $red, 2 => $red, 3 => undef);
	$self->settle(set => \%set);
	my $difference = $self->agrees;

	# As new for the next one.
	if ($difference ne '')
	{
		$self->{activate}->sql("SELECT activate.reset_sync('$self->{name}', 'resend')");
		$self->{destination}->reset;
		$self->{destination}->config({ idempotency => 1 });
	}
	return $difference;
}

1;
