/*-------------------------------------------------------------------------
 *
 * destination.h
 *	  A destination: a foreign server, its options and credentials.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_DESTINATION_H
#define ACT_DESTINATION_H

#include "connector.h"
#include "datatype/timestamp.h"

typedef struct Destination
{
	Oid			server_oid;
	Oid			server_owner;
	char	   *name;
	char	   *connector_name;
	Connector  *connector;
	char	   *base_url;
	int			batch_size;		/* 0: the connector's */
	int			concurrency;
	HttpPolicy	policy;
	List	   *server_options; /* of DefElem, as stored */
	List	   *options;		/* of HttpHeader: server options by name, defaults of the connector included */
	List	   *secrets;		/* of HttpHeader: values, files read */
	List	   *extra_headers;	/* of HttpHeader: option "headers" */
	struct Schedule *midnights; /* where its account is: when quotas of a day begin anew */
	int			generation;		/* of the secrets: how often they were renewed in this run */
	List	   *old_secrets;	/* of List: those before (renewal.c) */
} Destination;

/*
 * Resolves a destination for a role, inside a transaction, in the current
 * memory context: USAGE is checked (42501), options and secrets are checked
 * in full (what the validator skipped too), the credential's host against
 * base_url (28000), that it is not closed (55000), files are read.  need_secrets false: for previews and
 * definitions, where every secret that is set stands as '********', no file
 * is read and the environment may be another.
 */
extern Destination *act_destination_load(const char *name, Oid role, bool need_secrets);

/* A server of ours that the role may use; an ERROR says why not (42704, 42809, 42501). */
extern struct ForeignServer *act_destination_server(const char *name, Oid role);

/*
 * The owner's policies for all syncs (allow_objects, allow_modes,
 * allow_removed): 42501 where they do not allow one.  object may be NULL.
 */
extern void act_destination_require_allowed(const Destination *destination, const char *object,
											const char *mode, const char *on_removed);

/* Scope callbacks; arg is the Destination. */
extern const char *act_destination_option(void *arg, const char *name);
extern const char *act_destination_secret(void *arg, const char *name);

/* When the day ends that now is a part of, in the time zone of its account. */
extern TimestampTz act_destination_midnight(const Destination *destination, TimestampTz now);

/* Overwrites secrets in memory. Never throws. */
extern void act_destination_wipe(Destination *destination);

/* Replaces each secret value in text that comes from outside by asterisks. */
extern char *act_destination_redact(const Destination *destination, const char *text);

/*
 * scheme://host:port that a server with these options (List of DefElem)
 * sends to; NULL where that is not known (its connector is not there).
 */
extern char *act_destination_origin(List *server_options);

#endif							/* ACT_DESTINATION_H */
