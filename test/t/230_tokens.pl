# Credentials that are exchanged for a token: asked for once for all, renewed
# when it ends or is refused, and nowhere to be read.
use strict;
use warnings;

use Activate;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use TokenServer;

my $t = TokenServer->start;
my $url = $t->url;
my $a = Activate->start('main', conf => <<'END');
pg_activate.debug_clock_offset = 0
shared_preload_libraries = 'pg_activate'
pg_activate.databases = 'none'
log_statement = none
END

$a->sql(TokenServer::connector('client', TokenServer::oauth('client_credentials', scope => 'write', keep => { tenant => '/tenant' })));
$a->sql(qq(
	CREATE SERVER crm FOREIGN DATA WRAPPER activate OPTIONS (connector 'client', base_url '$url', login_url '$url', concurrency '4');
	CREATE USER MAPPING FOR PUBLIC SERVER crm OPTIONS (client_id 'the-client', client_secret 'the-client-secret');
	CREATE TABLE m (id int PRIMARY KEY, v int);
	INSERT INTO m SELECT i, i FROM generate_series(1, 100) i;
	SELECT activate.create_sync('s', 'm', 'id', 'crm', mapping => 'v');
));

# Credentials that nobody has a token for, nor a failure to get one.
my $secrets = 0;

sub others
{
	my $secret = 'the-client-secret' . ++$secrets;

	return $a->sql("ALTER USER MAPPING FOR PUBLIC SERVER crm OPTIONS (SET client_secret '$secret')");
}

sub change { return $a->sql("UPDATE m SET v = v + 1") }

sub is_whole
{
	my ($what) = @_;
	my $keys = $t->state->{keys};
	my $wrong = grep { ($keys->{ $_->[0] } // '') ne $_->[1] } map { [ split /\|/ ] } split /\n/, $a->sql('SELECT id, v FROM m');
	return is($wrong, 0, $what);
}

# given credentials, when it runs, then one token carries all requests
my $run = $a->run('s');
is($run->{status}, 'succeeded', 'a run with a token') or diag $run->{text};
my $state = $t->state;
is($state->{tokens}, 1, 'one token for all requests');
is_deeply($state->{asked}[0], { grant_type => 'client_credentials', client_id => 'the-client', client_secret => 'the-client-secret',
	scope => 'write', authorization => undef }, 'asked for as RFC 6749 has it');
is($state->{api}, 10, 'every batch has it');
is_whole('every row arrived');

# ... and another session's run takes the same one
change();
$a->run('s');
is($t->state->{tokens}, 1, 'the next run takes the same token');
is($a->sql("SELECT ok FROM activate.check_destination('crm')"), 't', 'check_destination, too');
is($t->state->{tokens}, 1, '... with the same token');

# given a token that ends while the run goes, then another one is asked for and nothing is refused
$t->reset;
$t->set(uses => 4);
others();
change();
$run = $a->run('s');
is($run->{status}, 'succeeded', 'tokens that end in mid run') or diag $run->{text};
is_whole('every row arrived in spite of them');
$state = $t->state;
cmp_ok($state->{tokens}, '>=', 3, 'a new one for each that was refused');
cmp_ok($state->{tokens}, '<=', 5, '... and no more');

# given an answer that says when, then it is renewed before
$t->reset;
$t->set(expires_in => 3600);
others();
change();
$a->run('s');
change();
$a->run('s', set => { 'pg_activate.debug_clock_offset' => 3530 });
is($t->state->{tokens}, 1, 'still good');
change();
$a->run('s', set => { 'pg_activate.debug_clock_offset' => 3545 });
is($t->state->{tokens}, 2, 'renewed a minute before its end');
is($t->state->{refused}, 0, 'none was refused');

# given a token that everybody refuses, then it is renewed once, and the run stops
$t->reset;
$t->set(uses => -1);
others();
change();
$run = $a->run('s');
is($run->{status}, 'failed', 'a new token that is refused, too');
like($run->{text}, qr/destination "crm" refuses the credentials/, '... is the credentials\' fault');
is($t->state->{tokens}, 2, 'asked for twice, and no more');
unlike($run->{text}, qr/access-token-\d/, 'no token in messages');
unlike($a->sql('SELECT array_agg(r.*) FROM activate.requests r'), qr/access-token-\d|the-client-secret/, 'nor in the view requests');
unlike($a->sql('SELECT array_agg(r.*) FROM activate.run r'), qr/access-token-\d|the-client-secret/, 'nor in runs');
like($a->sql("SELECT array_agg(p.*) FROM activate.preview_requests('s', 1) p"), qr/Bearer \*{8}/, 'previews mask it');

# given credentials that the endpoint refuses, then that is said, and failures are shared for a while
$t->reset;
$t->set(status => 401, body => '{"error":"invalid_client","error_description":"unknown client the-client-secret' . ($secrets + 1) . '"}');
others();
$run = $a->run('s');
is($run->{status}, 'failed', 'refused by the token endpoint');
like($run->{text}, qr/the token endpoint answered 401 invalid_client: unknown client \*{8}/, 'its words, without secrets');
is($t->state->{tokens}, 1, 'asked once');
$a->run('s');
is($t->state->{tokens}, 1, 'and not at once again');
like($a->sql("SELECT detail FROM activate.check_destination('crm')"), qr/invalid_client/, 'check_destination says the same');

# given an endpoint that is not well, then it is asked again
$t->reset;
$t->set(status => 503);
others();
$run = $a->run('s');
is($run->{status}, 'failed', 'an endpoint that stays down');
is($t->state->{tokens}, 3, 'three tries');
like($run->{text}, qr/gives no token.*answered 503/s, 'what it said');

# given nonsense, then a clear word of it
for my $case (
	[ '<html>', qr/cannot be read/ ], [ '{}', qr/has no token at \/access_token/ ],
	[ '{"access_token":"a\nb"}', qr/cannot be read|cannot be used/ ], [ '{"access_token":[1]}', qr/has no token/ ],
	[ '{"access_token":"' . 'x' x 20000 . '"}', qr/more than 16384 bytes/ ], [ '{"access_token":"' . 'x' x 1_500_000 . '"}', qr/token endpoint/ ],
	[ '[' x 100000, qr/cannot be read/ ])
{
	$t->reset;
	$t->set(body => $case->[0]);
	$a->node->restart;
	$a->alive;
	$run = $a->run('s');
	is($run->{status}, 'failed', 'a broken answer: ' . substr $case->[0], 0, 20);
	like($run->{text}, $case->[1], '... is called by its name');
}

# given an endpoint that does not answer, then a cancel does not wait for it
$t->reset;
$t->set(delay_ms => 8000);
others();
change();
my $begun = $a->begin('s');
$a->node->poll_query_until('postgres', q(SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND objsubid & 65535 = 44146))
  or die 'nobody asks for a token';
my $before = time;
$a->sql(q(SELECT pg_cancel_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objsubid & 65535 = 44146));
$run = $a->end($begun);
cmp_ok(time - $before, '<', 2, 'cancelled while the token was asked for');
is($run->{sqlstate}, '57014', '... as asked');
is($a->sql(q(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory')), 0, 'and nothing is locked any more');
$a->sums_hold('s');

$t->stop;
done_testing();
