/*-------------------------------------------------------------------------
 *
 * account.h
 *	  Whose account a destination's credentials are of, and whether it is the
 *	  one that the server's option "account" names.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_ACCOUNT_H
#define ACT_ACCOUNT_H

#include "connector_discover.h"
#include "run.h"

/* Why it is not the account that is wanted, in UTF-8; NULL: it is, or any will do. */
extern char *act_account_problem(const Destination *destination, const ConnectorAccount *account);

/* As people are shown it: 2512345 (Example Ltd); NULL: it is not known. */
extern char *act_account_name(const ConnectorAccount *account);
extern char *act_account_list(const List *scopes);	/* "a, b"; NULL for none */

/*
 * Asks a destination that was loaded with its secrets, once and outside of
 * transactions.  NULL, or why it cannot be told (UTF-8, no secret in it).
 */
extern char *act_account_ask(Destination *destination, ConnectorAccount *account);

/*
 * A stage of a run, outside of transactions: where the destination pins its
 * account, asks whose the credentials are.  Sets run->stop where they are
 * somebody else's, or where it cannot be told.
 */
extern void act_account_require(Run *run);

#endif							/* ACT_ACCOUNT_H */
