/*-------------------------------------------------------------------------
 *
 * address.c
 *	  Where requests may go: pg_activate.allowed_hosts against host names and
 *	  the addresses they turn out to be.
 *
 * Deliberately without postgres.h: called from callbacks of libcurl, where
 * nothing may throw or allocate, and compiled by itself into a unit test.
 *
 * IPv6 has several ways to say an IPv4 address.  All of them are judged, and
 * looked up in the list, as the IPv4 address they lead to.
 *
 *-------------------------------------------------------------------------
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "address.h"

/* The longest name DNS can hold. */
#define MAX_HOST	253

/* An IPv4 or IPv6 address without its wrappings. */
typedef struct Address
{
	int			bits;			/* 32 or 128; 0: neither */
	unsigned char bytes[16];
} Address;

typedef enum EntryKind
{
	ENTRY_ANY,					/* '*' */
	ENTRY_HOST,					/* 'host' */
	ENTRY_BELOW,				/* '*.domain': text is '.domain' */
	ENTRY_NETWORK				/* an address, or a network in CIDR notation */
} EntryKind;

typedef struct Entry
{
	EntryKind	kind;
	int			port;			/* 0: any */
	char		text[MAX_HOST + 2];	/* a name, the dot in front of a domain */
	Address		network;
	int			prefix;
} Entry;

typedef struct Range
{
	unsigned char bytes[16];
	int			prefix;
	const char *kind;
} Range;

/* IANA's special-purpose registries, as far as a connection could be tried. */
static const Range ipv4_ranges[] = {
	{{169, 254, 169, 254}, 32, "metadata"},
	{{0}, 8, "unspecified"},
	{{10}, 8, "private"},
	{{100, 64}, 10, "private"},
	{{127}, 8, "loopback"},
	{{169, 254}, 16, "link-local"},
	{{172, 16}, 12, "private"},
	{{192, 0, 0}, 24, "reserved"},
	{{192, 0, 2}, 24, "reserved"},
	{{192, 168}, 16, "private"},
	{{198, 18}, 15, "private"},
	{{198, 51, 100}, 24, "reserved"},
	{{203, 0, 113}, 24, "reserved"},
	{{224}, 4, "multicast"},
	{{255, 255, 255, 255}, 32, "broadcast"},
	{{240}, 4, "reserved"},
	{{0}, 0, NULL}
};

static const Range ipv6_ranges[] = {
	{{[15] = 0}, 128, "unspecified"},
	{{[15] = 1}, 128, "loopback"},
	{{0xfd, 0, 0x0e, 0xc2, [14] = 0x02, [15] = 0x54}, 128, "metadata"},
	{{0x00, 0x64, 0xff, 0x9b, 0x00, 0x01}, 48, "private"},
	{{0x01, 0x00}, 64, "reserved"},
	{{0x20, 0x01, 0x00}, 23, "reserved"},
	{{0x20, 0x01, 0x0d, 0xb8}, 32, "reserved"},
	{{0x3f, 0xff}, 20, "reserved"},
	{{0x5f, 0x00}, 16, "reserved"},
	{{0xfc}, 7, "private"},
	{{0xfe, 0x80}, 10, "link-local"},
	{{0xfe, 0xc0}, 10, "private"},
	{{0xff}, 8, "multicast"},
	{{0}, 0, NULL}
};

/* IPv6 prefixes that carry an IPv4 address, and where in it. */
static const struct
{
	unsigned char bytes[16];
	int			prefix;
	int			offset;
}			ipv4_carriers[] = {
	{{[10] = 0xff, [11] = 0xff}, 96, 12},	/* mapped, ::ffff:a.b.c.d */
	{{[8] = 0xff, [9] = 0xff}, 96, 12}, /* translated, ::ffff:0:a.b.c.d */
	{{0}, 96, 12},				/* compatible, ::a.b.c.d */
	{{0x00, 0x64, 0xff, 0x9b}, 96, 12}, /* NAT64 */
	{{0x20, 0x02}, 16, 2}		/* 6to4 */
};

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static bool entry_next(const char **list, Entry *entry, const char **problem,
					   const char **start, size_t *len);
