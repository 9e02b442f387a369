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
#include "rate_limit.h"

typedef struct Destination
{
	Oid			server_oid;
	Oid			server_owner;
	char	   *name;
	char	   *connector_name;
	Connector  *connector;
	char	   *base_url;
	int			batch_size;		/* 0: the connector's */
	int			concurrency;	/* requests at a time, all runs together */
	RateLimit	rate;
	HttpPolicy	policy;

	/* destination_quota.c: what was written down of it */
	int64		day_used;		/* requests of the day that ends then */
	TimestampTz day_ends_at;	/* 0: nothing was */
	bool		down;
	List	   *server_options; /* of DefElem, as stored */
	List	   *options;		/* of HttpHeader: server options by name, defaults of the connector included */
	List	   *secrets;		/* of HttpHeader: values, files read */
	List	   *extra_headers;	/* of HttpHeader: option "headers" */
	pg_tz	   *zone;			/* of its account: where the days of its quotas end */
	int			generation;		/* of the secrets: how often they were renewed in this run */
	List	   *old_secrets;	/* of List: those before (renewal.c) */
	List	   *secret_identities;	/* of HttpHeader: by name, what stands for the one that was set */
	char	   *origin;			/* the hosts that secrets go to: what credentials are bound to */

	/* token.c: what the credentials were exchanged for; NIL: nothing yet, or no more */
	List	   *token;			/* of HttpHeader, for scopes */
	List	   *token_secrets;	/* of List: what of it, and of those before, nobody may see */
	uint64		token_serial;
	int64		token_expires_s;	/* Unix seconds; 0: when it is refused */
	bool		token_worked;	/* something was accepted with it */
	bool		token_renewed;	/* it came in place of one that was refused */
	uint8		token_key[32];
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

/*
 * The same for syncs with that object (NULL: without one), which its connector
 * is compiled for: 22023 where it has no such object.
 */
extern Destination *act_destination_load_object(const char *name, Oid role, const char *object, bool need_secrets);

/* A server of ours that the role may use; an ERROR says why not (42704, 42809, 42501). */
extern struct ForeignServer *act_destination_server(const char *name, Oid role);

/*
 * The owner's policies for all syncs (allow_objects, allow_modes,
 * allow_removed): 42501 where they do not allow one.  object may be NULL.
 */
extern void act_destination_require_allowed(const Destination *destination, const char *object,
											const char *mode, const char *on_removed);

/*
 * destination_check.c: of requests that are no sync's, which would say where
 * it may run: 55000 where the server's settings let this host send nothing.
 */
extern void act_require_sending_host(const char *name);

/* Scope callbacks; arg is the Destination. */
extern const char *act_destination_option(void *arg, const char *name);
extern const char *act_destination_secret(void *arg, const char *name);

/*
 * What stands for a secret while tokens take the place of its value: a
 * letter, and the value in the mapping or the id of the one that is stored.
 */
#define DESTINATION_STORED 's'
#define DESTINATION_MAPPED 'm'
extern const char *act_destination_secret_identity(void *arg, const char *name);

/* A new value of a secret, for the rest of the run; the old one is masked on. */
extern void act_destination_replace_secret(Destination *destination, const char *name, const char *value);

/* The option of the mapping FOR PUBLIC that is this secret (name, name_file), or NULL. */
extern const char *act_destination_public_secret(Oid server, const char *name);

/* Overwrites secrets in memory. Never throws. */
extern void act_destination_wipe(Destination *destination);

/* Replaces each secret value in text that comes from outside by asterisks. */
extern char *act_destination_redact(const Destination *destination, const char *text);

/*
 * The same of bytes of any kind: what the first limit of them become, and how
 * many that are.  A secret that begins among them goes, wherever it ends.
 */
extern char *act_destination_redact_bytes(const Destination *destination, const char *bytes, size_t len,
										  size_t limit, size_t *written);

/*
 * scheme://host:port that a server with these options (List of DefElem)
 * sends to, behind a comma those that its tokens come from; NULL where that
 * is not known (its connector is not there).
 */
extern char *act_destination_origin(List *server_options);

#endif							/* ACT_DESTINATION_H */
