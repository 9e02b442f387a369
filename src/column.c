/*-------------------------------------------------------------------------
 *
 * column.c
 *	  Columns of a set of rows, which one statement takes as arrays.
 *
 * Inside a transaction; everything is allocated in the current memory context.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "column.h"

Column
act_column_make(Oid type, int capacity)
{
	Column		column;

	column.type = type;
	column.values = palloc0(sizeof(Datum) * Max(capacity, 1));
	column.nulls = palloc0(sizeof(bool) * Max(capacity, 1));
	column.count = 0;
	return column;
}

void
act_column_add(Column *column, Datum value, bool isnull)
{
	column->values[column->count] = value;
	column->nulls[column->count++] = isnull;
}

void
act_column_add_text(Column *column, const char *text)
{
	act_column_add(column, text ? CStringGetTextDatum(text) : (Datum) 0, text == NULL);
}

void
act_column_add_digest(Column *column, const uint8 *digest, bool isnull)
{
	pg_uuid_t  *uuid = palloc0(sizeof(pg_uuid_t));

	if (!isnull)
		memcpy(uuid->data, digest, UUID_LEN);
	act_column_add(column, UUIDPGetDatum(uuid), isnull);
}

void
act_column_add_time(Column *column, TimestampTz time)
{
	act_column_add(column, TimestampTzGetDatum(time), time == 0);
}

SqlArgument
act_column_argument(const Column *column)
{
	SqlArgument argument;
	int16		len;
	bool		byval;
	char		align;
	int			dims[1] = {column->count};
	int			lower[1] = {1};

	get_typlenbyvalalign(column->type, &len, &byval, &align);
	argument.type = get_array_type(column->type);
	argument.value = PointerGetDatum(construct_md_array(column->values, column->nulls, 1, dims, lower,
														column->type, len, byval, align));
	argument.isnull = false;
	return argument;
}
