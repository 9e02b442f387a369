/*-------------------------------------------------------------------------
 *
 * model_wait.c
 *	  A sync whose model cannot be read waits until it can.
 *
 * Tools that build warehouses drop and rename what syncs read, and bring it
 * back within seconds.  So the first failure is told once, as an event and in
 * the view status, and then it is tried again, later each time, without a run
 * for each try.  A command that touches what the model reads has it tried at
 * once (model_change.c).  A right that is missing is told only when it does
 * not come back: grants follow a rebuild.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/json.h"

#include "backoff.h"
#include "event.h"
#include "fault.h"
#include "identity.h"
#include "model_check.h"
#include "model_wait.h"
#include "schedule.h"
#include "snapshot.h"
#include "sync_relation.h"
#include "wakeup.h"

/* Between two tries. */
#define WAIT_FIRST (5 * USECS_PER_SEC)
#define WAIT_LIMIT (5 * USECS_PER_MINUTE)

/* While somebody just changes it. */
#define WAIT_LOCKED (1 * USECS_PER_SEC)

/* How long a missing right has to come back before anybody is told. */
#define GRANT_PATIENCE (10 * USECS_PER_MINUTE)

/* ----------------------------------------------------------------
 *		What is wrong
 * ----------------------------------------------------------------
 */

Model *
act_model_check(const Sync *sync)
{
	Model	   *model = act_model_resolve(sync);

	(void) act_snapshot_check_key(sync, model);
	return model;
}

/* What stands between begin and the next quote that ends there; NULL: it does not begin so. */
static char *
quoted_after(const char *text, const char *begin, const char *end)
{
	const char *start = strstr(text, begin);
	const char *stop;

	if (start == NULL)
		return NULL;
	start += strlen(begin);
	stop = strstr(start, end);
	return stop != NULL ? pnstrdup(start, stop - start) : NULL;
}

/* Names that are not there or not what they were, and what does not fit together. */
static bool
is_model_error(const ErrorData *error)
{
	switch (ERRCODE_TO_CATEGORY(error->sqlerrcode))
	{
		case ERRCODE_SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION:
		case ERRCODE_INVALID_SCHEMA_NAME:
		case ERRCODE_FEATURE_NOT_SUPPORTED:
			return true;
		default:
			return error->sqlerrcode == ERRCODE_INVALID_PARAMETER_VALUE ||
				error->sqlerrcode == ERRCODE_INVALID_TEXT_REPRESENTATION;
	}
}

static const char *
without(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0 ? text + strlen(prefix) : text;
}

ModelProblem *
act_model_problem(const Sync *sync, const ErrorData *error)
{
	ModelProblem *problem;
	const char *message = error->message ? error->message : "";

	if (!is_model_error(error))
		return NULL;
	problem = palloc0(sizeof(ModelProblem));
	message = without(message, psprintf("sync \"%s\": ", sync->name));
	message = without(message, psprintf("model of sync \"%s\": ", sync->name));
	problem->sqlstate = error->sqlerrcode;
	problem->message = pstrdup(message);
	problem->grant = error->sqlerrcode == ERRCODE_INSUFFICIENT_PRIVILEGE &&
		strncmp(message, MODEL_OWNER_REFUSED, strlen(MODEL_OWNER_REFUSED)) != 0;
	if (problem->grant && error->hint != NULL)
		problem->message = psprintf("%s: %.*s", message, (int) strcspn(error->hint, ";"), error->hint);
	problem->field = quoted_after(message, "mapping field \"", "\": ");
	problem->column = quoted_after(message, "column \"", "\" ");
	return problem;
}

char *
act_model_problem_text(const ModelProblem *problem)
{
	if (problem->command == NULL)
		return problem->message;
	return psprintf("%s (%s by role \"%s\" on %s%s)", problem->message, problem->command,
					problem->role, problem->relation, problem->cascade ? ", by CASCADE" : "");
}

static void
add_member(StringInfo buf, const char *name, const char *value)
{
	appendStringInfo(buf, ", \"%s\": ", name);
	if (value == NULL)
		appendStringInfoString(buf, "null");
	else
		escape_json(buf, value);
}

static char *
details(const ModelProblem *problem)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfo(&buf, "{\"sqlstate\": \"%s\"", unpack_sql_state(problem->sqlstate));
	add_member(&buf, "field", problem->field);
	add_member(&buf, "column", problem->column);
	add_member(&buf, "relation", problem->relation);
	add_member(&buf, "command", problem->command);
	add_member(&buf, "role", problem->role);
	appendStringInfo(&buf, ", \"cascade\": %s}", problem->cascade ? "true" : "false");
	return buf.data;
}

/*
 * What was right when the sync was defined is not there any more: how to
 * write it is no help now, how to say its new name is.  The model is somebody
 * else's, and who reads of it knows the sync by its name.
 */
