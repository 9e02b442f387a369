# doc/connector.schema.json is a strict JSON Schema of documents: it takes the
# built-in ones and those that the pages show, and none with a member more.
# That it has the members that the compiler has: test/unit/connector_schema_test.c.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

my @documents = (glob('src/connectors/*.json'), 'doc/connectors.md', 'doc/tutorial.md', glob('doc/examples/*.md'));
my ($out, $err) = run_command([ '/usr/bin/python3', 'test/lib/connector_schema.py', 'doc/connector.schema.json', @documents ]);
is($err, '', 'the schema is one, and all documents can be read');
is(join("\n", grep { !/^ok / } split /\n/, $out), '', 'each document is right by it, and with a member more is not');
is(scalar(grep { m{^ok src/connectors/} } split /\n/, $out), count_of_documents(), 'all built-in ones were looked at');
cmp_ok(scalar(grep { m{^ok doc/tutorial} } split /\n/, $out), '>', 5, 'and those of the tutorial');
done_testing();

sub count_of_documents
{
	my @all = glob('src/connectors/*.json');
	return scalar @all;
}
