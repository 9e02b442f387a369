/*-------------------------------------------------------------------------
 *
 * column.h
 *	  Columns of a set of rows, which one statement takes as arrays.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_COLUMN_H
#define ACT_COLUMN_H

#include "datatype/timestamp.h"
#include "transaction.h"

/* One column of a set of rows, as an array. */
typedef struct Column
{
	Oid			type;
	Datum	   *values;
	bool	   *nulls;
	int			count;
} Column;

extern Column act_column_make(Oid type, int capacity);
extern void act_column_add(Column *column, Datum value, bool isnull);
extern void act_column_add_text(Column *column, const char *text);
extern void act_column_add_digest(Column *column, const uint8 *digest, bool isnull);
extern void act_column_add_time(Column *column, TimestampTz time);
extern SqlArgument act_column_argument(const Column *column);

#endif							/* ACT_COLUMN_H */
