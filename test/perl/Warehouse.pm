package Warehouse;

=head1 NAME

Warehouse - a small warehouse with syncs in every state, and what must hold of a copy of it

=head1 SYNOPSIS

  use Warehouse;
  my $warehouse = Warehouse->new($node, 'warehouse');  # database, objects, first runs
  my @runs = $warehouse->hang;                         # a run of each sync that waits for its answer
  ...
  $warehouse->cancel(@runs);                           # their rows are in doubt
  my $copy = $warehouse->copy($other_node, 'database');
  $copy->holds_still($name);                           # nothing is sent until confirm_cluster('move')
  $copy->goes_on($name);                               # then what is in doubt or changed, and nothing else
  $copy->goes_on($name, confirmed => 1, doubt => 1);   # and where every row is in doubt, every row

Owners may not log in; C<loader>, who may, is a member of theirs and makes
all calls. One destination belongs to a connector of the user's own, whose
document says where it is; the other one is a webhook.

=cut

use strict;
use warnings;

use IPC::Run;
use JSON::PP;
use Test::More;
use Time::HiRes qw(sleep time);

use Destination;

my $json = JSON::PP->new->utf8->canonical->allow_nonref;

our @SYNCS = qw(customers orders relations);

sub new
{
	my ($class, $node, $database) = @_;
	my $self = bless { node => $node, database => $database, destination => Destination->start }, $class;
	$node->safe_psql('postgres', <<'END');
CREATE ROLE analyst NOLOGIN;
CREATE ROLE loader LOGIN IN ROLE analyst;
CREATE ROLE stranger LOGIN;
END
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$self->sql($self->objects);
	$self->loader($self->syncs);
	$self->first_runs;
	return $self;
}

# The same objects somewhere else.
sub copy
{
	my ($self, $node, $database) = @_;
	return bless { %$self, node => $node, database => $database }, ref $self;
}

sub node { return $_[0]->{node} }
sub database { return $_[0]->{database} }
sub destination { return $_[0]->{destination} }

sub objects
{
	my ($self) = @_;
	my $url = $self->destination->url;
	return <<"END";
CREATE EXTENSION pg_activate;
GRANT USAGE ON SCHEMA activate TO analyst, stranger;
GRANT USAGE ON FOREIGN DATA WRAPPER activate TO analyst;

INSERT INTO activate.connector (name, spec)
	SELECT 'mine', json_object_agg(key, value) FROM (
		SELECT key, value FROM activate.connector, json_each(spec)
			WHERE name = 'webhook' AND key NOT IN ('name', 'title', 'secrets', 'auth', 'options', 'headers')
		UNION ALL VALUES ('name', '"mine"'::json), ('title', '"Mine"'), ('base_url', '"$url"'), ('secrets', '["api_key"]'),
			('auth', '[{"kind": "bearer", "token": "{{secret.api_key}}"}]'),
			('options', '{"tenant": {"kind": "text", "required": true}}'),
			('headers', '{"X-Tenant": "{{option.tenant}}"}')) AS member;
CREATE SERVER crm FOREIGN DATA WRAPPER activate OPTIONS (connector 'mine', tenant 'acme', timeout '1 hour');
CREATE USER MAPPING FOR PUBLIC SERVER crm OPTIONS (api_key 'literal secret');
GRANT USAGE ON FOREIGN SERVER crm TO analyst;
CREATE SERVER hook FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url '$url', timeout '1 hour');
CREATE USER MAPPING FOR analyst SERVER hook OPTIONS (bearer_token 'hook secret');
ALTER SERVER hook OWNER TO analyst;

CREATE SCHEMA shop AUTHORIZATION analyst;
SET ROLE analyst;
CREATE TYPE shop.mood AS ENUM ('fine', 'so-so');
CREATE TYPE shop.region AS ENUM ('south', 'north');
CREATE DOMAIN shop.zip AS text CHECK (value ~ '^[0-9]+\$');
CREATE TYPE shop.address AS (street text, zip shop.zip, kind shop.mood);
CREATE TYPE shop.period AS RANGE (subtype = int4);
CREATE TABLE shop.customer (id bigint PRIMARY KEY, name text, mood shop.mood, moods shop.mood[],
	home shop.address, homes shop.address[], source regclass, valid shop.period);
