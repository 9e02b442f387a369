# What README.md and doc/*.md tell users to type works, in the order in which
# it stands there.
#
# Run are ```sql blocks and, unseen by readers, <!--sql ... --> comments. A
# block ```sql error=42501 must fail with that SQLSTATE at its last statement;
# ```sql norun is not run. Each page has a database of its own; addresses in
# the text stand for the test's own servers (substitute() below). Pages that
# need no worker are read on a server without the library preloaded, the
# others, and README.md, on one with it.
use strict;
use warnings;

use Destination;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $d = Destination->start;
my $secrets = PostgreSQL::Test::Utils::tempdir();
my %without_workers = map { $_ => 1 } qw(doc/models.md doc/security.md doc/webhook.md);

sub start
{
	my ($name, $preload) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init;
	$node->append_conf('postgresql.conf', "shared_preload_libraries = '$preload'");
	$node->start;
	return $node;
}

my %nodes = (plain => start('plain', ''), workers => start('workers', 'pg_activate'));
$nodes{workers}->safe_psql('postgres', 'CREATE DATABASE warehouse');

sub substitute
{
	my ($node, $text) = @_;
	my ($port, $host) = ($d->port, $node->host);
	$text =~ s/localhost:8080/127.0.0.1:$port/g;
	$text =~ s/'localhost'/'127.0.0.1'/g;
	$text =~ s/host 'warehouse\.example\.com', port '5432'/"host '$host', port '" . $node->port . "'"/ge;
	$text =~ s/\/etc\/pg_activate/$secrets/g;
	return $text;
}

# The blocks of a page: [line, SQLSTATE that is wanted or '', text].
sub blocks
{
	my ($path) = @_;
	my (@blocks, $end);
	open my $in, '<', $path or die "$path: $!";
	while (my $line = <$in>)
	{
		if (defined $end)
		{
			$end = undef, next if $line =~ $end;
			$blocks[-1][2] .= $line;
		}
		elsif ($line =~ /^```sql(?: (norun)| error=(\w{5}))?$/)
		{
			$end = qr/^```$/;
			push @blocks, [ $., $1 // $2 // '', '' ];
		}
		elsif ($line =~ /^<!--sql$/)
		{
			$end = qr/^-->$/;
			push @blocks, [ $., '', '' ];
		}
		elsif ($line =~ /^```sql/)
		{
			die "$path:$.: $line";
		}
	}
	die "$path: a block without end" if defined $end;
	return grep { $_->[1] ne 'norun' } @blocks;
}

# What a block asked of workers (a row that is tried again, a start that was
# due) is done before the next one begins: a reader is not that fast, and a run
# under way makes run_sync() and reset_sync() answer 55006.
sub wait_for_workers
{
	my ($node, $database) = @_;
	return if $node->safe_psql($database, "SELECT to_regclass('activate.sync_state') IS NULL") eq 't';
	$node->safe_psql($database, <<'END');
DO $$ BEGIN
	FOR i IN 1 .. 300 LOOP
		-- a run that was due says so until it begins, and then holds the lock
		EXIT WHEN NOT EXISTS (SELECT FROM activate.sync_state JOIN activate.sync USING (sync_id) WHERE NOT paused AND least(next_run_at, retry_at) <= clock_timestamp())
			AND NOT EXISTS (SELECT FROM pg_catalog.pg_locks AS l JOIN activate.sync AS s ON l.objid::bigint = s.sync_id
				WHERE l.locktype = 'advisory' AND l.classid = 0 AND l.objsubid = x'ac71'::int
					AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()));
		PERFORM pg_catalog.pg_sleep(0.1);
	END LOOP;
END $$;
END
	return;
}

sub run_block
{
	my ($node, $database, $text) = @_;
	wait_for_workers($node, $database) if $node == $nodes{workers};
	my ($out, $err) = ('', '');
	my $script = "\\set VERBOSITY verbose\n" . substitute($node, $text);
	my $run = IPC::Run::run(
		[ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr($database) ],
		'<', \$script, '>', \$out, '2>', \$err);
	my ($state) = $err =~ /^ERROR:  (\w{5}):/m;
	sleep 1 if $text =~ /pg_reload_conf/;    # before the next session begins
	return ($run ? '' : $state // 'psql failed', $err);
}

# What answers on a page that has another one than a webhook.
my %scripts = ('doc/alerts.md' => [ { match => { path => '/hooks*' }, times => -1, status => 200, body => 'ok', headers => { 'Content-Type' => 'text/plain' } },
	{ match => { path => '/gone*' }, times => -1, status => 404 } ],
	'doc/tutorial.md' => [ { match => { path => '/v2/sites/LYS/forecasts', method => 'PUT' }, times => -1, status => 200,
		body => '{"failed": [{"sku": "B2", "code": "UNKNOWN_SKU", "reason": "no such article"}]}' } ]);

my $n = 0;
for my $path ('README.md', sort glob 'doc/*.md')
{
	my $database = 'page_' . $n++;
	my $node = $nodes{ $without_workers{$path} ? 'plain' : 'workers' };
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$d->reset;
	$d->script(@{ $scripts{$path} }) if $scripts{$path};
	for my $block (blocks($path))
	{
		my ($line, $wanted, $text) = @$block;
		my ($state, $err) = run_block($node, $database, $text);
		is($state, $wanted, "$path:$line") or diag($text, $err);
	}
}

# No link of ours leads nowhere.
for my $path ('README.md', sort glob 'doc/*.md doc/*/*.md')
{
	my $page = slurp_file($path);
	my ($folder) = $path =~ m{^(.*/)?};
	for my $target ($page =~ /\]\(([^):#]+)(?:#[^)]*)?\)/g)
	{
		ok(-e ($folder // '') . $target, "$path links to $target");
	}
}

$_->stop foreach values %nodes;
done_testing();
