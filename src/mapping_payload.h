/*-------------------------------------------------------------------------
 *
 * mapping_payload.h
 *	  What is sent of a row, as JSON.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_MAPPING_PAYLOAD_H
#define ACT_MAPPING_PAYLOAD_H

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
	PayloadField *fields;		/* room for all, or NULL: nobody asks where they are */

	/* found */
	StringInfoData json;		/* an object, in UTF-8 */
	int			nfields;
	const char *code;			/* NULL: it can be sent */
	const char *problem;		/* and of which leaf it is */
	int			leaf;
} Payload;

/* In the current memory context.  Values it cannot send are no error: see code. */
extern void act_mapping_render(Payload *payload);

#endif							/* ACT_MAPPING_PAYLOAD_H */
