/*-------------------------------------------------------------------------
 *
 * option.h
 *	  Options of destinations (servers) and credentials (user mappings).
 *
 * One table says what every option is called, where it belongs, how it looks
 * and who may set it; a connector's own options come on top.  The same checks
 * run when an option is set and each time it is used, since what is stored
 * may come from a dump or from a time when the rights were others.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_OPTION_H
#define ACT_OPTION_H

#include "connector.h"

/* Whose options are checked, and by which rights. */
typedef struct OptionCheck
{
	const Connector *connector; /* NULL: not known here, its options pass unseen */
	Oid			role;			/* who sets them; at use the server's owner */
	const char *destination;	/* at use; NULL while they are being set */
} OptionCheck;

/* options are a List of DefElem, as the catalogs give them. */
extern void act_option_check_server(List *options, const OptionCheck *check);
extern void act_option_check_mapping(List *options, const OptionCheck *check);

/* The value of an option, or NULL. */
extern const char *act_option_get(List *options, const char *name);

/* A checked value; fallback where the option is not set. */
extern int	act_option_integer(List *options, const char *name, int fallback);
extern int	act_option_duration(List *options, const char *name, int fallback_ms);

/* Whether a name stands in the list; true where the option is not set. */
extern bool act_option_lists(List *options, const char *name, const char *value);

/* The option "headers", as a List of HttpHeader in UTF-8. */
extern List *act_option_headers(List *options);

/* The secrets x in the order of the vocabulary; each x has x_file too. */
extern const char *const *act_option_secrets(void);

#endif							/* ACT_OPTION_H */
