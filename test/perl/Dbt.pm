package Dbt;

=head1 NAME

Dbt - what dbt sends to PostgreSQL, statement by statement, for TAP tests

=head1 SYNOPSIS

  use Dbt;
  my $dbt = Dbt->start($node, 'postgres', user => 'dbt', schema => 'analytics', grant => 'team');
  $dbt->table('score', 'select ...');
  $dbt->view('score_view', 'select ...');
  $dbt->materialized_view('score_mat', 'select ...', full_refresh => 1);
  $dbt->incremental('inc', 'select ...', key => 'id', full_refresh => 0);
  $dbt->snapshot('snap', 'select id, v from ...');       # keeps history by id
  $dbt->seed('seed', 'select ...');
  $dbt->hook('select ...');

  $dbt->kill_after(7);       # the backend goes at the 7th statement from now
  $dbt->run(sub { ... });    # true: all of it; false: it was killed, and dbt begins anew
  $dbt->errors;              # what PostgreSQL refused, with the statement

The order of statements is that of the materializations of dbt-adapters and
dbt-postgres: drop leftovers, begin, build aside, rename into place, indexes,
grants, comments, commit, drop the backup with cascade.

=cut

use strict;
use warnings;

use Carp;
use Time::HiRes qw(sleep);

use Session;

sub start
{
	my ($class, $node, $database, %option) = @_;
	return bless { node => $node, database => $database, errors => [], temporary => 0, %option }, $class;
}

sub errors { return @{ $_[0]->{errors} } }

sub _session
{
	my ($self) = @_;
	$self->{session} //= Session->start($self->{node}, $self->{database}, user => $self->{user},
		options => "-c client_min_messages=error -c search_path=$self->{schema}");
	return $self->{session};
}

sub kill_after { $_[0]->{kill} = $_[1]; return }

sub statement
{
	my ($self, $sql) = @_;
	my $session = $self->_session;

	$session->send($sql);
	if (defined $self->{kill} && $self->{kill}-- <= 0)
	{
		# In the midst of it, or just after.
		sleep rand 0.01;
		$self->{node}->safe_psql($self->{database}, 'SELECT pg_terminate_backend(' . $session->pid . ')');
		$session->stop;
		delete @$self{qw(session kill)};
		die "killed\n";
	}
	my $text = $session->wait;
	push @{ $self->{errors} }, "$sql: $text" if $text =~ /^(?:ERROR|FATAL|PANIC):|connection to server was lost/m;
	return $text;
}

sub run
{
	my ($self, $work) = @_;
	return 1 if eval { $work->(); 1 };
	die $@ if $@ ne "killed\n";
	return 0;
}

# 'table', 'view', 'materialized view', or undef.
sub kind
{
	my ($self, $name) = @_;
	my $kind = $self->statement("select relkind from pg_class where oid = to_regclass('$self->{schema}.$name')");
	return { r => 'table', v => 'view', m => 'materialized view' }->{$kind};
}

sub _drop
{
	my ($self, $name) = @_;
	my $kind = $self->kind($name);
	$self->statement("drop $kind if exists $self->{schema}.$name cascade") if defined $kind;
	return;
}

sub _setup
{
	my ($self, $name) = @_;
	$self->_drop("${name}__dbt_tmp");
	$self->_drop("${name}__dbt_backup");
	$self->statement('begin');
	return;
}

sub _swap
{
	my ($self, $name, $kind) = @_;
	my $old = $self->kind($name);
	$self->statement("alter $old $self->{schema}.$name rename to ${name}__dbt_backup") if defined $old;
	$self->statement("alter $kind $self->{schema}.${name}__dbt_tmp rename to $name");
	return;
}

sub _finish
{
	my ($self, $name, $kind, %option) = @_;
	$self->statement("grant select on $self->{schema}.$name to $self->{grant}") unless $option{no_grant};
	$self->statement("comment on $kind $self->{schema}.$name is \$dbt_comment_literal_block\$a model\$dbt_comment_literal_block\$");
	$self->statement($option{post_hook}) if $option{post_hook};
	$self->statement('commit');
	$self->_drop("${name}__dbt_backup");
	return;
}

