/*-------------------------------------------------------------------------
 *
 * run_ask.h
 *	  A question to the destination that a run needs the answer of before it
 *	  sends.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_RUN_ASK_H
#define ACT_RUN_ASK_H

#include "connector.h"
#include "run.h"

typedef struct RunQuestion
{
	void		(*render) (Run *run, HttpRequest *request, void *arg);

	/* Says what the answer means; whoever asks wants VERDICT_ROWS. */
	void		(*read) (Run *run, const HttpResponse *response, ConnectorAnswer *answer, void *arg);
	void	   *arg;
	const char *unanswered;		/* destination "x" ...: where it says no */
	const char *hint;			/* where the answer has none */
} RunQuestion;

/* False: run->stop is set.  Throws on cancel and shutdown, and what rendering throws. */
extern bool act_run_ask(Run *run, const RunQuestion *question);

#endif							/* ACT_RUN_ASK_H */
