# A model that is loaded in pieces, while its syncs run every second: empty for
# a while, then with 85 % of its rows, then whole. Nothing is removed, and what
# was held goes on by itself.
use strict;
use warnings;

use Test::More;
use Time::HiRes qw(sleep time);

use Scheduled;

my $s = Scheduled->start('main', <<END);
pg_activate.naptime = '1s'
pg_activate.debug_clock_offset = 0
END

# Each with its own way to remove, over one table.
my %sync = (
	patient => q{on_removed => 'delete', options => '{"max_removed": "20 %"}'},
	guarded => q{on_removed => 'clear'},
	at_once => q{on_removed => 'delete', options => '{"remove_after": "0"}'},
);

sub load
{
	my ($from, $to) = @_;
	$s->value("INSERT INTO loaded SELECT i, 'v' || i FROM generate_series($from, $to) AS i ON CONFLICT DO NOTHING");
	return;
}

sub newer_runs
{
	my ($sync, $than) = @_;
	return grep { $_->{run_id} > $than && defined $_->{finished_at} } $s->runs($sync);
}

# Until each sync has looked at the table as it is now, more than once; their runs.
sub rounds
{
	my $since = $s->value('SELECT max(run_id) FROM activate.run');
	foreach my $name (sort keys %sync)
	{
		$s->wait_until("runs of $name", sub { newer_runs($name, $since) >= 2 });
	}
	return map { $_ => (newer_runs($_, $since))[-1] } keys %sync;
}

sub health { return $s->value("SELECT health FROM activate.status WHERE sync = '$_[0]'") }

sub removals { return scalar grep { $_->{op} ne 'upsert' } @{ $s->crm->rows } }

$s->value('CREATE TABLE loaded (id int PRIMARY KEY, v text)');
load(1, 200);
$s->value("SELECT activate.create_sync('$_', 'public.loaded', 'id', 'crm', object => '$_', mapping => 'v', mode => 'mirror',"
	. " schedule => '1 second', $sync{$_})") foreach sort keys %sync;
$s->wait_until('rows arrive', sub { 3 == grep { @{ $s->crm->records($_) } == 200 } keys %sync });

# given a table that is emptied first, then the syncs are held
$s->value('TRUNCATE loaded');
$s->wait_until('all are held', sub { 3 == grep { health($_) eq 'held' } keys %sync });
my %last = rounds();
like($last{$_}{error}, qr/the model came back empty/, "$_: empty for a while: held") foreach sort keys %sync;

# given 85 % of the rows, then what is missing is within the patient one's limit, and not yet removed
load(1, 170);
$s->wait_until('one sees that rows are leaving', sub { my $run = ($s->runs('patient'))[-1]; $run->{leaving} == 30 });
%last = rounds();
is($last{patient}{status}, 'succeeded', 'within max_removed, but not yet for remove_after: the run goes on');
is("$last{patient}{leaving} $last{patient}{removed}", '30 0', 'and the missing rows are leaving, not removed');
like($last{$_}{error}, qr/30 of 200 rows would be removed \(15\.0 %, limit 5 %\)/, "$_: beyond max_removed: held") foreach qw(guarded at_once);

# given the rest of the rows, then all of it is as if nothing had been
load(171, 200);
$s->wait_until('all are well', sub { 3 == grep { health($_) eq 'ok' } keys %sync });
%last = rounds();
is(join(' ', map { $last{$_}{status} } sort keys %sync), 'succeeded succeeded succeeded', 'loaded, all go on by themselves');
is(join(' ', map { $last{$_}{leaving} + $last{$_}{removed} } sort keys %sync), '0 0 0', 'and no row is leaving');
is(removals(), 0, 'nothing was removed meanwhile');
is($s->value(q{SELECT count(*) FROM activate.run WHERE status = 'held'}), '0', 'no run is left for anybody to decide');
is($s->value(q{SELECT count(*) FROM activate.run WHERE approved_at IS NOT NULL}), '0', 'and nobody did');

# what is really gone for remove_after is removed
$s->value('DELETE FROM loaded WHERE id > 195');
$s->wait_until('rows are leaving', sub { my $run = ($s->runs('patient'))[-1]; $run->{leaving} == 5 });
$s->wait_until('where there is no remove_after they go', sub { @{ $s->crm->records('at_once') } == 195 });
is(scalar @{ $s->crm->records('patient') }, 200, 'not before remove_after');
$s->clock(3700);
$s->wait_until('the rows go', sub { @{ $s->crm->records('patient') } == 195 }, 60);
pass('but after it');

is($s->value(q{SELECT count(*) FROM activate.run WHERE status NOT IN ('running', 'interrupted') AND added + changed + removed <>
	accepted + rejected + delayed + unknown + waiting + absent + skipped + held_out}), '0', 'the sums of all runs hold');
done_testing();