CREATE TABLE shop.orders (region shop.region, number int, amount numeric, PRIMARY KEY (region, number));
CREATE TABLE shop.relation (relation regclass PRIMARY KEY, kind regtype, note text);
INSERT INTO shop.customer
	SELECT i, CASE i WHEN 5 THEN 'refuse' WHEN 6 THEN 'reject' ELSE 'n' || i END, 'fine', '{fine,so-so}',
		'(street,0123,so-so)'::shop.address, ARRAY['(a,1,fine)'::shop.address], 'shop.orders', '[1,5)'
	FROM generate_series(1, 8) i;
INSERT INTO shop.orders SELECT r, i, i / 10.0 FROM unnest(enum_range(NULL::shop.region)) r, generate_series(1, 3) i;
INSERT INTO shop.relation VALUES ('shop.orders', 'shop.mood', 'o'), ('shop.customer', 'shop.region', 'c');
END
}

sub syncs
{
	return <<'END';
SELECT activate.create_sync('customers', 'shop.customer', 'id', 'crm', object => 'customers', owner => 'analyst',
	mapping => 'name, mood, moods, home, homes, source, valid', options => '{"max_attempts": 1}');
SELECT activate.create_sync('orders', 'shop.orders', 'region, number', 'hook', object => 'orders', owner => 'analyst',
	mapping => 'amount, region', mode => 'mirror', on_removed => 'delete');
SELECT activate.create_sync('relations', 'SELECT * FROM shop.relation', 'relation', 'crm', object => 'relations',
	owner => 'analyst', mapping => 'kind, note', mode => 'mirror', on_removed => 'archive');
END
}

# Accepted, refused, rejected for good, left, leaving, in doubt.
sub first_runs
{
	my ($self) = @_;
	my $d = $self->destination;

	$self->refusing;
	$self->run($_) foreach @SYNCS;
	$d->script([]);
	$self->sql("DELETE FROM shop.customer WHERE id = 7; DELETE FROM shop.orders WHERE (region, number) = ('south', 3)");
	$self->run($_) foreach @SYNCS;
	$self->sql("UPDATE shop.customer SET name = 'lost' WHERE id = 3");
	$self->cancel($self->hang('customers'));
	return;
}

# Changes a row in each model and runs the syncs; the destination applies
# what it gets and never answers.
sub hang
{
	my ($self, @syncs) = @_;
	my $d = $self->destination;

	if (!@syncs)
	{
		@syncs = @SYNCS;
		$self->sql(<<'END');
UPDATE shop.customer SET mood = 'so-so' WHERE id = 4;
UPDATE shop.orders SET amount = 7 WHERE (region, number) = ('north', 2);
UPDATE shop.relation SET note = 'changed' WHERE relation = 'shop.orders'::regclass;
END
	}
	$d->script({ hang => 1, apply => 'before', times => -1 });
	my $seen = $d->stats->{requests};
	my @runs = map { $self->start_run($_) } @syncs;
	$d->wait_for_requests($seen + @syncs);
	$d->script([]);
	return @runs;
}

sub start_run
{
	my ($self, $sync) = @_;
	my ($in, $out, $err) = ('', '', '');
	my @command = ('psql', '-XqAt', '-d', $self->node->connstr($self->database) . ' user=loader',
		'-c', "CALL activate.run_sync('$sync')");
	return { sync => $sync, err => \$err, handle => IPC::Run::start(\@command, '<', \$in, '>', \$out, '2>', \$err) };
}

sub cancel
{
	my ($self, @runs) = @_;

	foreach my $run (@runs)
	{
		$self->sql("SELECT pg_cancel_backend(pid) FROM activate.runs WHERE sync = '$run->{sync}' AND status = 'running'");
		$run->{handle}->finish;
	}
	return;
}

sub sql { return $_[0]->node->safe_psql($_[0]->database, $_[1]) }

sub loader
{
	my ($self, $sql) = @_;
	return $self->node->safe_psql($self->database, $sql, extra_params => [ '-U', 'loader' ]);
}

# (status, output, everything said)
sub try
{
	my ($self, $sql, $user) = @_;
	my ($status, $out, $err) = $self->node->psql($self->database, $sql,
		extra_params => [ '-v', 'VERBOSITY=verbose', '-v', 'ON_ERROR_STOP=1', defined $user ? ('-U', $user) : () ]);
	return ($status, $out, $err);
}

sub run
{
	my ($self, $sync) = @_;
	my ($status, undef, $err) = $self->try("CALL activate.run_sync('$sync')", 'loader');
	die "run of $sync: $err" if $status != 0;
	return $err;
}

