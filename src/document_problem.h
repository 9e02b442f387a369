/*-------------------------------------------------------------------------
 *
 * document_problem.h
 *	  All that is wrong with a connector's document, not just the first.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_DOCUMENT_PROBLEM_H
#define ACT_DOCUMENT_PROBLEM_H

#include "connector.h"
#include "json.h"

typedef struct FoundProblem
{
	char	   *pointer;		/* in the document as it was given; NULL: no place in it */
	char	   *message;
	char	   *hint;			/* or NULL */
} FoundProblem;

/*
 * List of FoundProblem, in the current memory context; NIL: it compiles.
 * Inside a transaction with SPI connected.  The tree is taken apart.
 */
extern List *act_connector_problems(const char *name, cJSON *document);

/* An error of the connector engine without the connector's name. */
extern char *act_connector_bare_message(const char *name, const char *message);

#endif							/* ACT_DOCUMENT_PROBLEM_H */
