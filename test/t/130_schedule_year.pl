# A year of starts in zones whose clocks change by an hour, by half an hour and
# not at all, against what croniter and Python's zoneinfo make of them
# (lib/cron_times.py); and what happens when the clocks change, in so many words.
use strict;
use warnings;

use FindBin qw($RealBin);
use IPC::Run;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use Test::More;

use Activate;
use Destination;

my $python = '/usr/bin/python3';
plan skip_all => 'apt-get install python3-croniter'
	unless -x $python && system($python, '-c', 'import croniter, zoneinfo') == 0;

my @zones = ('Europe/Paris', 'America/New_York', 'Australia/Lord_Howe', 'Asia/Kathmandu');
my $seed = $ENV{SEED} // 20261122;
my $random_crons = $ENV{CRONS} // 40;
srand($seed);

my $activate = Activate->start('year');
my $destination = Destination->start;
$activate->server('d', $destination);
$activate->sql(q{
	CREATE TABLE model (id int PRIMARY KEY, v text);
	SELECT activate.create_sync('s', 'model', 'id', 'd', mapping => 'v');

	-- Starts from a time to before another: the clock is moved to each page of them.
	CREATE FUNCTION starts(cron text, zone text, from_time timestamptz, until_time timestamptz, most int)
	RETURNS bigint[] LANGUAGE plpgsql AS $$
	DECLARE
		last timestamptz := from_time - interval '1 second';
		page timestamptz[];
		found timestamptz[] := '{}';
	BEGIN
		PERFORM activate.alter_sync('s', schedule => cron || ' ' || zone);
		LOOP
			PERFORM set_config('pg_activate.debug_clock_offset',
				floor(extract(epoch FROM last - clock_timestamp()) - 5)::int::text, false);
			page := array(SELECT t FROM activate.next_runs('s', least(1000, most + 1)) t WHERE t > last AND t < until_time);
			EXIT WHEN cardinality(page) = 0 OR cardinality(found) >= most;
			found := found || page;
			last := page[cardinality(page)];
		END LOOP;
		RETURN array(SELECT extract(epoch FROM t)::bigint FROM unnest(found[1:most]) t);
	END $$;
});

my $from = 1767225600;      # 2026-01-01 00:00 UTC
my $until = 1798761600;     # 2027-01-01
my $most = 3000;

my ($questions, $answers) = ('', '');
my $croniter = IPC::Run::start([ $python, "$RealBin/../lib/cron_times.py" ], '<', \$questions, '>', \$answers);

sub expected
{
	my ($cron, $zone) = @_;
	$answers = '';
	$questions .= encode_json({ cron => $cron, zone => $zone, from => $from, until => $until }) . "\n";
	$croniter->pump until $answers =~ /\n/;
	return @{ decode_json($answers) };
}

sub found
{
	my ($cron, $zone) = @_;
	my $array = $activate->sql(
		"SET client_min_messages = warning; SELECT to_json(starts('$cron', '$zone', to_timestamp($from), to_timestamp($until), $most))");
	return @{ decode_json($array) };
}

sub utc
{
	my ($seconds) = @_;
	my ($minute, $hour, $day, $month) = (gmtime $seconds)[ 1 .. 4 ];
	return sprintf('%02d-%02d %02d:%02d', $month + 1, $day, $hour, $minute);
}

# One of the forms that a field can have. Day and weekday that both begin with
# a star are left to the unit test, and all days of the week written as a
# range: croniter, or a newer one, takes them for restricted.
sub field
{
	my ($min, $max, $star) = @_;
	my $first = $min + int(rand($max - $min + 1));
	my $last = $first + int(rand($max - $first + 1));
	my $step = 1 + int(rand(($max - $min) / 2));
	# A newer croniter takes 2-2 for every hour.
	my $range = $first == $last ? $first : "$first-$last";
	my @forms = ($first, $range, $range eq $first ? $first : "$range/$step", "$last,$first", '*');
	push @forms, "*/$step" if $star;
	return $forms[ rand @forms ];
}

sub random_cron
{
	my @days = rand() < 0.5 ? ('*', '*', '*') :
		(field(1, 28), field(1, 12, 1), rand() < 0.5 ? field(0, 6) : ('mon-fri', 'sat,sun', 'tue', 'wed,7', '5-7')[ rand 5 ]);
	$days[2] =~ s{^0-6(/1)?$}{*};
	return join(' ', field(0, 59, 1), field(0, rand() < 0.5 ? 3 : 23, 1), @days);
}