# What the statement is refused with.
sub refused
{
	my ($self, $sql, $pattern, $name, $user) = @_;
	my ($status, undef, $err) = $self->try($sql, $user);
	return ok($status != 0 && $err =~ $pattern, $name) || diag("$status: $err");
}

# What the destination must hold, by model.
sub expected
{
	my ($self) = @_;
	my %query = (
		customers => q(SELECT json_build_object('id', id), json_build_object('name', name, 'mood', mood, 'moods', moods,
			'home', home, 'homes', homes, 'source', source, 'valid', valid)
			FROM shop.customer WHERE name NOT IN ('refuse', 'reject')),
		orders => q(SELECT json_build_object('region', region, 'number', number), json_build_object('amount', amount, 'region', region)
			FROM shop.orders),
		relations => q(SELECT json_build_object('relation', relation), json_build_object('kind', kind, 'note', note)
			FROM shop.relation));
	my %expected;

	foreach my $sync (@SYNCS)
	{
		my $lines = $self->sql("SELECT json_build_array(k, f) FROM ($query{$sync}) AS q (k, f)");
		foreach my $line (split /\n/, $lines)
		{
			my ($key, $fields) = @{ $json->decode($line) };
			$expected{$sync}{ $json->encode($key) } = $fields;
		}
	}
	# On its way out, and gone without being missed there.
	$expected{orders}{'{"number":3,"region":"south"}'} = { amount => 0.3, region => 'south' };
	$expected{customers}{'{"id":7}'} = $self->destination->fields('customers')->{'{"id":7}'};
	return \%expected;
}

sub equal
{
	my ($self, $name) = @_;
	my $expected = $self->expected;
	is_deeply({ map { $_ => $self->destination->fields($_) } @SYNCS }, $expected, "$name: the destination equals the model");
	return;
}

sub holds_still
{
	my ($self, $name, $why) = @_;
	my $seen = $self->destination->stats->{requests};

	foreach my $sync (@SYNCS)
	{
		$self->refused("CALL activate.run_sync('$sync')",
			$why // qr/55000: sync "$sync" may not send from here.*HINT: .*activate\.confirm_cluster\('move'\)/s,
			"$name: $sync holds still", 'loader');
	}
	is($self->destination->stats->{requests}, $seen, "$name: nothing was sent");
	return;
}

sub sent
{
	my ($self, $since) = @_;
	return [ sort map { "$_->{op} " . $json->encode($_->{key}) } @{ $self->destination->rows($since) } ];
}

# Rows sent since, by operation.
sub by_op
{
	my ($self, $since) = @_;
	my %rows;
	push @{ $rows{ $_->{op} } }, $_->{key} foreach @{ $self->destination->rows($since) };
	return \%rows;
}

sub last_request
{
	my ($self) = @_;
	my $requests = $self->destination->requests;
	return @$requests ? $requests->[-1]{seq} : 0;
}

# Rows that the destination refused are refused again when they are sent again.
sub refusing { return $_[0]->destination->script({ reject_rows => [ { where => '"refuse"', error => 'no', retry => 0 },
	{ where => '"reject"', error => 'not now' } ], times => -1 }) }

# What goes_on() sends: what is in doubt or changed; all: every row that is there.
sub sent_again
{
	my ($self, $all) = @_;
	return [ 'upsert {"id":1}', 'upsert {"id":3}', 'upsert {"id":4}', 'upsert {"id":9}',
		'upsert {"number":2,"region":"north"}', 'upsert {"relation":"shop.orders"}' ] if !$all;
	return [ sort((map { "upsert {\"id\":$_}" } 1 .. 6, 8, 9),
			(map { "upsert {\"number\":$_,\"region\":\"north\"}" } 1 .. 3),
			(map { "upsert {\"number\":$_,\"region\":\"south\"}" } 1 .. 2),
			(map { "upsert {\"relation\":\"shop.$_\"}" } qw(customer orders))) ];
}

sub change
{
	my ($self, $name) = @_;
	# given a changed, a new row and one whose lost value is taken back
	$self->sql(qq(
		UPDATE shop.customer SET name = '$name' WHERE id = 1;
		UPDATE shop.customer SET name = 'n3' WHERE id = 3;
		INSERT INTO shop.customer (id, name, mood) VALUES (9, '$name', 'fine') ON CONFLICT DO NOTHING));
	return;
}

