# first
use strict;
use warnings;
use Activate; use Destination; use Test::More;
my $d = Destination->start;
my $a = Activate->start('delivery');
$a->server('crm', $d);
$a->sql("CREATE TABLE m(id int primary key, v text); INSERT INTO m SELECT i, 'x' FROM generate_series(1,5) i");
$a->sql("SELECT activate.create_sync(name=>'s', model=>'m', key=>'id', destination=>'crm', object=>'c', mapping=>'v', mode=>'mirror', on_removed=>'delete', options=>'{\"remove_after\":\"0 s\",\"max_removed\":\"100 %\"}')");
my $r = $a->run('s');
diag explain $r;
diag explain $a->row('s',1);
diag explain $d->requests->[0];
$a->sums_hold('x');
done_testing;