static bool entry_parse(const char *start, size_t len, Entry *entry,
						const char **problem);
static bool entry_port(const char *text, int *port, const char **problem);
static bool entry_name(char *text, Entry *entry, const char **problem);
static bool entry_network(char *text, Entry *entry, const char **problem);
static bool entry_has_host(const Entry *entry, const char *host, int port);
static bool entry_has_address(const Entry *entry, const Address *address, int port);
static bool address_read(const char *text, Address *address);
static Address address_of(const struct sockaddr *sockaddr);
static Address address_unwrapped(Address address);
static const char *address_kind(Address address);
static bool prefix_equal(const unsigned char *a, const unsigned char *b, int prefix);

bool
act_address_list_valid(const char *list, char **problem)
{
	const char *reason = NULL;
	const char *start;
	size_t		len;
	Entry		entry;

	*problem = NULL;
	while (entry_next(&list, &entry, &reason, &start, &len))
	{
		if (reason != NULL)
		{
			size_t		size = len + strlen(reason) + 8;

			*problem = malloc(size);
			if (*problem != NULL)
				snprintf(*problem, size, "\"%.*s\": %s", (int) len, start, reason);
			return false;
		}
	}
	return true;
}

bool
act_address_allowed(const char *list, const char *host, int port,
					const struct sockaddr *sockaddr)
{
	Address		address = address_of(sockaddr);
	const char *problem;
	const char *start;
	size_t		len;
	Entry		entry;

	/* A local socket, or what else there may be, is nobody's destination. */
	if (address.bits == 0)
		return false;
	if (address_kind(address) == NULL)
		return true;
	while (entry_next(&list, &entry, &problem, &start, &len))
	{
		if (problem == NULL &&
			(entry_has_host(&entry, host, port) ||
			 entry_has_address(&entry, &address, port)))
			return true;
	}
	return false;
}

bool
act_address_scheme_allowed(const char *list, const char *scheme,
						   const char *host, int port)
{
	Address		address;
	bool		literal;
	const char *problem;
	const char *start;
	size_t		len;
	Entry		entry;

	if (strcasecmp(scheme, "https") == 0)
		return true;
	if (strcasecmp(scheme, "http") != 0)
		return false;
	literal = address_read(host, &address);
	while (entry_next(&list, &entry, &problem, &start, &len))
	{
		if (problem == NULL &&
			(entry_has_host(&entry, host, port) ||
			 (literal && entry_has_address(&entry, &address, port))))
			return true;
	}
	return false;
}

const char *
act_address_kind(const struct sockaddr *sockaddr)
{
	Address		address = address_of(sockaddr);

	return address.bits == 0 ? "unsupported" : address_kind(address);
}

void
act_address_text(const struct sockaddr *sockaddr, char *text, size_t size)
{
	const void *bytes = NULL;

	if (sockaddr->sa_family == AF_INET)
		bytes = &((const struct sockaddr_in *) sockaddr)->sin_addr;
	else if (sockaddr->sa_family == AF_INET6)
		bytes = &((const struct sockaddr_in6 *) sockaddr)->sin6_addr;
	if (bytes == NULL ||
		inet_ntop(sockaddr->sa_family, bytes, text, (socklen_t) size) == NULL)
		snprintf(text, size, "(address family %d)", (int) sockaddr->sa_family);
}

bool
act_address_literal(const char *host)
{
	Address		address;

	return address_read(host, &address);
}

/*
 * entry_next reads the next entry and moves *list behind it; false at the
 * end.  Empty entries are passed over.  *problem is NULL, or says why the text
 * at *start is no entry: a list is checked when set, so that those who look
 * something up skip what they cannot read.
 */
static bool
entry_next(const char **list, Entry *entry, const char **problem,
		   const char **start, size_t *len)
{
	static const char blanks[] = " \t\r\n";

	if (*list == NULL)
		return false;
	*list += strspn(*list, " \t\r\n,");
	if (**list == '\0')
		return false;
	*start = *list;
	*len = strcspn(*list, ",");
	*list += *len;
	while (strchr(blanks, (*start)[*len - 1]) != NULL)
		(*len)--;
	*problem = NULL;
	(void) entry_parse(*start, *len, entry, problem);
	return true;
}

