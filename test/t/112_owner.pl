# A worker runs each sync as its owner, whoever that is and whatever was set
# for him or for the database.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use Scheduled;

my $s = Scheduled->start('main', "autovacuum = off\n");
my $crm = $s->crm;
my $superuser = (getpwuid $<)[0];

sub value { return $s->value($_[0]) }
sub wait_until { return $s->wait_until(@_) }

# A queued run, once it has ended: its status and its error.
sub run_of
{
	my ($sync) = @_;
	my $run = value("SELECT activate.queue_run('$sync')");
	wait_until("run $run of $sync", sub { value("SELECT status FROM activate.run WHERE run_id = $run") !~ /queued|running/ });
	return value("SELECT status || COALESCE(': ' || error, '') FROM activate.run WHERE run_id = $run");
}

# What the model saw when it was read last.
sub seen { my ($sync) = @_; return $crm->record($sync, { id => 1 })->{fields} }

my $columns = q{id, changed, current_user::text AS who, pg_catalog.current_setting('search_path') AS path,
	pg_catalog.current_setting('TimeZone') AS zone, pg_catalog.current_setting('statement_timeout') AS timeout,
	pg_catalog.current_setting('session_replication_role') AS replication};
my $mapping = 'id, changed, who, path, zone, timeout, replication';

sub create
{
	my ($role) = @_;
	value("CREATE SCHEMA $role AUTHORIZATION $role");
	value("SET ROLE $role");
	value("CREATE TABLE $role.base (id int PRIMARY KEY, changed int)");
	value("INSERT INTO $role.base VALUES (1, 0)");
	value("SET search_path = $role; SET TimeZone = 'Asia/Tokyo'");
	value("SELECT activate.create_sync('$role', \$\$SELECT $columns FROM base\$\$, 'id', 'crm', object => '$role', mapping => '$mapping')");
	value('RESET ROLE; RESET search_path; RESET TimeZone');
	return;
}

value($_) for 'GRANT USAGE ON SCHEMA activate TO PUBLIC',
  'GRANT USAGE ON FOREIGN SERVER crm TO PUBLIC',
  'CREATE ROLE plain LOGIN', 'CREATE ROLE nologin NOLOGIN', 'CREATE ROLE locked LOGIN', 'CREATE ROLE other', 'GRANT other TO plain', 'CREATE ROLE watching IN ROLE pg_monitor';
create($_) for qw(plain nologin locked);
value('REVOKE CONNECT, TEMPORARY ON DATABASE postgres FROM PUBLIC');
value('GRANT CONNECT ON DATABASE postgres TO plain');

foreach my $role (qw(plain nologin locked))
{
	is(run_of($role), 'succeeded', "$role: the run of his sync");
	is_deeply(seen($role),
		{ id => 1, changed => 0, who => $role, path => "$role, pg_temp", zone => 'Asia/Tokyo', timeout => '0', replication => 'origin' },
		"$role: read as himself, with what his sync was created with");
}

# ----------------------------------------------------- whom it connected as
$crm->script({ hang => 1, times => -1 });
my %connected = (plain => 'plain', nologin => $superuser, locked => $superuser);
foreach my $role (sort keys %connected)
{
	value("UPDATE $role.base SET changed = 1");
	my $seen = $crm->stats->{requests};
	my $run = value("SELECT activate.queue_run('$role')");
	wait_until('a request', sub { $crm->stats->{requests} > $seen });
	is(value("SELECT usename FROM pg_stat_activity WHERE backend_type = 'pg_activate run'"), $connected{$role},
		"$role: connected as $connected{$role}");
	is(join(' ', map { value("SET ROLE $_; SELECT count(*) FROM activate.progress_slots(); RESET ROLE") } $role, 'other', 'watching'), '1 0 1',
		"$role: his run is seen by him, and by who may watch");
	is(value("SET ROLE watching; SELECT sync, phase FROM activate.progress; RESET ROLE"), "$role|deliver", 'in the view, too');
	value("SELECT activate.cancel_run($run)");
	wait_until('its end', sub { value("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pg_activate run'") eq '0' });
}
$crm->script;

# --------------------------------------------------------- hostile settings
my @hostile = (
	[ 'search_path', 'nowhere' ],
	[ 'statement_timeout', '1' ],
	[ 'lock_timeout', '1' ],
	[ 'idle_in_transaction_session_timeout', '1' ],
	[ 'idle_session_timeout', '1' ],
	[ 'default_transaction_read_only', 'on' ],
	[ 'default_transaction_isolation', 'serializable' ],
	[ 'role', 'other' ],
	[ 'session_replication_role', 'replica' ],
	[ 'synchronous_commit', 'off' ],
	[ 'row_security', 'off' ],
	[ 'DateStyle', 'SQL, DMY' ],
	[ 'TimeZone', 'America/New_York' ],
	[ 'bytea_output', 'escape' ],
	[ 'client_min_messages', 'debug1' ],
	[ 'log_statement', 'all' ]);
my $changed = 10;
foreach my $setting (@hostile)
{
	my ($name, $value) = @$setting;
	foreach my $whose ($name eq 'role' ? ('ROLE plain') : ('ROLE plain', 'DATABASE postgres'))
	{
		value("ALTER $whose SET $name = '$value'");
		$changed++;
		value("UPDATE plain.base SET changed = $changed");
		is(run_of('plain'), 'succeeded', "ALTER $whose SET $name = $value");
		is_deeply(seen('plain'),
			{ id => 1, changed => $changed, who => 'plain', path => 'plain, pg_temp', zone => 'Asia/Tokyo', timeout => '0', replication => 'origin' },
			'changes nothing');
		value("ALTER $whose RESET $name");
	}
}

# ----------------------------------------- the owner changes, and is limited
value('ALTER TABLE activate_data.plain OWNER TO nologin');
value('GRANT USAGE ON SCHEMA plain TO nologin');
like(run_of('plain'), qr/postponed: .*"plain\.base" is not readable by role "nologin"/, 'another owner may not read the model');
value('ALTER TABLE activate_data.plain OWNER TO plain');
value('UPDATE plain.base SET changed = 1000');
value('ALTER ROLE plain CONNECTION LIMIT 0');
is(run_of('plain'), 'succeeded', 'an owner without a connection left');
is(seen('plain')->{changed}, 1000, 'has his rows sent');
value('ALTER ROLE plain CONNECTION LIMIT -1');

my @lines = slurp_file($s->node->logfile) =~ /^\S+ \S+ \S+ \[\d+\] (?:ERROR|WARNING|PANIC|FATAL): .*$/mg;
is("@lines", '', 'nothing of it is in the log');
done_testing();
