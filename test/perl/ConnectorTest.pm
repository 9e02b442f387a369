package ConnectorTest;

=head1 NAME

ConnectorTest - a connector against a stand-in for its vendor, for TAP tests

=head1 SYNOPSIS

  use ConnectorTest;
  my $t = ConnectorTest->start('braze', sub {            # the handler of Vendor.pm: what goes well
      my ($request, $state) = @_;
      return [ 201, { message => 'success' } ];
  }, spec => 'braze/braze-openapi.subset.json',          # of Prism.pm; strip, prefix
     options => { }, secrets => { api_key => 'key' });   # base_url is the stand-in's

  $t->model('people', { id => 7, email => 'ada@example.com', score => 1 }, ...);   # table people; types by the first row's values
  $t->sync('s', 'people', key => 'id', object => 'users', match => 'external_id', mapping => '...', mode => 'mirror', ...);
  my $run = $t->run('s');                                # as of Activate.pm
  $t->rows_become('all accepted', 's', { 7 => 'accepted', 8 => 'rejected VALIDATION_ERROR' });
                                                         # a test: the state of each row, and its code where it has one
  $t->means('a throttle', 's', [ [ 429, { 'Retry-After' => 1 }, '' ] ], status => 'succeeded',
      rows => { 7 => 'accepted' });
      # Touches each row (column v), lets the stand-in answer this to the next requests, runs, and compares.
      # status: of the run; sqlstate, text (a regex on what the call said), requests (how many were made)
  $t->fits;                        # a test for each kind of request made so far: the vendor's file accepts it
  $t->broken($request, 'name');    # a test: that file refuses it
  $t->destination('other', vendor => $vendor, ...);      # one more server of the same kind
  $t->vendor; $t->activate; $t->prism; $t->sql('...'); $t->rows('SELECT ...');
  $t->requests;                    # those to the stand-in so far, which fits() does not forget

=cut

use strict;
use warnings;

use Carp;
use Test::More;

use Activate;
use Prism;
use Vendor;

