# A copy does not send by itself either: its syncs are due, its workers look,
# and no request leaves before somebody said what the copy is.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use Destination;
use Session;
use Warehouse;

my $names = PostgreSQL::Test::Utils::tempdir();
my $lighthouse = Destination->start;
my $ahead = 0;				# seconds that the clock of the workers is
my @SYNCS = @Warehouse::SYNCS;
my $three = join ', ', map { "'$_'" } @SYNCS;

sub wait_until
{
	my ($what, $copy, $sql, $seconds) = @_;
	my $session = Session->start($copy->node, $copy->database);
	my $until = time + ($seconds // 60);
	my $answer;

	until (($answer = ref $sql ? $sql->() : $session->query($sql)) =~ /^(?:t|1)\b/)
	{
		diag($answer, $session->query('TABLE activate.workers'), $session->query('TABLE activate.sync_state'),
			$session->query('SELECT run_id, sync, cause, status, error FROM activate.runs ORDER BY 1 DESC LIMIT 10')),
		  die "waited in vain until $what"
		  if time > $until;
		sleep 0.02;
	}
	return;
}

sub new_node
{
	my ($name, %option) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init(%option);
	$node->append_conf('postgresql.conf', settings());
	return $node;
}

sub settings
{
	return <<'END';
shared_preload_libraries = 'pg_activate'
pg_activate.allowed_hosts = '127.0.0.1'
pg_activate.debug_late_off = on
pg_activate.naptime = '1s'
autovacuum = off
END
}

sub start_on
{
	my ($node, $host) = @_;
	open my $out, '>', "$names/" . $node->name or die $!;
	print $out "$host\n";
	close $out;
	local %ENV = (%ENV, LD_PRELOAD => $ENV{ACT_SHIM}, ACT_SHIM_HOSTNAME_FILE => "$names/" . $node->name);
	$node->start;
	return;
}

sub configure
{
	my ($node, $line) = @_;
	$node->append_conf('postgresql.conf', "\n$line\n");
	$node->reload;
	return;
}

# A sync made here runs twice more: the scheduler has looked at all that is due.
sub workers_look
{
	my ($copy) = @_;
	my $url = $lighthouse->url;

	$copy->sql(qq(CREATE SERVER lighthouse FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url '$url');
		CREATE TABLE public.here (id int PRIMARY KEY); SET client_min_messages = error;
		SELECT activate.create_sync('here', 'public.here', 'id', 'lighthouse', object => 'here', schedule => '1 second')));
	wait_until('a sync made here runs', $copy,
		q(SELECT count(*) >= 2 FROM activate.runs WHERE sync = 'here' AND cause = 'schedule' AND status = 'succeeded'));
	$copy->sql(q(SELECT activate.drop_sync('here'); DROP TABLE public.here; DROP SERVER lighthouse));
	return;
}

sub runs_of { return $_[0]->sql("SELECT coalesce(max(run_id), 0) FROM activate.runs WHERE sync IN ($three)") }

