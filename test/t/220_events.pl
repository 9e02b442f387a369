# Events: one for each change of a sync's state, however many runs come between;
# what a notification says of them; and the manual lists them all.
use strict;
use warnings;

use Activate;
use Destination;
use IPC::Run;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

my $a = Activate->start('events');
my $d = Destination->start;
$a->server('crm', $d);
$a->sql('CREATE TABLE people (id int PRIMARY KEY, name text)');
$a->sql(q{INSERT INTO people SELECT i, 'name ' || i FROM generate_series(1, 5) AS i});
$a->sql(q{SELECT activate.create_sync('people', 'people', 'id', 'crm', object => 'people', mapping => 'name', options => '{"max_rejected": "100 %", "max_attempts": 2, "max_invalid": "100 %"}')});

my $last = 0;

# Kinds of the events since the last look.
sub told
{
	my $rows = $a->rows("SELECT event_id, kind FROM activate.events WHERE event_id > $last ORDER BY event_id");
	$last = $rows->[-1]{event_id} if @$rows;
	return join ' ', map { $_->{kind} } @$rows;
}

# When the rows' back-off is over.
sub later { return (set => { 'pg_activate.debug_clock_offset' => $_[0] }) }

# given a sync is made and sends, then that is one event
is($a->run('people')->{status}, 'succeeded', 'a first run');
is(told(), 'created', 'there is nothing to tell of it');

# given rows begin to be refused, then that is told once, while they are
$a->sql(q{UPDATE people SET name = 'bad' WHERE id <= 2});
$d->script({ reject_rows => [ { where => 'bad', error => 'no' } ], times => -1 });
is($a->run('people')->{status}, 'partial', 'two rows are refused');
is(told(), 'rejecting', 'one event');
is($a->sql("SELECT severity, details FROM activate.events WHERE kind = 'rejecting'"), 'warning|{"invalid": 0, "accepted": 0, "rejected": 2}', 'with how many');
$a->run('people');
is(told(), '', 'they wait for their time: nothing changed');
$a->sql(q{UPDATE people SET name = 'fine' WHERE id = 3});
$a->run('people');
is(told(), '', 'another row is accepted: nothing changed');

# given the destination fails in between, then each of the two is told
$d->script({ times => -1, status => 404 });
$a->sql(q{UPDATE people SET name = 'finer' WHERE id = 3});
is($a->run('people')->{status}, 'failed', 'a run fails') for 1 .. 3;
is(told(), 'run_failed', 'three failed runs are one event');
$d->script({ reject_rows => [ { where => 'bad', error => 'no' } ], times => -1 });
is($a->run('people')->{status}, 'partial', 'it works again, but the rows are refused still');
is(told(), 'rejecting', 'which is told again');

# given all attempts are used, then the rows are parked, once for the run, and the sync is not well
is($a->run('people', later(7200))->{rejected}, 2, 'refused for the last time');
is(told(), 'parked', 'which is one event');
is($a->sql("SELECT severity, details ->> 'rows' FROM activate.events WHERE kind = 'parked'"), 'warning|2', 'with how many');
is($a->run('people', later(90000))->{skipped}, 2, 'they are not sent again');
is(told(), '', 'which is not told');

# given named keys, then they tell nothing of the sync
$a->sql(q{UPDATE people SET name = 'bad too' WHERE id = 4});
$a->run('people', args => q(keys => '[4]'));
is(told(), '', 'a run of one key');

# given all is well again, then that is told once
$d->script;
$a->sql(q{UPDATE people SET name = 'good'});
is($a->run('people')->{status}, 'succeeded', 'all rows are accepted');
is(told(), 'recovered', 'one event');
$a->run('people') for 1 .. 2;
is(told(), '', 'once');

# given an invalid row, then that counts as refused
$a->sql(q{SELECT activate.alter_sync('people', mapping => 'name, 1 / id AS part')});
told();
$a->sql(q{INSERT INTO people VALUES (0, 'zero')});
is($a->run('people')->{invalid}, 1, 'a row that cannot be sent');
is(told(), 'rejecting', 'one event');
$a->run('people');
is(told(), '', 'once');
$a->sql('DELETE FROM people WHERE id = 0');
$a->run('people');
is(told(), 'recovered', 'and one when it is gone');

# given a run that fails, is cut short, and then works: nothing is told that was not
$d->script({ times => -1, status => 404 });
$a->sql(q{UPDATE people SET name = 'again'});
$a->run('people');
$d->script;
is($a->run('people', args => 'max_rows => 2')->{status}, 'partial', 'some rows are accepted');
is(told(), 'run_failed', 'it has failed, and is not known to be well');
is($a->run('people')->{status}, 'succeeded', 'all of them are');
is(told(), 'recovered', 'now it is');

# given somebody listens, then he hears which event, of what, and how many rows: no keys, values or messages
$d->script({ reject_rows => [ { where => 'hush', error => 'no hush' } ], times => -1 });
$a->sql(q{UPDATE people SET name = 'hush' WHERE id = 1});
my ($out, $err) = ('', '');
IPC::Run::run([ 'psql', '-XAtq', '-d', $a->node->connstr('postgres') ], '<',
	\"SET client_min_messages = error; SET pg_activate.progress_interval = 0; LISTEN pg_activate; CALL activate.run_sync('people'); SELECT 1;", '>', \$out, '2>', \$err);
my ($payload) = $out =~ /with payload "(\{.*\})" received/;
is_deeply([ sort keys %{ decode_json($payload) } ], [ 'counts', 'event_id', 'kind', 'run_id', 'sync' ], 'the payload');
is_deeply(decode_json($payload)->{counts}, { accepted => 0, rejected => 1, invalid => 0 }, 'its counts');
unlike($out, qr/hush/, 'and no more');

# the manual lists what the source records, with its severity, and nothing else
my %source;
foreach my $file (glob 'src/*.c')
{
	my $text = slurp_file($file);
	$source{$1}{$2} = 1 while $text =~ /act_event_record(?:_destination)?\(\s*"(\w+)",\s*"(\w+)"/g;
	unlike($text, qr/act_event_record(?:_destination)?\(\s*(?!"|const char \*kind)/, "$file says which kind it records") if $file ne 'src/event.c';
}
my %manual;
foreach my $line (split /\n/, slurp_file('doc/operations.md'))
{
	my ($kinds, $severities) = $line =~ /^\| ((?:`\w+`(?:, )?)+) \| ((?:info|warning|error)(?: or (?:info|warning|error))*) \|/ or next;
	foreach my $kind ($kinds =~ /`(\w+)`/g) { $manual{$kind}{$_} = 1 foreach split / or /, $severities }
}
is_deeply(\%manual, \%source, 'doc/operations.md lists the kinds of events');
$a->sums_hold('events');
done_testing();