/* entry_parse reads one entry; false and *problem where it is none. */
static bool
entry_parse(const char *start, size_t len, Entry *entry, const char **problem)
{
	char		text[MAX_HOST + 16];
	char	   *host = text;
	char	   *colon;

	memset(entry, 0, sizeof(Entry));
	if (len >= sizeof(text))
	{
		*problem = "longer than any host name";
		return false;
	}
	memcpy(text, start, len);
	text[len] = '\0';

	if (text[0] == '[')
	{
		char	   *end = strchr(text, ']');

		if (end == NULL || (end[1] != '\0' && end[1] != ':'))
		{
			*problem = "an IPv6 address with a port is written [address]:port";
			return false;
		}
		if (end[1] == ':' && !entry_port(end + 2, &entry->port, problem))
			return false;
		*end = '\0';
		return entry_network(text + 1, entry, problem);
	}
	colon = strchr(text, ':');
	if (strchr(text, '/') != NULL ||
		(colon != NULL && strchr(colon + 1, ':') != NULL))
		return entry_network(text, entry, problem);
	if (colon != NULL)
	{
		if (!entry_port(colon + 1, &entry->port, problem))
			return false;
		*colon = '\0';
	}
	if (host[strspn(host, "0123456789.")] == '\0' && host[0] != '\0')
		return entry_network(host, entry, problem);
	return entry_name(host, entry, problem);
}

static bool
entry_port(const char *text, int *port, const char **problem)
{
	size_t		len = strlen(text);

	*port = 0;
	if (len > 0 && len <= 5 && text[strspn(text, "0123456789")] == '\0')
		*port = atoi(text);
	if (*port < 1 || *port > 65535)
	{
		*problem = "a port is a number from 1 to 65535";
		return false;
	}
	return true;
}

