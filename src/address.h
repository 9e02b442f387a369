/*-------------------------------------------------------------------------
 *
 * address.h
 *	  Where requests may go: pg_activate.allowed_hosts against host names and
 *	  the addresses they turn out to be (design 2.6).
 *
 * Pure functions over their arguments: nothing of the server, no memory kept,
 * no error thrown, so that they may run inside callbacks of libcurl and by
 * themselves in a unit test.
 *
 * The list is no list of destinations: a public address over https is always
 * allowed.  It names the exceptions, separated by commas:
 *
 *	planning.int.acme.io		this host, whatever address it resolves to
 *	planning.int.acme.io:8443	the same, on this port
 *	*.int.acme.io				every host below that domain
 *	10.3.0.0/16, fd12::/16		these addresses, whatever the host's name
 *	10.3.1.9, 10.3.1.9:8080, ::1, [::1]:8080
 *	*							everything
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_ADDRESS_H
#define ACT_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

/* Enough for any address in words. */
#define ADDRESS_TEXT_SIZE	64

/*
 * Whether a setting's value is such a list.  If not, *problem is a sentence
 * in malloc'ed memory (or NULL where that was short), which the caller frees.
 */
extern bool act_address_list_valid(const char *list, char **problem);

/*
 * Whether a connection to address may be made on behalf of host and port, as
 * they stand in the URL (an address literal without brackets).
 */
extern bool act_address_allowed(const char *list, const char *host, int port,
								const struct sockaddr *address);

/* Whether host may be talked to by this scheme: plain http must be listed. */
extern bool act_address_scheme_allowed(const char *list, const char *scheme,
									   const char *host, int port);

/*
 * What is special about an address ("private", "loopback", ...), or NULL
 * where it is an ordinary public one.
 */
extern const char *act_address_kind(const struct sockaddr *address);

/* The address in words. */
extern void act_address_text(const struct sockaddr *address,
							 char *text, size_t size);

/* Whether host is an address literal (no brackets, no zone). */
extern bool act_address_literal(const char *host);

#endif							/* ACT_ADDRESS_H */
