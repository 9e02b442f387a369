/*-------------------------------------------------------------------------
 *
 * connector_job.h
 *	  Operations that hand rows over in steps and ask later what became of
 *	  them: what the connector engine knows of such a job.
 *
 * Plain data and rendering: touches neither database nor network.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_CONNECTOR_JOB_H
#define ACT_CONNECTOR_JOB_H

#include "connector.h"

/* What is asked for next; names in the table: job.c. */
typedef enum JobStage
{
	JOB_STEP,
	JOB_POLL,
	JOB_RESULTS,
	JOB_ABORT
} JobStage;

/* Where a job is: what its next request is rendered from. */
typedef struct JobPlace
{
	JobStage	stage;
	int			number;			/* of the step or of the results */
	char	   *next;			/* results: page after the first; NULL: the first */
	List	   *saved;			/* of HttpHeader: name and text */
} JobPlace;

typedef struct JobPlan JobPlan;

/* What is asked for the row, where that is a job; else NULL. */
extern const JobPlan *act_connector_job(const Connector *connector, const Row *row);

/* What is asked before the unit of operation replace, as a job of one step; NULL: nothing. */
extern const JobPlan *act_connector_preparation(const Connector *connector);

/* By what stands for it in the database; NULL: there is no such plan (any more). */
extern const JobPlan *act_connector_job_named(const Connector *connector, const char *name);
extern const char *act_job_name(const JobPlan *plan);

/* Whether all is there that its steps save: those of another document may have saved something else. */
extern bool act_job_has_saved(const JobPlan *plan, List *saved);
extern int	act_job_steps(const JobPlan *plan);
extern bool act_job_step_has_rows(const JobPlan *plan, int step);
extern bool act_job_polls(const JobPlan *plan);
extern int	act_job_results(const JobPlan *plan);
extern bool act_job_aborts(const JobPlan *plan, List *saved);	/* whether it can be told, with that saved */
extern int	act_job_timeout_ms(const JobPlan *plan);
extern int	act_job_pause_ms(const JobPlan *plan, int polls);	/* before the poll of that number, from 0 */

/* The request for a place.  ERROR 22023 where the document and what was saved do not fit together. */
extern void act_job_render(const Connector *connector, const ConnectorScope *scope, const JobPlan *plan,
						   const JobPlace *place, Row **rows, int nrows, HttpRequest *request);

/*
 * Reading answers: as act_connector_read(), but for what is read where the
 * verdict is VERDICT_ROWS.  Of a step: what it saves is added to *saved, and
 * an answer that lacks some of it is VERDICT_UNCERTAIN.
 */
extern void act_job_read_step(const Connector *connector, const JobPlan *plan, int step, const HttpResponse *response,
							  int64 now_ms, List **saved, ConnectorAnswer *answer);

/* Of an answer of which only the verdict matters. */
extern void act_job_read_any(const Connector *connector, const JobPlan *plan, const HttpResponse *response, int64 now_ms,
							 ConnectorAnswer *answer);

typedef enum JobState
{
	JOB_RUNNING,
	JOB_DONE,
	JOB_FAILED,
	JOB_STRANGE					/* the answer has no state, or one that the document does not name */
} JobState;

typedef struct JobPoll
{
	JobState	state;
	char	   *state_text;		/* or NULL */
	char	   *message;		/* or NULL */
	bool	   *wanted;			/* of each of the results: whether it is to be asked for */
	bool		tells;			/* failed, and results that say so are to be asked for */
} JobPoll;

extern void act_job_read_poll(const Connector *connector, const JobPlan *plan, const HttpResponse *response,
							  int64 now_ms, JobPoll *poll, ConnectorAnswer *answer);

/*
 * What became of the rows, of one answer or of several that are read one after
 * the other: rows are written to by act_job_results_finish(), which returns
 * NULL, or why nothing is known of them.  In the current memory context, which
 * must live as long.
 */
typedef struct JobResults JobResults;

extern JobResults *act_job_results_begin(const Connector *connector, const ConnectorScope *scope,
										 const JobPlan *plan, Row **rows, int nrows);

/*
 * number: of the results, -1 for the operation's own answer.  *next: of the
 * page that follows, NULL: none does.
 */
extern void act_job_read_results(JobResults *results, int number, const HttpResponse *response, int64 now_ms,
								 char **next, ConnectorAnswer *answer);
extern const char *act_job_results_finish(JobResults *results, ConnectorAnswer *answer);

#endif							/* ACT_CONNECTOR_JOB_H */
