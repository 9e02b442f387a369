# Connector s3: a model as a file, and files of new rows, in a store that
# knows who asks, and in one that checks signatures and says no.
use strict;
use warnings;

use Compress::Zlib ();
use Digest::SHA qw(hmac_sha256 hmac_sha256_hex sha256_hex);
use JSON::PP;
use Test::More;

use ConnectorTest;
use Npm;

my $folder = PostgreSQL::Test::Utils::tempdir();
my $s3 = Npm->start('s3rver', [ 'node', 'node_modules/.bin/s3rver', '-d', $folder, '-a', '127.0.0.1', '-p', '%PORT%',
	'--configure-bucket', 'lake' ], ready => qr/S3rver listening/i);
my $t = ConnectorTest->start('s3', sub { return [ 200, { ETag => '"x"' }, '' ] },
	secrets => { access_key_id => 'S3RVER', secret_access_key => 'S3RVER' });
$t->destination('lake', options => { base_url => $s3->url . '/lake', region => 'eu-west-3' },
	secrets => { access_key_id => 'S3RVER', secret_access_key => 'S3RVER' });

sub file
{
	my ($key) = @_;
	open my $in, '<:raw', "$folder/lake/$key._S3rver_object" or return;
	local $/;
	return scalar <$in>;
}

sub metadata
{
	my ($key) = @_;
	open my $in, '<:raw', "$folder/lake/$key._S3rver_metadata.json" or return;
	local $/;
	return decode_json(scalar <$in>);
}

