/*-------------------------------------------------------------------------
 *
 * filter.c
 *	  What a template can do to a value.
 *
 * Pure functions over bytes: no locale, no catalogs, no transaction.  Upper
 * and lower fold ASCII only, so that a digest taken of the result does not
 * depend on the server.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <openssl/evp.h>

#include "utils/memutils.h"

#include "filter.h"
#include "json_text.h"

static bool
filter_string(const char *argument, const StringInfoData *from, StringInfo to)
{
	appendBinaryStringInfo(to, from->data, from->len);
	return true;
}

static bool
filter_lower(const char *argument, const StringInfoData *from, StringInfo to)
{
	for (int i = 0; i < from->len; i++)
		appendStringInfoCharMacro(to, pg_ascii_tolower((unsigned char) from->data[i]));
	return true;
}

static bool
filter_upper(const char *argument, const StringInfoData *from, StringInfo to)
{
	for (int i = 0; i < from->len; i++)
		appendStringInfoCharMacro(to, pg_ascii_toupper((unsigned char) from->data[i]));
	return true;
}

static bool
is_white(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool
filter_trim(const char *argument, const StringInfoData *from, StringInfo to)
{
	int			start = 0;
	int			end = from->len;

	while (start < end && is_white(from->data[start]))
		start++;
	while (end > start && is_white(from->data[end - 1]))
		end--;
	appendBinaryStringInfo(to, from->data + start, end - start);
	return true;
}

static bool
append_digest(const EVP_MD *kind, const StringInfoData *from, StringInfo to)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned int len;

	if (EVP_Digest(from->data, from->len, digest, &len, kind, NULL) != 1)
		return false;			/* md5 where policy forbids it */
	act_hex_append(to, digest, len);
	return true;
}

static bool
filter_md5(const char *argument, const StringInfoData *from, StringInfo to)
{
	return append_digest(EVP_md5(), from, to);
}

static bool
filter_sha256(const char *argument, const StringInfoData *from, StringInfo to)
{
	return append_digest(EVP_sha256(), from, to);
}

static bool
filter_hex(const char *argument, const StringInfoData *from, StringInfo to)
{
	act_hex_append(to, from->data, from->len);
	return true;
}

static bool
filter_base64(const char *argument, const StringInfoData *from, StringInfo to)
{
	act_base64_append(to, from->data, from->len);
	return true;
}

/* Standard and URL alphabet, padded or not; nothing else in between. */
static bool
append_unbase64(const char *text, size_t len, StringInfo to)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	uint32		bits = 0;
	int			nbits = 0;
	size_t		padding = 0;

	while (padding < 2 && len > 0 && text[len - 1] == '=')
	{
		len--;
		padding++;
	}
	if (len % 4 == 1 || (padding > 0 && (len + padding) % 4 != 0))
		return false;
	for (size_t i = 0; i < len; i++)
	{
		char		c = text[i] == '-' ? '+' : text[i] == '_' ? '/' : text[i];
		const char *found = c == '\0' ? NULL : strchr(alphabet, c);

		if (found == NULL)
			return false;
		bits = (bits << 6) | (uint32) (found - alphabet);
		nbits += 6;
		if (nbits >= 8)
		{
			nbits -= 8;
			appendStringInfoCharMacro(to, (char) ((bits >> nbits) & 0xFF));
		}
	}
	return true;
}

static bool
filter_unbase64(const char *argument, const StringInfoData *from, StringInfo to)
{
	return append_unbase64(from->data, from->len, to);
}

/* A Standard Webhooks secret: base64 behind its prefix, else the key itself. */
static bool
filter_whsec(const char *argument, const StringInfoData *from, StringInfo to)
{
	static const char prefix[] = "whsec_";
	size_t		len = sizeof(prefix) - 1;

	if (from->len < len || memcmp(from->data, prefix, len) != 0)
		return filter_string(argument, from, to);
	return append_unbase64(from->data + len, from->len - len, to) && to->len > 0;
}

static bool
filter_url(const char *argument, const StringInfoData *from, StringInfo to)
{
	static const char digits[] = "0123456789ABCDEF";

	for (int i = 0; i < from->len; i++)
	{
		unsigned char c = (unsigned char) from->data[i];

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			c == '-' || c == '.' || c == '_' || c == '~')
			appendStringInfoCharMacro(to, c);
		else
		{
			appendStringInfoCharMacro(to, '%');
			appendStringInfoCharMacro(to, digits[c >> 4]);
			appendStringInfoCharMacro(to, digits[c & 15]);
		}
	}
	return true;
}

/* What follows the first x; everything where there is none. */
static bool
filter_after(const char *argument, const StringInfoData *from, StringInfo to)
{
	const char *found = strstr(from->data, argument);
	const char *start = found == NULL ? from->data : found + strlen(argument);

	appendBinaryStringInfo(to, start, from->data + from->len - start);
	return true;
}

static const Filter filters[] = {
	{"string", false, filter_string, false, false},
	{"json", false, filter_string, true, false},
	{"lower", false, filter_lower, false, false},
	{"upper", false, filter_upper, false, false},
	{"trim", false, filter_trim, false, false},
	{"md5", false, filter_md5, false, false},
	{"sha256", false, filter_sha256, false, false},
	{"hex", false, filter_hex, false, false},
	{"base64", false, filter_base64, false, false},
	{"unbase64", false, filter_unbase64, false, true},
	{"whsec", false, filter_whsec, false, true},
	{"url", false, filter_url, false, false},
	{"after", true, filter_after, false, false},
};

const Filter *
act_filter_find(const char *name)
{
	for (int i = 0; i < lengthof(filters); i++)
	{
		if (strcmp(filters[i].name, name) == 0)
			return &filters[i];
	}
	return NULL;
}

const char *const *
act_filter_names(void)
{
	const char **names = palloc((lengthof(filters) + 1) * sizeof(char *));

	for (int i = 0; i < lengthof(filters); i++)
		names[i] = filters[i].name;
	names[lengthof(filters)] = NULL;
	return names;
}

void
act_base64_append(StringInfo buf, const void *data, size_t len)
{
	/* EVP_EncodeBlock() counts in int */
	if (len > MaxAllocSize / 2)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("value is too large to be encoded as base64")));
	enlargeStringInfo(buf, (int) (len + 2) / 3 * 4 + 1);
	buf->len += EVP_EncodeBlock((unsigned char *) buf->data + buf->len, data, (int) len);
}

void
act_hex_append(StringInfo buf, const void *data, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *bytes = data;

	for (size_t i = 0; i < len; i++)
	{
		appendStringInfoCharMacro(buf, digits[bytes[i] >> 4]);
		appendStringInfoCharMacro(buf, digits[bytes[i] & 15]);
	}
}
