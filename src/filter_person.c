/*-------------------------------------------------------------------------
 *
 * filter_person.c
 *	  What people are known by, in the form in which ad platforms hash it.
 *
 * The rules are those that the platforms publish; where two differ there are
 * two filters (phone without a plus, e164 with one).  A value that is a
 * SHA-256 already, 64 hex digits, is left as it is, and sha256 after one of
 * these leaves it, too, so that columns that hold digests can be synced.
 * Letters are folded in ASCII only.  A value of which nothing is left is
 * none that the filter can do with.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>

#include "filter.h"

#define MIN_PHONE_DIGITS 7
#define MAX_PHONE_DIGITS 15		/* E.164 */

static bool
append_digest(const StringInfoData *from, StringInfo to)
{
	if (!act_filter_is_digest(from))
		return false;
	for (int i = 0; i < from->len; i++)
		appendStringInfoCharMacro(to, pg_ascii_tolower((unsigned char) from->data[i]));
	return true;
}

/* Trimmed, in lower case; one @ with something on both sides. */
bool
act_filter_email(const char *argument, const StringInfoData *from, StringInfo to)
{
	StringInfoData text = act_filter_trimmed(from);
	const char *at = memchr(text.data, '@', text.len);
	const char *end = text.data + text.len;

	if (append_digest(&text, to))
		return true;
	if (at == NULL || at == text.data || at == end - 1 || memchr(at + 1, '@', end - at - 1) != NULL)
		return false;
	for (int i = 0; i < text.len; i++)
	{
		if (isspace((unsigned char) text.data[i]))
			return false;
		appendStringInfoCharMacro(to, pg_ascii_tolower((unsigned char) text.data[i]));
	}
	return true;
}

/* The same, without the dots that Gmail does not see. */
bool
act_filter_gmail(const char *argument, const StringInfoData *from, StringInfo to)
{
	int			start = to->len;
	const char *at;
	int			kept = start;
	int			local_len;

	if (!act_filter_email(argument, from, to))
		return false;
	at = strchr(to->data + start, '@');
	if (at == NULL || (strcmp(at, "@gmail.com") != 0 && strcmp(at, "@googlemail.com") != 0))
		return true;
	local_len = at - to->data;
	for (int i = start; i < to->len; i++)
	{
		if (i >= local_len || to->data[i] != '.')
			to->data[kept++] = to->data[i];
	}
	to->len = kept;
	to->data[kept] = '\0';
	return to->data[start] != '@';
}

static int
append_digits(const StringInfoData *text, bool with_zeros, StringInfo to)
{
	int			start = to->len;

	for (int i = 0; i < text->len; i++)
	{
		char		c = text->data[i];

		if (c >= '0' && c <= '9' && (with_zeros || to->len > start || c != '0'))
			appendStringInfoCharMacro(to, c);
	}
	return to->len - start;
}

/* Digits alone, without zeros in front: with the country, as Meta wants it. */
bool
act_filter_phone(const char *argument, const StringInfoData *from, StringInfo to)
{
	StringInfoData text = act_filter_trimmed(from);
	int			digits;

	if (append_digest(&text, to))
		return true;
	digits = append_digits(&text, false, to);
	return digits >= MIN_PHONE_DIGITS && digits <= MAX_PHONE_DIGITS;
}

/*
 * A plus and digits, as Google wants it.  A number that does not say its
 * country, by + or 00, would become somebody else's.
 */
bool
act_filter_e164(const char *argument, const StringInfoData *from, StringInfo to)
{
	StringInfoData text = act_filter_trimmed(from);
	int			digits;

	if (append_digest(&text, to))
		return true;
	if (text.len >= 2 && memcmp(text.data, "00", 2) == 0)
		text = (StringInfoData) {.data = text.data + 2,.len = text.len - 2};
	else if (text.len < 1 || *text.data != '+')
		return false;
	appendStringInfoCharMacro(to, '+');
	digits = append_digits(&text, true, to);
	return digits >= MIN_PHONE_DIGITS && digits <= MAX_PHONE_DIGITS && to->data[to->len - digits] != '0';
}

/* Of names and places: lower case, without white space and punctuation of ASCII. */
bool
act_filter_person_name(const char *argument, const StringInfoData *from, StringInfo to)
{
	StringInfoData text = act_filter_trimmed(from);
	int			start = to->len;

	if (append_digest(&text, to))
		return true;
	for (int i = 0; i < text.len; i++)
	{
		unsigned char c = (unsigned char) text.data[i];

		if (c >= 0x80 || isalnum(c))
			appendStringInfoCharMacro(to, pg_ascii_tolower(c));
	}
	return to->len > start;
}

/* Without white space, and without what follows a dash: 94025-1234 */
bool
act_filter_zip(const char *argument, const StringInfoData *from, StringInfo to)
{
	StringInfoData text = act_filter_trimmed(from);
	int			start = to->len;

	if (append_digest(&text, to))
		return true;
	for (int i = 0; i < text.len && text.data[i] != '-'; i++)
	{
		if (!isspace((unsigned char) text.data[i]))
			appendStringInfoCharMacro(to, pg_ascii_tolower((unsigned char) text.data[i]));
	}
	return to->len > start;
}

/* Two letters, ISO 3166-1. */
bool
act_filter_country(const char *argument, const StringInfoData *from, StringInfo to)
{
	StringInfoData text = act_filter_trimmed(from);

	if (append_digest(&text, to))
		return true;
	for (int i = 0; i < text.len; i++)
	{
		char		c = pg_ascii_tolower((unsigned char) text.data[i]);

		if (c < 'a' || c > 'z')
			return false;
		appendStringInfoCharMacro(to, c);
	}
	return text.len == 2;
}

/* f or m */
bool
act_filter_gender(const char *argument, const StringInfoData *from, StringInfo to)
{
	static const char *const words[] = {"f", "m", "female", "male"};
	StringInfoData text = act_filter_trimmed(from);

	if (append_digest(&text, to))
		return true;
	for (int i = 0; i < lengthof(words); i++)
	{
		if (strlen(words[i]) == (size_t) text.len && pg_strncasecmp(words[i], text.data, text.len) == 0)
		{
			appendStringInfoCharMacro(to, *words[i]);
			return true;
		}
	}
	return false;
}
