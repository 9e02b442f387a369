# What the page of each connector says is true of its document: options,
# secrets, objects, modes and what happens to rows that left are all named, and
# no server, credential or sync that a page shows is refused; each of these
# syncs can say what its first request is.
use strict;
use warnings;

use File::Basename;
use File::Path qw(make_path);
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $secrets = PostgreSQL::Test::Utils::tempdir();
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', <<END);
shared_preload_libraries = 'pg_activate'
pg_activate.enabled = off
pg_activate.secrets_directory = '$secrets'
END
$node->start;

# The models of the pages, a row in each.
$node->safe_psql('template1', <<'END');
CREATE EXTENSION pg_activate;
CREATE SCHEMA analytics; CREATE SCHEMA crm; CREATE SCHEMA sales; CREATE SCHEMA finance; CREATE SCHEMA planning;
CREATE TABLE crm.customers (id bigint PRIMARY KEY, name text, email text, lead_score numeric, tier text, created_at timestamptz, plan text, ltv numeric, arr numeric);
CREATE TABLE crm.winback (id bigint PRIMARY KEY);
CREATE TABLE crm.newsletter (id bigint PRIMARY KEY);
CREATE TABLE crm.contacts (company text, contact text, role text);
CREATE TABLE analytics.restaurants (name text PRIMARY KEY, outdoor_dining boolean, zip text, tags text[]);
CREATE TABLE analytics.customers (id bigint PRIMARY KEY, customer_id bigint, email text, score numeric, first_name text, plan text, orders int, lifetime_value numeric);
CREATE TABLE public.customers (id bigint PRIMARY KEY, email text, name text, score numeric, signed_up timestamptz, team_id text);
CREATE TABLE analytics.winback (email text PRIMARY KEY);
CREATE TABLE analytics.buyers (customer_id bigint PRIMARY KEY, email text, phone text, first_name text, last_name text, zip text, country text);
CREATE TABLE analytics.customer_health (customer_id bigint PRIMARY KEY, email text, score numeric(10,4), tier text, last_seen timestamptz, last_name text, account_no text);
CREATE TABLE analytics.orders (order_id bigint PRIMARY KEY, customer_id bigint, amount numeric, ordered_at timestamptz);
CREATE TABLE analytics.events (event_id bigint PRIMARY KEY, kind text, payload jsonb, happened_at timestamptz);
CREATE TABLE sales.contacts (contact_id bigint, company_id bigint, PRIMARY KEY (contact_id, company_id));
CREATE TABLE finance.revenue (month date, region text, amount numeric, forecast numeric);
CREATE TABLE finance.invoices (invoice_id bigint PRIMARY KEY, amount numeric, due_on date);
CREATE TABLE finance.payments (payment_id bigint PRIMARY KEY, invoice_id bigint);
CREATE TABLE planning.forecast (sku text PRIMARY KEY, days_left int);
INSERT INTO crm.customers VALUES (1, 'Ann', 'ann@example.com', 1.5, 'gold', '2026-01-01Z', 'pro', 2, 3);
INSERT INTO crm.winback VALUES (1); INSERT INTO crm.newsletter VALUES (1); INSERT INTO crm.contacts VALUES ('acme','ann','cto');
INSERT INTO analytics.restaurants VALUES ('x', true, '1', '{a,b}'); INSERT INTO analytics.customers VALUES (1,1,'ann@example.com',1.5,'Ann','pro',3,4);
INSERT INTO public.customers VALUES (1,'ann@example.com','Ann',1,'2026-01-01Z','t1'); INSERT INTO analytics.winback VALUES ('ann@example.com');
INSERT INTO analytics.buyers VALUES (1,'ann@example.com','+33612345678','Ann','B','75001','fr');
INSERT INTO analytics.customer_health VALUES (1,'ann@example.com',1.5,'gold','2026-01-01Z','B','A1');
INSERT INTO analytics.orders VALUES (1,1,1,'2026-01-01Z'); INSERT INTO analytics.events VALUES (1,'k','{}','2026-01-01Z');
INSERT INTO sales.contacts VALUES (1,1); INSERT INTO finance.revenue VALUES ('2026-01-01','eu',1,2); INSERT INTO finance.invoices VALUES (1,20000,'2026-02-01');
INSERT INTO finance.payments VALUES (1,1); INSERT INTO planning.forecast VALUES ('A',1);
-- the syncs of records whose ids the pages' associations ask for
CREATE FUNCTION public.make_parents(destination text) RETURNS void LANGUAGE sql AS $$
	SELECT activate.create_sync(n, 'analytics.buyers', 'customer_id', destination, object => n, match => 'ref', mapping => 'customer_id AS ref')
	FROM unnest(ARRAY['contacts', 'companies']) AS n;
