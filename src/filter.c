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

#include <ctype.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

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

StringInfoData
act_filter_trimmed(const StringInfoData *text)
{
	int			start = 0;
	int			end = text->len;

	while (start < end && is_white(text->data[start]))
		start++;
	while (end > start && is_white(text->data[end - 1]))
		end--;
	return (StringInfoData)
	{
		.data = text->data + start,.len = end - start
	};
}

static bool
filter_trim(const char *argument, const StringInfoData *from, StringInfo to)
{
	StringInfoData trimmed = act_filter_trimmed(from);

	appendBinaryStringInfo(to, trimmed.data, trimmed.len);
	return true;
}

static bool
filter_digits(const char *argument, const StringInfoData *from, StringInfo to)
{
	for (int i = 0; i < from->len; i++)
	{
		if (from->data[i] >= '0' && from->data[i] <= '9')
			appendStringInfoCharMacro(to, from->data[i]);
	}
	return to->len > 0;
}

bool
act_filter_is_digest(const StringInfoData *text)
{
	if (text->len != 64)
		return false;
	for (int i = 0; i < text->len; i++)
	{
		if (!isxdigit((unsigned char) text->data[i]))
			return false;
	}
	return true;
}

/* The digest itself; whoever wants it as text encodes it. */
static bool
append_digest(const EVP_MD *kind, const StringInfoData *from, StringInfo to)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned int len;

	if (EVP_Digest(from->data, from->len, digest, &len, kind, NULL) != 1)
		return false;			/* md5 where policy forbids it */
	appendBinaryStringInfo(to, (char *) digest, len);
	return true;
}

/* In hex digits, in place of the bytes that to ends in. */
static bool
encode_digest(bool made, StringInfo to, int start)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	int			len = to->len - start;

	if (!made)
		return false;
	memcpy(digest, to->data + start, len);
	to->len = start;
	act_hex_append(to, digest, len);
	return true;
}

static bool
md5_raw(const char *argument, const StringInfoData *from, StringInfo to)
{
	return append_digest(EVP_md5(), from, to);
}

static bool
sha256_raw(const char *argument, const StringInfoData *from, StringInfo to)
{
	return append_digest(EVP_sha256(), from, to);
}

static bool
hmac_sha256_raw(const char *argument, const StringInfoData *from, StringInfo to)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned int len = 0;

	if (HMAC(EVP_sha256(), argument, strlen(argument), (unsigned char *) from->data, from->len, digest, &len) == NULL)
		return false;
	appendBinaryStringInfo(to, (char *) digest, len);
	return true;
}

static bool
filter_md5(const char *argument, const StringInfoData *from, StringInfo to)
{
	int			start = to->len;

	return encode_digest(md5_raw(argument, from, to), to, start);
}

static bool
filter_sha256(const char *argument, const StringInfoData *from, StringInfo to)
{
	int			start = to->len;

	return encode_digest(sha256_raw(argument, from, to), to, start);
}

static bool
filter_hmac_sha256(const char *argument, const StringInfoData *from, StringInfo to)
{
	int			start = to->len;

	return encode_digest(hmac_sha256_raw(argument, from, to), to, start);
}

/* Of what was made to be hashed: a digest that came as one stays as it is. */
static bool
sha256_once(const char *argument, const StringInfoData *from, StringInfo to)
{
	return act_filter_is_digest(from) ? filter_lower(argument, from, to) : filter_sha256(argument, from, to);
}

