/*-------------------------------------------------------------------------
 *
 * template.h
 *	  Requests as templates: text or JSON with {{expressions}} in strings.
 *
 * A string that is exactly one expression keeps the type of its value, and
 * a value that is missing drops the member, element, header or parameter;
 * NULL of the database is not missing: it renders null.  Inside longer text
 * a missing value is an error.  {"$rows": T} is an array with T for each
 * row, {"$spread": "row.fields"} merges the members of an object; there are
 * more such constructs (doc/connectors.md, "Templates").
 *
 * Templates are compiled once into a flat list of segments; rendering a row
 * parses nothing.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_TEMPLATE_H
#define ACT_TEMPLATE_H

#include "connector.h"
#include "document.h"

typedef struct Template Template;

/* Where a template stands decides what it may name, and how it is escaped. */
#define TEMPLATE_IN_ROW		0x01	/* of one row: row.* */
#define TEMPLATE_IN_AUTH	0x02	/* secret.*, message.* */
#define TEMPLATE_IN_URL		0x04	/* expressions are percent-encoded */
#define TEMPLATE_IN_BATCH	0x08	/* of a request with rows: rows.* */
#define TEMPLATE_IN_FIELD	0x10	/* field.* */
#define TEMPLATE_IN_WRAP	0x20	/* value */

/* The request that a signature is made of. */
typedef struct TemplateMessage
{
	const char *id;
	const char *time;
	const char *body;
	size_t		body_len;
	const unsigned char *signature;
	size_t		signature_len;
} TemplateMessage;

/* What is rendered.  The members below the line are the renderer's own. */
typedef struct TemplateInput
{
	const ConnectorScope *scope;
	Row		  **rows;
	int			nrows;
	const uint8 *unit_id;		/* of a unit: stands for all of its rows; NULL: of rows one by one */
	const Row  *row;			/* NULL: not of one row */
	/* what stands for such a row in place of what $rows says; NULL: nothing does */
	const Template *(*row_template) (const void *of, const Row *row);
	const void *row_template_of;
	const TemplateMessage *message;
	bool		trial;			/* to see whether the row is fit: what comes later may be missing */

	const char *culprit;		/* the expression that had no value */
	const char *culprit_at;		/* the template that it is in, by pointer */
	int			row_index;		/* of row in its request */
	const ScopeField *field;	/* within $fields */
	const char *value;			/* JSON, within a wrap */
	size_t		value_len;
	StringInfoData from;
	StringInfoData to;
	StringInfoData built;
	char		scratch[80];
} TemplateInput;

typedef enum TemplateResult
{
	TEMPLATE_DONE,
	TEMPLATE_MISSING,			/* a value is missing or null */
	TEMPLATE_UNFIT				/* a filter cannot do with its value */
} TemplateResult;

/* *rows: the template of a row where there is a $rows, else NULL; rows itself may be NULL. */
extern Template *act_template_compile_json(const Document *document, const cJSON *at, int place,
										   Template **rows);

/* An array of templates, each of which makes a line. */
extern Template *act_template_compile_lines(const Document *document, const cJSON *at, int place);

/* A path with filters, as it stands in "$spread". */
extern Template *act_template_compile_path(const Document *document, const cJSON *at, int place);
extern Template *act_template_compile_text(const Document *document, const cJSON *at,
										   const char *text, size_t len, int place);

/* A string member as a text template, NULL where there is none. */
extern Template *act_template_compile_member(const Document *document, const cJSON *object,
											 const char *name, int place);

/* Throws 22023 where document and rows do not fit together. */
extern void act_template_render_json(const Template *template, TemplateInput *input, StringInfo out);

/*
 * Appends the text.  Does not throw but for memory: the result says whether
 * there is a text; where not, out is as it was.
 */
extern TemplateResult act_template_render_text(const Template *template, TemplateInput *input, StringInfo out);

/* The same for JSON: MISSING where it is a single value that is not there. */
extern TemplateResult act_template_try_json(const Template *template, TemplateInput *input, StringInfo out);

/* Throws what such a result means. */
ACT_NORETURN extern void act_template_fail(const Template *template, const TemplateInput *input,
							  TemplateResult result);

/* Is it nothing but one expression, which may drop out?  Never one of all rows: a row's part would be missing. */
extern bool act_template_is_optional(const Template *template);
extern bool act_template_names_record(const Template *template); /* is nothing but an id, or what else a destination told */
extern bool act_template_is_constant(const Template *template);
/* The same of JSON: one expression, or one construct such as $rows. */
extern bool act_template_is_value(const Template *template);
extern bool act_template_names_secret(const Template *template, const char *secret);
extern bool act_template_names_token(const Template *template);

/* Whether it speaks of all rows of a request, in an array or by rows.*. */
extern bool act_template_names_rows(const Template *template);
/* Whether some row might not be rendered: worth a trial. */
extern bool act_template_may_fail(const Template *template);
extern bool act_template_may_lack(const Template *template);	/* of what is known of records, which may be nothing */

/*
 * Whether some $rows takes rows of that operation; true, too, where there is
 * none that is for some operations only.
 */
extern bool act_template_takes(const Template *template, RowOp op);

/*
 * template_measure.c: about how many bytes the row adds, seldom less: to a
 * template of its own; to a body with others; to the text of an address, where
 * rows.* stands (percent-encoded, exactly).
 */
extern size_t act_template_row_bytes(const Template *template, const ConnectorScope *scope, const Row *row);
extern size_t act_template_body_row_bytes(const Template *template, const TemplateInput *input, const Row *row);
extern size_t act_template_url_row_bytes(const Template *template, TemplateInput *input, const Row *row);

/*
 * Filters without a template: "email|sha256" over a value that is JSON.  What
 * comes out is JSON again; null stays null.  false: a filter cannot do with it.
 */
typedef struct Expression FilterChain;
extern const FilterChain *act_filter_chain_compile(const Document *document, const cJSON *at, const char *text);
extern bool act_filter_chain_apply(const FilterChain *chain, const char *value, size_t len, StringInfo out);

/* 32 hex digits that stand for these rows in this order; of a unit, its id. */
#define ACT_BATCH_DIGEST_LEN 32
extern void act_template_batch_digest(Row *const *rows, int nrows, char *digest);

#endif							/* ACT_TEMPLATE_H */