$$;
END

my %parents = (hubspot => 'crm');
# Servers that are somebody's own have no address in the document.
my %required = (url => 'https://host.example.com', host => 'host.example.com');

foreach my $path (sort glob 'src/connectors/*.json')
{
	my $document = decode_json(slurp_file($path));
	my $name = $document->{name};
	next if $name =~ /^(webhook|chat)$/;    # doc/webhook.md, doc/alerts.md: their SQL is run by 090_readme.pl
	my $page = slurp_file("doc/connectors/$name.md");

	$node->safe_psql('postgres', "CREATE DATABASE $name");
	names($name, $page, 'options', sort keys %{ $document->{options} });
	names($name, $page, 'secrets', sort(secrets($document->{secrets})));
	what_objects_do($name, $page, $document->{options});
	statements($name, $page);
	$node->safe_psql('postgres', "DROP DATABASE $name");
}

sub secrets
{
	my ($secrets) = @_;
	return ref $secrets eq 'HASH' ? keys %$secrets : @{ $secrets // [] };
}

# Each is a word of the page.
sub names
{
	my ($name, $page, $what, @words) = @_;
	my @missing = grep { $page !~ /(?<!\w)\Q$_\E(?!\w)/ } @words;
	is("@missing", '', "$name: its page names all $what");
	return;
}

# As a user is told them by activate.objects().
sub what_objects_do
{
	my ($name, $page, $options) = @_;
	my @given = ("connector '$name'");
	foreach my $option (sort grep { $options->{$_}{required} } keys %$options)
	{
		push @given, "$option '" . ($required{ $options->{$option}{kind} // '' } // 'x1') . "'";
	}
	$node->safe_psql($name, 'CREATE SERVER any_of_them FOREIGN DATA WRAPPER activate OPTIONS (' . join(', ', @given) . ')');
	my @objects = split /\n/, $node->safe_psql($name, "SELECT object FROM activate.objects('any_of_them')");
	cmp_ok(scalar(@objects), '>', 0, "$name has objects");
	# Of s3's names the ending is what counts.
	names($name, $page, 'objects', map { s/^\{[^}]*\}(?:<batch>)?(?=\.)//r =~ s/\.gz$//r =~ s/\.\.\.\}/}/r } grep { !/^\{\w+(?:\.\.\.)?\}$/ } @objects)
		unless $name =~ /^(hubspot|clickhouse|postgrest|google_sheets)$/;    # shown by examples of names
	foreach my $column (qw(modes on_removed))
	{
		names($name, $page, $column, split /\n/,
			$node->safe_psql($name, "SELECT DISTINCT w FROM activate.objects('any_of_them'), unnest($column) AS w WHERE w <> 'ignore'"));
	}
	$node->safe_psql($name, 'DROP SERVER any_of_them');
	return;
}

sub statements
{
	my ($name, $page) = @_;
	my $syncs = 0;
	unlike($page, qr/USER MAPPING FOR (?!PUBLIC)/, "$name: the credential is for whoever may use the server");
	foreach my $block ($page =~ /^```sql norun\n(.*?)^```$/gms)
	{
		foreach my $statement (split /(?<=;)(?:[ \t]*--[^\n]*)?\n/, $block)
		{
			next if $statement !~ /CREATE (?:SERVER|USER MAPPING)|activate\.create_(?:sync|connector)\(/;
			foreach my $file ($statement =~ /_file '([^']+)'/g)
			{
				make_path("$secrets/" . dirname($file));
				append_to_file("$secrets/$file", "secret\n");
				chmod 0600, "$secrets/$file";
			}
			$node->safe_psql($name, "SELECT public.make_parents('$parents{$name}')") if $statement =~ /external_id\('contacts'/;
			my ($state, $out, $err) = $node->psql($name, "SET client_min_messages = warning;\n$statement");
			is($err, '', "$name: " . ($statement =~ s/^(?:--[^\n]*\n|\s)*//r =~ s/\n.*//sr))
				or diag($statement, $err);
			$syncs++ if $statement =~ /create_sync/;
		}
	}
	cmp_ok($syncs, '>', 0, "$name: a first sync is shown");

	# What begins with today's rows as sent has nothing to send yet.
	my $silent = $node->safe_psql($name, <<'END');
SELECT coalesce(string_agg(sync, ' '), '') FROM activate.syncs AS s
WHERE coalesce(options ->> 'first_run', '') <> 'baseline' AND mapping !~ 'external_id'
	AND NOT EXISTS (SELECT FROM activate.preview_requests(s.sync) AS r WHERE r.curl ~ 'curl ')
END
	is($silent, '', "$name: each sync of the page has a request to show");
	return;
}

$node->stop;
done_testing();