/* The same, where what follows encodes its bytes. */
static bool
sha256_once_raw(const char *argument, const StringInfoData *from, StringInfo to)
{
	if (!act_filter_is_digest(from))
		return sha256_raw(argument, from, to);
	for (int i = 0; i < from->len; i += 2)
	{
		char		pair[3] = {from->data[i], from->data[i + 1], '\0'};

		appendStringInfoCharMacro(to, (char) strtol(pair, NULL, 16));
	}
	return true;
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

/* In the alphabet of URLs, without padding. */
static bool
filter_base64url(const char *argument, const StringInfoData *from, StringInfo to)
{
	int			start = to->len;

	act_base64_append(to, from->data, from->len);
	while (to->len > start && to->data[to->len - 1] == '=')
		to->len--;
	to->data[to->len] = '\0';
	for (char *c = to->data + start; *c != '\0'; c++)
		*c = *c == '+' ? '-' : *c == '/' ? '_' : *c;
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
escape(const char *text, size_t len, StringInfo to)
{
	static const char digits[] = "0123456789ABCDEF";

	for (size_t i = 0; i < len; i++)
	{
		unsigned char c = (unsigned char) text[i];

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

static bool
filter_url(const char *argument, const StringInfoData *from, StringInfo to)
{
	return escape(from->data, from->len, to);
}

/* Slashes stay; what would lead elsewhere, or that not every server takes for the same, does not pass. */
static bool
filter_path(const char *argument, const StringInfoData *from, StringInfo to)
{
	const char *end = from->data + from->len;

	for (const char *at = from->data;; at++)
	{
		const char *slash = memchr(at, '/', end - at);
		size_t		len = (slash == NULL ? end : slash) - at;

		if (len == 0 || (len == 1 && at[0] == '.') || (len == 2 && at[0] == '.' && at[1] == '.'))
			return false;
		escape(at, len, to);
		if (slash == NULL)
			return true;
		appendStringInfoChar(to, '/');
		at = slash;
	}
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

/* What precedes the first x; everything where there is none. */
static bool
filter_before(const char *argument, const StringInfoData *from, StringInfo to)
{
	const char *found = strstr(from->data, argument);

	appendBinaryStringInfo(to, from->data, found == NULL ? from->len : found - from->data);
	return true;
}

/* Not named by documents: what stands for others beside their neighbours. */
static const Filter once_raw_filter = {.name = "sha256",.apply = sha256_once_raw,.makes_bytes = true,.may_fail = true};
static const Filter md5_raw_filter = {.name = "md5",.apply = md5_raw,.makes_bytes = true,.may_fail = true};
static const Filter sha256_raw_filter = {
	.name = "sha256",.apply = sha256_raw,.makes_bytes = true,.once = &once_raw_filter
};
static const Filter sha256_once_filter = {.name = "sha256",.apply = sha256_once,.raw = &once_raw_filter};
static const Filter hmac_raw_filter = {
	.name = "hmac_sha256",.apply = hmac_sha256_raw,.takes_argument = FILTER_SECRET,.makes_bytes = true
};

static const Filter filters[] = {
	{"string",.apply = filter_string},
	{"lower",.apply = filter_lower},
	{"upper",.apply = filter_upper},
	{"trim",.apply = filter_trim},
	{"digits",.apply = filter_digits,.may_fail = true},
	{"after",.apply = filter_after,.takes_argument = FILTER_TEXT},
	{"before",.apply = filter_before,.takes_argument = FILTER_TEXT},
	{"default",.apply = act_filter_default,.takes_argument = FILTER_ANY_TEXT,.wants_json = true,.makes_json = true,.takes_null = true},
	{"nullif",.apply = act_filter_nullif,.takes_argument = FILTER_ANY_TEXT,.wants_json = true,.makes_json = true},
	{"first",.apply = act_filter_first,.wants_json = true,.makes_json = true},
	{"number",.apply = act_filter_number,.makes_json = true,.may_fail = true},
	{"int",.apply = act_filter_int,.makes_json = true,.may_fail = true},
	{"plus",.apply = act_filter_plus,.takes_argument = FILTER_TEXT,.makes_json = true,.may_fail = true},
	{"at_least",.apply = act_filter_at_least,.takes_argument = FILTER_SAVED,.makes_json = true,.may_fail = true},
	{"bool",.apply = act_filter_bool,.makes_json = true,.may_fail = true},
	{"json",.apply = filter_string,.wants_json = true},
	{"strings",.apply = act_filter_strings,.wants_json = true,.makes_json = true},
	{"nest",.apply = act_filter_nest,.takes_argument = FILTER_TEXT,.wants_json = true,.makes_json = true},
	{"join",.apply = act_filter_join,.takes_argument = FILTER_ANY_TEXT,.wants_json = true},
	{"split",.apply = act_filter_split,.takes_argument = FILTER_TEXT,.makes_json = true},
	{"md5",.apply = filter_md5,.may_fail = true,.raw = &md5_raw_filter},
	{"sha256",.apply = filter_sha256,.raw = &sha256_raw_filter,.once = &sha256_once_filter},
	{"hmac_sha256",.apply = filter_hmac_sha256,.takes_argument = FILTER_SECRET,.raw = &hmac_raw_filter},
	{"hex",.apply = filter_hex,.encodes = true},
	{"base64",.apply = filter_base64,.encodes = true},
	{"base64url",.apply = filter_base64url,.encodes = true},
	{"unbase64",.apply = filter_unbase64,.makes_bytes = true,.may_fail = true},
	{"whsec",.apply = filter_whsec,.makes_bytes = true,.may_fail = true},
	{"url",.apply = filter_url,.escapes = true},
	{"path",.apply = filter_path,.may_fail = true,.escapes = true},
	{"epoch",.apply = act_filter_epoch,.makes_json = true,.may_fail = true},
	{"epoch_ms",.apply = act_filter_epoch_ms,.makes_json = true,.may_fail = true},
	{"iso",.apply = act_filter_iso,.may_fail = true},
	{"iso_ms",.apply = act_filter_iso_ms,.may_fail = true},
	{"date",.apply = act_filter_date,.may_fail = true},
	{"email",.apply = act_filter_email,.may_fail = true,.of_people = true},
	{"gmail",.apply = act_filter_gmail,.may_fail = true,.of_people = true},
	{"phone",.apply = act_filter_phone,.may_fail = true,.of_people = true},
	{"e164",.apply = act_filter_e164,.may_fail = true,.of_people = true},
	{"name",.apply = act_filter_person_name,.may_fail = true,.of_people = true},
	{"city",.apply = act_filter_person_name,.may_fail = true,.of_people = true},
	{"state",.apply = act_filter_person_name,.may_fail = true,.of_people = true},
	{"zip",.apply = act_filter_zip,.may_fail = true,.of_people = true},
	{"country",.apply = act_filter_country,.may_fail = true,.of_people = true},
	{"gender",.apply = act_filter_gender,.may_fail = true,.of_people = true},
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
