/*-------------------------------------------------------------------------
 *
 * filter.h
 *	  What a template can do to a value: {{row.key.email|trim|lower|sha256}}.
 *
 * A closed set, in one table.  Whatever needs more belongs in the mapping,
 * which is SQL.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_FILTER_H
#define ACT_FILTER_H

#include "lib/stringinfo.h"

typedef struct Filter
{
	const char *name;
	bool		takes_argument;

	/*
	 * Appends to "to" what becomes of the bytes of "from".  false: they are
	 * not what the filter is made for.
	 */
	bool		(*apply) (const char *argument, const StringInfoData *from, StringInfo to);
	bool		wants_json;		/* gets the value as JSON, not as text */
	bool		makes_bytes;	/* what comes out need not be text */
} Filter;

extern const Filter *act_filter_find(const char *name);
extern const char *const *act_filter_names(void);	/* NULL-ended */

/* Two that other files need as well. */
extern void act_base64_append(StringInfo buf, const void *data, size_t len);
extern void act_hex_append(StringInfo buf, const void *data, size_t len);

#endif							/* ACT_FILTER_H */
