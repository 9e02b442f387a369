package Chaos;

=head1 NAME

Chaos - what the parts of "make chaos" share: its time and its report

=head1 SYNOPSIS

  use Chaos;
  my $until = time + Chaos::seconds('soak');   # does less after that, and says so
  Chaos::tell('%d requests', $n);              # to the terminal and into the report

CHAOS_SECONDS is how long all of it may take, 540 unless set.  The parts run
side by side, so their shares add up to more than one.

=cut

use strict;
use warnings;

use Carp;
use Test::More;

my %shares = (convergence => 0.75, kill => 0.3, day => 0.3, soak => 0.45);

sub seconds
{
	my ($part) = @_;
	croak "no such part: $part" if !$shares{$part};
	return ($ENV{CHAOS_SECONDS} // 540) * $shares{$part};
}

# To the terminal, whatever a harness makes of the rest.
sub tell
{
	my ($format, @values) = @_;
	my $line = sprintf $format, @values;

	diag $line;
	return if !defined $ENV{CHAOS_REPORT};
	open my $report, '>>', $ENV{CHAOS_REPORT} or croak "$ENV{CHAOS_REPORT}: $!";
	print $report "$line\n";
	close $report or croak $!;
	return;
}

1;
