/*-------------------------------------------------------------------------
 *
 * payload.h
 *	  What is sent of a row, as JSON.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_PAYLOAD_H
#define ACT_PAYLOAD_H

#include "mapping.h"

/* A top-level field in the text of a payload: [start, end) is "name":value. */
typedef struct PayloadField
{
	const MappingNode *node;	/* of the mapping, also where its insert is sent */
	int			start;
	int			value;
	int			end;
} PayloadField;

typedef struct Payload
{
	/* given */
	const Mapping *mapping;
	ValueType *const *types;
	const Datum *values;		/* the leaves in order */
	const bool *nulls;
	bool		insert;			/* for a record that the destination never had */
	const char *waits;			/* stands in texts for a reference that waits, which is of no type; NULL: in none */
	PayloadField *fields;		/* room for all, or NULL: nobody asks where they are */

	/* found */
	StringInfoData json;		/* an object, in UTF-8 */
	int			nfields;
	const char *code;			/* NULL: it can be sent */
	const char *problem;
} Payload;

/* In the current memory context.  Values it cannot send are no error: see code. */
extern void act_payload_render(Payload *payload);

/*
 * What the payload looks like but for the values, of what is compared: the
 * tree as JSON in which '\1' signature '\1' stands for each leaf, and its
 * policies.  Enters the fingerprint's seed.
 */
extern void act_payload_append_shape(StringInfo buf, const Mapping *mapping, ValueType *const *types);

#endif							/* ACT_PAYLOAD_H */