my $compared = 0;
my $wrong = 0;

sub compare
{
	my ($cron, $zone) = @_;
	my @expected = expected($cron, $zone);
	my @found = found($cron, $zone);
	@expected = @expected[ 0 .. $most - 1 ] if @expected > $most;
	$compared += @expected;
	return if "@expected" eq "@found";
	$wrong++;
	my $i = 0;
	$i++ while $i < @expected && $i < @found && $expected[$i] == $found[$i];
	diag("'$cron $zone': start $i should be "
			. ($i < @expected ? utc($expected[$i]) : 'none') . ' and is ' . ($i < @found ? utc($found[$i]) : 'none'));
}

# given what people write, in each zone, then the year is the same
my @usual = ('0 7 * * 1-5', '0 0 * * *', '30 2 * * *', '15 1 * * *', '45 1,2 * * *', '0,30 2 * * *', '0 3 * * sun',
	'0 * * * *', '30 * * * *', '0 */2 * * *', '*/30 2 * * *', '59 23 28-31 * *', '0 12 1 1,7 *', '0 9 13 * fri', '10 0 29 feb *');
for my $zone (@zones)
{
	$wrong = 0;
	compare($_, $zone) for @usual;
	is($wrong, 0, "usual schedules in $zone");
}
cmp_ok($compared, '>', 50_000, "usual schedules: $compared starts compared");

# given what nobody would write, then so, too
($compared, $wrong) = (0, 0);
compare(random_cron(), $zones[ rand @zones ]) for 1 .. $random_crons;
is($wrong, 0, "$random_crons random schedules (SEED=$seed)");
cmp_ok($compared, '>', $random_crons * 20, "random schedules: $compared starts compared");
$croniter->finish;

# given the nights in which clocks change, then these are the starts (UTC)
my @nights = (
	# left out: 02:00 to 03:00 on 29 March
	[ 'Europe/Paris', '30 2 * * *', '03-28 00:00', '03-28 01:30', '03-29 01:00', '03-30 00:30' ],
	[ 'Europe/Paris', '0,30 2 * * *', '03-29 00:00', '03-29 01:00', '03-30 00:00', '03-30 00:30' ],
	[ 'Europe/Paris', '0 * * * *', '03-29 00:00', '03-29 00:00', '03-29 01:00', '03-29 02:00' ],
	[ 'Europe/Paris', '0 */2 * * *', '03-29 00:00', '03-29 02:00', '03-29 04:00' ],
	# shown twice: 02:00 to 03:00 on 25 October
	[ 'Europe/Paris', '30 2 * * *', '10-25 00:00', '10-25 00:30', '10-26 01:30' ],
	[ 'Europe/Paris', '0 * * * *', '10-25 00:00', '10-25 00:00', '10-25 01:00', '10-25 02:00' ],
	[ 'Europe/Paris', '0 */2 * * *', '10-25 00:00', '10-25 00:00', '10-25 01:00', '10-25 03:00' ],
	# 8 March and 1 November
	[ 'America/New_York', '30 2 * * *', '03-08 00:00', '03-08 07:00', '03-09 06:30' ],
	[ 'America/New_York', '30 1 * * *', '11-01 00:00', '11-01 05:30', '11-02 06:30' ],
	# half an hour: 02:00 to 02:30 on 4 October, 01:30 to 02:00 on 5 April
	[ 'Australia/Lord_Howe', '15 2 * * *', '10-03 00:00', '10-03 15:30', '10-04 15:15' ],
	[ 'Australia/Lord_Howe', '45 1 * * *', '04-04 00:00', '04-04 14:45', '04-05 15:15' ],
	[ 'Australia/Lord_Howe', '45 * * * *', '04-04 14:00', '04-04 14:45', '04-04 15:15', '04-04 16:15' ],
	# five hours and three quarters ahead, always
	[ 'Asia/Kathmandu', '0 7 * * *', '03-29 00:00', '03-29 01:15', '03-30 01:15' ],
);
for my $night (@nights)
{
	my ($zone, $cron, $day, @starts) = @$night;
	my @found = map { utc($_) } split /,/, $activate->sql("SET client_min_messages = warning;"
			. " SELECT array_to_string(starts('$cron', '$zone', '2026-$day+00', '2027-01-01 00:00+00', " . @starts . "), ',')");
	is("@found", "@starts", "'$cron $zone' from $day");
}

done_testing();
