/*
 * json.c
 *	  JSON as slices, see json.h.  json_parse() validates once; everything
 *	  after that trusts the text.
 */
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"

#define MAX_DEPTH 256

/*
 * ---- memory and buffers ----
 */

void *
xmalloc(size_t size)
{
	void	   *p = calloc(1, size ? size : 1);

	if (p == NULL)
		abort();
	return p;
}

char *
xstrndup(const char *text, size_t len)
{
	char	   *copy = xmalloc(len + 1);

	memcpy(copy, text, len);
	return copy;
}

void
buf_reserve(Buf *buf, size_t more)
{
	if (buf->len + more + 1 <= buf->cap)
		return;
	buf->cap = (buf->len + more + 1) * 2;
	buf->at = realloc(buf->at, buf->cap);
	if (buf->at == NULL)
		abort();
}

void
buf_add(Buf *buf, const void *bytes, size_t len)
{
	buf_reserve(buf, len);
	if (len > 0)
		memcpy(buf->at + buf->len, bytes, len);
	buf->len += len;
	buf->at[buf->len] = '\0';
}

void
buf_text(Buf *buf, const char *text)
{
	buf_add(buf, text, strlen(text));
}

void
buf_format(Buf *buf, const char *format,...)
{
	va_list		args;
	int			len;

	va_start(args, format);
	len = vsnprintf(NULL, 0, format, args);
	va_end(args);
	buf_reserve(buf, len);
	va_start(args, format);
	vsnprintf(buf->at + buf->len, len + 1, format, args);
	va_end(args);
	buf->len += len;
}

void
buf_span(Buf *buf, Span span)
{
	buf_add(buf, span.at, span.len);
}

void
buf_consume(Buf *buf, size_t len)
{
	if (len == 0)
		return;
	buf->len -= len;
	memmove(buf->at, buf->at + len, buf->len);
	buf->at[buf->len] = '\0';
}

void
buf_free(Buf *buf)
{
	free(buf->at);
	memset(buf, 0, sizeof(*buf));
}

/* Length of the UTF-8 character at p, 0 if it isn't one. */
static int
utf8_length(const unsigned char *p, size_t left)
{
	int			n = p[0] < 0x80 ? 1 : p[0] < 0xC2 ? 0 : p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : p[0] < 0xF5 ? 4 : 0;

	if (n == 0 || (size_t) n > left)
		return 0;
	for (int i = 1; i < n; i++)
		if ((p[i] & 0xC0) != 0x80)
			return 0;
	if ((p[0] == 0xE0 && p[1] < 0xA0) || (p[0] == 0xED && p[1] > 0x9F) ||
		(p[0] == 0xF0 && p[1] < 0x90) || (p[0] == 0xF4 && p[1] > 0x8F))
		return 0;
	return n;
}

/* Any bytes become a JSON string; what isn't UTF-8 becomes U+FFFD. */
void
buf_json_string(Buf *buf, const char *text, size_t len)
{
	buf_add(buf, "\"", 1);
	for (size_t i = 0; i < len;)
	{
		unsigned char c = text[i];
		int			n = utf8_length((const unsigned char *) text + i, len - i);

		if (n == 0)
		{
			buf_text(buf, "\xEF\xBF\xBD");
			n = 1;
		}
		else if (c == '"' || c == '\\')
			buf_format(buf, "\\%c", c);
		else if (c < 0x20)
			buf_format(buf, "\\u%04x", c);
		else
			buf_add(buf, text + i, n);
		i += n;
	}
	buf_add(buf, "\"", 1);
}

/*
 * ---- reading ----
 */

static const char *
skip_space(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'))
		p++;
	return p;
}

/* Each skip_ function returns the end of what starts at p, NULL if invalid. */
static const char *
skip_string(const char *p, const char *end)
{
	for (p++; p < end; p++)
	{
		if (*p == '"')
			return p + 1;
		if ((unsigned char) *p < 0x20)
			return NULL;
		if (*p != '\\')
			continue;
		if (++p == end || strchr("\"\\/bfnrtu", *p) == NULL || *p == '\0')
			return NULL;
		if (*p == 'u')
			for (int i = 0; i < 4; i++)
				if (++p >= end || strchr("0123456789abcdefABCDEF", *p) == NULL || *p == '\0')
					return NULL;
	}
	return NULL;
}

static const char *
skip_digits(const char *p, const char *end)
{
	const char *start = p;

	while (p < end && *p >= '0' && *p <= '9')
		p++;
	return p == start ? NULL : p;
}

