/*-------------------------------------------------------------------------
 *
 * redact.c
 *	  Secrets out of text that comes from outside.
 *
 * A destination or a proxy may send back what it was sent, in an error's
 * text say.  Whatever of that is stored or shown goes through here first:
 * the values themselves are replaced, and the forms in which they travel.
 * Works on UTF-8, in the current memory context, outside transactions too.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>

#include "common/base64.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"

#include "destination.h"

/* Shorter ones stand in half of all texts, and protect nothing. */
#define REDACT_MIN_BYTES 4
#define REDACT_PART_MIN_BYTES 12
#define ADDRESS_DELIMITERS "/?&="
#define MASK "********"

/*
 * Without padding, and without the last letter where it depends on what
 * follows.  Behind other bytes, a user's name say, each of three places gives
 * other letters: so many bytes before, and the letters that depend on them go.
 */
static char *
base64_form(const char *value, int before)
{
	char	   *bytes = psprintf("%.*s%s", before, "::", value);
	int			len = strlen(bytes);
	int			size = pg_b64_enc_len(len) + 1;
	char	   *encoded = palloc(size);
	int			n = pg_b64_encode((const void *) bytes, len, encoded, size);

	encoded[Max(n, 0)] = '\0';
	encoded[len / 3 * 4 + (len % 3)] = '\0';
	return encoded + (before > 0 ? before + 1 : 0);
}

static List *
add_form(List *forms, char *form)
{
	ListCell   *cell;

	if (strlen(form) < REDACT_MIN_BYTES)
		return forms;
	foreach(cell, forms)
	{
		if (strcmp(lfirst(cell), form) == 0)
			return forms;
	}
	return lappend(forms, form);
}

/* The longest first, so that no part of it is left standing. */
static int
by_length(const ListCell *a, const ListCell *b)
{
	size_t		len_a = strlen(lfirst(a));
	size_t		len_b = strlen(lfirst(b));

	return len_a < len_b ? 1 : (len_a > len_b ? -1 : 0);
}

/* Of a secret that is part of an address, what is long enough to be one by itself. */
static List *
add_parts(List *forms, const char *value)
{
	while (*value != '\0')
	{
		size_t		len = strcspn(value, ADDRESS_DELIMITERS);

		if (len >= REDACT_PART_MIN_BYTES)
			forms = add_form(forms, pnstrdup(value, len));
		value += len;
		value += strspn(value, ADDRESS_DELIMITERS);
	}
	return forms;
}

static List *
add_secrets(List *forms, List *secrets)
{
	const char *username = NULL;
	const char *password = NULL;
	ListCell   *cell;

	foreach(cell, secrets)
	{
		const HttpHeader *secret = lfirst(cell);
		char	   *value = secret->value;

		if (strcmp(secret->name, "username") == 0)
			username = value;
		if (strcmp(secret->name, "password") == 0)
			password = value;
		if (strlen(value) < REDACT_MIN_BYTES || strcmp(value, MASK) == 0)
			continue;
		forms = add_form(forms, value);
		for (int before = 0; before < 3; before++)
			forms = add_form(forms, base64_form(value, before));
		forms = add_parts(forms, value);
	}
	/* As basic authentication sends the two. */
	if (username != NULL && password != NULL && strcmp(password, MASK) != 0)
		forms = add_form(forms, base64_form(psprintf("%s:%s", username, password), 0));
	return forms;
}

/* Those that were renewed, and tokens, too: an answer to an earlier request may repeat them. */
static List *
secret_forms(const Destination *destination)
{
	List	   *forms = add_secrets(NIL, destination->secrets);
	ListCell   *cell;

	foreach(cell, destination->old_secrets)
		forms = add_secrets(forms, lfirst(cell));
	foreach(cell, destination->token_secrets)
		forms = add_secrets(forms, lfirst(cell));
	list_sort(forms, by_length);
	return forms;
}

/* No form of a secret is shorter than the secret, but for the parts of an address. */
static bool
shorter_than(const char *text, List *secrets)
{
	size_t		len = strlen(text);
	ListCell   *cell;

	foreach(cell, secrets)
	{
		const char *value = ((HttpHeader *) lfirst(cell))->value;
		size_t		shortest = strlen(value);

		if (value[strcspn(value, ADDRESS_DELIMITERS)] != '\0')
			shortest = Min(shortest, REDACT_PART_MIN_BYTES);
		if (len >= shortest)
			return false;
	}
	return true;
}

static bool
shorter_than_secrets(const Destination *destination, const char *text)
{
	ListCell   *cell;

	foreach(cell, destination->old_secrets)
	{
		if (!shorter_than(text, lfirst(cell)))
			return false;
	}
	foreach(cell, destination->token_secrets)
	{
		if (!shorter_than(text, lfirst(cell)))
			return false;
	}
	return shorter_than(text, destination->secrets);
}

/* So many hexadecimal digits; false: they are none. */
static bool
read_hex(const char *bytes, size_t left, size_t ndigits, pg_wchar *value)
{
	*value = 0;
	if (left < ndigits)
		return false;
	for (size_t i = 0; i < ndigits; i++)
	{
		if (!isxdigit((unsigned char) bytes[i]))
			return false;
		*value = *value * 16 + (isdigit((unsigned char) bytes[i]) ? bytes[i] - '0' : (bytes[i] | 0x20) - 'a' + 10);
	}
	return true;
}