/* entry_name reads '*', '*.domain' or a host name. */
static bool
entry_name(char *text, Entry *entry, const char **problem)
{
	static const char letters[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
	const char *name = text;
	size_t		len = strlen(text);

	if (strcmp(text, "*") == 0)
	{
		entry->kind = ENTRY_ANY;
		return true;
	}
	entry->kind = ENTRY_HOST;
	if (text[0] == '*' && text[1] == '.')
	{
		entry->kind = ENTRY_BELOW;
		name = text + 2;
	}
	/* The dot that ends a fully qualified name is not part of it in URLs. */
	if (len > 0 && text[len - 1] == '.')
		text[--len] = '\0';
	if (name[0] == '\0' || name[0] == '.' || strstr(name, "..") != NULL)
		*problem = "not a host name";
	else if (name[strspn(name, letters)] != '\0')
		*problem = "not a host name; \"*\" stands alone or in front of a domain, "
			"and other alphabets are written in their xn-- form";
	else if (strlen(name) > MAX_HOST)
		*problem = "longer than any host name";
	if (*problem != NULL)
		return false;
	strcpy(entry->text, entry->kind == ENTRY_BELOW ? text + 1 : text);
	return true;
}

/* entry_network reads an address, with a prefix length behind a slash or not. */
static bool
entry_network(char *text, Entry *entry, const char **problem)
{
	char	   *slash = strchr(text, '/');
	Address		plain;

	entry->kind = ENTRY_NETWORK;
	if (slash != NULL)
		*slash = '\0';
	if (!address_read(text, &entry->network))
	{
		*problem = "not an IPv4 or IPv6 address";
		return false;
	}
	entry->prefix = entry->network.bits;
	if (slash != NULL)
	{
		size_t		len = strlen(slash + 1);

		entry->prefix = (len > 0 && len <= 3 &&
						 slash[1 + strspn(slash + 1, "0123456789")] == '\0') ?
			atoi(slash + 1) : -1;
		if (entry->prefix < 0 || entry->prefix > entry->network.bits)
		{
			*problem = "the prefix length is 0 to 32 for IPv4, 0 to 128 for IPv6";
			return false;
		}
	}
	for (int bit = entry->prefix; bit < entry->network.bits; bit++)
	{
		if (entry->network.bytes[bit / 8] & (0x80 >> (bit % 8)))
		{
			*problem = "has bits to the right of its prefix";
			return false;
		}
	}
	/* '::ffff:10.3.0.0/112' means 10.3.0.0/16; '::/96' is left as it is. */
	plain = address_unwrapped(entry->network);
	if (entry->network.bits == 128 && plain.bits == 32 &&
		entry->prefix > 96 && entry->network.bytes[0] != 0x20)
	{
		entry->network = plain;
		entry->prefix -= 96;
	}
	return true;
}

static bool
entry_has_host(const Entry *entry, const char *host, int port)
{
	size_t		host_len = strlen(host);
	size_t		text_len = strlen(entry->text);

	if (entry->port != 0 && entry->port != port)
		return false;
	switch (entry->kind)
	{
		case ENTRY_ANY:
			return true;
		case ENTRY_HOST:
			return strcasecmp(entry->text, host) == 0;
		case ENTRY_BELOW:
			return host_len > text_len &&
				strcasecmp(entry->text, host + host_len - text_len) == 0;
		case ENTRY_NETWORK:
			return false;
	}
	return false;
}

/* An IPv6 address that carries an IPv4 one is in the networks of both. */
static bool
entry_has_address(const Entry *entry, const Address *address, int port)
{
	Address		plain = address_unwrapped(*address);

	if (entry->kind != ENTRY_NETWORK ||
		(entry->port != 0 && entry->port != port))
		return false;
	return (entry->network.bits == address->bits &&
			prefix_equal(entry->network.bytes, address->bytes, entry->prefix)) ||
		(entry->network.bits == plain.bits &&
		 prefix_equal(entry->network.bytes, plain.bytes, entry->prefix));
}

static bool
address_read(const char *text, Address *address)
{
	memset(address, 0, sizeof(Address));
	if (inet_pton(AF_INET, text, address->bytes) == 1)
		address->bits = 32;
	else if (inet_pton(AF_INET6, text, address->bytes) == 1)
		address->bits = 128;
	return address->bits != 0;
}

static Address
address_of(const struct sockaddr *sockaddr)
{
	Address		address = {0};

	if (sockaddr->sa_family == AF_INET)
	{
		address.bits = 32;
		memcpy(address.bytes,
			   &((const struct sockaddr_in *) sockaddr)->sin_addr, 4);
	}
	else if (sockaddr->sa_family == AF_INET6)
	{
		address.bits = 128;
		memcpy(address.bytes,
			   &((const struct sockaddr_in6 *) sockaddr)->sin6_addr, 16);
	}
	return address;
}

/* The IPv4 address inside an IPv6 one; any other as it is. */
static Address
address_unwrapped(Address address)
{
	if (address.bits != 128)
		return address;
	for (size_t i = 0; i < LENGTH(ipv4_carriers); i++)
	{
		if (prefix_equal(address.bytes, ipv4_carriers[i].bytes,
						 ipv4_carriers[i].prefix))
		{
			Address		plain = {.bits = 32};

			memcpy(plain.bytes, address.bytes + ipv4_carriers[i].offset, 4);
			return plain;
		}
	}
	return address;
}

static const char *
address_kind(Address address)
{
	const Range *ranges = address.bits == 32 ? ipv4_ranges : ipv6_ranges;

	for (const Range *range = ranges; range->kind != NULL; range++)
	{
		if (prefix_equal(address.bytes, range->bytes, range->prefix))
			return range->kind;
	}
	if (address.bits == 128)
	{
		Address		plain = address_unwrapped(address);

		if (plain.bits == 32)
			return address_kind(plain);
	}
	return NULL;
}

static bool
prefix_equal(const unsigned char *a, const unsigned char *b, int prefix)
{
	int			bytes = prefix / 8;
	int			mask = 0xff00 >> (prefix % 8) & 0xff;

	return memcmp(a, b, bytes) == 0 &&
		(mask == 0 || ((a[bytes] ^ b[bytes]) & mask) == 0);
}
