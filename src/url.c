/*-------------------------------------------------------------------------
 *
 * url.c
 *	  URLs that somebody typed, as an option or in a document.
 *
 * Stricter than the network library that gets them later: where two readers
 * could differ about which host a URL names (user info, backslashes, escapes
 * in the host), a credential bound to one host would go to another.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "url.h"

typedef struct Url
{
	bool		tls;
	const char *host;			/* brackets of an IPv6 address included */
	int			host_len;
	int			port;
} Url;

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

static const char *
parse_port(const char *c, const char *end, int *port)
{
	*port = 0;
	if (c == end || end - c > 5)
		return "its port is not a number from 1 to 65535";
	for (; c < end; c++)
	{
		if (*c < '0' || *c > '9')
			return "its port is not a number from 1 to 65535";
		*port = *port * 10 + (*c - '0');
	}
	return *port >= 1 && *port <= 65535 ? NULL : "its port is not a number from 1 to 65535";
}

/* Returns what is wrong, or NULL. */
static const char *
parse(const char *text, Url *url)
{
	const char *end;

	for (const unsigned char *c = (const unsigned char *) text; *c != '\0'; c++)
	{
		if (*c <= ' ' || *c >= 0x7f || strchr("\\\"<>^`{|}", *c) != NULL)
			return "it contains characters that need escaping";
	}
	if (pg_strncasecmp(text, "https://", 8) == 0)
		url->tls = true;
	else if (pg_strncasecmp(text, "http://", 7) == 0)
		url->tls = false;
	else
		return "it does not begin with https:// or http://";
	url->host = text + (url->tls ? 8 : 7);
	url->port = url->tls ? 443 : 80;

	if (strchr(text, '#') != NULL)
		return "it has a fragment";
	end = url->host + strcspn(url->host, "/?");
	if (memchr(url->host, '@', end - url->host) != NULL)
		return "it contains a user name or password, and everybody can read the options of a server";

	if (*url->host == '[')
	{
		url->host_len = 1 + strspn(url->host + 1, "0123456789abcdefABCDEF:.");
		if (url->host[url->host_len] != ']' || url->host_len < 3)
			return "its IPv6 address is malformed";
		url->host_len++;
	}
	else
		url->host_len = strspn(url->host, "0123456789-._" LETTERS);
	if (url->host_len == 0 || *url->host == '.')
		return "it names no host";
	if (url->host + url->host_len == end)
		return NULL;
	if (url->host[url->host_len] != ':')
		return "its host contains other characters than letters, digits, \"-\", \"_\" and \".\"";
	return parse_port(url->host + url->host_len + 1, end, &url->port);
}

const char *
act_url_problem(const char *url)
{
	Url			parsed;

	return parse(url, &parsed);
}

const char *
act_url_host_problem(const char *host)
{
	if (strcspn(host, "/?#") != strlen(host))
		return "it has more than the name of a host";
	return act_url_problem(psprintf("https://%s", host));
}

bool
act_url_is_label(const char *text)
{
	return strspn(text, "0123456789-" LETTERS) == strlen(text);
}

/* One segment of a path is "." or "..", which some readers resolve, escaped too. */
static bool
is_dots(const char *segment, size_t len)
{
	int			dots = 0;

	while (len > 0)
	{
		size_t		used = *segment == '.' ? 1 : len >= 3 && pg_strncasecmp(segment, "%2e", 3) == 0 ? 3 : 0;

		if (used == 0)
			return false;
		segment += used;
		len -= used;
		dots++;
	}
	return dots == 1 || dots == 2;
}

const char *
act_url_suffix_problem(const char *suffix)
{
	static const char hexadecimal[] = "0123456789abcdefABCDEF";
	size_t		path_len;

	suffix += strspn(suffix, "/");
	if (*suffix == '\0')
		return "is empty";
	if (strstr(suffix, "://") != NULL)
		return "is a whole address; what follows base_url is expected";
	path_len = strcspn(suffix, "?");
	for (const char *c = suffix; *c != '\0'; c++)
	{
		if (*c == '%' && c[1] != '\0' && strchr(hexadecimal, c[1]) != NULL &&
			c[2] != '\0' && strchr(hexadecimal, c[2]) != NULL)
			continue;
		if (strchr("0123456789-._~!$&'()*+,;=:@/?" LETTERS, *c) == NULL)
			return "contains characters that an address has only escaped";
	}
	for (size_t at = 0; at < path_len;)
	{
		size_t		len = Min(strcspn(suffix + at, "/"), path_len - at);

		if (is_dots(suffix + at, len))
			return "contains \".\" or \"..\" as a part of the path";
		at += len + 1;
	}
	return NULL;
}

/*
 * The scheme is part of it: a credential stored for https must not go out in
 * clear because somebody changed one letter.
 */
char *
act_url_origin(const char *url)
{
	Url			parsed;
	char	   *host;

	if (parse(url, &parsed) != NULL)
		return NULL;
	host = pnstrdup(parsed.host, parsed.host_len);
	for (char *c = host; *c != '\0'; c++)
		*c = pg_ascii_tolower(*c);
	if (parsed.host_len > 1 && host[parsed.host_len - 1] == '.')
		host[parsed.host_len - 1] = '\0';
	return psprintf("%s://%s:%d", parsed.tls ? "https" : "http", host, parsed.port);
}

/* Not isalnum(): in locales of one byte it takes parts of UTF-8 for letters. */
bool
act_url_unreserved(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		c == '-' || c == '.' || c == '_' || c == '~';
}

void
act_url_append(StringInfo out, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
	{
		unsigned char c = text[i];

		if (c <= ' ' || c >= 0x7F || strchr("\"#<>\\^`{|}", c) != NULL)
			appendStringInfo(out, "%%%02X", c);
		else
			appendStringInfoChar(out, c);
	}
}
