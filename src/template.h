/*-------------------------------------------------------------------------
 *
 * template.h
 *	  Requests as templates: text or JSON with {{expressions}} in strings.
 *
 * A string that is exactly one expression keeps the type of its value, and
 * a value that is missing drops the member, element, header or parameter;
 * NULL of the database is not missing: it renders null.  Inside longer text
 * a missing value is an error.  {"$rows": T} is an array with T for each
 * row, {"$spread": "row.fields"} merges the members of an object.
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
	const Template *(*row_template) (const void *of, const Row *row);	/* what $rows stands for */
	const void *row_template_of;
	const TemplateMessage *message;

	const char *culprit;		/* the expression that had no value */
	StringInfoData from;
	StringInfoData to;
	char		scratch[80];
} TemplateInput;

typedef enum TemplateResult
{
	TEMPLATE_DONE,
	TEMPLATE_MISSING,			/* a value is missing or null */
	TEMPLATE_UNFIT				/* a filter cannot do with its value */
} TemplateResult;

/* *rows: the template of a row where there is a $rows, else NULL. */
extern Template *act_template_compile_json(const Document *document, const cJSON *at, int place,
										   Template **rows);
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

/* Throws what such a result means. */
ACT_NORETURN extern void act_template_fail(const Template *template, const TemplateInput *input,
							  TemplateResult result);

/* Is it nothing but one expression, which may drop out? */
extern bool act_template_is_optional(const Template *template);
extern bool act_template_is_constant(const Template *template);
extern bool act_template_names_secret(const Template *template, const char *secret);

/* About how many bytes the row renders to; seldom less. */
extern size_t act_template_row_bytes(const Template *template, const ConnectorScope *scope, const Row *row);

/* 32 hex digits that stand for these rows in this order; of a unit, its id. */
#define ACT_BATCH_DIGEST_LEN 32
extern void act_template_batch_digest(Row *const *rows, int nrows, char *digest);

#endif							/* ACT_TEMPLATE_H */
