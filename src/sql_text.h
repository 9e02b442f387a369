/*-------------------------------------------------------------------------
 *
 * sql_text.h
 *	  SQL text that users give us, parsed and split.
 *
 * Inside a transaction.  standard_conforming_strings is on throughout,
 * whatever the session says: the text is stored and must mean the same
 * tomorrow.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_SQL_TEXT_H
#define ACT_SQL_TEXT_H

#include "nodes/pg_list.h"
#include "utils/elog.h"

#include "compat.h"

/*
 * Where a text of the user stands in SQL that we made of it, so that errors
 * point into what he wrote and say which part of it is meant.
 */
typedef struct SqlOrigin
{
	const char *sql;			/* what is parsed */
	int			start;			/* the user's text in it, as bytes */
	const char *text;			/* the user's text */

	/* What an error at a byte of the text (-1: unknown) is about, or NULL. */
	char	   *(*name_part) (void *arg, int offset);
	void	   *arg;

	const char *hint;			/* for errors that have none; or NULL */
} SqlOrigin;

/* raw_parser() on origin->sql; errors are rewritten by act_sql_text_rethrow. */
extern List *act_sql_text_parse(const SqlOrigin *origin);

/*
 * Callbacks of whoever called us (SPI's) would take the position for one in
 * their statement: inside PG_TRY, before parsing or analysing text of ours.
 */
#define ACT_SQL_TEXT_SHIELD() (error_context_stack = NULL)

/*
 * In PG_CATCH, in the caller's memory context: throws the error again with
 * its position moved into the user's text and the part it is about named.
 * Errors that are not about the text (cancel, memory) stay as they are.
 */
ACT_NORETURN extern void act_sql_text_rethrow(const SqlOrigin *origin);
extern void act_sql_text_move(ErrorData *error, const SqlOrigin *origin);
/* The byte of the user's text an error is about, or -1. */
extern int	act_sql_text_offset(const ErrorData *error, const SqlOrigin *origin);

/* A part of a comma-separated list, and its last two tokens: bytes. */
typedef struct SqlItem
{
	int			start;
	int			end;			/* of the text before the comma */
	int			before_last;	/* start, where there is only one token */
	int			last;
} SqlItem;

/* Splits at commas outside parentheses and brackets. */
extern SqlItem *act_sql_text_split(const SqlOrigin *origin, int *count);

/* Bytes of the identifier that begins here as written out, quotes apart. */
extern int	act_sql_text_identifier_length(const char *text);

#endif							/* ACT_SQL_TEXT_H */
