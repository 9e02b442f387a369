/*-------------------------------------------------------------------------
 *
 * template_private.h
 *	  What a compiled template is, for the files that make it (template.c,
 *	  template_path.c) and those that run it (template_render.c,
 *	  template_construct.c, template_value.c, template_measure.c).
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_TEMPLATE_PRIVATE_H
#define ACT_TEMPLATE_PRIVATE_H

#include "filter.h"
#include "json_text.h"
#include "template.h"

typedef enum PathKind
{
	PATH_SYNC_NAME,
	PATH_SYNC_OBJECT,
	PATH_SYNC_FILE,
	PATH_SYNC_MATCH,
	PATH_OBJECT,
	PATH_RUN_ID,
	PATH_RUN_STARTED_AT,
	PATH_NOW,
	PATH_BATCH_DIGEST,
	PATH_BATCH_SIZE,
	PATH_BATCH_BY,
	PATH_BATCH_FIELDS,
	PATH_ROW_OP,
	PATH_ROW_KEY,
	PATH_ROW_KEY_COLUMN,
	PATH_ROW_FIELDS,
	PATH_ROW_FIELD,
	PATH_ROW_REST,
	PATH_ROW_LISTED,
	PATH_ROW_UNLISTED,
	PATH_ROW_MATCH,
	PATH_ROW_MATCH_FIELD,
	PATH_ROW_MATCHED,
	PATH_ROW_EXTERNAL_ID,
	PATH_ROW_REMEMBERED,
	PATH_ROW_FOUND,
	PATH_ROW_CHANGE_ID,
	PATH_ROW_REF,
	PATH_OPTION,
	PATH_TOKEN,
	PATH_SAVED,
	PATH_FIELD_NAME,
	PATH_FIELD_TYPE,
	PATH_FIELD_IS_MATCH,
	PATH_FIELD_DOCUMENT,
	PATH_VALUE,
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
	bool		each;			/* rows.*: of all rows, as an array */
	int			neach;			/* so many filters first, of each row's value */
	const char *name;			/* of the option, secret, column ... */
	const ConnectorOption *option;	/* of the document's */
	char	  **fields;			/* row.fields.a.b: NULL-ended */
	int			nfilters;
	FilterCall *filters;
	bool		makes_bytes;
	bool		may_fail;		/* some filter cannot do with every value */
} Expression;

typedef enum SegmentKind
{
	SEGMENT_LITERAL,
	SEGMENT_COMMA,				/* unless the object or array is still empty */
	SEGMENT_MARK,				/* here a member begins that may be missing */
	SEGMENT_NEWLINE,			/* the end of a line, unless nothing is on it */

	/* values with their type; missing: back to the mark */
	SEGMENT_SLOT,
	SEGMENT_ROWS,
	SEGMENT_ROW,
	SEGMENT_VALUES,
	SEGMENT_NAMES,
	SEGMENT_FIELDS,
	SEGMENT_WRAP,

	SEGMENT_TEXT,				/* a piece of a string */
	SEGMENT_SPREAD
} SegmentKind;

/* By what a value is wrapped. */
typedef enum WrapBy
{
	WRAP_BY_NOTHING,			/* one for all, the last of items */
	WRAP_BY_TYPE,
	WRAP_BY_FIELD
} WrapBy;

typedef struct WrapItem
{
	const char *name;			/* a type, a field; NULL: any other */
	const Template *template;
} WrapItem;

typedef struct Wrap
{
	WrapBy		by;
	int			nitems;
	const WrapItem *items;
} Wrap;

typedef struct Segment
{
	SegmentKind kind;
	int			len;
	const char *bytes;
	const Expression *expression;
	const Template *template;	/* of each row or field */
	const Wrap *wrap;			/* NULL: values as they are */
	uint32		ops;			/* of ROWS: bits by RowOp as sent; 0: of all */
	bool		omit_empty;
} Segment;

struct Template
{
	const char *connector;
	const char *pointer;		/* where it stands in the document */
	int			nsegments;
	Segment    *segments;
	bool		may_fail;		/* not every row can be rendered */
	bool		may_lack;		/* nor every one whose record is not known */
	bool		names_rows;		/* all rows of the request: $rows, rows.* */
	bool		has_ops;		/* some $rows takes rows of some operations only */
	const Template *row;		/* of the first $rows or $row, or NULL */
};

typedef enum ValueKind
{
	VALUE_MISSING,
	VALUE_JSON,					/* JSON text */
	VALUE_TEXT,					/* text that JSON has to escape */
	VALUE_PLAIN					/* text without anything to escape */
} ValueKind;

typedef struct Value
{
	ValueKind	kind;
	const char *data;
	size_t		len;
} Value;

static inline bool
act_value_is_null(const Value *value)
{
	return value->kind == VALUE_JSON && value->len == 4 && memcmp(value->data, "null", 4) == 0;
}

static inline void
act_value_put_json(StringInfo out, const Value *value)
{
	if (value->kind == VALUE_TEXT)
		act_json_append_string(out, value->data, value->len);
	else if (value->kind == VALUE_PLAIN)
	{
		appendStringInfoCharMacro(out, '"');
		appendBinaryStringInfo(out, value->data, value->len);
		appendStringInfoCharMacro(out, '"');
	}
	else
		appendBinaryStringInfo(out, value->data, value->len);
}

/* A separator, unless the object or array that out ends in is still empty. */
static inline void
act_template_append_comma(StringInfo out)
{
	char		last = out->data[out->len - 1];

	if (last != '{' && last != '[')
		appendStringInfoCharMacro(out, ',');
}

/*
 * template_path.c: what stands in {{}}, in *place; at is for messages.
 */
typedef struct PathContext
{
	const Document *document;
	const cJSON *at;
	int			place;
} PathContext;

extern Expression *act_expression_compile(const PathContext *context, const char *source, size_t len);

/*
 * template_value.c
 */
extern TemplateResult act_value_of_each(const Expression *expression, TemplateInput *input, Value *value);
extern TemplateResult act_value_of(const Expression *expression, TemplateInput *input, Value *value);
/* The fields as the operation sends them, or NULL. */
extern const char *act_value_row_fields(const Row *row);
/* The member that the names lead to, in an object that is JSON text. */
extern Value act_value_member(const char *object, char *const *names);
/* The match fields as an object, however many; MISSING: there are none. */
extern Value act_value_match_fields(const Row *row, TemplateInput *input);
extern const char *act_value_option(const Expression *expression, const ConnectorScope *scope);
/* Not known before the request is made, and so no mistake of the row before. */
extern bool act_value_comes_later(const Expression *expression);
/* What a path of a row stands for, without filters. */
extern Value act_value_resolve(const Expression *expression, TemplateInput *input);

/*
 * template_render.c: appends; missing: nothing is appended.
 */
extern TemplateResult act_template_run(const Template *template, TemplateInput *input, StringInfo out);

/*
 * template_construct.c: $rows and its like.
 */
extern TemplateResult act_construct_render(const Segment *segment, TemplateInput *input, StringInfo out);

/* The template of a row there, NULL: the row is not of its operations. */
extern const Template *act_construct_row_template(const Segment *segment, const TemplateInput *input, const Row *row);

#endif							/* ACT_TEMPLATE_PRIVATE_H */
