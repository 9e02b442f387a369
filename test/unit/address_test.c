/*-------------------------------------------------------------------------
 *
 * address_test.c
 *	  What may be connected to, one line a promise.  Compiled by itself:
 *	  cc -Isrc -o address_test test/unit/address_test.c src/address.c
 *
 *-------------------------------------------------------------------------
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "address.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static int	tests;
static int	failures;

static const struct
{
	const char *list;
	const char *host;
	int			port;
	const char *address;
	bool		allowed;
}			addresses[] = {
	/* Public addresses need no entry. */
	{"", "api.example.com", 443, "93.184.216.34", true},
	{NULL, "api.example.com", 443, "93.184.216.34", true},
	{"", "api.example.com", 443, "2606:2800:220:1:248:1893:25c8:1946", true},
	{"", "h", 443, "172.15.255.255", true},
	{"", "h", 443, "172.32.0.0", true},
	{"", "h", 443, "100.63.255.255", true},
	{"", "h", 443, "100.128.0.0", true},
	{"", "h", 443, "223.255.255.255", true},
	{"", "h", 443, "::ffff:93.184.216.34", true},
	{"", "h", 443, "64:ff9b::93.184.216.34", true},

	/* Everything else does. */
	{"", "h", 443, "0.0.0.0", false},
	{"", "h", 443, "0.1.2.3", false},
	{"", "h", 443, "10.0.0.0", false},
	{"", "h", 443, "10.255.255.255", false},
	{"", "h", 443, "100.64.0.1", false},
	{"", "h", 443, "100.127.255.255", false},
	{"", "h", 443, "127.0.0.1", false},
	{"", "h", 443, "127.255.0.1", false},
	{"", "h", 443, "169.254.1.1", false},
	{"", "h", 443, "169.254.169.254", false},
	{"", "h", 443, "172.16.0.1", false},
	{"", "h", 443, "172.31.255.255", false},
	{"", "h", 443, "192.0.0.1", false},
	{"", "h", 443, "192.0.2.1", false},
	{"", "h", 443, "192.168.0.1", false},
	{"", "h", 443, "198.19.0.1", false},
	{"", "h", 443, "224.0.0.1", false},
	{"", "h", 443, "240.0.0.1", false},
	{"", "h", 443, "255.255.255.255", false},
	{"", "h", 443, "::", false},
	{"", "h", 443, "::1", false},
	{"", "h", 443, "fc00::1", false},
	{"", "h", 443, "fdff:ffff::1", false},
	{"", "h", 443, "fd00:ec2::254", false},
	{"", "h", 443, "fe80::1", false},
	{"", "h", 443, "febf::1", false},
	{"", "h", 443, "fec0::1", false},
	{"", "h", 443, "ff02::1", false},
	{"", "h", 443, "2001:db8::1", false},
	{"", "h", 443, "2001::1", false},

	/* Nor does a private address get through in IPv6 dress. */
	{"", "h", 443, "::ffff:127.0.0.1", false},
	{"", "h", 443, "::ffff:10.0.0.1", false},
	{"", "h", 443, "::ffff:169.254.169.254", false},
	{"", "h", 443, "::ffff:0:10.0.0.1", false},
	{"", "h", 443, "::127.0.0.1", false},
	{"", "h", 443, "::10.0.0.1", false},
	{"", "h", 443, "64:ff9b::10.0.0.1", false},
	{"", "h", 443, "64:ff9b::169.254.169.254", false},
	{"", "h", 443, "64:ff9b:1::1", false},
	{"", "h", 443, "2002:0a00:0001::1", false},
	{"", "h", 443, "2002:7f00:0001::", false},
	{"", "h", 443, "2002:a9fe:a9fe::", false},

	/* A host entry allows the host whatever it resolves to. */
	{"planning.int.acme.io", "planning.int.acme.io", 443, "10.3.1.9", true},
	{"planning.int.acme.io", "PLANNING.int.acme.IO", 443, "10.3.1.9", true},
	{"planning.int.acme.io.", "planning.int.acme.io", 443, "10.3.1.9", true},
	{"planning.int.acme.io", "planning.int.acme.io", 443, "::1", true},
	{"planning.int.acme.io", "x.planning.int.acme.io", 443, "10.3.1.9", false},
	{"planning.int.acme.io", "evil.io", 443, "10.3.1.9", false},
	{" a , planning.int.acme.io ,b", "planning.int.acme.io", 443, "10.3.1.9", true},
	{"h:8443", "h", 8443, "10.3.1.9", true},
	{"h:8443", "h", 443, "10.3.1.9", false},
	{"localhost", "localhost", 443, "127.0.0.1", true},
	{"localhost", "127.0.0.1", 443, "127.0.0.1", false},

	/* A domain entry allows what is below the domain. */
	{"*.int.acme.io", "a.int.acme.io", 443, "10.3.1.9", true},
	{"*.int.acme.io", "a.b.int.acme.io", 443, "10.3.1.9", true},
	{"*.int.acme.io", "int.acme.io", 443, "10.3.1.9", false},
	{"*.int.acme.io", "xint.acme.io", 443, "10.3.1.9", false},
	{"*.int.acme.io", ".int.acme.io", 443, "10.3.1.9", false},
	{"*.int.acme.io:8443", "a.int.acme.io", 8443, "10.3.1.9", true},
	{"*.int.acme.io:8443", "a.int.acme.io", 443, "10.3.1.9", false},

	/* A network entry allows its addresses whatever the host is called. */
	{"10.3.0.0/16", "h", 443, "10.3.1.9", true},
	{"10.3.0.0/16", "h", 443, "10.4.1.9", false},
	{"10.3.0.0/16", "h", 443, "::ffff:10.3.1.9", true},
	{"10.3.0.0/16", "h", 443, "64:ff9b::10.3.1.9", true},
	{"10.3.0.0/16", "h", 443, "64:ff9b::10.4.1.9", false},
	{"::ffff:10.3.0.0/112", "h", 443, "10.3.1.9", true},
	{"::ffff:10.3.0.0/112", "h", 443, "10.4.1.9", false},
	{"10.3.1.9", "h", 443, "10.3.1.9", true},
	{"10.3.1.9", "h", 443, "10.3.1.8", false},
	{"10.3.1.9:8080", "h", 8080, "10.3.1.9", true},
	{"10.3.1.9:8080", "h", 443, "10.3.1.9", false},
	{"127.0.0.0/31", "h", 443, "127.0.0.1", true},
	{"127.0.0.0/31", "h", 443, "127.0.0.2", false},
	{"0.0.0.0/0", "h", 443, "127.0.0.1", true},
	{"0.0.0.0/0", "h", 443, "::1", true},
	{"0.0.0.0/0", "h", 443, "fd00::1", false},
	{"::/0", "h", 443, "fd00::1", true},
	{"::/0", "h", 443, "10.0.0.1", false},
	{"fd00::/8", "h", 443, "fd12:3456::1", true},
	{"fd00::/8", "h", 443, "fc12:3456::1", false},
	{"fd12:3400::/23", "h", 443, "fd12:35ff::1", true},
	{"fd12:3400::/23", "h", 443, "fd12:3600::1", false},
	{"::1", "h", 443, "::1", true},
	{"[::1]:8080", "h", 8080, "::1", true},
	{"[::1]:8080", "h", 443, "::1", false},
	{"[::1]", "h", 443, "::1", true},

	{"*", "h", 443, "169.254.169.254", true},
	{"*", "h", 443, "fd00::1", true},
	{"*:8080", "h", 8080, "10.0.0.1", true},
	{"*:8080", "h", 443, "10.0.0.1", false},

	/* What cannot be read allows nothing, and hides nothing behind it. */
	{"10.0.0.0/99", "h", 443, "10.0.0.1", false},
	{"h/x,h", "h", 443, "10.0.0.1", true},
	{",,h,", "h", 443, "10.0.0.1", true},
};

