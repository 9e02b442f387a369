/*-------------------------------------------------------------------------
 *
 * object_pattern.c
 *	  Names of objects with parts: "lists/{list}/members".
 *
 * {name} stands for one or more characters but '/', {name...} for those with
 * it, too.  Between two parts there is text, and a part ends where that first
 * stands again, the last one where the object ends with it; nothing is ever
 * tried twice.  Allocates in the current memory context; nothing throws but
 * for want of memory.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "connector_object.h"
#include "http.h"

static const char rest_mark[] = "...";

static bool
is_name(const char *name, size_t len)
{
	for (size_t i = 0; i < len; i++)
	{
		if (!(name[i] >= 'a' && name[i] <= 'z') && !(name[i] >= '0' && name[i] <= '9') && name[i] != '_')
			return false;
	}
	return len > 0 && len < NAMEDATALEN;
}

/* The length of the name in "{name...}", which ends at close. */
static size_t
name_length(const char *open, const char *close, bool *is_rest)
{
	size_t		len = close - open - 1;
	size_t		mark = strlen(rest_mark);

	*is_rest = len > mark && strncmp(close - mark, rest_mark, mark) == 0;
	return *is_rest ? len - mark : len;
}

const char *
act_object_pattern_problem(const char *pattern)
{
	const char *at = pattern;
	const char *after_part = NULL;

	if (*pattern == '\0')
		return "an empty name";
	while (*at != '\0')
	{
		const char *close = strchr(at, '}');
		bool		is_rest;
		size_t		len;

		if (*at == '}')
			return "\"}\" without \"{\"";
		if (*at != '{')
		{
			at++;
			continue;
		}
		if (close == NULL)
			return "\"{\" without \"}\"";
		if (at == after_part)
			return "two parts with no text between them";
		len = name_length(at, close, &is_rest);
		if (!is_name(at + 1, len))
			return "a part whose name is no plain identifier";
		for (const char *other = strchr(pattern, '{'); other < at; other = strchr(other + 1, '{'))
		{
			if (strncmp(other + 1, at + 1, len) == 0 && (other[len + 1] == '}' || other[len + 1] == '.'))
				return "a part given twice";
		}
		at = after_part = close + 1;
	}
	return NULL;
}

static void
add_part(List **parts, const char *name, size_t name_len, const char *value, size_t len)
{
	HttpHeader *part = palloc(sizeof(HttpHeader));

	part->name = pnstrdup(name, name_len);
	part->value = pnstrdup(value, len);
	*parts = lappend(*parts, part);
}

/* Where the part that begins at text ends; literal is what follows it in the pattern. NULL: nowhere. */
static const char *
part_end(const char *text, const char *literal, size_t literal_len, bool last)
{
	size_t		len = strlen(text);

	if (last)
	{
		if (len <= literal_len || strncmp(text + len - literal_len, literal, literal_len) != 0)
			return NULL;
		return text + len - literal_len;
	}
	for (const char *end = text + 1; end <= text + len; end++)
	{
		if (strncmp(end, literal, literal_len) == 0)
			return end;
	}
	return NULL;
}

bool
act_object_fits(const char *pattern, const char *object, List **parts)
{
	*parts = NIL;
	for (;;)
	{
		const char *open = strchr(pattern, '{');
		size_t		literal_len = open == NULL ? strlen(pattern) : open - pattern;
		const char *close;
		const char *next;
		const char *end;
		size_t		name_len;
		bool		is_rest;

		if (strncmp(pattern, object, literal_len) != 0)
			return false;
		object += literal_len;
		if (open == NULL)
			return *object == '\0';
		close = strchr(open, '}');
		name_len = name_length(open, close, &is_rest);
		pattern = close + 1;
		next = strchr(pattern, '{');
		end = *object == '\0' ? NULL :
			part_end(object, pattern, next == NULL ? strlen(pattern) : next - pattern, next == NULL);
		if (end == NULL || (!is_rest && memchr(object, '/', end - object) != NULL))
			return false;
		add_part(parts, open + 1, name_len, object, end - object);
		object = end;
	}
}