sub files
{
	my ($below) = @_;
	my @found = sort map { s{^\Q$folder/lake/\E}{}r =~ s/\._S3rver_object\z//r } glob "'$folder/lake/$below/'*._S3rver_object";
	return @found;
}

my $checked = $t->rows(q{SELECT * FROM activate.check_destination('lake')})->[0];
ok($checked->{ok}, 'check_destination finds the bucket') || diag explain $checked;

# ------------------------------------------------- one file that is the model

$t->sql(q{CREATE TABLE orders (id bigint PRIMARY KEY, amount numeric, note text, paid boolean);
INSERT INTO orders VALUES (9007199254740993, 12345678901234567890.10, 'a "quote", and more', true), (2, NULL, NULL, false)});
my $mapping = 'id, amount, note, paid';
$t->sync('one', 'orders', key => 'id', destination => 'lake', object => 'exports/orders.csv', mapping => $mapping, mode => 'replace');
my $run = $t->run('one');
is("$run->{status} $run->{accepted} $run->{requests}", 'succeeded 2 1', 'a model is one file, in one request') || diag $run->{text};
is(file('exports/orders.csv'), <<'CSV', 'as CSV, numbers digit for digit');
id,amount,note,paid
2,,,false
9007199254740993,12345678901234567890.10,"a ""quote"", and more",true
CSV
is(metadata('exports/orders.csv')->{'content-type'}, 'text/csv', 'which says what it is');
is($t->run('one')->{requests}, 0, 'unchanged it is not sent');
$t->sql('DELETE FROM orders WHERE id = 2');
$run = $t->run('one');
is("$run->{status} $run->{removed}", 'succeeded 1', 'a row that left the model');
is(file('exports/orders.csv'), qq(id,amount,note,paid\n9007199254740993,12345678901234567890.10,"a ""quote"", and more",true\n),
	'is not in the next file');

my $line = '{"id":9007199254740993,"amount":12345678901234567890.10,"note":"a \"quote\", and more","paid":true}';
my %content = ('x.ndjson' => "$line\n", 'x.jsonl' => "$line\n", 'x.json' => "[$line]");
my $n = 0;
foreach my $name (sort keys %content)
{
	foreach my $gz ('', '.gz')
	{
		my $sync = 'f' . $n++;
		$t->sync($sync, 'orders', key => 'id', destination => 'lake', object => "forms/$name$gz", mapping => $mapping, mode => 'replace');
		is($t->run($sync)->{status}, 'succeeded', "$name$gz goes");
		my $bytes = file("forms/$name$gz");
		$bytes = Compress::Zlib::memGunzip($bytes) if $gz;
		is($bytes, $content{$name}, "$name$gz is what its ending says");
	}
}
is(metadata('forms/x.ndjson.gz')->{'content-encoding'}, 'gzip', 'a compressed one says so');

# a name that has all that a signature could be wrong about
$t->sync('odd', 'orders', key => 'id', destination => 'lake', object => 'a b/c+d=e&f,(ü)~/100%.csv', mapping => 'id', mode => 'replace');
$run = $t->run('odd');
is($run->{status}, 'succeeded', 'any name is signed as it is sent') || diag $run->{text};
is(file('a b/c+d=e&f,(ü)~/100%.csv'), "id\n9007199254740993\n", 'and arrives as it was given');
$t->sync('up', 'orders', key => 'id', destination => 'lake', object => 'a/../../b.csv', mapping => 'id', mode => 'replace');
$run = $t->run('up');
isnt($run->{status} // '', 'succeeded', 'a name that leads elsewhere is not asked for');

my $today = $t->sql("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD')");
$t->sync('daily', 'orders', key => 'id', destination => 'lake', object => 'daily/<date>/orders-<run>.csv', mapping => 'id', mode => 'replace');
$run = $t->run('daily');
is(file("daily/$today/orders-$run->{run_id}.csv"), "id\n9007199254740993\n", 'day and run of the name are those of the run');

# ------------------------------------------------------- a file of each batch

$t->sql(q{CREATE TABLE events (id bigint PRIMARY KEY, kind text); INSERT INTO events SELECT i, 'k' || i FROM generate_series(1, 5) AS i});
$t->sync('ev', 'events', key => 'id', destination => 'lake', object => 'events/<date>/<batch>.ndjson', mapping => 'id, kind',
	mode => 'append', options => '{"first_run": "send", "batch_size": 2}');
$run = $t->run('ev');
is("$run->{status} $run->{accepted} $run->{requests}", 'succeeded 5 3', 'new rows are files of their batches') || diag $run->{text};
my @files = files("events/$today");
is(scalar @files, 3, 'as many as batches');
is(join('', map { file($_) } @files) =~ tr/\n//, 5, 'with each row once');
$t->sql("INSERT INTO events VALUES (6, 'k6'); DELETE FROM events WHERE id = 1; UPDATE events SET kind = 'new' WHERE id = 2");
$run = $t->run('ev');
is("$run->{status} $run->{accepted} $run->{requests}", 'succeeded 1 1', 'what is new goes, and nothing else');
is(scalar(files("events/$today")), 4, 'in a file of its own');

my ($status, $out, $err) = $t->activate->node->psql('postgres',
	q{SELECT activate.create_sync('no', 'public.events', 'id', 'lake', 'events/all.ndjson', mapping => 'id', mode => 'append', options => '{"first_run": "send"}')});
like($err, qr/append/, 'a file without the batch in its name takes no rows to append');

# ------------------------------------------- what a store says no to, for real

$t->destination('thief', options => { base_url => $s3->url . '/lake' }, secrets => { access_key_id => 'NOBODY', secret_access_key => 'wrong' });
$t->sync('thief', 'orders', key => 'id', destination => 'thief', object => 'thief.csv', mapping => 'id', mode => 'replace');
$run = $t->run('thief');
is($run->{status}, 'failed', 'a wrong key stops the run');
like($run->{text}, qr/refuses the credentials/, 'and is told as one');
is(file('thief.csv'), undef, 'nothing is written');
$t->destination('lost', options => { base_url => $s3->url . '/nowhere' }, secrets => { access_key_id => 'S3RVER', secret_access_key => 'S3RVER' });
$t->sync('lost', 'orders', key => 'id', destination => 'lost', object => 'x.csv', mapping => 'id', mode => 'replace');
$run = $t->run('lost');
like("$run->{status} $run->{text}", qr/failed.*NoSuchBucket/s, 'so does a bucket that is not there');

# given a store that is gone in mid run, then the file is whole in the next one
$t->sql('INSERT INTO orders VALUES (3, 1, NULL, NULL)');
$s3->stop('KILL');
isnt($t->run('one')->{status}, 'succeeded', 'a store that is gone');
$s3->restart;
is($t->run('one', set => { 'pg_activate.debug_clock_offset' => 600 })->{status}, 'succeeded', 'has the file in the next run');
like(file('exports/orders.csv'), qr/^3,1,,$/m, 'with what is new');

# ------------------------------------------------------------- signatures

# As AWS describes it for S3: the path escaped once, its slashes as they are.
sub escaped { my ($text, $kept) = @_; return $text =~ s/([^A-Za-z0-9_.~$kept-])/sprintf '%%%02X', ord $1/ger }

sub is_signed
{
	my ($request, $secret) = @_;
	my %headers = %{ $request->{headers} };
	my ($scope, $signed, $signature) = $headers{authorization} =~
		m{^AWS4-HMAC-SHA256 Credential=[^/]+/([^,]+), ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})$} or return 0;
	my $body = $request->{gzip} ? undef : sha256_hex($request->{body});
	return 0 if defined $body && $headers{'x-amz-content-sha256'} ne $body;
	return 0 if grep { /^x-amz-/ && ";$signed;" !~ /;$_;/ } keys %headers, 'host';
	my $canonical = join "\n", $request->{method}, escaped($request->{path}, '/'),
		join('&', map { escaped($_, '') . '=' . escaped($request->{query}{$_}, '') } sort keys %{ $request->{query} }),
		(map { "$_:$headers{$_}" } split /;/, $signed), '', $signed, $headers{'x-amz-content-sha256'};
	my $key = "AWS4$secret";
	$key = hmac_sha256($_, $key) foreach split m{/}, $scope;
	return $signature eq hmac_sha256_hex(join("\n", 'AWS4-HMAC-SHA256', $headers{'x-amz-date'}, $scope, sha256_hex($canonical)), $key);
}

$t->destination('signed', options => { region => 'eu-west-3', storage_class => 'STANDARD_IA', encryption => 'aws:kms', kms_key => 'k 1' },
	secrets => { access_key_id => 'AKIDEXAMPLE', secret_access_key => 'se/cr+et', session_token => 'tok en' });
foreach my $object ('plain.csv', 'a b/c+d=e&f,(ü)~/100%.csv', 'z.csv.gz')
{
	my $sync = 'g' . $n++;
	$t->vendor->clear;
	$t->sync($sync, 'orders', key => 'id', destination => 'signed', object => $object, mapping => 'id', mode => 'replace');
	$t->run($sync);
	my ($request) = $t->requests;
	ok(is_signed($request, 'se/cr+et'), "the request for $object is signed as S3 checks it") || diag explain $request;
	ok(!is_signed({ %$request, path => "$request->{path}x" }, 'se/cr+et'), 'for no other file');
	is_deeply([ @{ $request->{headers} }{qw(x-amz-storage-class x-amz-server-side-encryption x-amz-server-side-encryption-aws-kms-key-id x-amz-security-token)} ],
		[ 'STANDARD_IA', 'aws:kms', 'k 1', 'tok en' ], 'with what the options say');
}
$t->vendor->clear;
$t->sql(q{SELECT ok FROM activate.check_destination('signed')});
ok(is_signed(($t->requests)[0], 'se/cr+et'), 'the check is signed, too');
sub says { my ($code) = @_; return { 'Content-Type' => 'application/xml' }, "<?xml version=\"1.0\"?>\n<Error><Code>$code</Code><Message>m</Message><RequestId>1</RequestId></Error>" }
foreach my $case ([ 403, 'AccessDenied', 't' ], [ 403, 'SignatureDoesNotMatch', 'f' ], [ 404, 'NoSuchBucket', 'f' ])
{
	my ($status, $code) = @$case;
	$t->vendor->tell(next => [ [ $status, says($code) ] ]);
	is($t->sql(q{SELECT ok FROM activate.check_destination('signed')}), $case->[-1], "$code is what the check takes it for");
}
$t->vendor->tell(next => []);

# ----------------------------------------------------- answers, by a stand-in

$t->model('stock', { id => 1 }, { id => 2 });
$t->sync('st', 'stock', key => 'id', object => 'st/<batch>.csv', mapping => 'id, v', mode => 'append', options => '{"first_run": "send"}');
$t->sync('whole', 'stock', key => 'id', object => 'whole.csv', mapping => 'id, v', mode => 'replace');
$t->run('whole');
my %all = (rows => { 1 => 'accepted', 2 => 'accepted' });
$t->means('told to slow down', 'whole', [ [ 503, says('SlowDown') ] ], status => 'succeeded', requests => 2, %all);
$t->means('an error of theirs', 'whole', [ [ 500, says('InternalError') ] ], status => 'succeeded', requests => 2, %all);
$t->means('a connection that stalled', 'whole', [ [ 400, says('RequestTimeout') ] ], status => 'succeeded', requests => 2, %all);
$t->means('an answer that is no XML', 'whole', [ [ 200, { 'Content-Type' => 'application/xml' }, '<oops' ] ], status => 'succeeded', requests => 1, %all);
$t->means('a token that expired', 'whole', [ [ 400, says('ExpiredToken') ], [ 400, says('ExpiredToken') ] ],
	status => 'failed', text => qr/ExpiredToken/);
$t->means('another region', 'whole', [ [ 301, says('PermanentRedirect') ] ], status => 'failed', text => qr/PermanentRedirect/);
$t->means('no permission', 'whole', [ [ 403, says('AccessDenied') ] ], status => 'failed', text => qr/AccessDenied/, requests => 1);
is($t->run('whole')->{status}, 'succeeded', 'and afterwards it goes');

$t->run('st');
my @lines = map { $_->{body} } grep { $_->{path} =~ m{^/st/[0-9a-f]{32}\.csv$} } $t->requests;
is_deeply(\@lines, [ "id,v\n1,7\n2,7\n" ], 'a file of new rows has its digest for a name') || diag explain [ map { [ @$_{qw(path body)} ] } $t->requests ];

is($t->sql(q{SELECT count(*) FROM activate.connector AS c, activate.check_connector(c.spec) AS p WHERE c.name = 's3' AND p.kind = 'error'}), 0,
	'the document has no problems');
$t->activate->sums_hold('s3');
done_testing();
