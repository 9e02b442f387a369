/*-------------------------------------------------------------------------
 *
 * url.h
 *	  URLs that somebody typed as an option.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_URL_H
#define ACT_URL_H

/* What is wrong with it, or NULL for a URL to send to. */
extern const char *act_url_problem(const char *url);

/*
 * scheme://host:port, in one spelling for each place; NULL for what is no
 * URL to send to.
 */
extern char *act_url_origin(const char *url);

#endif							/* ACT_URL_H */
