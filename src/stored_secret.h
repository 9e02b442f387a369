/*-------------------------------------------------------------------------
 *
 * stored_secret.h
 *	  Secrets of destinations that the database keeps, sealed.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_STORED_SECRET_H
#define ACT_STORED_SECRET_H

#include "credential.h"
#include "destination.h"

#define STORED_REPLACES_LEN 16

typedef struct StoredSecret
{
	char	   *id;
	char	   *name;
	char	   *value;			/* NULL: only its name was asked for */
	bool		by_mapping;		/* it took the place of a value in a user mapping: */
	uint8		replaces[STORED_REPLACES_LEN];	/* of this one */
} StoredSecret;

/*
 * Those of a destination (List of StoredSecret), inside a transaction.  With
 * values: ERROR 28000 where one was stored for another host, 55000 where it
 * is closed, or where key_file does not open it.
 */
extern List *act_stored_secrets(const Credential *credential, bool values);

/* What a value in a user mapping is known by. */
extern void act_stored_secret_replaces(const char *name, const char *value, uint8 *replaces);

/* ERROR 55000 and the like unless what comes back can be kept. */
extern void act_stored_secret_require_key(const char *destination);

/*
 * Another value came back in place of this secret's: it is the one from now
 * on.  In a writable transaction.
 */
extern void act_stored_secret_keep(const Destination *destination, const char *name, const char *value);

/* In the event trigger of credential.c: what is stored for a host other than origin, or NULL; and a new name. */
extern char *act_stored_secret_other_host(Oid server, const char *origin);
extern void act_stored_secrets_rename(const char *from, const char *to);
extern void act_stored_secrets_close(const char *destination);
/* Servers are gone. */
extern void act_stored_secrets_clean_up(void);

#endif							/* ACT_STORED_SECRET_H */
