# What workers of databases in other encodings say can be read in each.
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

$p->node->stop('fast');
done_testing();
