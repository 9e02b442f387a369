/*-------------------------------------------------------------------------
 *
 * url.h
 *	  URLs that somebody typed, as an option or in a document.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_URL_H
#define ACT_URL_H

#include "lib/stringinfo.h"

/* What is wrong with it, or NULL for a URL to send to. */
extern const char *act_url_problem(const char *url);

/* What is wrong with it as the host of a URL, maybe with a port, or NULL. */
extern const char *act_url_host_problem(const char *host);

/* It is one part of a host's name: acme of acme.example.com. */
extern bool act_url_is_label(const char *text);

/*
 * What is wrong with it as the end of an address, path and query, or NULL.  It
 * is put after a slash as it is, so it cannot reach anything above.
 */
extern const char *act_url_suffix_problem(const char *suffix);

/*
 * scheme://host:port, in one spelling for each place; NULL for what is no
 * URL to send to.
 */
extern char *act_url_origin(const char *url);

/* Letters and digits of ASCII, and -._~: never escaped. */
extern bool act_url_unreserved(unsigned char c);

/* Appends text of a document to an address; what can stand in none is percent-encoded. */
extern void act_url_append(StringInfo out, const char *text, size_t len);

#endif							/* ACT_URL_H */