static const char *
skip_number(const char *p, const char *end)
{
	if (*p == '-')
		p++;
	if (p < end && *p == '0')
		p++;
	else
		p = skip_digits(p, end);
	if (p && p < end && *p == '.')
		p = skip_digits(p + 1, end);
	if (p && p < end && (*p == 'e' || *p == 'E'))
	{
		p++;
		if (p < end && (*p == '+' || *p == '-'))
			p++;
		p = skip_digits(p, end);
	}
	return p;
}

static const char *
skip_word(const char *p, const char *end, const char *word)
{
	size_t		len = strlen(word);

	return (size_t) (end - p) >= len && memcmp(p, word, len) == 0 ? p + len : NULL;
}

static const char *skip_container(const char *p, const char *end, int depth);

static const char *
skip_value(const char *p, const char *end, int depth)
{
	if (p >= end)
		return NULL;
	switch (*p)
	{
		case '{':
		case '[':
			return depth < MAX_DEPTH ? skip_container(p, end, depth + 1) : NULL;
		case '"':
			return skip_string(p, end);
		case 't':
			return skip_word(p, end, "true");
		case 'f':
			return skip_word(p, end, "false");
		case 'n':
			return skip_word(p, end, "null");
		default:
			return *p == '-' || (*p >= '0' && *p <= '9') ? skip_number(p, end) : NULL;
	}
}

static const char *
skip_container(const char *p, const char *end, int depth)
{
	char		close = *p == '{' ? '}' : ']';

	p = skip_space(p + 1, end);
	if (p < end && *p == close)
		return p + 1;
	for (;;)
	{
		if (close == '}')
		{
			if (p >= end || *p != '"' || (p = skip_string(p, end)) == NULL)
				return NULL;
			p = skip_space(p, end);
			if (p >= end || *p++ != ':')
				return NULL;
			p = skip_space(p, end);
		}
		if ((p = skip_value(p, end, depth)) == NULL)
			return NULL;
		p = skip_space(p, end);
		if (p >= end)
			return NULL;
		if (*p == close)
			return p + 1;
		if (*p++ != ',')
			return NULL;
		p = skip_space(p, end);
	}
}

Span
json_parse(const char *text, size_t len)
{
	const char *end = text + len;
	const char *start = text ? skip_space(text, end) : text;
	const char *stop = text ? skip_value(start, end, 0) : NULL;

	if (stop == NULL || skip_space(stop, end) != end)
		return (Span) {NULL, 0};
	return (Span) {start, stop - start};
}

JsonIter
json_iter(Span value)
{
	if (value.at == NULL || (*value.at != '{' && *value.at != '['))
		return (JsonIter) {NULL, NULL, false};
	return (JsonIter) {value.at + 1, value.at + value.len - 1, *value.at == '{'};
}

/* The next element; *name is none in an array. */
bool
json_next(JsonIter *iter, Span *name, Span *value)
{
	const char *p;
	const char *stop;

	*name = (Span) {NULL, 0};
	if (iter->at == NULL)
		return false;
	p = skip_space(iter->at, iter->end);
	if (p >= iter->end)
		return false;
	if (iter->object)
	{
		stop = skip_string(p, iter->end);
		*name = (Span) {p, stop - p};
		p = skip_space(stop, iter->end) + 1;
		p = skip_space(p, iter->end);
	}
	stop = skip_value(p, iter->end, 0);
	*value = (Span) {p, stop - p};
	p = skip_space(stop, iter->end);
	iter->at = p < iter->end ? p + 1 : p;
	return true;
}

/* The last member of that name, as most parsers have it. */
Span
json_get(Span object, const char *name)
{
	Span		found = {NULL, 0};
	Span		key;
	Span		value;
	JsonIter	iter = json_iter(object);

	if (!iter.object)
		return found;
	while (json_next(&iter, &key, &value))
		if (json_is(key, name))
			found = value;
	return found;
}

bool
json_is(Span string, const char *text)
{
	char	   *own;
	bool		same;

	if (string.at == NULL || *string.at != '"')
		return false;
	if (memchr(string.at, '\\', string.len) == NULL)
		return string.len - 2 == strlen(text) && memcmp(string.at + 1, text, string.len - 2) == 0;
	own = json_text(string);
	same = strcmp(own, text) == 0;
	free(own);
	return same;
}

static unsigned
hex4(const char *p)
{
	unsigned	code = 0;

	for (int i = 0; i < 4; i++)
		code = code * 16 + (p[i] <= '9' ? p[i] - '0' : (p[i] | 0x20) - 'a' + 10);
	return code;
}

