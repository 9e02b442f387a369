/*-------------------------------------------------------------------------
 *
 * model_check.h
 *	  What may not stand in a model or a mapping.
 *
 * All inside a transaction, on query trees just analysed as the sync's
 * owner, whom the current user is.  Throw, or return.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_MODEL_CHECK_H
#define ACT_MODEL_CHECK_H

#include "nodes/parsenodes.h"

/* 22023, 42601: a model is one SELECT that only reads. */
extern void act_model_check_statement(List *statements);
extern void act_model_check_query(Query *query);

/* 22023: whole rows, volatile, aggregate, window and set-returning expressions. */
extern void act_model_check_leaf(Node *expression, const char *field);
extern bool act_model_is_clock(Node *expression);

/* 42501: relations and columns that the current user may not read. */
extern void act_model_check_readable(Query *query);

/*
 * 42501: what a non-superuser owns, where the current user is a superuser.
 * Returns the query rewritten, a List of Query; relations: OIDs of all that it
 * reads, but for system catalogs; views and what is behind them.
 */
extern List *act_model_check_owners(Query *query, List **relations);
extern void act_model_check_table_owner(Oid table);

/* How the message of that error begins, which no GRANT helps against. */
#define MODEL_OWNER_REFUSED "a superuser's sync may not use "

/* WARNING for each table of which the current user may not see all rows. */
extern void act_model_warn_row_security(Query *query);

#endif							/* ACT_MODEL_CHECK_H */
