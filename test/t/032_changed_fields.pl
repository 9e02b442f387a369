# Where only the fields that differ are sent, the destination ends up equal to
# the model all the same, and what is kept of a payload is what is there.
use strict;
use warnings;

use Activate;
use Convergence;
use JSON::PP;
use Test::More;

my $activate = Activate->start('changed_fields');
my $json = JSON::PP->new->canonical->allow_nonref;
my @columns = qw(band tone level);
my %options = (changed_fields_only => JSON::PP::true, keep_payload => JSON::PP::true);

# What differs between the payloads that are kept and the records, or ''.
sub kept_is_there
{
	my ($storm) = @_;
	my %there = map { $_->{key}{id} => $_->{fields} } grep { !$_->{archived} } @{ $storm->{destination}->records('records') };
	my @kept = map { [ split /\|/, $_, 2 ] } split /\n/,
		$activate->sql("SELECT id, activate_payload FROM activate_data.$storm->{name} WHERE activate_state = 'accepted' ORDER BY id");
	my @wrong;

	foreach my $row (@kept)
	{
		my ($id, $payload) = @$row;
		my $kept = $json->decode($payload eq '' ? 'null' : $payload);
		# A mapping of the past may have left more there.
		my %found = map { $_ => $there{$id}{$_} } keys %{ $kept // {} };
		push @wrong, "$id: $payload" if !$kept || $json->encode($kept) ne $json->encode(\%found);
	}
	return join '; ', @wrong;
}

# given changes that are applied while their answers get lost, when the model
# goes back to what it was, then all fields are sent
my $c = Convergence->new($activate, name => 'lost', columns => \@columns, options => \%options);
foreach my $fault ('applied, hangs up', 'results too short', 'kill before_settle', 'error before_settle',
	'crash while waiting', 'terminate while waiting')
{
	is($c->lose($fault, 1), '', "$fault: in doubt, and sent again in full");
}
my @rows = @{ $c->{destination}->rows };
ok((grep { $_->{op} eq 'upsert' && keys %{ $_->{fields} } == 1 } @rows), 'updates have the field that differs alone');

# given faults of all kinds, and a mapping that changes in between
my @removed = qw(delete archive clear);
foreach my $seed (1 .. 3)
{
	my $storm = Convergence->new($activate, name => "storm_$seed", removed => $removed[ $seed - 1 ],
		columns => \@columns, options => \%options);
	my @mappings = ('level, band, tone, 1 AS extra', 'band, tone, level', "band, level, '' || tone AS tone, id AS extra");

	$storm->storm(
		seed => $seed,
		rounds => 20,
		each_round => sub {
			my ($round) = @_;
			return if $round % 4;
			my $mapping = $mappings[ $round / 4 % @mappings ];
			my $resend = $round % 8 ? '' : ", resend => 'none'";
			$activate->sql("SELECT activate.alter_sync('$storm->{name}', mapping => \$\$$mapping\$\$$resend)");
		});
	is(kept_is_there($storm), '', "seed $seed: what is kept is what is there");
}

done_testing();