sub table
{
	my ($self, $name, $select, %option) = @_;
	$self->_setup($name);
	$self->statement("create table $self->{schema}.${name}__dbt_tmp as ($select)");
	$self->_swap($name, 'table');
	$self->statement("create index on $self->{schema}.$name (id)");
	$self->_finish($name, 'table', %option);
	return;
}

sub view
{
	my ($self, $name, $select, %option) = @_;
	$self->_setup($name);
	$self->statement("create view $self->{schema}.${name}__dbt_tmp as ($select)");
	$self->_swap($name, 'view');
	$self->_finish($name, 'view', %option);
	return;
}

sub materialized_view
{
	my ($self, $name, $select, %option) = @_;
	my $old = $self->kind($name);

	$self->_setup($name);
	if (!defined $old)
	{
		$self->statement("create materialized view if not exists $self->{schema}.$name as $select");
	}
	elsif ($option{full_refresh})
	{
		$self->statement("create materialized view if not exists $self->{schema}.${name}__dbt_tmp as $select");
		$self->_swap($name, 'materialized view');
		$self->statement("drop materialized view if exists $self->{schema}.${name}__dbt_backup cascade");
	}
	else
	{
		$self->statement("refresh materialized view $self->{schema}.$name");
	}
	$self->_finish($name, 'materialized view', %option);
	return;
}

sub incremental
{
	my ($self, $name, $select, %option) = @_;
	my $table = "$self->{schema}.$name";
	my $temporary = "${name}__dbt_tmp" . ++$self->{temporary};

	return $self->table($name, $select, %option) if $option{full_refresh} || !defined $self->kind($name);
	$self->_setup($name);
	$self->statement("create temporary table $temporary as ($select)");
	if ($option{merge})
	{
		$self->statement("merge into $table as d using $temporary as s on s.id = d.id"
			. ' when matched then update set v = s.v when not matched then insert (id, v) values (s.id, s.v)');
	}
	else
	{
		$self->statement("delete from $table using $temporary where $temporary.id = $table.id");
		$self->statement("insert into $table (id, v) (select id, v from $temporary)");
	}
	$self->_finish($name, 'table', %option);
	return;
}

sub snapshot
{
	my ($self, $name, $select, %option) = @_;
	my $table = "$self->{schema}.$name";
	my $temporary = "${name}__dbt_tmp" . ++$self->{temporary};

	if (!defined $self->kind($name))
	{
		$self->statement('begin');
		$self->statement("create table $table as (select *, md5(id || v) as dbt_scd_id, now() as dbt_valid_from,"
			. " null::timestamptz as dbt_valid_to from ($select) q)");
		$self->_finish($name, 'table', %option);
		return;
	}
	$self->statement('begin');
	$self->statement("create temporary table $temporary as (select s.*, 'insert' as change, clock_timestamp()::text as scd, now() as at"
		. " from ($select) s left join $table d on d.id = s.id and d.dbt_valid_to is null where d.v is distinct from s.v"
		. " union all select s.id, s.v, 'update', d.dbt_scd_id, now() from ($select) s join $table d on d.id = s.id"
		. ' and d.dbt_valid_to is null and d.v is distinct from s.v)');
	$self->statement("merge into $table as d using $temporary as s on s.scd = d.dbt_scd_id"
		. " when matched and d.dbt_valid_to is null and s.change = 'update' then update set dbt_valid_to = s.at"
		. " when not matched and s.change = 'insert' then insert (id, v, dbt_scd_id, dbt_valid_from)"
		. ' values (s.id, s.v, s.scd || s.id, s.at)');
	$self->_finish($name, 'table', %option);
	return;
}

# Not in one piece: dbt seed truncates in the transaction that fills.
sub seed
{
	my ($self, $name, $select, %option) = @_;
	$self->statement('begin');
	if (defined $self->kind($name))
	{
		$self->statement("truncate table $self->{schema}.$name");
	}
	else
	{
		$self->statement("create table $self->{schema}.$name (id int, v text)");
	}
	$self->statement("insert into $self->{schema}.$name (id, v) $select");
	$self->_finish($name, 'table', %option);
	return;
}

# on-run-end
sub hook { return $_[0]->statement($_[1]) }

1;