sub _quote { my ($text) = @_; $text =~ s/'/''/g; return "'$text'" }

sub start
{
	my ($class, $connector, $handler, %option) = @_;
	my $self = bless { connector => $connector, option => \%option }, $class;

	# Answers that a test wants next come before the usual ones.
	$self->{vendor} = Vendor->start(sub {
		my ($request, $state) = @_;
		my $next = $state->{next};
		return shift @$next if $next && @$next;
		return $handler->($request, $state);
	});
	(my $node = $connector) =~ tr/a-z0-9//cd;
	$self->{activate} = Activate->start($node, conf => $option{conf} // '', %{ $option{cluster} // {} });
	$self->destination('d', %option) unless $option{no_destination};
	return $self;
}

# Of a stand-in that another test asks: fits and broken alone.
sub around
{
	my ($class, $vendor, %option) = @_;
	return bless { vendor => $vendor, option => \%option }, $class;
}

sub vendor { return $_[0]{vendor} }
sub activate { return $_[0]{activate} }
sub sql { my ($self, $sql) = @_; return $self->{activate}->sql($sql) }
sub rows { my ($self, $sql) = @_; return $self->{activate}->rows($sql) }
sub requests { return $_[0]{vendor}->requests }

sub prism
{
	my ($self) = @_;
	my $spec = $self->{option}{spec} // return;
	return unless Prism->has($spec);
	return $self->{prism} //= Prism->start($spec, %{ $self->{option} });
}

sub destination
{
	my ($self, $name, %option) = @_;
	my $vendor = $option{vendor} // $self->{vendor};
	my %options = (connector => $self->{connector}, base_url => $vendor->url, %{ $option{options} // {} });
	my %secrets = %{ $option{secrets} // {} };
	my $list = sub { my (%all) = @_; join ', ', map { "$_ " . _quote($all{$_}) } grep { defined $all{$_} } sort keys %all };

	$self->sql("CREATE SERVER $name FOREIGN DATA WRAPPER activate OPTIONS (" . $list->(%options) . ')');
	$self->sql("CREATE USER MAPPING FOR PUBLIC SERVER $name OPTIONS (" . $list->(%secrets) . ')') if %secrets;
	return;
}

sub _type
{
	my ($value) = @_;
	return 'text' unless defined $value;
	return 'jsonb' if ref $value;
	return $value =~ /^-?[0-9]{1,18}\z/ ? 'bigint' : $value =~ /^-?[0-9]+\.[0-9]+\z/ ? 'numeric' : 'text';
}

sub model
{
	my ($self, $table, @rows) = @_;
	my @columns = sort keys %{ $rows[0] };
	my %type = map { $_ => _type($rows[0]{$_}) } @columns;
	$self->sql("CREATE TABLE $table (" . join(', ', map { "$_ $type{$_}" } @columns) . ', v int DEFAULT 0)');
	$self->insert($table, @rows);
	return;
}

sub insert
{
	my ($self, $table, @rows) = @_;
	foreach my $row (@rows)
	{
		my @columns = sort keys %$row;
		$self->sql("INSERT INTO $table (" . join(', ', @columns) . ') VALUES ('
			. join(', ', map { defined $row->{$_} ? _quote(ref $row->{$_} ? JSON::PP->new->canonical->encode($row->{$_}) : $row->{$_}) : 'NULL' } @columns) . ')');
	}
	return;
}

sub sync
{
	my ($self, $name, $table, %argument) = @_;
	my %all = (destination => 'd', %argument);
	$self->{table}{$name} = $table;
	my $list = join ', ', map { "$_ => " . _quote($all{$_}) } grep { defined $all{$_} } sort keys %all;
	return $self->sql("SELECT activate.create_sync('$name', 'public.$table', $list)");
}

sub run { my ($self, $sync, %option) = @_; return $self->{activate}->run($sync, %option) }

# Each key (of one column) with its state and code.
sub states
{
	my ($self, $sync) = @_;
	my $key = $self->sql("SELECT key FROM activate.syncs WHERE sync = '$sync'");
	my %state = map { $_->{key} => 'accepted' }
		@{ $self->rows("SELECT $key\::text AS key FROM activate_data.$sync WHERE activate_fingerprint IS NOT NULL") };
	$state{ $_->{key} } = join ' ', grep { defined } @$_{qw(state code)}
		foreach @{ $self->rows("SELECT key ->> '$key' AS key, state, code FROM activate.pending WHERE sync = '$sync'") };
	return \%state;
}

sub rows_become
{
	my ($self, $name, $sync, $expected) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $states = $self->states($sync);
	return is_deeply($states, $expected, $name) || diag explain $states,
		explain $self->rows("SELECT key, state, code, message FROM activate.pending WHERE sync = '$sync'");
}

sub means
{
	my ($self, $name, $sync, $answers, %expected) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $before = () = $self->requests;

	# Nobody waits for a back-off that an earlier answer began.
	$self->sql("UPDATE public.$self->{table}{$sync} SET v = v + 1");
	$self->sql("SELECT activate.retry_rows('$sync')");
	$self->{vendor}->tell(next => $answers);
	my $run = $self->run($sync, args => $expected{args}, set => $expected{set});
	$self->{vendor}->tell(next => []);
	is($run->{status}, $expected{status}, "$name: the run") || diag $run->{text} if exists $expected{status};
	is($run->{sqlstate}, $expected{sqlstate}, "$name: SQLSTATE") || diag $run->{text} if exists $expected{sqlstate};
	like($run->{text}, $expected{text}, "$name: what it says") if exists $expected{text};
	is((() = $self->requests) - $before, $expected{requests}, "$name: requests") if exists $expected{requests};
	$self->rows_become("$name: the rows", $sync, $expected{rows}) if exists $expected{rows};
	return $run;
}

# Requests that differ in more than values: by method, path without ids, and shape.
sub _shape
{
	my ($value) = @_;
	return '{' . join(',', map { "$_:" . _shape($value->{$_}) } sort keys %$value) . '}' if ref $value eq 'HASH';
	return '[' . join('|', sort keys %{ { map { _shape($_) => 1 } @$value } }) . ']' if ref $value eq 'ARRAY';
	return '';
}

sub fits
{
	my ($self, $only) = @_;
	my $prism = $self->prism;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my %seen;
  SKIP:
	{
		skip "no specification $self->{option}{spec}", 1 unless $prism;
		foreach my $request ($self->requests)
		{
			next if $only && !$only->($request);
			my $kind = join ' ', $request->{method}, $request->{path} =~ s/[0-9]+/0/gr, _shape($request->{json} // $request->{form});
			next if $seen{$kind}++;
			$prism->accepts($request, substr $kind, 0, 120);
		}
		ok(%seen > 0, 'there were requests to be held against the vendor\'s file');
	}
	return;
}

sub broken
{
	my ($self, $request, $name) = @_;
	my $prism = $self->prism;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
  SKIP:
	{
		skip "no specification $self->{option}{spec}", 1 unless $prism;
		$prism->refuses($request, $name);
	}
	return;
}

1;