# Changes a row of each model, so that a run would send something.
sub change
{
	my ($copy, $value) = @_;
	$copy->sql("UPDATE shop.customer SET name = '$value' WHERE id = 1;
		UPDATE shop.orders SET amount = amount + 1 WHERE (region, number) = ('north', 1);
		UPDATE shop.relation SET note = '$value' WHERE kind = 'shop.mood'::regtype");
	return;
}

sub is_silent
{
	my ($copy, $name) = @_;
	change($copy, $name);
	my $run = runs_of($copy);
	my $requests = $copy->destination->stats->{requests};

	workers_look($copy);
	is($copy->sql("SELECT count(*) FROM activate.sync JOIN activate.sync_state USING (sync_id)
		WHERE name IN ($three) AND LEAST(next_run_at, retry_at) < clock_timestamp() + interval '$ahead s'"), 3, "$name: all are due");
	is(runs_of($copy), $run, "$name: none runs");
	is($copy->destination->stats->{requests}, $requests, "$name: nothing was sent");
	return;
}

# Without anybody calling anything.
sub arrives
{
	my ($copy, $name) = @_;
	my $begun = time;

	change($copy, $name);
	wait_until("$name: changes arrive", $copy, sub {
			$copy->destination->fields('customers')->{'{"id":1}'}{name} eq $name &&
			$copy->destination->fields('relations')->{'{"relation":"shop.orders"}'}{note} eq $name });
	wait_until("$name: nothing is under way", $copy, "SELECT count(*) = 3 FROM activate.status WHERE sync IN ($three) AND last_status IN ('succeeded', 'partial')");
	note sprintf '%s: arrived %.1f s after it changed', $name, time - $begun;
	wait_until("$name: everything is settled", $copy, "SELECT count(*) = 0 FROM activate.pending WHERE state = 'delayed'");
	$copy->equal($name);
	return;
}

# given a warehouse whose syncs run each second
my $node = new_node('primary', allows_streaming => 1);
start_on($node, 'db1');
my $warehouse = Warehouse->new($node, 'warehouse');
$warehouse->refusing;
$warehouse->loader("SET client_min_messages = error; SELECT activate.alter_sync('$_', schedule => '1 second')") foreach @SYNCS;
arrives($warehouse, 'original');
$node->backup('base');

# given a template copy, then it is silent, in a sandbox too until credentials are set, and then goes on
$node->safe_psql('postgres', 'CREATE DATABASE template_copy TEMPLATE warehouse');
my $template = $warehouse->copy($node, 'template_copy');
is_silent($template, 'template copy');
is($template->sql(q(SELECT string_agg(severity || ': ' || message, ',') FROM activate.event WHERE kind = 'fence')),
	'warning: there are syncs that may not send from here: It was created in another database of this cluster: this one is a copy.',
	'template copy: one event');
$template->sql(q(SET client_min_messages = error; SELECT activate.confirm_cluster('sandbox')));
is_silent($template, 'sandbox');
$template->sql(q(ALTER USER MAPPING FOR PUBLIC SERVER crm OPTIONS (SET api_key 'literal secret');
	ALTER USER MAPPING FOR analyst SERVER hook OPTIONS (SET bearer_token 'hook secret')));
arrives($template, 'sandbox, opened');
$node->safe_psql('postgres', 'DROP DATABASE template_copy');

# given a physical copy on another host, then it is silent until its host is named
my $clone = PostgreSQL::Test::Cluster->new('clone');
$clone->init_from_backup($node, 'base');
start_on($clone, 'db2');
my $cloned = $warehouse->copy($clone, 'warehouse');
is_silent($cloned, 'physical copy');
# its scheduler has nothing to do and leaves; it comes back when the setting changes
configure($clone, 'pg_activate.debug_clock_offset = 600');
$ahead = 600;
wait_until('the scheduler has left', $cloned, q(SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'pg_activate scheduler'));
configure($clone, q(pg_activate.hosts = 'db1, db2'));
arrives($cloned, 'physical copy, host named');
configure($clone, q(pg_activate.hosts = ''));
is_silent($cloned, 'physical copy, host no longer named');

# given one that was recovered, then all is held until a person let it out
my $since = $cloned->last_request;
is($cloned->loader(q(SELECT activate.confirm_cluster('recovered'))), 3, 'recovered: said');
wait_until('all are held', $cloned, "SELECT count(DISTINCT sync) = 3 FROM activate.runs WHERE status = 'held'");
workers_look($cloned);
is_deeply($cloned->sent($since), [], 'recovered: held, nothing was sent');
is($cloned->sql("SELECT string_agg(DISTINCT health, ',') FROM activate.status WHERE sync IN ($three)"), 'held', 'recovered: status says so');
foreach my $sync (@SYNCS)
{
	# The next held run may have taken its place meanwhile.
	wait_until("$sync is approved and goes out", $cloned, sub {
			$cloned->try("SELECT activate.approve_run(max(run_id)) FROM activate.runs WHERE sync = '$sync' AND status = 'held'", 'loader');
			$cloned->sql("SELECT NOT hold_next FROM activate.sync WHERE name = '$sync'") });
}
arrives($cloned, 'recovered, approved');
my %sent = map { $_ => 1 } @{ $cloned->sent($since) };
is_deeply([ grep { !$sent{$_} } grep { !/9/ } @{ $cloned->sent_again(1) } ], [], 'recovered: every row was sent');
$clone->stop;

# given a dump restored into another cluster
$ahead = 0;
my $other = new_node('other');
start_on($other, 'db1');
my $dumps = PostgreSQL::Test::Utils::tempdir();
$node->command_ok([ 'pg_dumpall', '--globals-only', '-f', "$dumps/globals.sql" ], 'pg_dumpall');
$other->command_ok([ 'psql', '-Xq', '-f', "$dumps/globals.sql", 'postgres' ], 'roles');
$node->command_ok([ 'pg_dump', '-Fc', '-f', "$dumps/dump", 'warehouse' ], 'pg_dump');
$other->safe_psql('postgres', 'CREATE DATABASE warehouse');
$other->command_ok([ 'pg_restore', '-e', '-d', 'warehouse', "$dumps/dump" ], 'pg_restore');
my $restored = $warehouse->copy($other, 'warehouse');
is_silent($restored, 'restored dump');
is($restored->loader(q(SELECT activate.confirm_cluster('move'))), 3, 'restored dump: moved');
arrives($restored, 'restored dump, moved');
$other->stop;

# given a server upgraded by pg_upgrade
my $new = new_node('upgraded');
my $bindir = $other->config_data('--bindir');
chdir PostgreSQL::Test::Utils::tempdir();
command_ok([ 'pg_upgrade', '--no-sync', '--old-datadir', $other->data_dir, '--new-datadir', $new->data_dir,
		'--old-bindir', $bindir, '--new-bindir', $bindir, '--socketdir', $new->host,
		'--old-port', $other->port, '--new-port', $new->port ], 'pg_upgrade');
start_on($new, 'db1');
my $upgraded = $warehouse->copy($new, 'warehouse');
is_silent($upgraded, 'upgraded');
is($upgraded->loader(q(SELECT activate.confirm_cluster('move'))), 3, 'upgraded: moved');
arrives($upgraded, 'upgraded, moved');
$new->stop;

# given a standby, then nothing runs there, and the primary goes on
arrives($warehouse, 'original again');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->append_conf('postgresql.conf', q(pg_activate.hosts = 'db1, db3'));
start_on($standby, 'db3');
my $waiting = $warehouse->copy($standby, 'warehouse');
my $run = runs_of($warehouse);
wait_until('the primary ran and the standby heard of it', $waiting,
	"SELECT count(*) > 3 FROM activate.runs WHERE run_id > $run AND status IN ('succeeded', 'partial')");
is($standby->safe_psql('postgres', q(SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'pg\_activate%')), 0, 'standby: no workers');

# given its promotion on a host that is listed, then it goes on by itself, with every row in doubt
$node->stop('immediate');
$since = $waiting->last_request;
my $begun = time;
$standby->promote;
$standby->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()') or die 'not promoted';
wait_until('it goes on', $waiting, "SELECT count(*) = 3 FROM activate.events WHERE kind = 'in_doubt' AND sync IN ($three)");
cmp_ok(time - $begun, '<', 10, sprintf 'promoted: goes on by itself (%.1f s)', time - $begun);
wait_until('all was sent', $waiting, "SELECT count(*) = 0 FROM activate.pending WHERE state = 'delayed'");
workers_look($waiting);
is_deeply($waiting->sent($since), [ grep { !/9/ } @{ $waiting->sent_again(1) } ], 'promoted: every row was sent once');
$waiting->equal('promoted');
arrives($waiting, 'promoted, changed');

# given a run of the rows whose back-off has ended, then it becomes one of all where all are in doubt
$waiting->loader(q(SELECT activate.pause_sync('customers')));
$waiting->sql(q(UPDATE activate.sync SET timeline = 1 WHERE name = 'customers';
	UPDATE activate.sync_state SET retry_at = clock_timestamp(), retry_rows = true
		WHERE sync_id = (SELECT sync_id FROM activate.sync WHERE name = 'customers')));
$run = runs_of($waiting);
$since = $waiting->last_request;
$waiting->loader(q(SET client_min_messages = error; SELECT activate.alter_sync('customers', schedule => '1 day');
	SELECT activate.resume_sync('customers')));
wait_until('the rows are tried again', $waiting, qq(SELECT count(*) > 0 FROM activate.runs
	WHERE run_id > $run AND sync = 'customers' AND cause = 'retry' AND status IN ('succeeded', 'partial')));
is_deeply($waiting->sent($since), [ grep { /"id":[1-8]/ } @{ $waiting->sent_again(1) } ], 'in doubt: a retry is one of all rows');
is($waiting->sql(q(SELECT keyed FROM activate.run JOIN activate.sync USING (sync_id) WHERE name = 'customers' ORDER BY run_id DESC LIMIT 1)),
	'f', 'and says so');

done_testing();