static const struct
{
	const char *list;
	const char *scheme;
	const char *host;
	int			port;
	bool		allowed;
}			schemes[] = {
	{"", "https", "h", 443, true},
	{"", "HTTPS", "h", 443, true},
	{"", "http", "h", 80, false},
	{NULL, "http", "h", 80, false},
	{"h", "http", "h", 80, true},
	{"h:8080", "http", "h", 8080, true},
	{"h:8080", "http", "h", 80, false},
	{"*.acme.io", "http", "a.acme.io", 80, true},
	{"*.acme.io", "http", "acme.io", 80, false},
	{"10.0.0.0/8", "http", "10.1.2.3", 80, true},
	{"10.0.0.0/8", "http", "11.1.2.3", 80, false},
	{"10.0.0.0/8", "http", "h", 80, false},
	{"::1", "http", "::1", 80, true},
	{"*", "http", "h", 80, true},
	{"*", "ftp", "h", 21, false},
	{"*", "file", "h", 0, false},
	{"*", "", "h", 0, false},
};

static const struct
{
	const char *list;
	const char *problem;		/* NULL: it is one */
}			lists[] = {
	{"", NULL},
	{NULL, NULL},
	{"  ", NULL},
	{"*", NULL},
	{"a", NULL},
	{"a_b.c-d.io:8443, *.int.acme.io, 10.0.0.0/8,fd00::/8,[::1]:8080,::1,1.2.3.4:5", NULL},
	{"xn--bcher-kva.example", NULL},
	{"a,", NULL},
	{"a b", "host name"},
	{"https://a", "address"},
	{"a.*.b", "host name"},
	{"*a", "host name"},
	{"*.", "host name"},
	{"a..b", "host name"},
	{".a", "host name"},
	{"b\303\274cher.example", "xn--"},
	{"a'b", "host name"},
	{"a:0", "port"},
	{"a:65536", "port"},
	{"a:", "port"},
	{"a:x", "port"},
	{"a:999999", "port"},
	{"10.3.1", "address"},
	{"10.3.1.256", "address"},
	{"10.3.1.9/8", "prefix"},
	{"10.0.0.0/33", "prefix"},
	{"10.0.0.0/", "prefix"},
	{"10.0.0.0/-1", "prefix"},
	{"10.0.0.0/8/8", "prefix"},
	{"fd00::/129", "prefix"},
	{"fd00::1/8", "prefix"},
	{"::g", "address"},
	{"[::1", "[address]:port"},
	{"[::1]x", "[address]:port"},
	{"[::1]:", "port"},
	{"[a]:80", "address"},
	{"a,b,10.0.0.0/99,c", "10.0.0.0/99"},
};

