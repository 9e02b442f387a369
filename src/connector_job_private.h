/*-------------------------------------------------------------------------
 *
 * connector_job_private.h
 *	  Compiled steps, poll and results of an operation: shared by
 *	  connector_job.c (compile) and connector_job_exchange.c (render, read).
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_CONNECTOR_JOB_PRIVATE_H
#define ACT_CONNECTOR_JOB_PRIVATE_H

#include "connector_job.h"
#include "connector_private.h"

/* Where something stands in an answer: at a pointer or in a header. */
typedef struct AnswerPlace
{
	const char *name;			/* of what is saved */
	const JsonPointer *pointer;
	const char *header;
} AnswerPlace;

typedef struct JobStep
{
	const RequestTemplate *request;
	bool		has_rows;
	int			nsaves;
	AnswerPlace *saves;
} JobStep;

typedef struct JobResult
{
	const RequestTemplate *request;
	bool		has_when;
	AnswerTest	when;
	bool		has_next;
	AnswerPlace next;
	const RowAnswers *answer;
} JobResult;

struct JobPlan
{
	const char *name;			/* stands for it in the database */
	const Operation *operation; /* that it is of: its rules and its answer */
	int			nsteps;
	JobStep    *steps;
	const RequestTemplate *poll;	/* NULL: the answer to the last step says it all */
	int			nevery;
	const int  *every_ms;
	int			timeout_ms;
	const JsonPointer *state;
	const JsonPointer *message;
	const char **states[JOB_FAILED + 1];	/* by JobState, NULL-ended; NULL: none */
	int			nresults;
	JobResult  *results;
	const RequestTemplate *abort;	/* or NULL */
	List	   *abort_names;	/* of char *: what it needs of what is saved */
};

#endif							/* ACT_CONNECTOR_JOB_PRIVATE_H */
