/*-------------------------------------------------------------------------
 *
 * refused_field.c
 *	  The field that a refusal is about, where it names one.
 *
 * Destinations say it in words of their own ("unknown property 'city'",
 * "/fields/city: must be a string"), so the names of the fields that were
 * sent are looked for in them.  Called for one row when a run stops.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "refused_field.h"

typedef enum Naming
{
	NAMING_NONE,
	NAMING_WORD,
	NAMING_QUOTED				/* or a part of a JSON pointer */
} Naming;

static bool
is_word(char c)
{
	return IS_HIGHBIT_SET(c) || c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* How a text names the field best. */
static Naming
naming(const char *text, const char *field)
{
	size_t		len = strlen(field);
	Naming		best = NAMING_NONE;

	if (text == NULL)
		return NAMING_NONE;
	for (const char *at = strstr(text, field); at != NULL; at = strstr(at + 1, field))
	{
		char		before = at == text ? ' ' : at[-1];
		char		after = at[len];

		if (is_word(before) || is_word(after))
			continue;
		if (before == '/' || (strchr("\"'`", before) != NULL && after == before))
			return NAMING_QUOTED;
		best = NAMING_WORD;
	}
	return best;
}

/* The end of a string of JSON that begins at its quote. */
static const char *
string_end(const char *p)
{
	for (p++; *p != '\0' && *p != '"'; p++)
	{
		if (*p == '\\' && p[1] != '\0')
			p++;
	}
	return p;
}

/* The next name of the object, NULL: no more.  Those with escapes are passed over. */
static char *
next_name(const char **json, int *depth)
{
	for (const char *p = *json; *p != '\0'; p++)
	{
		const char *end;

		if (*p == '{' || *p == '[')
			(*depth)++;
		else if (*p == '}' || *p == ']')
			(*depth)--;
		if (*p != '"')
			continue;
		end = string_end(p);
		if (*end == '\0')
			break;
		if (*depth == 1 && end[1 + strspn(end + 1, " ")] == ':' && end > p + 1 &&
			memchr(p, '\\', end - p) == NULL)
		{
			*json = end + 1;
			return pnstrdup(p + 1, end - p - 1);
		}
		p = end;
	}
	return NULL;
}

char *
act_refused_field(const Row *row)
{
	const char *json = row->fields;
	char	   *found[NAMING_QUOTED + 1] = {NULL};
	int			count[NAMING_QUOTED + 1] = {0};
	int			depth = 0;
	char	   *name;

	if (json == NULL)
		return NULL;
	while ((name = next_name(&json, &depth)) != NULL)
	{
		Naming		how = Max(naming(row->code, name), naming(row->message, name));

		found[how] = name;
		count[how]++;
	}
	if (count[NAMING_QUOTED] > 0)
		return count[NAMING_QUOTED] == 1 ? found[NAMING_QUOTED] : NULL;
	return count[NAMING_WORD] == 1 ? found[NAMING_WORD] : NULL;
}
