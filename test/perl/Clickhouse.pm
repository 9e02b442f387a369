package Clickhouse;

=head1 NAME

Clickhouse - ClickHouse as Debian ships it, for TAP tests

=head1 SYNOPSIS

  use Clickhouse;
  plan skip_all => '...' unless Clickhouse->is_installed;
  my $ch = Clickhouse->start;
  $ch->url;                            # http://127.0.0.1:port
  $ch->tcp_port;                       # for clickhouse-client
  $ch->query('CREATE TABLE ...');      # the answer's text; dies on errors
  $ch->rows('SELECT ...');             # [{...}], every number as text
  $ch->stop('KILL'); $ch->restart;     # the same port and data

=cut

use strict;
use warnings;

use Carp;
use HTTP::Tiny;
use JSON::PP;
use Npm ();
use POSIX ();
use PostgreSQL::Test::Utils ();
use Time::HiRes qw(sleep time);

# Not every release of Debian has it.
sub is_installed { return scalar grep { -x "$_/clickhouse-server" } split /:/, $ENV{PATH} }

sub start
{
	my ($class, %option) = @_;
	my $self = bless { home => PostgreSQL::Test::Utils::tempdir(), port => Npm::free_port(), tcp => Npm::free_port(),
		owner => $$, http => HTTP::Tiny->new(timeout => 60) }, $class;
	my $home = $self->{home};

	mkdir "$home/$_" foreach qw(data tmp);
	_write("$home/users.xml", <<'END');
<yandex><profiles><default><max_memory_usage>2000000000</max_memory_usage></default></profiles>
<users><default><password></password><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota></default>
<writer><password>secret</password><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota></writer></users>
<quotas><default></default></quotas></yandex>
END
	_write("$home/config.xml", <<"END");
<yandex><logger><level>warning</level><log>$home/log</log><errorlog>$home/errors</errorlog></logger>
<http_port>$self->{port}</http_port><tcp_port>$self->{tcp}</tcp_port><listen_host>127.0.0.1</listen_host>
<path>$home/data/</path><tmp_path>$home/tmp/</tmp_path><users_config>$home/users.xml</users_config>
<default_profile>default</default_profile><default_database>default</default_database><mark_cache_size>5368709</mark_cache_size>
<keep_alive_timeout>10</keep_alive_timeout></yandex>
END
	return $self->restart;
}

sub _write
{
	my ($path, $text) = @_;
	open my $file, '>', $path or croak "$path: $!";
	print {$file} $text;
	close $file;
	return;
}

sub restart
{
	my ($self) = @_;
	$self->stop('TERM');
	defined($self->{pid} = fork) or croak "fork: $!";
	if ($self->{pid} == 0)
	{
		chdir $self->{home};
		open STDIN, '<', '/dev/null';
		open STDOUT, '>>', "$self->{home}/out";
		open STDERR, '>&', \*STDOUT;
		exec 'clickhouse-server', "--config-file=$self->{home}/config.xml" or POSIX::_exit(127);
	}
	my $until = time + 60;
	until (($self->{http}->get($self->url . '/ping')->{content} // '') =~ /Ok/)
	{
		croak 'clickhouse-server has ended: ' . `tail -5 $self->{home}/out $self->{home}/errors`
			if waitpid($self->{pid}, POSIX::WNOHANG()) != 0 || time > $until;
		sleep 0.05;
	}
	return $self;
}

sub url { return "http://127.0.0.1:$_[0]{port}" }
sub tcp_port { return $_[0]{tcp} }

sub query
{
	my ($self, $sql) = @_;
	my $answer = $self->{http}->post($self->url . '/', { content => $sql });
	croak "$answer->{content}: $sql" unless $answer->{success};
	return $answer->{content};
}

sub rows
{
	my ($self, $sql) = @_;
	return decode_json($self->query("$sql FORMAT JSON"))->{data};
}

sub stop
{
	my ($self, $signal) = @_;
	return unless $self->{pid} && $self->{owner} == $$;
	local ($?, $!);
	kill $signal // 'TERM', $self->{pid};
	waitpid $self->{pid}, 0;
	delete $self->{pid};
	return;
}

sub DESTROY { $_[0]->stop('KILL'); return }

1;
