# Whatever gets lost, the destination ends up equal to the model: twenty seeds,
# each fault of each kind at least once.
use strict;
use warnings;

use Activate;
use Convergence;
use Test::More;

my $activate = Activate->start('convergence');
my @removed = qw(delete archive clear update remove);
my $first = $ENV{SEED} // 1;

foreach my $seed ($first .. $first + ($ENV{SEEDS} // 20) - 1)
{
	my $storm = Convergence->new($activate, name => "storm_$seed", removed => $removed[ $seed % @removed ]);
	$storm->storm(seed => $seed, rounds => 45);
	$storm->{destination}->stop;
}

done_testing();
