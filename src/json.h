/*-------------------------------------------------------------------------
 *
 * json.h
 *	  JSON as it comes from strangers, as a tree.
 *
 * Parsing goes through a scan of ours before cJSON sees a byte.  Trees are
 * cJSON's and live in malloc'ed memory: whoever parses deletes, in a
 * PG_FINALLY where anything in between can throw.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_JSON_H
#define ACT_JSON_H

#include <cjson/cJSON.h>

#include "lib/stringinfo.h"

#define ACT_JSON_MAX_DEPTH 64
/* One value costs cJSON 64 bytes and more: what an answer may cost us. */
#define ACT_JSON_MAX_VALUES 1000000
#define ACT_JSON_MAX_BYTES (128 * 1024 * 1024)

typedef enum JsonReading
{
	/*
	 * An answer: integers of at most 15 digits stay numbers, any other number
	 * becomes a string of its very text; NUL, lone surrogates and bytes that
	 * are no UTF-8 become U+FFFD.
	 */
	JSON_ANSWER,
	/* A document: the same things are errors. */
	JSON_DOCUMENT
} JsonReading;

/*
 * The tree, or NULL with *problem saying in words what is wrong (in the
 * current memory context, without naming what was read).  Throws only for
 * want of memory, and then leaves nothing behind.
 */
extern cJSON *act_json_parse(const char *text, size_t len, JsonReading reading, char **problem);

/* The text of a string or number, exact for JSON_ANSWER; else NULL. */
extern char *act_json_scalar_text(const cJSON *value);

/*
 * Appends the value as JSON without white space.  Stops soon after buf has
 * reached limit bytes (0: no limit); what is there then is a part.
 */
extern void act_json_append(StringInfo buf, const cJSON *value, int limit);

/* RFC 6901 */
typedef struct JsonPointer
{
	char	   *text;
	int			ntokens;
	char	  **tokens;
} JsonPointer;

/* NULL where the text is no JSON pointer. */
extern JsonPointer *act_json_pointer_compile(const char *text);
extern const cJSON *act_json_pointer_resolve(const JsonPointer *pointer, const cJSON *root);

/* Appends the pointer that leads from root to a value in it. */
extern bool act_json_pointer_append(StringInfo buf, const cJSON *root, const cJSON *value);

#endif							/* ACT_JSON_H */