static void
add_utf8(Buf *buf, unsigned code)
{
	char		c[4];

	if (code == 0 || (code >= 0xD800 && code < 0xE000))
		code = 0xFFFD;			/* not for a C string */
	if (code < 0x80)
		buf_add(buf, (c[0] = code, c), 1);
	else if (code < 0x800)
		buf_add(buf, (c[0] = 0xC0 | code >> 6, c[1] = 0x80 | (code & 63), c), 2);
	else if (code < 0x10000)
		buf_add(buf, (c[0] = 0xE0 | code >> 12, c[1] = 0x80 | (code >> 6 & 63), c[2] = 0x80 | (code & 63), c), 3);
	else
		buf_add(buf, (c[0] = 0xF0 | code >> 18, c[1] = 0x80 | (code >> 12 & 63),
					  c[2] = 0x80 | (code >> 6 & 63), c[3] = 0x80 | (code & 63), c), 4);
}

/* A string's text; of any other value its JSON. The caller frees it. */
char *
json_text(Span value)
{
	Buf			buf = {0};
	const char *p = value.at + 1;
	const char *end = value.at + value.len - 1;

	if (value.at == NULL)
		return NULL;
	if (*value.at != '"')
		return xstrndup(value.at, value.len);
	buf_reserve(&buf, value.len);
	buf.at[0] = '\0';
	for (; p < end; p++)
	{
		static const char from[] = "\"\\/bfnrt";
		static const char to[] = "\"\\/\b\f\n\r\t";

		if (*p != '\\')
			buf_add(&buf, p, 1);
		else if (*++p != 'u')
			buf_add(&buf, to + (strchr(from, *p) - from), 1);
		else
		{
			unsigned	code = hex4(p + 1);

			p += 4;
			if (code >= 0xD800 && code < 0xDC00 && end - p > 6 && p[1] == '\\' && p[2] == 'u')
			{
				unsigned	low = hex4(p + 3);

				if (low >= 0xDC00 && low < 0xE000)
				{
					code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
					p += 6;
				}
			}
			add_utf8(&buf, code);
		}
	}
	return buf.at;
}

long
json_long(Span value, long otherwise)
{
	char	   *text;
	long		number = otherwise;

	if (value.at == NULL || *value.at == 'n')
		return otherwise;
	text = json_text(value);
	if (strcmp(text, "true") == 0)
		number = 1;
	else if (strcmp(text, "false") == 0)
		number = 0;
	else
		number = strtol(text, NULL, 10);
	free(text);
	return number;
}

bool
json_true(Span value)
{
	return value.at != NULL && *value.at == 't';
}

typedef struct Member
{
	Span		name;
	Span		value;
} Member;

static int
compare_members(const void *a, const void *b)
{
	const Member *x = a;
	const Member *y = b;
	size_t		len = x->name.len < y->name.len ? x->name.len : y->name.len;
	int			order = memcmp(x->name.at, y->name.at, len);

	return order != 0 ? order : (x->name.len > y->name.len) - (x->name.len < y->name.len);
}

static void
canonical_object(Buf *buf, Span value)
{
	Member	   *members = NULL;
	size_t		n = 0;
	JsonIter	iter = json_iter(value);
	Member		member;

	while (json_next(&iter, &member.name, &member.value))
	{
		members = realloc(members, (n + 1) * sizeof(Member));
		if (members == NULL)
			abort();
		members[n++] = member;
	}
	if (n > 0)
		qsort(members, n, sizeof(Member), compare_members);
	buf_text(buf, "{");
	for (size_t i = 0; i < n; i++)
	{
		buf_text(buf, i ? "," : "");
		buf_span(buf, members[i].name);
		buf_text(buf, ":");
		json_canonical(buf, members[i].value);
	}
	buf_text(buf, "}");
	free(members);
}

/* Without blanks, members sorted by name; numbers and strings as written. */
void
json_canonical(Buf *buf, Span value)
{
	JsonIter	iter;
	Span		name;
	Span		element;
	bool		first = true;

	if (*value.at == '{')
		canonical_object(buf, value);
	else if (*value.at == '[')
	{
		iter = json_iter(value);
		buf_text(buf, "[");
		while (json_next(&iter, &name, &element))
		{
			buf_text(buf, first ? "" : ",");
			json_canonical(buf, element);
			first = false;
		}
		buf_text(buf, "]");
	}
	else
		buf_span(buf, value);
}
