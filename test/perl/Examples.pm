package Examples;

=head1 NAME

Examples - a page of doc/examples as its reader would go through it, for TAP tests

=head1 SYNOPSIS

  use Examples;
  my $page = Examples->start('crm_health.md', servers => {      # of the page's CREATE SERVER: what is altered in them
      crm => { base_url => $hubspot->url } },
      files => { 'google.pem' => '...' },                       # in pg_activate.secrets_directory
      conf => "...\n",
      at => { token_expires => sub { $vendor->tell(...) } });   # what happens where the page says <!--at token_expires-->
  $page->read;                     # a test for each block, and one for each answer that the page shows
  $page->sql('...'); $page->rows('...'); $page->activate;
  $page->fits($vendor, spec => 'hubspot/objects.prism.json', only => sub { ... });   # the vendor's own file accepts what it was asked

=head1 DESCRIPTION

Run are ```sql blocks and, unseen by readers, <!--sql ... --> comments, each in
a session of its own. A block ```sql error=PA002 must fail with that SQLSTATE
at its last statement; ```sql norun is not run. A block without a language that
follows one of SQL is what that must have printed, to the letter. The library
is preloaded, as on the reader's server.

=cut

use strict;
use warnings;

use Carp;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;

use Activate;
use ConnectorTest;

sub start
{
	my ($class, $page, %option) = @_;
	my $secrets = PostgreSQL::Test::Utils::tempdir();
	my $self = bless { path => "doc/examples/$page", %option }, $class;

	foreach my $name (sort keys %{ $option{files} // {} })
	{
		open my $out, '>', "$secrets/$name" or croak "$secrets/$name: $!";
		print {$out} $option{files}{$name};
		close $out or croak "$secrets/$name: $!";
		chmod 0600, "$secrets/$name";
	}
	(my $node = $page) =~ tr/a-z0-9//cd;
	$self->{activate} = Activate->start($node, conf => "shared_preload_libraries = 'pg_activate'\n"
		. "pg_activate.secrets_directory = '$secrets'\npg_activate.allowed_hosts = '*'\npg_activate.debug_late_off = on\n" . ($option{conf} // ''));
	$self->sql('DROP EXTENSION pg_activate');
	return $self;
}

sub activate { return $_[0]{activate} }
sub sql { my ($self, $sql) = @_; return $self->{activate}->sql($sql) }
sub rows { my ($self, $sql) = @_; return $self->{activate}->rows($sql) }

# What of the page is read: [kind (sql, output, at), line, text or name, SQLSTATE that is wanted].
sub _parts
{
	my ($path) = @_;
	my (@parts, $end);
	open my $in, '<', $path or croak "$path: $!";
	while (my $line = <$in>)
	{
		if (defined $end)
		{
			$end = undef, next if $line =~ $end;
			$parts[-1][2] .= $line;
		}
		elsif ($line =~ /^```sql(?: (norun)| error=(\w{5}))?$/)
		{
			$end = qr/^```$/;
			push @parts, [ $1 // 'sql', $., '', $2 // '' ];
		}
		elsif ($line =~ /^<!--sql$/)
		{
			$end = qr/^-->$/;
			push @parts, [ 'sql', $., '', '' ];
		}
		elsif ($line =~ /^<!--at (\w+)-->$/)
		{
			push @parts, [ 'at', $., $1, '' ];
		}
		elsif ($line =~ /^```(\w*)$/)
		{
			$end = qr/^```$/;
			push @parts, [ $1 eq '' ? 'output' : 'norun', $., '', '' ];
		}
		elsif ($line =~ /^```/)
		{
			croak "$path:$.: $line";
		}
	}
	croak "$path: a block without end" if defined $end;
	return grep { $_->[0] ne 'norun' } @parts;
}

# The page's own servers, at the test's addresses.
sub _servers
{
	my ($self, $text) = @_;
	$text =~ s{(CREATE SERVER (\w+) FOREIGN DATA WRAPPER activate\s+OPTIONS \()(.*?)(\);)}{
		my ($begin, $name, $options, $end) = ($1, $2, $3, $4);
		my $altered = $self->{servers}{$name} // croak "$self->{path}: no stand-in for server $name";
		foreach my $option (sort keys %$altered)
		{
			$options =~ s/\b$option\s+'[^']*'/$option '$altered->{$option}'/ or $options = "$option '$altered->{$option}', $options";
		}
		"$begin$options$end" }egs;
	return $text;
}

sub _run
{
	my ($self, $text) = @_;
	my ($out, $err) = ('', '');
	my $script = "\\set VERBOSITY verbose\n\\pset footer off\n\\pset null ''\n" . $self->_servers($text);
	my $run = IPC::Run::run([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-d', $self->{activate}->node->connstr('postgres') ],
		'<', \$script, '>', \$out, '2>', \$err, IPC::Run::timeout(120));
	my ($state) = $err =~ /^ERROR:  (\w{5}):/m;
	return ($run ? '' : $state // 'psql failed', $out, $err);
}

sub read
{
	my ($self) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($out, $err, %done) = ('', '');

	foreach my $part (_parts($self->{path}))
	{
		my ($kind, $line, $text, $wanted) = @$part;
		my $name = "$self->{path}:$line";
		if ($kind eq 'at')
		{
			($self->{at}{$text} // croak "$name: what happens at $text?")->();
			$done{$text} = 1;
		}
		elsif ($kind eq 'sql')
		{
			(my $state, $out, $err) = $self->_run($text);
			is($state, $wanted, $name) or diag($text, $err);
		}
		else
		{
			# What functions return that are called for what they do.
			$out =~ s/^ (?:\w+ *\n-+\n *|create_sync *\n-+\n *[0-9]+)\n+//mg;
			s/^\n+//, s/[ \t]+$//mg, s/\n+\z/\n/ foreach $out, $text;
			is($out, $text, "$name: what is shown") or diag $err;
		}
	}
	is_deeply([ sort keys %done ], [ sort keys %{ $self->{at} // {} } ], "$self->{path}: all happened");
	return;
}

sub fits
{
	my ($self, $vendor, %option) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ConnectorTest->around($vendor, %option)->fits($option{only});
	return;
}

1;