/* As JSON has it, and JSON in a string of JSON: \/ \" \u002b \\u002b */
static size_t
read_backslash(const char *bytes, size_t left, pg_wchar *character)
{
	size_t		at = 0;
	pg_wchar	low;

	while (at < left && bytes[at] == '\\')
		at++;
	if (at == left)
		return 0;
	if (bytes[at] != 'u' || !read_hex(bytes + at + 1, left - at - 1, 4, character))
	{
		static const char letters[] = "nrtbf/\"";
		static const char meant[] = "\n\r\t\b\f/\"";
		const char *letter = strchr(letters, bytes[at]);

		*character = letter != NULL && *letter != '\0' ? meant[letter - letters] : '\\';
		return *character != '\\' ? at + 1 : at > 1 ? 2 : 0;
	}
	at += 5;
	if (is_utf16_surrogate_first(*character) && left - at >= 6 && bytes[at] == '\\' && bytes[at + 1] == 'u' &&
		read_hex(bytes + at + 2, left - at - 2, 4, &low) && is_utf16_surrogate_second(low))
	{
		*character = surrogate_pair_to_codepoint(*character, low);
		at += 6;
	}
	return at;
}

/* As HTML has it: &amp; &#38; &#x26; */
static size_t
read_entity(const char *bytes, size_t left, pg_wchar *character)
{
	static const struct
	{
		const char *name;
		char		meant;
	}			entities[] = {{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''}};
	size_t		at = 2;
	bool		hex = left > 3 && (bytes[2] | 0x20) == 'x';

	for (int i = 0; i < lengthof(entities); i++)
	{
		size_t		len = strlen(entities[i].name);

		if (len <= left && memcmp(bytes, entities[i].name, len) == 0)
		{
			*character = entities[i].meant;
			return len;
		}
	}
	if (left < 4 || bytes[1] != '#')
		return 0;
	*character = 0;
	for (at += hex; at < left && at < 10 && bytes[at] != ';'; at++)
	{
		pg_wchar	digit;

		if (!read_hex(bytes + at, 1, 1, &digit) || (!hex && digit > 9))
			return 0;
		*character = *character * (hex ? 16 : 10) + digit;
	}
	return at < left && bytes[at] == ';' ? at + 1 : 0;
}

/*
 * What stands escaped here, in UTF-8, and how many bytes it takes; 0: nothing
 * does.  Each language escapes other characters, so that whatever may be
 * escaped is looked for.
 */
static size_t
read_escape(const char *bytes, size_t left, char *meant, size_t *meant_len)
{
	pg_wchar	character = 0;
	size_t		taken = 0;

	*meant_len = 1;
	if (*bytes == '%')
	{
		taken = left > 2 && read_hex(bytes + 1, left - 1, 2, &character) ? 3 : 0;
		*meant = (char) character;
		return taken;
	}
	if (*bytes == '+')
	{
		*meant = ' ';
		return 1;
	}
	if (*bytes == '\\')
		taken = read_backslash(bytes, left, &character);
	else if (*bytes == '&')
		taken = read_entity(bytes, left, &character);
	if (taken == 0 || character == 0 || character > 0x10FFFF)
		return 0;
	unicode_to_utf8(character, (unsigned char *) meant);
	*meant_len = pg_utf_mblen((unsigned char *) meant);
	return taken;
}

/* How many bytes the form takes here, with whatever of it is escaped; 0: it does not begin here. */
static size_t
escaped_length(const char *form, const char *bytes, size_t left)
{
	size_t		form_left = strlen(form);
	size_t		at = 0;

	while (form_left > 0)
	{
		char		meant[4];
		size_t		len = 1;
		size_t		taken = at < left ? read_escape(bytes + at, left - at, meant, &len) : 0;

		if (taken == 0 || len > form_left || memcmp(meant, form, len) != 0)
		{
			if (at >= left || bytes[at] != *form)
				return 0;
			taken = len = 1;
		}
		at += taken;
		form += len;
		form_left -= len;
	}
	return at;
}

/* The form that begins here, as its length; 0: none. */
static size_t
form_length(List *forms, const char *bytes, size_t left)
{
	bool		escaped = strchr("%+\\&", *bytes) != NULL;
	ListCell   *cell;

	foreach(cell, forms)
	{
		const char *form = lfirst(cell);
		size_t		len = strlen(form);

		if (*bytes != *form && !escaped)
			continue;
		if (len <= left && memcmp(bytes, form, len) == 0)
			return len;
		len = escaped_length(form, bytes, left);
		if (len > 0)
			return len;
	}
	return 0;
}

char *
act_destination_redact_bytes(const Destination *destination, const char *bytes, size_t len,
							 size_t limit, size_t *written)
{
	List	   *forms = len == 0 ? NIL : secret_forms(destination);
	StringInfoData buf;

	initStringInfo(&buf);
	for (size_t at = 0; at < Min(len, limit);)
	{
		size_t		matched = forms == NIL ? 0 : form_length(forms, bytes + at, len - at);

		if (forms == NIL)
		{
			appendBinaryStringInfo(&buf, bytes, (int) Min(len, limit));
			break;
		}
		if (matched > 0)
			appendStringInfoString(&buf, MASK);
		else
			appendStringInfoChar(&buf, bytes[at]);
		at += Max(matched, 1);
	}
	if (written != NULL)
		*written = buf.len;
	return buf.data;
}

char *
act_destination_redact(const Destination *destination, const char *text)
{
	if (text == NULL)
		return NULL;
	if (shorter_than_secrets(destination, text))
		return pstrdup(text);
	return act_destination_redact_bytes(destination, text, strlen(text), strlen(text), NULL);
}
