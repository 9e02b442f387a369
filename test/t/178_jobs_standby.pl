# A server is lost while its jobs are worked on: the standby that takes its
# place asks for those that it knows, and what it does not know ends alike.
use strict;
use warnings;

use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use Activate;
use Destination;

my $a = Activate->start('primary', init => { allows_streaming => 1 }, conf => "autovacuum = off\n");
my $crm = Destination->start;
my $json = JSON::PP->new->canonical;

my $rows = { '$rows' => { op => '{{row.op}}', key => '{{row.key}}', fields => '{{row.fields}}' } };
my $spec = $json->encode({
	spec_version => 1, takes_key => JSON::PP::true,
	operations => { upsert => {
		idempotent => JSON::PP::true, batch => { max_rows => 100 },
		steps => [ { request => { path => '/jobs', body => { object => '{{sync.object}}', rows => $rows } }, save => { job => '/id' } } ],
		poll => {
			request => { method => 'GET', path => '/jobs/{{saved.job}}' }, every => ['10 ms'],
			state => '/state', running => [ 'open', 'working' ], done => ['done'], failed => ['failed'] },
		answer => { by => 'position', items => '/results', external_id => '/id',
			outcomes => [ map { { at => '/status', in => [$_], then => $_ } } qw(accepted rejected absent) ] } } } });
$a->sql("INSERT INTO activate.connector (name, spec) VALUES ('jobs', \$j\$$spec\$j\$)");
$a->server('slow', $crm, connector => 'jobs', timeout => '5s');

sub create
{
	my ($name, $count) = @_;
	$a->sql("CREATE TABLE m_$name (id int PRIMARY KEY, v int); INSERT INTO m_$name SELECT i, 0 FROM generate_series(1, $count) i");
	$a->sql("SELECT activate.create_sync('$name', 'm_$name', 'id', 'slow', '$name', options => '{\"max_changed\": null}')");
	return;
}

sub equal
{
	my ($name, $what) = @_;
	return $a->same_values($crm, $name, "m_$name", $what);
}

sub last_seq { my $r = $crm->requests; return @$r ? $r->[-1]{seq} : 0 }

# "GET /jobs/j 2, POST /jobs 1"
sub asked
{
	my ($since) = @_;
	my %count;
	$count{ "$_->{method} $_->{path}" =~ s/j\d+/j/r }++ foreach @{ $crm->requests($since) };
	return join ', ', map { "$_ $count{$_}" } sort keys %count;
}

# A standby of what is the primary now, with all that it has.
my $nodes = 0;

sub standby
{
	my ($synchronous) = @_;
	my $name = 'standby' . ++$nodes;
	my $state = $synchronous ? 'sync' : 'async';
	my $primary = $a->node;

	$primary->backup($name);
	my $standby = PostgreSQL::Test::Cluster->new($name);
	$standby->init_from_backup($primary, $name, has_streaming => 1);
	foreach my $node ($standby, $primary)
	{
		$node->append_conf('postgresql.conf', 'synchronous_standby_names = ' . ($synchronous ? "'*'" : "''"));
	}
	$standby->start;
	$primary->reload;
	$primary->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = '$state'")
		or die "no $state standby";
	return $standby;
}

sub replayed
{
	my ($standby) = @_;
	$a->node->wait_for_catchup($standby, 'replay');
	return;
}

# The primary is gone for good, and the standby is what there is; what it waits for is nobody.
sub promote
{
	my ($standby, $under_way, $start) = @_;
	$a->node->stop('immediate');
	$under_way->{handle}->finish if $under_way;
	$standby->start if $start;
	$standby->promote;
	$standby->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()') or die 'not promoted';
	$a->take_over($standby);
	return;
}

sub begin_job
{
	my ($name) = @_;
	$crm->config({ job_polls => 100000 });
	my $under_way = $a->begin($name);
	$a->node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM activate.job WHERE state = 'polling'}) or die 'no job';
	return $under_way;
}

# given a synchronous standby, then it asks for the job and sends nothing again
create('certain', 10);
my $standby = standby(1);
my $under_way = begin_job('certain');
promote($standby, $under_way);
my $next = standby(1);
is($a->sql('SELECT count(*) FROM activate.job'), 1, 'synchronous: the standby knows the job');
$a->sql('UPDATE m_certain SET v = 1 WHERE id = 1');
$crm->config({ job_polls => 0 });
my $since = last_seq();
my $run = $a->run('certain');
is("$run->{status} $run->{accepted} $run->{delayed}", 'succeeded 11 0', 'synchronous: it is read, and what changed meanwhile goes') or diag $run->{text};
is(asked($since), 'GET /jobs/j 2, POST /jobs 1', 'synchronous: the rows of the job are not sent again');
equal('certain', 'synchronous: all is there');
$a->node->append_conf('postgresql.conf', "synchronous_standby_names = ''");
$a->node->reload;
$next->stop;

# given one that is not and has the job, then the job is over before anything is sent, and all goes again
create('known', 10);
$standby = standby(0);
$under_way = begin_job('known');
replayed($standby);
promote($standby, $under_way);
$a->sql('UPDATE m_known SET v = 1 WHERE id = 1');
$crm->config({ job_polls => 0 });
$since = last_seq();
$run = $a->run('known');
is("$run->{status} $run->{accepted} $run->{delayed}", 'partial 10 10', 'asynchronous, the job is known: all rows are in doubt, and go again') or diag $run->{text};
is(asked($since), 'GET /jobs/j 2, POST /jobs 1', 'asynchronous: the job is waited for') or diag $json->encode($crm->requests($since));
is($crm->requests($since)->[0]{method}, 'GET', 'asynchronous: first of all');
equal('known', 'asynchronous: all is there');
is($a->sql('SELECT count(*) FROM activate.job'), 0, 'asynchronous: no job is left');

# given one that has missed it, then what the job was given is sent again, and the newest state wins
create('missed', 10);
$standby = standby(0);
replayed($standby);
$standby->stop;
$under_way = begin_job('missed');
my $job = $a->sql("SELECT saved[2] FROM activate.job");
promote($standby, $under_way, 1);
is($a->sql('SELECT count(*) FROM activate.job'), 0, 'missed: the standby does not know the job');
$crm->config({ job_polls => 0 });
$crm->http(GET => "/jobs/$job");	# the lost job is done before the next run
$a->sql('UPDATE m_missed SET v = v + 1 WHERE id <= 3');
$run = $a->run('missed');
is("$run->{status} $run->{accepted}", 'succeeded 10', 'missed: all rows go again') or diag $run->{text};
equal('missed', 'missed: the newest state is there');

done_testing();
