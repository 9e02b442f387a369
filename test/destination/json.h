/*
 * json.h
 *	  JSON as slices of the text it was read from, so that a number or a
 *	  string is kept letter by letter; and a growing buffer.
 */
#ifndef JSON_H
#define JSON_H

#include <stdbool.h>
#include <stddef.h>

/* Bytes that grow; text is always NUL-terminated once anything was added. */
typedef struct Buf
{
	char	   *at;
	size_t		len;
	size_t		cap;
} Buf;

/* One JSON value in somebody else's text; at is NULL: there is none. */
typedef struct Span
{
	const char *at;
	size_t		len;
} Span;

/* Walks an object's or array's elements. */
typedef struct JsonIter
{
	const char *at;
	const char *end;
	bool		object;
} JsonIter;

extern void *xmalloc(size_t size);
extern char *xstrndup(const char *text, size_t len);

extern void buf_reserve(Buf *buf, size_t more);
extern void buf_add(Buf *buf, const void *bytes, size_t len);
extern void buf_text(Buf *buf, const char *text);
extern void buf_format(Buf *buf, const char *format,...) __attribute__((format(printf, 2, 3)));
extern void buf_span(Buf *buf, Span span);
extern void buf_json_string(Buf *buf, const char *text, size_t len);
extern void buf_consume(Buf *buf, size_t len);
extern void buf_free(Buf *buf);

/* The one value in the text, or none when the text isn't JSON. */
extern Span json_parse(const char *text, size_t len);

/* The functions below take spans of json_parse() or parts of them only. */
extern JsonIter json_iter(Span value);
extern bool json_next(JsonIter *iter, Span *name, Span *value);
extern Span json_get(Span object, const char *name);
extern bool json_is(Span string, const char *text);
extern char *json_text(Span value);
extern long json_long(Span value, long otherwise);
extern bool json_true(Span value);
extern void json_canonical(Buf *buf, Span value);

#endif
