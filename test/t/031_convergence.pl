# Whatever gets lost, the destination ends up equal to the model.
use strict;
use warnings;

use Activate;
use Convergence;
use Test::More;

my $activate = Activate->start('convergence');

# given changes that are applied while their answers get lost, when the model
# goes back to what it was, then the destination follows; without claims it does not
my $c = Convergence->new($activate, name => 'lost');
foreach my $fault (Convergence->losses)
{
	is($c->lose($fault, 1), '', "$fault: in doubt, and sent again");
	isnt($c->lose($fault, 0), '', "$fault: without claims it stays wrong");
}

# given faults of all kinds while values of three go back and forth
my @removed = qw(delete archive clear update remove);
foreach my $seed (1 .. @removed)
{
	my $storm = Convergence->new($activate, name => "storm_$seed", removed => $removed[ $seed - 1 ]);
	$storm->storm(seed => $seed, rounds => $seed > 3 ? 16 : 24);
}

done_testing();
