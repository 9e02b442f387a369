# What workers of databases in other encodings say can be read in each, and
# what was accepted is kept in each.
use strict;
use warnings;

use Test::More;

use Destination;
use Processes;
use Session;

my $crm = Destination->start;
my $url = $crm->url;
my $p = Processes->start('main', '');

$p->sql('postgres', "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0");
$p->sql('postgres', 'CREATE EXTENSION pg_activate');
$p->sql('latin', <<END);
SET client_encoding = 'UTF8';
CREATE EXTENSION pg_activate;
CREATE SERVER crm FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url '$url');
CREATE TABLE model (id int PRIMARY KEY, name text);
SELECT activate.create_sync('caf\xc3\xa9', 'model', 'id', 'crm', object => 's');
END

my $locker = Session->start($p->node, 'latin');
$locker->query('BEGIN; LOCK TABLE model');
$p->sql('latin', "SET client_encoding = 'UTF8'; SELECT activate.queue_run('caf\xc3\xa9')");
$p->wait_for_one('run', 'latin');
is($p->sql('postgres', q{SET client_encoding = 'LATIN1'; SELECT sync FROM activate.workers WHERE kind = 'run'}), 'caf?',
	'a name in another encoding');
is($p->sql('latin', q{SET client_encoding = 'UTF8'; SELECT sync FROM activate.workers WHERE kind = 'run'}), "caf\xc3\xa9",
	'and in its own');
$locker->query('ROLLBACK');

# given a database in another encoding, then the payload that is kept and the
# fields that differ are what was sent, in the database's own characters
$p->sql('postgres', "CREATE DATABASE ascii ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0");
$p->sql('ascii', "CREATE EXTENSION pg_activate;"
	. " CREATE SERVER crm FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url '$url')");
foreach my $database (qw(latin ascii))
{
	my $client = $database eq 'latin' ? 'UTF8' : 'SQL_ASCII';
	my $sql = sub { return $p->sql($database, "SET client_encoding = '$client'; $_[0]") };
	my $run = sub { $p->sql($database, "CALL activate.run_sync('kept')") };

	$sql->("CREATE TABLE words (id int PRIMARY KEY, \"na\xc3\xafve\" text, other text);"
		. " INSERT INTO words VALUES (1, 'caf\xc3\xa9', '\xc3\xbc');"
		. " SELECT activate.create_sync('kept', 'words', 'id', 'crm', object => '$database',"
		. " options => '{\"keep_payload\": true, \"changed_fields_only\": true}')");
	$run->();
	is($sql->('SELECT activate_payload FROM activate_data.kept'),
		"{\"id\":1,\"na\xc3\xafve\":\"caf\xc3\xa9\",\"other\":\"\xc3\xbc\"}", "$database: what was accepted");
	$sql->("UPDATE words SET \"na\xc3\xafve\" = 'th\xc3\xa9'");
	is($sql->(q{SELECT changed FROM activate.preview_sync('kept')}),
		"{\"na\xc3\xafve\": {\"new\": \"th\xc3\xa9\", \"old\": \"caf\xc3\xa9\"}}", "$database: old and new");
	$run->();
	my ($record) = @{ $crm->records($database) };
	is($record->{fields}{"na\x{ef}ve"}, "th\x{e9}", "$database: what differs arrived");
	is($record->{fields}{other}, "\x{fc}", "$database: and what does not is still there");
}

$p->node->stop('fast');
done_testing();
