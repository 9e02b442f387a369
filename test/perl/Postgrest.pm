package Postgrest;

=head1 NAME

Postgrest - what PostgREST documents of its tables, over a database of the test

=head1 SYNOPSIS

  use Postgrest;
  my $answer = Postgrest::answer($request, $connstr);    # of a handler of Vendor.pm: [ status, {headers}, body ]

=head1 DESCRIPTION

No package of Debian has PostgREST. This turns requests into the statements
that its documentation names (docs.postgrest.org: tables and views, schemas,
preferences, errors), runs them with psql, and answers as it says: statuses by
SQLSTATE, Content-Range, PGRST codes. Keys of a JSON array that differ, a
preference that is not known with handling=strict, a table, a column or a
schema that is not there are refused as there. It is stricter in one thing: a
PATCH or DELETE without a filter, which would be about the whole table, dies.

=cut

use strict;
use warnings;

use IPC::Run;
use JSON::PP;

my $json = JSON::PP->new->canonical->allow_nonref->allow_bignum;
my @schemas = qw(public api);

sub _error
{
	my ($status, $code, $message, $details) = @_;
	return [ $status, { code => $code, message => $message, details => $details, hint => undef } ];
}

sub _literal { my ($text) = @_; $text =~ s/'/''/g; return $text =~ /\\/ ? 'E' . "'" . $text =~ s/\\/\\\\/gr . "'" : "'$text'" }
sub _name { my ($text) = @_; $text =~ s/"/""/g; return qq("$text") }

sub _psql
{
	my ($connstr, $sql) = @_;
	my ($out, $err) = ('', '');
	IPC::Run::run([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-v', 'VERBOSITY=verbose', '-d', $connstr ], '<', \$sql, '>', \$out, '2>', \$err);
	return ($out, $err);
}

# As its page on errors has it.
sub _status
{
	my ($code) = @_;
	return 409 if $code =~ /^(?:23503|23505)$/;
	return 403 if $code =~ /^(?:0L|0P|28)/ || $code eq '42501';
	return 404 if $code =~ /^(?:42883|42P01)$/;
	return 503 if $code =~ /^(?:08|53)/ && $code ne '53400';
	return 400 if $code eq 'P0001';
	return 500 if $code =~ /^(?:09|25|2D|38|39|3B|40|53400|54|55|57|58|F0|HV|P0|XX|42P17)/;
	return 400;
}

sub _refused
{
	my ($err) = @_;
	my ($code, $message) = $err =~ /(?:ERROR|FATAL):\s+([0-9A-Z]{5}): (.*)/ or return _error(503, 'PGRST001', $err);
	my ($details) = $err =~ /DETAIL:\s+(.*)/;
	return _error(_status($code), $code, $message, $details);
}

sub _columns
{
	my ($connstr, $schema, $table) = @_;
	my ($out) = _psql($connstr, 'SELECT json_object_agg(a.attname, format_type(a.atttypid, NULL)) FROM pg_attribute a'
		. ' JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE a.attnum > 0 AND NOT a.attisdropped'
		. ' AND n.nspname = ' . _literal($schema) . ' AND c.relname = ' . _literal($table));
	return $out =~ /\S/ ? $json->decode($out) : undef;
}

# The root: swagger 2.0.
sub _describe
{
	my ($connstr, $schema) = @_;
	my ($out) = _psql($connstr, q{SELECT coalesce(json_object_agg(relname, definition), '{}') FROM (
		SELECT c.relname, json_build_object('type', 'object', 'description', obj_description(c.oid, 'pg_class'),
			'required', coalesce(json_agg(a.attname) FILTER (WHERE a.attnotnull), '[]'),
			'properties', json_object_agg(a.attname, json_build_object('format', format_type(a.atttypid, NULL),
				'type', CASE WHEN a.atttypid IN (20, 21, 23) THEN 'integer' WHEN a.atttypid = 1700 THEN 'number' ELSE 'string' END,
				'description', CASE WHEN a.attnum = ANY (i.indkey) THEN E'Note:\nThis is a Primary Key.<pk/>' END))) AS definition
		FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
		LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
		WHERE c.relkind IN ('r', 'v') AND c.relnamespace = } . _literal($schema) . q{::regnamespace GROUP BY c.oid, c.relname) AS t});
	return { swagger => '2.0', definitions => $json->decode($out) };
}

# eq.x and in.("x","y"), which stand for what is documented.
sub _filters
{
	my ($query) = @_;
	my @all;
	foreach my $name (sort keys %$query)
	{
		next if $name =~ /^(?:on_conflict|columns|select|order|limit)$/;
		my ($value) = $query->{$name} =~ /\Aeq\.(.*)\z/s or return;
		push @all, _name($name) . ' = ' . _literal($value);
	}
	return @all;
}

sub _preferences
{
	my ($request) = @_;
	my (%known, @other);
	foreach my $one (split /\s*,\s*/, $request->{headers}{prefer} // '')
	{
		if ($one =~ /^(resolution|return|missing|handling|max-affected|count|tx|timezone)=(\S+)$/) { $known{$1} //= $2 }
		else { push @other, $one }
	}
	return (\%known, @other);
}

sub _insert
{
	my ($request, $connstr, $to, $columns, $prefer) = @_;
	my $rows = ref $request->{json} eq 'HASH' ? [ $request->{json} ] : $request->{json};
	return _error(400, 'PGRST102', 'Empty or invalid json') unless ref $rows eq 'ARRAY';
	return [ 201, { 'Content-Range' => '*/*' }, '' ] unless @$rows;
	my @names = sort keys %{ $rows->[0] };
	foreach my $row (@$rows)
	{
		return _error(400, 'PGRST102', 'All object keys must match') if join("\0", sort keys %$row) ne join("\0", @names);
	}
	foreach my $name (@names)
	{
		return _error(400, 'PGRST204', "Could not find the '$name' column in the schema cache") unless $columns->{$name};
	}
	my $list = join ', ', map { _name($_) } @names;
	my $sql = "INSERT INTO $to ($list) SELECT $list FROM json_populate_recordset(NULL::$to, " . _literal($request->{body}) . ')';
	if (($prefer->{resolution} // '') eq 'merge-duplicates')
	{
		my @conflict = split /,/, $request->{query}{on_conflict} // '';
		my %in = map { $_ => 1 } @conflict;
		my @set = map { _name($_) . ' = EXCLUDED.' . _name($_) } @names;
		$sql .= ' ON CONFLICT (' . join(', ', map { _name($_) } @conflict) . ') DO UPDATE SET ' . join(', ', @set);
	}
	my (undef, $err) = _psql($connstr, $sql);
	return $err =~ /ERROR|FATAL/ ? _refused($err) : [ 201, { 'Content-Range' => '*/*' }, '' ];
}

sub _change
{
	my ($request, $connstr, $to, $columns, $prefer) = @_;
	my @filters = _filters($request->{query});
	my $sql = "DELETE FROM $to";
	die "$request->{method} of a whole table" unless @filters;
	if ($request->{method} eq 'PATCH')
	{
		my @names = sort keys %{ $request->{json} };
		foreach my $name (@names)
		{
			return _error(400, 'PGRST204', "Could not find the '$name' column in the schema cache") unless $columns->{$name};
		}
		return [ 204, { 'Content-Range' => '*/*' }, '' ] unless @names;
		my $list = join ', ', map { _name($_) } @names;
		$sql = "UPDATE $to SET ($list) = (SELECT $list FROM json_populate_record(NULL::$to, " . _literal($request->{body}) . '))';
	}
	my $max = ($prefer->{handling} // '') eq 'strict' ? $prefer->{'max-affected'} // 1e9 : 1e9;
	$sql = 'BEGIN; WITH changed AS (' . $sql . ' WHERE ' . join(' AND ', @filters) . " RETURNING 1) SELECT count(*) AS n, count(*) > $max AS over FROM changed \\gset\n"
		. "\\if :over\nROLLBACK;\n\\else\nCOMMIT;\n\\endif\n\\echo :n :over\n";
	my ($out, $err) = _psql($connstr, $sql);
	return _refused($err) if $err =~ /ERROR|FATAL/;
	my ($n, $over) = $out =~ /^(\d+) (\w)/;
	return _error(400, 'PGRST124', 'Query result exceeds max-affected preference constraint', "The query affects $n rows") if $over eq 't';
	return [ 204, { 'Content-Range' => $n == 0 || $request->{method} eq 'DELETE' ? '*/*' : '0-' . ($n - 1) . '/*' }, '' ];
}

sub answer
{
	my ($request, $connstr) = @_;
	my ($prefer, @other) = _preferences($request);
	my $schema = $request->{headers}{ $request->{method} eq 'GET' ? 'accept-profile' : 'content-profile' } // 'public';
	my ($table) = $request->{path} =~ m{\A/([^/]*)\z} or return _error(404, 'PGRST125', 'Invalid path specified in request URL');

	return _error(406, 'PGRST106', 'Invalid schema: ' . $schema) unless grep { $_ eq $schema } @schemas;
	return _error(400, 'PGRST122', 'Invalid preferences given with handling=strict', "Invalid preferences: @other")
		if @other && ($prefer->{handling} // '') eq 'strict';
	return [ 200, _describe($connstr, $schema) ] if $table eq '' && $request->{method} eq 'GET';
	my $columns = _columns($connstr, $schema, $table)
		or return _error(404, 'PGRST205', "Could not find the table '$schema.$table' in the schema cache");
	my $to = _name($schema) . '.' . _name($table);
	return _insert($request, $connstr, $to, $columns, $prefer) if $request->{method} eq 'POST';
	return _change($request, $connstr, $to, $columns, $prefer) if $request->{method} =~ /^(?:PATCH|DELETE)$/;
	return _error(405, 'PGRST117', 'Unsupported HTTP method');
}

1;
