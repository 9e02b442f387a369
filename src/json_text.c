/*-------------------------------------------------------------------------
 *
 * json_text.c
 *	  JSON and UTF-8 as text: escaping, splicing, no trees.
 *
 * For rendering, which writes each row straight into a request's body, so
 * nothing here allocates but what it appends.  No transaction is needed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "json_text.h"

static const char *skip_white(const char *next, const char *end);
static const char *skip_string(const char *next, const char *end);
static const char *skip_value(const char *next, const char *end);
static bool name_equals(const char *literal, size_t len, const char *name);

void
act_json_append_string(StringInfo buf, const char *text, size_t len)
{
	appendStringInfoCharMacro(buf, '"');
	act_json_append_escaped(buf, text, len);
	appendStringInfoCharMacro(buf, '"');
}

/*
 * How many bytes from the start need no escape.  Eight at a time: a borrow
 * only ever comes out of a byte that needs one itself, so a word is judged
 * right as a whole.
 */
static inline size_t
plain_run(const char *text, size_t len)
{
	const uint64 ones = UINT64CONST(0x0101010101010101);
	size_t		i = 0;

	for (; i + sizeof(uint64) <= len; i += sizeof(uint64))
	{
		uint64		word;
		uint64		quote;
		uint64		backslash;

		memcpy(&word, text + i, sizeof(word));
		quote = word ^ (ones * '"');
		backslash = word ^ (ones * '\\');
		if ((((word - ones * 0x20) & ~word) |
			 ((quote - ones) & ~quote) |
			 ((backslash - ones) & ~backslash)) & (ones * 0x80))
			break;
	}
	for (; i < len; i++)
	{
		unsigned char c = text[i];

		if (c < 0x20 || c == '"' || c == '\\')
			break;
	}
	return i;
}

void
act_json_append_escaped(StringInfo buf, const char *text, size_t len)
{
	static const char *const escapes[0x20] = {
		['\b'] = "\\b", ['\t'] = "\\t", ['\n'] = "\\n",
		['\f'] = "\\f", ['\r'] = "\\r"
	};

	while (len > 0)
	{
		size_t		run = plain_run(text, len);
		unsigned char c;

		appendBinaryStringInfo(buf, text, run);
		text += run;
		len -= run;
		if (len == 0)
			break;

		c = *text++;
		len--;
		if (c == '"')
			appendBinaryStringInfo(buf, "\\\"", 2);
		else if (c == '\\')
			appendBinaryStringInfo(buf, "\\\\", 2);
		else if (escapes[c] != NULL)
			appendBinaryStringInfo(buf, escapes[c], 2);
		else
			appendStringInfo(buf, "\\u%04x", c);
	}
}

bool
act_json_read_hex4(const char *text, const char *end, unsigned int *code)
{
	*code = 0;
	if (end - text < 4)
		return false;
	for (int i = 0; i < 4; i++)
	{
		char		c = text[i];

		if (c >= '0' && c <= '9')
			*code = *code * 16 + (c - '0');
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			*code = *code * 16 + ((c | 0x20) - 'a' + 10);
		else
			return false;
	}
	return true;
}

static void
append_code_point(StringInfo buf, unsigned int code)
{
	if (code < 0x80)
		appendStringInfoChar(buf, (char) code);
	else if (code < 0x800)
		appendStringInfo(buf, "%c%c", 0xC0 | (code >> 6), 0x80 | (code & 0x3F));
	else if (code < 0x10000)
		appendStringInfo(buf, "%c%c%c", 0xE0 | (code >> 12),
						 0x80 | ((code >> 6) & 0x3F), 0x80 | (code & 0x3F));
	else
		appendStringInfo(buf, "%c%c%c%c", 0xF0 | (code >> 18), 0x80 | ((code >> 12) & 0x3F),
						 0x80 | ((code >> 6) & 0x3F), 0x80 | (code & 0x3F));
}

void
act_json_append_unescaped(StringInfo buf, const char *literal, size_t len)
{
	static const char from[] = "bfnrt";
	static const char to[] = "\b\f\n\r\t";
	const char *end = literal + len;
	const char *found;

	if (len < 2 || *literal != '"')
		return;
	literal++;
	end--;
	while (literal < end)
	{
		const char *run = literal;
		unsigned int code;
		unsigned int low;

		while (literal < end && *literal != '\\')
			literal++;
		appendBinaryStringInfo(buf, run, literal - run);
		if (end - literal < 2)
			return;
		literal++;
		if (*literal == 'u' && act_json_read_hex4(literal + 1, end, &code))
		{
			literal += 5;
			if (code >= 0xD800 && code <= 0xDBFF && end - literal >= 6 &&
				literal[0] == '\\' && literal[1] == 'u' && act_json_read_hex4(literal + 2, end, &low) &&
				low >= 0xDC00 && low <= 0xDFFF)
			{
				code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
				literal += 6;
			}
			if (code == 0 || (code >= 0xD800 && code <= 0xDFFF))
				code = 0xFFFD;
			append_code_point(buf, code);
			continue;
		}
		found = *literal == '\0' ? NULL : strchr(from, *literal);
		appendStringInfoChar(buf, found != NULL ? to[found - from] : *literal);
		literal++;
	}
}

