/*-------------------------------------------------------------------------
 *
 * aws_signature.c
 *	  AWS Signature Version 4 of a request.
 *
 * Ours rather than CURLOPT_AWS_SIGV4: what libcurl 7.88.1 sends was captured
 * and signed again.  Its signature is wrong where parameters are not in their
 * order or one has no "=", and where a path has escapes and the service is not
 * S3 (they are to be escaped a second time there); and it never sends
 * x-amz-content-sha256, without which S3 takes nothing.  What is signed here is
 * held against published vectors.
 *
 * Called for each try by connector_auth.c; touches neither database nor
 * network.  Results are in the current memory context.  Throws XX000 where
 * OpenSSL has no SHA-256.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <time.h>

#include "aws_signature.h"
#include "filter.h"
#include "url.h"

#define HASH_BYTES 32
#define DAY_LETTERS 8			/* of a time, those that name the day */

static void
report_missing_hash(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_INTERNAL_ERROR), errmsg("SHA-256 is not available")));
}

static char *
hex_hash(const char *bytes, size_t len)
{
	unsigned char hash[EVP_MAX_MD_SIZE];
	StringInfoData hex;

	if (EVP_Digest(bytes, len, hash, NULL, EVP_sha256(), NULL) != 1)
		report_missing_hash();
	initStringInfo(&hex);
	act_hex_append(&hex, hash, HASH_BYTES);
	return hex.data;
}

/* key = HMAC(key, text), in place */
static void
derive(unsigned char *key, size_t key_len, const char *text, size_t len)
{
	unsigned char result[EVP_MAX_MD_SIZE];

	if (HMAC(EVP_sha256(), key, (int) key_len, (const unsigned char *) text, len, result, NULL) == NULL)
		report_missing_hash();
	memcpy(key, result, HASH_BYTES);
	explicit_bzero(result, sizeof(result));
}

char *
act_aws_time(int64 now_s)
{
	time_t		seconds = (time_t) now_s;
	struct tm	parts;

	if (gmtime_r(&seconds, &parts) == NULL)
		elog(ERROR, "could not convert the time");
	return psprintf("%04d%02d%02dT%02d%02d%02dZ", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday,
					parts.tm_hour, parts.tm_min, parts.tm_sec);
}

char *
act_aws_body_hash(const HttpRequest *request)
{
	return request->body == NULL ? hex_hash("", 0) : hex_hash(request->body, request->body_len);
}

/* Where the authority ends. */
static const char *
after_host(const char *url)
{
	const char *host = strstr(url, "://");

	host = host == NULL ? url : host + 3;
	return host + strcspn(host, "/?#");
}

char *
act_aws_host(const char *url)
{
	const char *host = strstr(url, "://");
	bool		https = pg_strncasecmp(url, "https:", 6) == 0;
	const char *standard = https ? ":443" : ":80";
	size_t		len;
	char	   *copy;

	host = host == NULL ? url : host + 3;
	copy = pnstrdup(host, after_host(url) - host);
	if (strrchr(copy, '@') != NULL)
		copy = strrchr(copy, '@') + 1;
	len = strlen(copy);
	if (len > strlen(standard) && strcmp(copy + len - strlen(standard), standard) == 0)
		copy[len - strlen(standard)] = '\0';
	for (char *c = copy; *c != '\0'; c++)
		*c = (char) pg_ascii_tolower((unsigned char) *c);
	return copy;
}

static void
append_encoded(StringInfo buf, unsigned char c)
{
	if (act_url_unreserved(c))
		appendStringInfoChar(buf, (char) c);
	else
		appendStringInfo(buf, "%%%02X", c);
}

static bool
is_escape(const char *c, const char *end)
{
	return *c == '%' && end - c > 2 && isxdigit((unsigned char) c[1]) && isxdigit((unsigned char) c[2]);
}

/* What is escaped stays so, in capitals; what should be, will be. */
static void
append_once(StringInfo buf, const char *text, size_t len, const char *kept)
{
	const char *end = text + len;

	for (const char *c = text; c < end; c++)
	{
		if (is_escape(c, end))
		{
			char		digits[3] = {c[1], c[2], '\0'};
			unsigned char byte = (unsigned char) strtol(digits, NULL, 16);

			if (act_url_unreserved(byte))
				appendStringInfoChar(buf, (char) byte);
			else
				appendStringInfo(buf, "%%%02X", byte);
			c += 2;
		}
		else if (strchr(kept, *c) != NULL)
			appendStringInfoChar(buf, *c);
		else
			append_encoded(buf, (unsigned char) *c);
	}
}

/* S3 takes a path as it was sent; all others escape it a second time, and know no empty segments. */
static void
append_path(StringInfo buf, const char *service, const char *path, size_t len)
{
	StringInfoData once;
	bool		is_s3 = strcmp(service, "s3") == 0;

	if (len == 0)
	{
		appendStringInfoChar(buf, '/');
		return;
	}
	initStringInfo(&once);
	append_once(&once, path, len, "/");
	for (int i = 0; i < once.len; i++)
	{
		if (is_s3)
			appendStringInfoChar(buf, once.data[i]);
		else if (once.data[i] != '/')
			append_encoded(buf, (unsigned char) once.data[i]);
		else if (i == 0 || once.data[i - 1] != '/')
			appendStringInfoChar(buf, '/');
	}
}

