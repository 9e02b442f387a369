# Syncs run when they are due, by themselves, once, in their order.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use Scheduled;

my $s = Scheduled->start('main', "pg_activate.naptime = '1s'\npg_activate.max_workers = 2\nautovacuum = off\n");

# An interval.
$s->sync('health', schedule => '1 second', rows => 3);
$s->wait_until('rows arrive', sub { @{ $s->crm->records('health') } == 3 });
pass('a scheduled sync runs by itself');
my $changed = time;
$s->value("UPDATE health SET v = 'second' WHERE id = 2");
$s->wait_until('a change arrives', sub { $s->crm->fields('health')->{'{"id":2}'}{v} eq 'second' });
cmp_ok(time - $changed, '<', 10, sprintf 'a change arrives with the next run (%.1f s)', time - $changed);
is(join(' ', sort keys %{ { map { $_->{cause} => 1 } $s->runs('health') } }), 'schedule', 'its runs say why');
my $state = $s->row(q{SELECT next_run_at > clock_timestamp() - interval '1 s' AS soon, retry_at, failures
	FROM activate.sync_state JOIN activate.sync USING (sync_id) WHERE name = 'health'});
ok($state->{soon} && !defined $state->{retry_at} && $state->{failures} == 0, 'and what is next is known');

done_testing;
