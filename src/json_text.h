/*-------------------------------------------------------------------------
 *
 * json_text.h
 *	  JSON and UTF-8 as text: escaping, splicing, no trees.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_JSON_TEXT_H
#define ACT_JSON_TEXT_H

#include "lib/stringinfo.h"

#define ACT_UTF8_REPLACEMENT "\xef\xbf\xbd"	/* U+FFFD */

/* Appends text as a JSON string, with or without its quotes. */
extern void act_json_append_string(StringInfo buf, const char *text, size_t len);
extern void act_json_append_escaped(StringInfo buf, const char *text, size_t len);

/* Appends the text that a JSON string, quotes included, stands for. */
extern void act_json_append_unescaped(StringInfo buf, const char *literal, size_t len);

/*
 * Finds a member of an object that is JSON text of our own making, without
 * parsing it.  false: no such member, or no object.
 */
extern bool act_json_find_member(const char *object, size_t len, const char *name,
								 const char **value, size_t *value_len);

/*
 * The members of an object that is JSON text, one after the other; *next is
 * the object at first.  Names with their quotes, as they are written.
 */
typedef struct JsonMember
{
	const char *name;
	size_t		name_len;
	const char *value;
	size_t		value_len;
} JsonMember;

extern bool act_json_next_member(const char **next, const char *end, JsonMember *member);

/* The same of an array, whose elements have no names. */
extern bool act_json_next_element(const char **next, const char *end, JsonMember *element);

/* Whether a member's name is that one. */
extern bool act_json_name_is(const JsonMember *member, const char *name);

/* Appends a value as a JSON string; null stays null, and a string as it is. */
extern void act_json_append_as_text(StringInfo buf, const char *value, size_t len);

/* Appends bytes as valid UTF-8 without NUL, U+FFFD for what is neither. */
extern void act_utf8_append(StringInfo buf, const char *bytes, size_t len);
/* The longest part of valid UTF-8 that has at most limit bytes. */
extern size_t act_utf8_clip(const char *text, size_t len, size_t limit);
/* Bytes of the character that begins here; 0: none that text can hold. */
extern int	act_utf8_length(const char *bytes, size_t left);
/* The four digits of a \u escape. */
extern bool act_json_read_hex4(const char *text, const char *end, unsigned int *code);

#endif							/* ACT_JSON_TEXT_H */