void
act_model_explain(const Sync *sync, ErrorData *error)
{
	static const char *const arguments[] = {"mapping", "key", "model"};
	const char *what = NULL;

	for (int i = 0; i < lengthof(arguments) && what == NULL; i++)
	{
		if (strncmp(error->message, arguments[i], strlen(arguments[i])) == 0)
			what = arguments[i];
	}
	if (strstr(error->message, psprintf("\"%s\"", sync->name)) == NULL)
		error->message = psprintf("sync \"%s\": %s", sync->name, error->message);
	if (what == NULL ||
		(error->sqlerrcode != ERRCODE_UNDEFINED_TABLE && error->sqlerrcode != ERRCODE_UNDEFINED_COLUMN))
		return;
	error->detail = pstrdup("It was there when the sync was defined. Nothing was sent, and no row counts as removed.");
	error->hint = psprintf("Put it back, or say what it is called now: SELECT activate.alter_sync(%s, %s => '...');",
						   quote_literal_cstr(sync->name), what);
}

/* ----------------------------------------------------------------
 *		It waits
 * ----------------------------------------------------------------
 */

static void
try_later(const Sync *sync, SyncState *state, TimestampTz pause)
{
	state->retry_at = act_schedule_is_manual(sync->schedule) ? 0 : act_now() + pause;
	state->retry_rows = false;
}

/* Who did it may be known to one who found it, and not to another. */
static bool
is_same(const SyncState *state, const ModelProblem *problem)
{
	return strncmp(state->model_problem, problem->message, strlen(problem->message)) == 0;
}

/* A wait of which nobody was told goes on unheard while a right may come back. */
static bool
is_to_be_told(const SyncState *state, const ModelProblem *problem, TimestampTz now)
{
	if (state->model_problem == NULL)
		return !problem->grant || now - state->model_problem_since >= GRANT_PATIENCE ||
			now < state->model_problem_since;
	return !problem->grant && !is_same(state, problem);
}

void
act_model_wait(const Sync *sync, SyncState *state, const ModelProblem *problem, int64 run_id)
{
	TimestampTz now = act_now();

	if (state->model_problem_since == 0)
	{
		state->model_problem_since = now;
		state->model_problem = NULL;
		state->failures = 0;
	}
	if (is_to_be_told(state, problem, now))
	{
		act_event_record("model_changed", "warning", sync, run_id,
						 psprintf("sync \"%s\" waits until its model can be read again: %s",
								  sync->name, act_model_problem_text(problem)),
						 details(problem));
		state->model_problem = act_model_problem_text(problem);
	}
	else if (state->model_problem != NULL && !is_same(state, problem))
		state->model_problem = act_model_problem_text(problem);
	state->failures++;
	try_later(sync, state, act_backoff_pause(WAIT_FIRST, WAIT_LIMIT, state->failures));
}

/* ----------------------------------------------------------------
 *		It waits no longer
 * ----------------------------------------------------------------
 */

static void
end_wait(const Sync *sync, SyncState *state, bool tell)
{
	if (state->model_problem != NULL && tell)
		act_event_record("model_restored", "info", sync, 0,
						 psprintf("the model of sync \"%s\" can be read again", sync->name), NULL);
	state->model_problem_since = 0;
	state->model_problem = NULL;
	state->failures = 0;
}

static bool
waits(int64 sync_id)
{
	SqlArgument args[] = {SQL_INT8(sync_id)};

	return act_sql(SPI_OK_SELECT,
				   "SELECT 1 FROM activate.sync_state WHERE sync_id = $1 AND model_problem_since IS NOT NULL",
				   lengthof(args), args) > 0;
}

bool
act_model_works(const Model *model, bool patient, bool tell)
{
	const Sync *sync = model->sync;
	Identity	identity;
	SyncState	state;
	bool		waited;
	bool		current;

	act_identity_extension(&identity);
	waited = waits(sync->sync_id);
	current = act_sync_relation_current(model);
	if ((waited || !current) && act_sync_state_load(sync->sync_id, patient, &state))
	{
		if (!current)
			act_sync_relation_store(model);
		waited = state.model_problem_since != 0;
		if (waited)
		{
			end_wait(sync, &state, tell);
			try_later(sync, &state, 0);
			act_sync_state_store(&state);
			act_wake_at_commit();
		}
	}
	else
		waited = false;
	act_identity_leave(&identity);
	return waited;
}

/* ----------------------------------------------------------------
 *		It is tried again
 * ----------------------------------------------------------------
 */

static void
resolve(void *arg)
{
	(void) act_model_check(arg);
}

/*
 * With the state locked, so for no lock is waited.  What is no problem of the
 * model is the run's to find, and to tell; and only when the run has read the
 * model to its end the wait ends.
 */
bool
act_model_wait_over(const Sync *sync, SyncState *state, const SyncState *before, bool asked_for, char **ended)
{
	ErrorData  *error;
	ModelProblem *problem;

	*ended = NULL;
	if (sync->options.on_model_change == MODEL_CHANGE_FAIL)
	{
		end_wait(sync, state, false);
		return true;
	}
	error = act_transaction_probe(resolve, (void *) sync);
	if (error == NULL)
		return true;
	problem = act_model_problem(sync, error);
	if (problem == NULL && error->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE)
		return true;
	*state = *before;
	if (problem != NULL)
	{
		act_model_wait(sync, state, problem, 0);
		*ended = problem->message;
	}
	else if (!asked_for)
		try_later(sync, state, WAIT_LOCKED);
	act_sync_state_store(state);
	return false;
}
