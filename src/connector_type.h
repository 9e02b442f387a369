/*-------------------------------------------------------------------------
 *
 * connector_type.h
 *	  How values are written into JSON: section "types" of a document.
 *
 * Compiled by connector_type.c, the object's over the document's; payload.c
 * and value_json.c write by it.  Plain data, in the connector's memory
 * context.  All zeros is what holds where nothing is said: JSON as
 * PostgreSQL has it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_CONNECTOR_TYPE_H
#define ACT_CONNECTOR_TYPE_H

/* What a field can be, in documents and in what a destination tells; the order is that of the names. */
typedef enum FieldType
{
	FIELD_UNKNOWN,				/* nothing is known of it; has no name */
	FIELD_TEXT,
	FIELD_INTEGER,
	FIELD_NUMBER,
	FIELD_BOOLEAN,
	FIELD_DATE,
	FIELD_TIMESTAMP,
	FIELD_ARRAY,
	FIELD_OBJECT,
	FIELD_JSON					/* whatever it is */
} FieldType;
#define FIELD_TYPE_COUNT (FIELD_JSON + 1)

typedef enum NullForm
{
	NULL_FORM_NULL,
	NULL_FORM_EMPTY,			/* "" */
	NULL_FORM_OMIT,				/* the member is left out */
	NULL_FORM_TEXT				/* null_text */
} NullForm;

typedef enum BooleanForm
{
	BOOLEAN_FORM_JSON,
	BOOLEAN_FORM_TEXT,			/* "true" */
	BOOLEAN_FORM_INTEGER,		/* 1 */
	BOOLEAN_FORM_GIVEN			/* true_text, false_text */
} BooleanForm;

/* Of numbers, integers, objects. */
typedef enum JsonForm
{
	JSON_FORM_JSON,
	JSON_FORM_TEXT				/* its JSON as a string */
} JsonForm;

/* Of dates and timestamps; dates have no ISO_MS and ISO_UTC. */
typedef enum TimeForm
{
	TIME_FORM_DEFAULT,			/* as PostgreSQL's own JSON has it */
	TIME_FORM_ISO,				/* 2026-11-23; 2026-11-23T08:57:33Z */
	TIME_FORM_ISO_MS,			/* 2026-11-23T08:57:33.000Z */
	TIME_FORM_ISO_UTC,			/* 2026-11-23T08:57:33Z, with what there is of fractions, whatever zone it had */
	TIME_FORM_EPOCH,
	TIME_FORM_EPOCH_MS
} TimeForm;

typedef enum ArrayForm
{
	ARRAY_FORM_JSON,
	ARRAY_FORM_TEXT,			/* its JSON as a string */
	ARRAY_FORM_JOIN				/* its members as text, array_join between them */
} ArrayForm;

typedef enum BytesForm
{
	BYTES_FORM_DEFAULT,
	BYTES_FORM_HEX,
	BYTES_FORM_BASE64
} BytesForm;

typedef struct ValueForms
{
	NullForm	null;
	BooleanForm boolean;
	JsonForm	number;
	JsonForm	integer;
	TimeForm	date;
	TimeForm	timestamp;
	ArrayForm	array;
	JsonForm	object;
	BytesForm	bytes;
	const char *null_text;		/* UTF-8, as all of them */
	const char *true_text;
	const char *false_text;
	const char *array_join;
	const char *date_in[2];		/* JSON before and behind it; NULL: nothing is */
	const char *timestamp_in[2];
} ValueForms;

extern const char *act_field_type_name(FieldType type); /* NULL: unknown */

#endif							/* ACT_CONNECTOR_TYPE_H */
