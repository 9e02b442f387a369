# What README.md and doc/*.md tell users to type works, in the order in which
# it stands there.
#
# Run are ```sql blocks and, unseen by readers, <!--sql ... --> comments. A
# block ```sql error=42501 must fail with that SQLSTATE at its last statement;
# ```sql norun is not run. Each page has a database of its own; addresses in
# the text stand for the test's own servers (substitute() below).
use strict;
use warnings;

use Destination;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $d = Destination->start;
my $secrets = PostgreSQL::Test::Utils::tempdir();
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE warehouse');

sub substitute
{
	my ($text) = @_;
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

sub run_block
{
	my ($database, $text) = @_;
	my ($out, $err) = ('', '');
	my $script = "\\set VERBOSITY verbose\n" . substitute($text);
	my $run = IPC::Run::run(
		[ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr($database) ],
		'<', \$script, '>', \$out, '2>', \$err);
	my ($state) = $err =~ /^ERROR:  (\w{5}):/m;
	sleep 1 if $text =~ /pg_reload_conf/;    # before the next session begins
	return ($run ? '' : $state // 'psql failed', $err);
}

my $n = 0;
for my $path ('README.md', sort glob 'doc/*.md')
{
	my $database = 'page_' . $n++;
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$d->reset;
	for my $block (blocks($path))
	{
		my ($line, $wanted, $text) = @$block;
		my ($state, $err) = run_block($database, $text);
		is($state, $wanted, "$path:$line") or diag($text, $err);
	}
}

# No link of ours leads nowhere.
for my $path ('README.md', sort glob 'doc/*.md')
{
	my $page = slurp_file($path);
	my ($folder) = $path =~ m{^(.*/)?};
	for my $target ($page =~ /\]\(([^):#]+)(?:#[^)]*)?\)/g)
	{
		ok(-e ($folder // '') . $target, "$path links to $target");
	}
}

$node->stop;
done_testing();
