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
#define REDACT_PART_MIN_BYTES 12
#define ADDRESS_DELIMITERS "/?&="
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
		forms = add_form(forms, url_form(value, "0123456789ABCDEF"));
		forms = add_form(forms, url_form(value, "0123456789abcdef"));
		forms = add_form(forms, json_form(value));
		forms = add_form(forms, base64_form(value));
		forms = add_parts(forms, value);
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
	return shorter_than(text, destination->secrets);
}

/* The form that begins here, as its length; 0: none. */
static size_t
form_length(List *forms, const char *bytes, size_t left)
{
	ListCell   *cell;

	foreach(cell, forms)
	{
		const char *form = lfirst(cell);
		size_t		len = strlen(form);

		if (*bytes == *form && len <= left && memcmp(bytes, form, len) == 0)
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
