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

#include "common/base64.h"
#include "lib/stringinfo.h"
#include "utils/json.h"

#include "destination.h"

/* Shorter ones stand in half of all texts, and protect nothing. */
#define REDACT_MIN_BYTES 4
#define MASK "********"

/* Without padding, and without the last letter where it depends on what follows. */
static char *
base64_form(const char *value)
{
	int			len = strlen(value);
	int			size = pg_b64_enc_len(len) + 1;
	char	   *encoded = palloc(size);
	int			n = pg_b64_encode((const void *) value, len, encoded, size);

	encoded[Max(n, 0)] = '\0';
	encoded[len / 3 * 4 + (len % 3)] = '\0';
	return encoded;
}

static char *
url_form(const char *value, const char *digits)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (const unsigned char *c = (const unsigned char *) value; *c != '\0'; c++)
	{
		if ((*c >= '0' && *c <= '9') || (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
			strchr("-_.~", *c) != NULL)
			appendStringInfoChar(&buf, *c);
		else
		{
			appendStringInfoChar(&buf, '%');
			appendStringInfoChar(&buf, digits[*c >> 4]);
			appendStringInfoChar(&buf, digits[*c & 15]);
		}
	}
	return buf.data;
}

static char *
json_form(const char *value)
{
	StringInfoData buf;

	initStringInfo(&buf);
	escape_json(&buf, value);
	buf.data[buf.len - 1] = '\0';
	return buf.data + 1;
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
		forms = add_form(forms, url_form(value, "0123456789ABCDEF"));
		forms = add_form(forms, url_form(value, "0123456789abcdef"));
		forms = add_form(forms, json_form(value));
		forms = add_form(forms, base64_form(value));
	}
	/* As basic authentication sends the two. */
	if (username != NULL && password != NULL && strcmp(password, MASK) != 0)
		forms = add_form(forms, base64_form(psprintf("%s:%s", username, password)));
	return forms;
}

/* Those that were renewed, too: an answer to an earlier request may repeat them. */
static List *
secret_forms(const Destination *destination)
{
	List	   *forms = add_secrets(NIL, destination->secrets);
	ListCell   *cell;

	foreach(cell, destination->old_secrets)
		forms = add_secrets(forms, lfirst(cell));
	list_sort(forms, by_length);
	return forms;
}

/* No form of a secret is shorter than the secret. */
static bool
shorter_than(const char *text, List *secrets)
{
	size_t		len = strlen(text);
	ListCell   *cell;

	foreach(cell, secrets)
	{
		if (len >= strlen(((HttpHeader *) lfirst(cell))->value))
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
	return shorter_than(text, destination->secrets);
}

char *
act_destination_redact(const Destination *destination, const char *text)
{
	List	   *forms;
	StringInfoData buf;

	if (text == NULL)
		return NULL;
	if (shorter_than_secrets(destination, text))
		return pstrdup(text);
	forms = secret_forms(destination);
	if (forms == NIL)
		return pstrdup(text);

	initStringInfo(&buf);
	while (*text != '\0')
	{
		size_t		matched = 0;
		ListCell   *cell;

		foreach(cell, forms)
		{
			const char *form = lfirst(cell);

			if (*text == *form && strncmp(text, form, strlen(form)) == 0)
			{
				matched = strlen(form);
				break;
			}
		}
		if (matched > 0)
			appendStringInfoString(&buf, MASK);
		else
			appendStringInfoChar(&buf, *text);
		text += Max(matched, 1);
	}
	return buf.data;
}
