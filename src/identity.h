/*-------------------------------------------------------------------------
 *
 * identity.h
 *	  On whose behalf the engine works: the only two ways (decision 9).
 *
 * "As owner" is the sync's owner: the model, the mapping, activate_data.*,
 * a user's types and functions.  "As extension" is the extension's owner
 * with fixed, fully qualified SQL on the tables of schema activate and
 * built-in types only.  Each is entered and left inside one transaction;
 * nothing is committed and no socket waited for in between.  After an error
 * the abort of the transaction (or subtransaction) restores everything, so
 * callers need no PG_TRY for it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_IDENTITY_H
#define ACT_IDENTITY_H

typedef struct Identity
{
	Oid			user;
	int			security_context;
	int			guc_nest;
} Identity;

/*
 * search_path and time_zone as stored with the sync; NULL search_path: only
 * pg_catalog; NULL time_zone: UTC.  Output formats are fixed in either case.
 */
extern void act_identity_owner(Identity *identity, Oid owner,
							   const char *search_path, const char *time_zone);
extern void act_identity_extension(Identity *identity);
extern void act_identity_leave(Identity *identity);

/* A setting for as long as the identity is kept. */
extern void act_identity_set(const char *name, const char *value);

/*
 * How long what is done in either identity from now on waits for a lock
 * (55P03), 0: as long as it takes.  For who holds locks of his own that others
 * may wait for.  Returns what it was before; not undone by errors.
 */
extern int	act_identity_patience(int milliseconds);

extern Oid	act_extension_owner(void);

/*
 * The door: each transaction of the engine takes it before any other lock and
 * then sees whether the extension is still there, until its end.  DROP
 * EXTENSION locks the extension first, too, so that neither waits for what
 * the other one has.  InvalidOid: there is none, or (conditional) somebody is
 * about to drop it.  act_identity_extension() takes it as well, with an error
 * where there is none (42704), or where to wait for it could be a deadlock
 * (55P03).
 */
extern Oid	act_extension_lock(bool conditional);

/* What to type to have the rights of a role, for the hint of an error. */
extern char *act_membership_hint(Oid role);

/* 42501 unless the current user is a member of the role that owns the sync. */
extern void act_require_membership(Oid owner, const char *sync_name);

#endif							/* ACT_IDENTITY_H */
