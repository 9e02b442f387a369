/*-------------------------------------------------------------------------
 *
 * credential.h
 *	  Which host a stored credential was stored for.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_CREDENTIAL_H
#define ACT_CREDENTIAL_H

/* A user mapping with secrets, and where its server would send them. */
typedef struct Credential
{
	Oid			mapping;
	Oid			role;			/* InvalidOid: PUBLIC */
	Oid			server;
	const char *destination;	/* the server's name */
	const char *origin;			/* scheme://host:port of its base_url */
} Credential;

/*
 * ERROR 28000 where the credential was stored for another host.  One of
 * which nothing is recorded is bound to this host, in a transaction that may
 * write and when bind says so.
 */
extern void act_credential_check(const Credential *credential, bool bind);

/*
 * ERROR 55000 where the credential, or the destination as a whole, came with
 * a copy that was confirmed as a sandbox.  option: one that the mapping has;
 * NULL: there are no secrets.
 */
extern void act_credential_require_open(const Credential *credential, const char *option);

/*
 * Something was set by this user, the options of a mapping or (InvalidOid) the
 * server's own: what a sandbox keeps closed opens.  Within SPI, as the extension.
 */
struct ForeignServer;
extern void act_credential_open(const struct ForeignServer *server, Oid mapping, Oid user);

#endif							/* ACT_CREDENTIAL_H */