static const struct
{
	const char *address;
	const char *kind;
}			kinds[] = {
	{"8.8.8.8", NULL},
	{"2606:4700::1111", NULL},
	{"10.3.1.9", "private"},
	{"127.0.0.1", "loopback"},
	{"::1", "loopback"},
	{"::ffff:127.0.0.1", "loopback"},
	{"169.254.169.254", "metadata"},
	{"::ffff:169.254.169.254", "metadata"},
	{"169.254.0.1", "link-local"},
	{"fe80::1", "link-local"},
	{"fd00::1", "private"},
	{"::", "unspecified"},
	{"0.0.0.0", "unspecified"},
	{"255.255.255.255", "broadcast"},
	{"239.1.1.1", "multicast"},
};

static void
check(bool ok, const char *what, const char *a, const char *b, const char *c)
{
	tests++;
	if (!ok)
		failures++;
	printf("%s %d - %s: '%s' %s %s\n", ok ? "ok" : "not ok", tests, what,
		   a ? a : "", b ? b : "", c ? c : "");
}

static const struct sockaddr *
sockaddr_of(const char *text)
{
	static struct sockaddr_storage storage;
	struct sockaddr_in *v4 = (struct sockaddr_in *) &storage;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *) &storage;

	memset(&storage, 0, sizeof(storage));
	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1)
		v4->sin_family = AF_INET;
	else
	{
		memset(&storage, 0, sizeof(storage));
		if (inet_pton(AF_INET6, text, &v6->sin6_addr) != 1)
			abort();
		v6->sin6_family = AF_INET6;
	}
	return (const struct sockaddr *) &storage;
}

