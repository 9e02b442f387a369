/*-------------------------------------------------------------------------
 *
 * template_private.h
 *	  What a compiled template is, for template.c, which makes it, and
 *	  template_render.c, which runs it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_TEMPLATE_PRIVATE_H
#define ACT_TEMPLATE_PRIVATE_H

#include "filter.h"
#include "template.h"

typedef enum PathKind
{
	PATH_SYNC_NAME,
	PATH_SYNC_OBJECT,
	PATH_SYNC_MATCH,
	PATH_RUN_ID,
	PATH_BATCH_DIGEST,
	PATH_BATCH_SIZE,
	PATH_ROW_OP,
	PATH_ROW_KEY,
	PATH_ROW_KEY_COLUMN,
	PATH_ROW_FIELDS,
	PATH_ROW_FIELD,
	PATH_ROW_MATCH,
	PATH_ROW_EXTERNAL_ID,
	PATH_ROW_CHANGE_ID,
	PATH_SAVED,
	PATH_OPTION,
	PATH_TOKEN,
	PATH_SECRET,
	PATH_MESSAGE_ID,
	PATH_MESSAGE_TIME,
	PATH_MESSAGE_BODY,
	PATH_MESSAGE_SIGNATURE
} PathKind;

typedef struct FilterCall
{
	const Filter *filter;
	const char *argument;
} FilterCall;

typedef struct Expression
{
	const char *source;			/* as written, for messages */
	PathKind	path;
	const char *name;			/* of the option, secret or column */
	const char *fallback;		/* of an option that is not set, or NULL */
	char	  **fields;			/* row.fields.a.b: NULL-ended */
	int			nfilters;
	FilterCall *filters;
	bool		makes_bytes;
} Expression;

typedef enum SegmentKind
{
	SEGMENT_LITERAL,
	SEGMENT_COMMA,				/* unless the object or array is still empty */
	SEGMENT_MARK,				/* here a member begins that may be missing */
	SEGMENT_SLOT,				/* a value with its type; missing: back to the mark */
	SEGMENT_TEXT,				/* a piece of a string */
	SEGMENT_SPREAD,
	SEGMENT_ROWS
} SegmentKind;

typedef struct Segment
{
	SegmentKind kind;
	int			len;
	const char *bytes;
	const Expression *expression;
} Segment;

struct Template
{
	const char *connector;
	const char *pointer;		/* where it stands in the document */
	int			nsegments;
	Segment    *segments;
};

#endif							/* ACT_TEMPLATE_PRIVATE_H */