static int
by_text(const ListCell *a, const ListCell *b)
{
	return strcmp(lfirst(a), lfirst(b));
}

/* By name, then by value.  NUL, which is in neither, stands for "=" meanwhile: it sorts first. */
static int
by_parameter(const ListCell *a, const ListCell *b)
{
	const char *one = lfirst(a);
	const char *other = lfirst(b);
	int			order = strcmp(one, other);

	return order != 0 ? order : strcmp(one + strlen(one) + 1, other + strlen(other) + 1);
}

static void
append_query(StringInfo buf, const char *query)
{
	List	   *parameters = NIL;
	ListCell   *cell;
	bool		first = true;

	while (*query != '\0' && *query != '#')
	{
		size_t		len = strcspn(query, "&#");
		size_t		name_len = Min(strcspn(query, "="), len);
		size_t		value_at = Min(name_len + 1, len);
		StringInfoData parameter;

		if (len > 0)
		{
			initStringInfo(&parameter);
			append_once(&parameter, query, name_len, "");
			appendStringInfoChar(&parameter, '\0');
			append_once(&parameter, query + value_at, len - value_at, "");
			parameters = lappend(parameters, parameter.data);
		}
		query += len;
		query += *query == '&';
	}
	list_sort(parameters, by_parameter);
	foreach(cell, parameters)
	{
		const char *parameter = lfirst(cell);

		appendStringInfo(buf, "%s%s=%s", first ? "" : "&", parameter, parameter + strlen(parameter) + 1);
		first = false;
	}
}

/* name:value, the name in small letters, the value without needless blanks. */
static char *
canonical_header(const HttpHeader *header)
{
	StringInfoData line;
	bool		blank = false;

	initStringInfo(&line);
	for (const char *c = header->name; *c != '\0'; c++)
		appendStringInfoChar(&line, (char) pg_ascii_tolower((unsigned char) *c));
	appendStringInfoChar(&line, ':');
	for (const char *c = header->value; *c != '\0'; c++)
	{
		if (*c == ' ' || *c == '\t')
			blank = line.data[line.len - 1] != ':';
		else
		{
			if (blank)
				appendStringInfoChar(&line, ' ');
			blank = false;
			appendStringInfoChar(&line, *c);
		}
	}
	return line.data;
}

/* Appends method, path, query, headers and body as they are signed; returns the names of the headers. */
static char *
append_request(StringInfo buf, const AwsSigning *signing, const HttpRequest *request, List *headers)
{
	const char *path = after_host(request->url);
	size_t		path_len = strcspn(path, "?#");
	List	   *lines = NIL;
	StringInfoData names;
	ListCell   *cell;

	appendStringInfo(buf, "%s\n", request->method);
	append_path(buf, signing->service, path, path_len);
	appendStringInfoChar(buf, '\n');
	if (path[path_len] == '?')
		append_query(buf, path + path_len + 1);
	appendStringInfoChar(buf, '\n');
	foreach(cell, headers)
		lines = lappend(lines, canonical_header(lfirst(cell)));
	list_sort(lines, by_text);
	initStringInfo(&names);
	foreach(cell, lines)
	{
		const char *line = lfirst(cell);

		appendStringInfo(buf, "%s\n", line);
		appendStringInfo(&names, "%s%.*s", names.len > 0 ? ";" : "", (int) strcspn(line, ":"), line);
	}
	appendStringInfo(buf, "\n%s\n%s", names.data, act_aws_body_hash(request));
	return names.data;
}

char *
act_aws_signature(const AwsSigning *signing, const HttpRequest *request, List *headers)
{
	StringInfoData canonical;
	StringInfoData text;
	StringInfoData signature;
	unsigned char key[EVP_MAX_MD_SIZE];
	char	   *day = pnstrdup(signing->time, DAY_LETTERS);
	char	   *scope = psprintf("%s/%s/%s/aws4_request", day, signing->region, signing->service);
	char	   *secret = psprintf("AWS4%s", signing->secret_key);
	char	   *names;

	initStringInfo(&canonical);
	names = append_request(&canonical, signing, request, headers);
	initStringInfo(&text);
	appendStringInfo(&text, "AWS4-HMAC-SHA256\n%s\n%s\n%s", signing->time, scope,
					 hex_hash(canonical.data, canonical.len));

	if (HMAC(EVP_sha256(), secret, (int) strlen(secret), (const unsigned char *) day, strlen(day), key, NULL) == NULL)
		report_missing_hash();
	explicit_bzero(secret, strlen(secret));
	derive(key, HASH_BYTES, signing->region, strlen(signing->region));
	derive(key, HASH_BYTES, signing->service, strlen(signing->service));
	derive(key, HASH_BYTES, "aws4_request", strlen("aws4_request"));
	derive(key, HASH_BYTES, text.data, text.len);
	initStringInfo(&signature);
	act_hex_append(&signature, key, HASH_BYTES);
	explicit_bzero(key, sizeof(key));
	return psprintf("AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s",
					signing->access_key, scope, names, signature.data);
}
