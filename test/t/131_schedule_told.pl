# With the library preloaded a definition says when the sync runs, in the zone
# of the session; and schedules go through dump and restore as they are.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use Processes;

my $p = Processes->start('told', "pg_activate.naptime = '1h'\n");
$p->sql('postgres', q{
	CREATE EXTENSION pg_activate;
	CREATE SERVER crm FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url 'http://127.0.0.1:9/');
	CREATE TABLE model (id int PRIMARY KEY, v text);
});

# What a statement says, and whether it failed.
sub said
{
	my ($sql) = @_;
	my ($status, $out, $err) = $p->node->psql('postgres', "SET TimeZone = 'Europe/Paris'; $sql");
	is($status, 0, $sql) or diag($err);
	$err =~ s/^psql:<stdin>:\d+: //mg;
	return "$err\n";
}

sub create
{
	my ($name, $schedule) = @_;
	return said("SELECT activate.create_sync('$name', 'model', 'id', 'crm', mapping => 'v', schedule => '$schedule')");
}

sub next_runs
{
	my ($name) = @_;
	my @times = split /\n/, $p->sql('postgres',
		"SET TimeZone = 'Europe/Paris'; SELECT date_trunc('second', t) FROM activate.next_runs('$name') t");
	return "$times[0], $times[1] and $times[2]";
}

# given a schedule with times, then the next three, as next_runs() has them
my $morning = qr/\d{4}-\d\d-\d\d (?:02:15:00\+01|03:15:00\+02)/;
like(create('cron', '0 7 * * 1-5 Asia/Kathmandu'),
	qr/^NOTICE:  sync "cron" runs next at $morning, $morning and $morning$/m, 'cron, in the zone of the session');
my $said = said("SELECT activate.alter_sync('cron', schedule => '0 7 1 1 * UTC')");
is($said, 'NOTICE:  sync "cron" runs next at ' . next_runs('cron') . "\n", 'the same as next_runs()');
$said = create('often', '2 hours');
is($said, 'NOTICE:  sync "often" runs next at ' . next_runs('often') . "\n", 'an interval');
like(create('called', 'manual'), qr/^NOTICE:  sync "called" runs only when called$/m, 'manual');
is($p->sql('postgres', q{
	SELECT t - anchor BETWEEN interval '2 hours' AND interval '2 hours 31 seconds' AND t = next_run_at
	FROM activate.next_runs('often', 1) t, activate.sync_state JOIN activate.sync USING (sync_id) WHERE name = 'often'}),
	't', 'the first start is an interval after the definition, and the one that is stored');

# given one after others, then so
like(create('follower', 'after cron'), qr/^NOTICE:  sync "follower" runs after each successful run of "cron"$/m, 'after one');
like(create('last', 'after cron, follower, often'),
	qr/^NOTICE:  sync "last" runs once each of "cron", "follower" and "often" has run successfully$/m, 'after some');

# given a change of something else, then nothing is said and no plan moves
my $plan = $p->sql('postgres', q{SELECT anchor, next_run_at FROM activate.sync_state JOIN activate.sync USING (sync_id) WHERE name = 'often'});
unlike(said(q{SELECT activate.alter_sync('often', options => '{"priority": 7}')}), qr/NOTICE/, 'another change');
like(said(q{SELECT activate.alter_sync('often', schedule => '120 minutes')}), qr/runs next at/, 'the same schedule again');
is($p->sql('postgres', q{SELECT anchor, next_run_at FROM activate.sync_state JOIN activate.sync USING (sync_id) WHERE name = 'often'}),
	$plan, 'the plan stays');
said(q{SELECT activate.alter_sync('often', schedule => '121 minutes')});
isnt($p->sql('postgres', q{SELECT anchor, next_run_at FROM activate.sync_state JOIN activate.sync USING (sync_id) WHERE name = 'often'}),
	$plan, 'and another schedule begins anew');

# given that nothing is to run, then it says that instead
$p->node->append_conf('postgresql.conf', 'pg_activate.enabled = off');
$p->node->restart;
like(create('off', '1 hour'),
	qr/^NOTICE:  pg_activate\.enabled is off: syncs run only by CALL activate\.run_sync\(\)\nHINT:  .*pg_activate\.enabled = on/m,
	'switched off');
$p->sql('postgres', q{SELECT activate.drop_sync('off')});
$p->node->append_conf('postgresql.conf', 'pg_activate.enabled = on');
$p->node->restart;
$p->sql('postgres', 'ALTER DATABASE postgres IS_TEMPLATE true');
like(create('template', '1 hour'),
	qr/^NOTICE:  no worker connects to a template database: syncs run only by CALL activate\.run_sync\(\)\nHINT:  .*IS_TEMPLATE false/m,
	'in a template');
is($p->sql('postgres', q{SELECT health, reason FROM activate.status WHERE sync = 'template'}),
	'no worker|no worker connects to a template database', 'which the status says, too');
$p->sql('postgres', q{SELECT activate.drop_sync('template'); ALTER DATABASE postgres IS_TEMPLATE false});

# given a dump, when it is restored, then each schedule and option is as it was
my $definitions = q{SELECT name, schedule, options, time_zone FROM activate.sync ORDER BY name};
my $file = PostgreSQL::Test::Utils::tempdir() . '/dump.sql';
$p->node->command_ok([ 'pg_dump', '--file', $file, $p->node->connstr('postgres') ], 'pg_dump');
$p->sql('postgres', 'CREATE DATABASE restored');
$p->node->command_ok([ 'psql', '-X', '-v', 'ON_ERROR_STOP=1', '-q', '-d', $p->node->connstr('restored'), '-f', $file ], 'restore');
is($p->sql('restored', $definitions), $p->sql('postgres', $definitions), 'definitions');
is($p->sql('restored', q{SELECT t FROM activate.next_runs('often') t}), $p->sql('postgres', q{SELECT t FROM activate.next_runs('often') t}),
	'and the plan');
my ($status, $out, $err) = $p->node->psql('restored', q{SELECT activate.drop_sync('cron')});
like($err, qr/cannot be dropped because others run after it/, 'what is followed stays so');

$p->node->stop;
done_testing();
