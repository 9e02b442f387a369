package Sums;

=head1 NAME

Sums - the counts of every run that any TAP test makes add up

=head1 DESCRIPTION

  prove -e 'perl -MSums' ...              # how the suite runs all of its tests

Before a cluster stops, and when a test is done, activate.run is looked at in
each database that has it: of every run that ended, added + changed + removed
is what became of these rows. What does not add up fails the test, by one more
test at its end.

  Sums::wrong($node, $database);          # such runs, a line each; '' where all add up

A test that breaks the sums on purpose says so before: $Sums::expected = 1.

=cut

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use Test::More;

our $expected = 0;

my (@nodes, %wrong, $checked);

# A run that died counted nothing; the others have ended or did not begin.
my $query = q{SELECT run_id, sync_id, status, added, changed, removed, accepted, rejected, delayed, unknown, waiting, absent, skipped, held_out
	FROM activate.run WHERE status NOT IN ('queued', 'running', 'interrupted')
		AND added + changed + removed <> accepted + rejected + delayed + unknown + waiting + absent + skipped + held_out};

# One session for each database, of which most have no runs.
my $script = "SELECT to_regclass('activate.run') IS NOT NULL AS has \\gset\n\\if :has\n\\echo runs\n$query;\n\\endif\n";

sub _ask
{
	my ($node, $database, $sql) = @_;
	local $ENV{PGOPTIONS} = '-c statement_timeout=60s -c role=none -c search_path=pg_catalog';
	my ($status, $out, $error);

	# A test may have left the server in any state: who cannot be asked (psql's 2) is passed over.
	eval { ($status, $out, $error) = $node->psql($database, $sql, timeout => 90); 1 } or return;
	return if !defined $status || $status == 2;
	return $status == 0 ? $out // '' : "runs\nthe sums could not be asked for: $error";
}

sub wrong
{
	my ($node, $database) = @_;
	my $out = _ask($node, $database, $script) // '';
	return '' unless $out =~ s/^runs\n?//;
	$checked++;
	return $out;
}

sub _look
{
	my ($node) = @_;
	return unless defined $node->{_pid};
	my $databases = _ask($node, 'template1', 'SELECT datname FROM pg_database WHERE datallowconn') // return;
	foreach my $database (split /\n/, $databases)
	{
		$wrong{"$_ ($database)"} = 1 foreach split /\n/, wrong($node, $database);
	}
	return;
}

no warnings 'redefine';

my $new = PostgreSQL::Test::Cluster->can('new');
*PostgreSQL::Test::Cluster::new = sub {
	my $node = $new->(@_);
	push @nodes, $node;
	return $node;
};

# An immediate stop is a crash that a test makes: nothing is asked for before.
my $stop = PostgreSQL::Test::Cluster->can('stop');
*PostgreSQL::Test::Cluster::stop = sub {
	my ($node, $mode) = @_;
	_look($node) if ($mode // 'fast') ne 'immediate';
	goto &$stop;
};

my $done = Test::More->can('done_testing');
*Test::More::done_testing = sub {
	_look($_) foreach @nodes;
	is(join("\n", sort keys %wrong), '', 'the sums of all runs hold') if $checked && !$expected;
	goto &$done;
};

1;