bool
act_json_next_member(const char **next, const char *end, JsonMember *member)
{
	const char *at = skip_white(*next, end);

	if (at == end || (*at != '{' && *at != ','))
		return false;
	member->name = skip_white(at + 1, end);
	if (member->name == end || *member->name != '"')
		return false;
	at = skip_string(member->name, end);
	member->name_len = at - member->name;
	at = skip_white(at, end);
	if (at == end || *at != ':')
		return false;
	member->value = skip_white(at + 1, end);
	*next = skip_value(member->value, end);
	member->value_len = *next - member->value;
	return member->value_len > 0;
}

bool
act_json_next_element(const char **next, const char *end, JsonMember *element)
{
	const char *at = skip_white(*next, end);

	if (at == end || (*at != '[' && *at != ','))
		return false;
	memset(element, 0, sizeof(JsonMember));
	element->value = skip_white(at + 1, end);
	if (element->value == end || *element->value == ']')
		return false;
	*next = skip_value(element->value, end);
	element->value_len = *next - element->value;
	return element->value_len > 0;
}

bool
act_json_name_is(const JsonMember *member, const char *name)
{
	return name_equals(member->name, member->name_len, name);
}

void
act_json_append_as_text(StringInfo buf, const char *value, size_t len)
{
	if (len > 0 && (*value == '"' || (len == 4 && memcmp(value, "null", 4) == 0)))
		appendBinaryStringInfo(buf, value, len);
	else
		act_json_append_string(buf, value, len);
}

bool
act_json_find_member(const char *object, size_t len, const char *name,
					 const char **value, size_t *value_len)
{
	const char *end = object + len;
	const char *next = object;
	JsonMember	member;

	while (act_json_next_member(&next, end, &member))
	{
		if (name_equals(member.name, member.name_len, name))
		{
			*value = member.value;
			*value_len = member.value_len;
			return true;
		}
	}
	return false;
}

static bool
name_equals(const char *literal, size_t len, const char *name)
{
	StringInfoData text;
	bool		equal;

	if (len < 2)
		return false;
	if (strncmp(literal + 1, name, len - 2) == 0 && name[len - 2] == '\0')
		return true;
	if (memchr(literal, '\\', len) == NULL)
		return false;
	initStringInfo(&text);
	act_json_append_unescaped(&text, literal, len);
	equal = strcmp(text.data, name) == 0;
	pfree(text.data);
	return equal;
}

static const char *
skip_white(const char *next, const char *end)
{
	while (next < end && (*next == ' ' || *next == '\t' || *next == '\n' || *next == '\r'))
		next++;
	return next;
}

static const char *
skip_string(const char *next, const char *end)
{
	const char *start = next + 1;
	const char *quote = start < end ? memchr(start, '"', end - start) : NULL;

	if (quote != NULL && memchr(start, '\\', quote - start) == NULL)
		return quote + 1;
	for (next++; next < end && *next != '"'; next++)
	{
		if (*next == '\\' && next + 1 < end)
			next++;
	}
	return next < end ? next + 1 : end;
}

static const char *
skip_value(const char *next, const char *end)
{
	int			depth = 0;

	while (next < end)
	{
		if (*next == '"')
		{
			next = skip_string(next, end);
			if (depth == 0)
				return next;
			continue;
		}
		if (*next == '{' || *next == '[')
			depth++;
		else if (*next == '}' || *next == ']')
		{
			if (depth == 0)
				return next;
			if (--depth == 0)
				return next + 1;
		}
		else if (depth == 0 && (*next == ',' || skip_white(next, end) > next))
			return next;
		next++;
	}
	return next;
}

void
act_utf8_append(StringInfo buf, const char *bytes, size_t len)
{
	const char *end = bytes + len;
	const char *run = bytes;

	while (bytes < end)
	{
		int			width = act_utf8_length(bytes, end - bytes);

		if (width > 0)
		{
			bytes += width;
			continue;
		}
		appendBinaryStringInfo(buf, run, bytes - run);
		appendStringInfoString(buf, ACT_UTF8_REPLACEMENT);
		run = ++bytes;
	}
	appendBinaryStringInfo(buf, run, bytes - run);
}

size_t
act_utf8_clip(const char *text, size_t len, size_t limit)
{
	size_t		clipped = limit;

	if (len <= limit)
		return len;
	while (clipped > 0 && limit - clipped < 3 && (text[clipped] & 0xC0) == 0x80)
		clipped--;
	return clipped;
}

int
act_utf8_length(const char *bytes, size_t left)
{
	const unsigned char *b = (const unsigned char *) bytes;
	int			len = b[0] < 0x80 ? 1 : b[0] < 0xC2 ? 0 : b[0] < 0xE0 ? 2 : b[0] < 0xF0 ? 3 :
		b[0] < 0xF5 ? 4 : 0;

	if (len == 0 || b[0] == 0 || left < (size_t) len)
		return 0;
	for (int i = 1; i < len; i++)
	{
		if ((b[i] & 0xC0) != 0x80)
			return 0;
	}
	/* overlong forms, surrogates, beyond U+10FFFF */
	if ((b[0] == 0xE0 && b[1] < 0xA0) || (b[0] == 0xED && b[1] > 0x9F) ||
		(b[0] == 0xF0 && b[1] < 0x90) || (b[0] == 0xF4 && b[1] > 0x8F))
		return 0;
	return len;
}
