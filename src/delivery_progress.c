/*-------------------------------------------------------------------------
 *
 * delivery_progress.c
 *	  How far a delivery is, and what keeps it from going on.
 *
 * Called with each turn of its loop; tells the run's slot of shared memory
 * each time, and whoever called run_sync() now and then.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "deliver_private.h"
#include "destination_limit.h"
#include "job.h"
#include "progress.h"
#include "settings.h"

/* What keeps it from sending, for whoever wonders; NULL: nothing does. */
static const char *
waiting_for(const Delivery *delivery, char *text, size_t len)
{
	int64		now = GetCurrentTimestamp() / 1000;

	if (now < delivery->locked_until)
		return "lock on the sync's table";
	/* Its own requests under way are what takes all the places. */
	if (now < delivery->limited_until &&
		(delivery->in_flight == NIL || act_limit_reason(delivery->run->limit) != LIMIT_CONCURRENCY))
		return act_limit_reason_name(act_limit_reason(delivery->run->limit));
	if (act_delivery_only_jobs(delivery))
	{
		const Job  *job = act_delivery_first_job(delivery);

		if (job == NULL)
			return delivery->in_flight != NIL ? "answer" : "jobs of other syncs";
		snprintf(text, len, "job %s at %s", act_job_title(job), delivery->run->destination->name);
		return text;
	}
	if (delivery->in_flight != NIL)
		return "answer";
	return delivery->ready != NIL ? "retry" : NULL;
}

void
act_delivery_report(Delivery *delivery)
{
	Run		   *run = delivery->run;
	int64		now = GetCurrentTimestamp() / 1000;
	int64		done = 0;
	char		text[NAMEDATALEN * 2];

	for (int i = 0; i < ROW_OUTCOME_COUNT; i++)
		done += run->counts.outcomes[i];
	act_progress_deliver(run, done, list_length(delivery->in_flight), waiting_for(delivery, text, sizeof(text)));
	if (run->in_worker || act_progress_interval == 0 ||
		now - delivery->reported_at < act_progress_interval)
		return;
	delivery->reported_at = now;
	ereport(INFO,
			(errmsg("sync \"%s\": " INT64_FORMAT " of " INT64_FORMAT " rows, " INT64_FORMAT
					" accepted, " INT64_FORMAT " refused, " INT64_FORMAT " requests",
					run->sync->name, done, run->diff.counts.to_send,
					run->counts.outcomes[ROW_ACCEPTED],
					run->counts.outcomes[ROW_REJECTED] + run->counts.outcomes[ROW_REFUSED],
					run->counts.requests)));
}