static void
check_long_lists(void)
{
	char		list[2000];
	char	   *problem;

	memset(list, 'a', sizeof(list));
	list[sizeof(list) - 1] = '\0';
	memcpy(list, "*.", 2);
	for (size_t len = 200; len < sizeof(list); len++)
	{
		char		kept = list[len];
		bool		valid;

		list[len] = '\0';
		valid = act_address_list_valid(list, &problem);
		if (valid != (len <= 255))
			check(false, "long name", "", "", "");
		free(problem);
		list[len] = kept;
	}
	check(true, "names of any length are read safely", "", "", "");
}

/* Whatever bytes the list has, reading it stays within it. */
static void
check_any_bytes(void)
{
	static const char alphabet[] = "a*.:/[]0129,- f\303";
	char	   *problem;

	srand(1);
	for (int i = 0; i < 200000; i++)
	{
		size_t		len = rand() % 24;
		char	   *list = malloc(len + 1);

		for (size_t j = 0; j < len; j++)
			list[j] = alphabet[rand() % (sizeof(alphabet) - 1)];
		list[len] = '\0';
		(void) act_address_list_valid(list, &problem);
		(void) act_address_allowed(list, "a.0", 1, sockaddr_of("10.0.0.1"));
		(void) act_address_scheme_allowed(list, "http", "f.a", 1);
		free(problem);
		free(list);
	}
	check(true, "any bytes are read safely", "", "", "");
}

int
main(void)
{
	struct sockaddr_un local = {.sun_family = AF_UNIX};
	char		text[ADDRESS_TEXT_SIZE];

	for (size_t i = 0; i < LENGTH(addresses); i++)
		check(act_address_allowed(addresses[i].list, addresses[i].host,
								  addresses[i].port,
								  sockaddr_of(addresses[i].address)) == addresses[i].allowed,
			  addresses[i].allowed ? "allowed" : "refused",
			  addresses[i].list, addresses[i].host, addresses[i].address);
	for (size_t i = 0; i < LENGTH(schemes); i++)
		check(act_address_scheme_allowed(schemes[i].list, schemes[i].scheme,
										 schemes[i].host, schemes[i].port) == schemes[i].allowed,
			  schemes[i].allowed ? "allowed" : "refused",
			  schemes[i].list, schemes[i].scheme, schemes[i].host);
	for (size_t i = 0; i < LENGTH(lists); i++)
	{
		char	   *problem;
		bool		valid = act_address_list_valid(lists[i].list, &problem);

		check(lists[i].problem == NULL ? valid && problem == NULL :
			  !valid && problem != NULL && strstr(problem, lists[i].problem) != NULL,
			  lists[i].problem == NULL ? "valid" : "not valid",
			  lists[i].list, problem, NULL);
		free(problem);
	}
	for (size_t i = 0; i < LENGTH(kinds); i++)
	{
		const char *kind = act_address_kind(sockaddr_of(kinds[i].address));

		check(kind == kinds[i].kind ||
			  (kind && kinds[i].kind && strcmp(kind, kinds[i].kind) == 0),
			  "kind", kinds[i].address, kinds[i].kind, kind);
		act_address_text(sockaddr_of(kinds[i].address), text, sizeof(text));
		check(strcmp(text, kinds[i].address) == 0, "text", kinds[i].address, text, NULL);
	}
	check(!act_address_allowed("*", "h", 1, (struct sockaddr *) &local),
		  "refused", "*", "h", "a local socket");
	check(act_address_literal("10.0.0.1") && act_address_literal("::1") &&
		  !act_address_literal("a.b") && !act_address_literal("[::1]"),
		  "literals", "", NULL, NULL);
	check_long_lists();
	check_any_bytes();
	printf("1..%d\n", tests);
	return failures != 0;
}
