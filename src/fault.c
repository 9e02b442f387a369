/*-------------------------------------------------------------------------
 *
 * fault.c
 *	  The clock, and in the test build faults and a way to move the clock.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>
#include <unistd.h>

#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/guc.h"
#include "utils/wait_event.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "fault.h"

int			act_retry_pause_ms = 0;
int			act_job_patience_ms = 0;

#ifdef ACT_TEST

bool		act_fault_late_off = false;
bool		act_fault_claims_off = false;

static char *debug_faults = NULL;
static int	debug_clock_offset = 0; /* seconds */
static int	passes = 0;

void
act_fault_define_settings(void)
{
	DefineCustomStringVariable("pg_activate.debug_faults",
							   "Test build: point:action[:skip], separated by commas.",
							   NULL, &debug_faults, "", PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("pg_activate.debug_clock_offset",
							"Test build: seconds that the clock is ahead.",
							NULL, &debug_clock_offset, 0, PG_INT32_MIN, PG_INT32_MAX,
							PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("pg_activate.debug_retry_pause",
							"Test build: the first pause between two tries.",
							NULL, &act_retry_pause_ms, 0, 0, PG_INT32_MAX, PGC_USERSET,
							GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("pg_activate.debug_job_patience",
							"Test build: how long a worker does nothing but ask for jobs.",
							NULL, &act_job_patience_ms, 0, 0, PG_INT32_MAX, PGC_USERSET,
							GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("pg_activate.debug_poll_pause",
							"Test build: the pause between two polls of a job.",
							NULL, &act_poll_pause_ms, 0, 0, PG_INT32_MAX, PGC_USERSET,
							GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomBoolVariable("pg_activate.debug_late_off",
							 "Test build: a newer version goes at once, whatever lost request may still be applied.",
							 NULL, &act_fault_late_off, false, PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("pg_activate.debug_claims_off",
							 "Test build: neither claims nor doubt, to show what they are for.",
							 NULL, &act_fault_claims_off, false, PGC_SUSET, 0, NULL, NULL, NULL);
}

static void
wait_for_ever(void)
{
	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH, 0, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
}

/*
 * A process that is asked to end does so at its next CHECK_FOR_INTERRUPTS.
 * The line in the log is what tests count faults by.
 */
static void
act(const char *point, const char *action)
{
	ereport(LOG_SERVER_ONLY,
			(errmsg_internal("fault point \"%s\": %.*s", point, (int) strcspn(action, ":,"), action),
			 errhidestmt(true)));
	if (strncmp(action, "kill", 4) == 0)
		kill(MyProcPid, SIGKILL);
	else if (strncmp(action, "term", 4) == 0)
		kill(MyProcPid, SIGTERM);
	else if (strncmp(action, "wait", 4) == 0)
		wait_for_ever();
	else
		ereport(strncmp(action, "fatal", 5) == 0 ? FATAL : ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("fault at \"%s\"", point)));
}

/*
 * Skips count over all points of the list together, in the order in which
 * they are passed: one fault a list is what tests use.
 */
void
act_fault(const char *point)
{
	const char *entry = debug_faults;
	size_t		len = strlen(point);

	while (entry != NULL && *entry != '\0')
	{
		if (strncmp(entry, point, len) == 0 && entry[len] == ':')
		{
			const char *action = entry + len + 1;
			const char *colon = strpbrk(action, ":,");
			int			skip = colon != NULL && *colon == ':' ? atoi(colon + 1) : 0;

			if (passes++ < skip)
				return;
			passes = 0;
			act(point, action);
		}
		entry = strchr(entry, ',');
		if (entry != NULL)
			entry++;
	}
}
#endif							/* ACT_TEST */

TimestampTz
act_now(void)
{
#ifdef ACT_TEST
	return GetCurrentTimestamp() + (TimestampTz) debug_clock_offset * USECS_PER_SEC;
#else
	return GetCurrentTimestamp();
#endif
}
