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

/* Whether something has to follow the colon. */
typedef enum FilterArgument
{
	FILTER_ALONE,
	FILTER_TEXT,				/* at least one byte */
	FILTER_ANY_TEXT,			/* or none */
	FILTER_SECRET,				/* the name of one: gets its value */
	FILTER_SAVED				/* saved.<name>: gets its value */
} FilterArgument;

/*
 * Appends to "to" what becomes of the bytes of "from".  false: they are not
 * what the filter is made for.
 */
typedef bool (*FilterFunction) (const char *argument, const StringInfoData *from, StringInfo to);

typedef struct Filter
{
	const char *name;
	FilterFunction apply;
	FilterArgument takes_argument;
	bool		wants_json;		/* gets the value as JSON, not as text */
	bool		makes_json;		/* what comes out is JSON, and keeps its type */
	bool		makes_bytes;	/* what comes out need not be text */
	bool		takes_null;		/* is asked for values that are null or missing, too: as null */
	bool		may_fail;		/* cannot do with every value */
	bool		of_people;		/* what comes out is made to be hashed */
	bool		encodes;		/* bytes, as text */
	bool		escapes;		/* what comes out can stand in a URL */
	const struct Filter *raw;	/* stands for it before one that encodes */
	const struct Filter *once;	/* ... and after one of people */
} Filter;

extern const Filter *act_filter_find(const char *name);
extern const char *const *act_filter_names(void);	/* NULL-ended */

/* Two that other files need as well. */
extern void act_base64_append(StringInfo buf, const void *data, size_t len);
extern void act_hex_append(StringInfo buf, const void *data, size_t len);

/* Whether the text is a SHA-256 in hex digits, as people upload them. */
extern bool act_filter_is_digest(const StringInfoData *text);

/* Between, before and after the white space of ASCII. */
extern StringInfoData act_filter_trimmed(const StringInfoData *text);

/* filter_json.c: numbers, booleans and lists */
extern bool act_filter_default(const char *argument, const StringInfoData *from, StringInfo to);
extern bool act_filter_nullif(const char *argument, const StringInfoData *from, StringInfo to);
extern bool act_filter_first(const char *argument, const StringInfoData *from, StringInfo to);
extern bool act_filter_number(const char *argument, const StringInfoData *from, StringInfo to);
extern bool act_filter_int(const char *argument, const StringInfoData *from, StringInfo to);
extern bool act_filter_plus(const char *argument, const StringInfoData *from, StringInfo to);
extern bool act_filter_at_least(const char *argument, const StringInfoData *from, StringInfo to);
extern bool act_filter_bool(const char *argument, const StringInfoData *from, StringInfo to);
extern bool act_filter_strings(const char *argument, const StringInfoData *from, StringInfo to);
extern bool act_filter_nest(const char *argument, const StringInfoData *from, StringInfo to);
extern bool act_filter_join(const char *argument, const StringInfoData *from, StringInfo to);
extern bool act_filter_split(const char *argument, const StringInfoData *from, StringInfo to);

/* filter_time.c: of texts as ISO 8601 and PostgreSQL write times */
extern bool act_filter_epoch(const char *argument, const StringInfoData *from, StringInfo to);
extern bool act_filter_epoch_ms(const char *argument, const StringInfoData *from, StringInfo to);
extern bool act_filter_iso(const char *argument, const StringInfoData *from, StringInfo to);
extern bool act_filter_iso_ms(const char *argument, const StringInfoData *from, StringInfo to);
extern bool act_filter_date(const char *argument, const StringInfoData *from, StringInfo to);

/* Milliseconds since 1970 as filter iso_ms writes them. */
extern void act_time_append_ms(StringInfo out, int64 ms);

/* filter_person.c: as ad platforms want them before they are hashed */
extern bool act_filter_email(const char *argument, const StringInfoData *from, StringInfo to);
extern bool act_filter_gmail(const char *argument, const StringInfoData *from, StringInfo to);
extern bool act_filter_phone(const char *argument, const StringInfoData *from, StringInfo to);
extern bool act_filter_e164(const char *argument, const StringInfoData *from, StringInfo to);
extern bool act_filter_person_name(const char *argument, const StringInfoData *from, StringInfo to);
extern bool act_filter_zip(const char *argument, const StringInfoData *from, StringInfo to);
extern bool act_filter_country(const char *argument, const StringInfoData *from, StringInfo to);
extern bool act_filter_gender(const char *argument, const StringInfoData *from, StringInfo to);

#endif							/* ACT_FILTER_H */