sub goes_on
{
	my ($self, $name, %option) = @_;
	my $start = $self->last_request;
	my $before = $start;
	my $greatest = $self->sql(q(SELECT greatest((SELECT max(run_id) FROM activate.run), (SELECT max(run_id) FROM activate.claim))));

	if (!$option{confirmed})
	{
		is($self->loader(q(SELECT activate.confirm_cluster('move'))), 3, "$name: three syncs are moved");
		is($self->loader(q(SELECT activate.confirm_cluster('move'))), 0, "$name: once");
	}
	$self->change($name);
	$self->refusing;
	$self->run($_) foreach @SYNCS;
	$self->destination->script([]);
	is_deeply($self->sent($before), $self->sent_again($option{doubt}),
		"$name: what is in doubt or changed is sent, and nothing else");
	$self->equal($name);
	is($self->sql('SELECT count(*) FROM activate.claim'), 0, "$name: no claim is left");
	is($self->sql(qq(SELECT count(*) FROM activate.runs WHERE status = 'running')), 0, "$name: no run is left running");
	is($self->sql("SELECT count(*) FROM activate.run WHERE run_id > $greatest"), 3, "$name: numbers of runs go on");
	is($self->loader(q(SELECT string_agg(sync || ' ' || state, ',' ORDER BY sync, state) FROM (SELECT DISTINCT sync, state FROM activate.pending) p)),
		'customers refused,customers rejected,orders leaving', "$name: other rows are as they were");

	$before = $self->last_request;
	$self->run($_) foreach @SYNCS;
	is_deeply($self->sent($before), [], "$name: a second run sends nothing");
	$self->secrets_are_guarded($name, $start);
	$self->definitions_go_on($name);
	return;
}

sub secrets_are_guarded
{
	my ($self, $name, $since) = @_;
	my %used;

	foreach my $request (@{ $self->destination->requests($since) })
	{
		my %headers = ref $request->{headers} eq 'HASH' ? %{ $request->{headers} } : map { @$_ } @{ $request->{headers} };
		my ($secret) = map { $headers{$_} } grep { lc eq 'authorization' } keys %headers;
		my ($tenant) = map { $headers{$_} } grep { lc eq 'x-tenant' } keys %headers;
		$used{$request->{path}}{ join ' ', $secret, $tenant // '' } = 1;
	}
	is_deeply({ map { $_ => [ keys %{ $used{$_} } ] } keys %used }, {
			'/customers' => ['Bearer literal secret acme'],
			'/relations' => ['Bearer literal secret acme'],
			'/orders' => ['Bearer hook secret '] }, "$name: each request carries its secret");
	$self->refused(q(ALTER SERVER hook OPTIONS (SET base_url 'https://elsewhere.example.com')),
		qr/28000: server "hook" has credentials that were stored for http/, "$name: a secret stays with its host", 'loader');
	$self->refused(q(ALTER SERVER crm OPTIONS (ADD base_url 'https://elsewhere.example.com')),
		qr/28000: server "crm" has credentials that were stored for http/, "$name: also where only the connector knows it");
	$self->refused(q(SELECT * FROM activate.connector), qr/42501/, "$name: tables behind the views stay closed", 'loader');
	return;
}

sub definitions_go_on
{
	my ($self, $name) = @_;
	my $greatest = $self->sql('SELECT max(sync_id) FROM activate.sync');
	my $sql = $self->loader(q(SELECT activate.sync_sql('relations')));

	$self->loader(q(SELECT activate.create_sync('more', 'shop.relation', 'relation', 'crm', object => 'more', owner => 'analyst')));
	cmp_ok($self->sql(q(SELECT sync_id FROM activate.sync WHERE name = 'more')), '>', $greatest, "$name: numbers of syncs go on");
	$self->run('more');
	is(scalar @{ $self->destination->records('more') }, 2, "$name: a new sync runs");
	$self->loader(q(SELECT activate.drop_sync('more')));
	$self->loader(q(SELECT activate.drop_sync('relations')));
	$self->loader($sql);
	is($self->sql(q(SELECT string_agg(DISTINCT owner, ',') FROM activate.syncs)), 'analyst', "$name: owners");
	$self->sql(q(SELECT * FROM activate.status, activate.runs, activate.events, activate.destinations, activate.connectors LIMIT 1));
	$self->destination->http(POST => '/more', $json->encode({ rows => [ map { { op => 'delete', key => $_->{key} } }
				@{ $self->destination->records('more') } ] }));
	return;
}

1;
