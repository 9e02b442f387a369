/*-------------------------------------------------------------------------
 *
 * token.c
 *	  The token that a destination's credentials are exchanged for.
 *
 * One process asks for all: whoever needs a token looks into token_store.c,
 * and where there is none takes the lock of these credentials, looks again
 * and asks; the others wait for what it finds, also where it finds none.
 * Nothing else is held meanwhile, no transaction, no snapshot.
 *
 * A refresh token that comes back another takes the place of the old one in
 * the database, committed and flushed, before anybody gets the access token:
 * a crash in between leaves the old one, which is asked with again.
 *
 * Called by the loops of deliver.c and link.c between their requests, and
 * for single requests of functions.  The token lives with the destination.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "fault.h"
#include "renewal.h"
#include "request_retry.h"
#include "stored_secret.h"
#include "token.h"
#include "token_store.h"
#include "transaction.h"

#define MAX_TRIES 3
#define LOCK_PAUSE_MS 50

/* A failure is everybody's for so long. */
#define FAILURE_SECONDS 5

/* A function's caller is not kept waiting any longer. */
#define ONCE_TIMEOUT_MS (10 * 1000)

/* Tokens of this run that answers may still repeat. */
#define OLD_TOKENS 4

typedef struct Asker
{
	Destination *destination;
	ConnectorScope *scope;
	Run		   *run;			/* NULL: a function */
	bool		may_commit;
	TimestampTz until;			/* a function's patience; 0: no limit */
	uint8		key[ACT_TOKEN_KEY_LEN];
	TokenFailure failure;
} Asker;

static int64
unix_now(void)
{
	return act_now() / USECS_PER_SEC + (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY;
}

/* Whether nobody waits any more; interrupts are served. */
static bool
given_up(Asker *asker)
{
	CHECK_FOR_INTERRUPTS();
	if (asker->run != NULL)
	{
		act_run_poll(asker->run);
		return asker->run->stop.set;
	}
	if (asker->until == 0 || GetCurrentTimestamp() < asker->until)
		return false;
	asker->failure.problem = psprintf("there was no token within %d seconds", ONCE_TIMEOUT_MS / 1000);
	asker->failure.later = true;
	return true;
}

static bool
pause_for(Asker *asker, long ms)
{
	TimestampTz until = GetCurrentTimestamp() + ms * 1000;

	for (;;)
	{
		long		left = (long) ((until - GetCurrentTimestamp()) / 1000);

		if (given_up(asker))
			return false;
		if (left <= 0)
			return true;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, left, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
}

/* ----------------------------------------------------------------
 *		Credentials
 * ----------------------------------------------------------------
 */

static const char *
identity_of(void *arg, const char *name)
{
	return act_destination_secret_identity(arg, name);
}

/* Who has the same credentials for the same server has the same key. */
static void
set_key(Asker *asker)
{
	ConnectorScope scope = *asker->scope;
	uint32		place[2] = {MyDatabaseId, asker->destination->server_oid};

	scope.secret = identity_of;
	act_connector_token_digest(asker->destination->connector, &scope, asker->key);
	for (int i = 0; i < sizeof(place); i++)
		asker->key[i + 8] ^= ((uint8 *) place)[i];
}

/* Others may have had a new one since this run read it. */
static bool
read_rotated(Asker *asker, const char *name)
{
	MemoryContext caller = CurrentMemoryContext;
	Destination *now;
	const char *value;

	if (asker->run == NULL)
	{
		MemoryContext context = GetMemoryChunkContext(asker->destination);

		act_transaction_read_only();
		MemoryContextSwitchTo(context);
		now = act_destination_load(asker->destination->name, GetUserId(), true);
		act_transaction_commit(false);
	}
	else
		now = act_renewal_read(asker->run, &asker->failure.problem);
	MemoryContextSwitchTo(caller);
	if (now == NULL)
		return false;
	value = act_destination_secret(now, name);
	if (value != NULL)
		act_destination_replace_secret(asker->destination, name, value);
	act_destination_wipe(now);
	return true;
}

/* It is durable when this returns. */
static void
keep_rotated(Asker *asker, const char *name, const char *value)
{
	MemoryContext caller = CurrentMemoryContext;

	ACT_FAULT("token_answered");
	act_transaction_writable();
	act_stored_secret_keep(asker->destination, name, value);
	act_transaction_commit(true);
	MemoryContextSwitchTo(caller);
	ACT_FAULT("token_kept");
}

/* ----------------------------------------------------------------
 *		Asking
 * ----------------------------------------------------------------
 */

static HttpResponse *
wait_for_answer(Asker *asker, HttpLoop *loop)
{
	HttpResponse *response;
	void	   *owner;

	while ((response = act_http_next(loop, &owner)) == NULL)
	{
		if (given_up(asker))
			return NULL;
		act_http_wait(loop, 500);
	}
	return response;
}

/* NULL: given up. */
static HttpResponse *
exchange(Asker *asker)
{
	HttpPolicy	policy = asker->destination->policy;
	HttpResponse *volatile response = NULL;
	HttpRequest request;
	HttpLoop   *loop;

	act_connector_render_token(asker->destination->connector, asker->scope, unix_now(), &request);
	policy.max_connections = 1;
	if (asker->until != 0)
	{
		policy.timeout_ms = Min(policy.timeout_ms, ONCE_TIMEOUT_MS);
		policy.connect_timeout_ms = Min(policy.connect_timeout_ms, policy.timeout_ms);
	}
	loop = act_http_loop_create(&policy);
	PG_TRY();
	{
		act_http_send(loop, &request, NULL);
		response = wait_for_answer(asker, loop);
	}
	PG_FINALLY();
	{
		act_http_loop_destroy(loop);
	}
	PG_END_TRY();
	return response;
}

static void
note_failure(Asker *asker, const ConnectorToken *token)
{
	const Destination *destination = asker->destination;

	asker->failure.problem = act_destination_redact(destination, token->problem);
	asker->failure.hint = token->hint ? act_destination_redact(destination, token->hint) : NULL;
	asker->failure.code = token->code ? act_destination_redact(destination, token->code) : NULL;
	asker->failure.later = token->later;
	act_token_store_fail(asker->key, &asker->failure, unix_now() + FAILURE_SECONDS);
}

/* False: asker->failure says why, or the run is to stop. */
static bool
ask(Asker *asker, StoredToken *result)
{
	Connector  *connector = asker->destination->connector;
	const char *rotating = act_connector_rotating_secret(connector, asker->scope);
	ConnectorToken token;

	if (rotating != NULL && !asker->may_commit)
	{
		asker->failure.problem = "its token comes with a new refresh token, which only a run can keep";
		asker->failure.hint = "CALL activate.run_sync('...') first; its token is used here, too.";
		return false;
	}
	if (rotating != NULL && !read_rotated(asker, rotating))
		return false;
	for (int tries = 1;; tries++)
	{
		HttpResponse *response = exchange(asker);

		if (response == NULL)
			return false;
		act_connector_read_token(connector, asker->scope, response, unix_now(), &token);
		if (token.problem == NULL || !token.later || tries == MAX_TRIES)
			break;
		if (!pause_for(asker, act_request_retry_pause(tries)))
			return false;
	}
	if (token.problem != NULL)
	{
		note_failure(asker, &token);
		return false;
	}
	if (token.refresh_token != NULL && rotating != NULL &&
		strcmp(token.refresh_token, act_destination_secret(asker->destination, rotating)) != 0)
	{
		keep_rotated(asker, rotating, token.refresh_token);
		act_destination_replace_secret(asker->destination, rotating, token.refresh_token);
	}
	result->serial = act_token_store_put(asker->key, &token);
	result->values = token.values;
	result->secrets = token.secrets;
	result->expires_s = token.expires_s;
	return true;
}

/* True: *result is one. */
static bool
find_or_ask(Asker *asker, StoredToken *result)
{
	volatile bool found = false;

	for (;;)
	{
		if (act_token_store_get(asker->key, unix_now(), result, &asker->failure))
			return true;
		if (asker->failure.problem != NULL)
			return false;
		if (act_token_lock(asker->key))
			break;
		if (!pause_for(asker, LOCK_PAUSE_MS))
			return false;
	}
	PG_TRY();
	{
		/* Somebody may have been quicker. */
		found = act_token_store_get(asker->key, unix_now(), result, &asker->failure) ||
			(asker->failure.problem == NULL && ask(asker, result));
	}
	PG_FINALLY();
	{
		act_token_unlock(asker->key);
	}
	PG_END_TRY();
	return found;
}

/* ----------------------------------------------------------------
 *		Whose it is
 * ----------------------------------------------------------------
 */

static List *
copy_pairs(List *pairs)
{
	List	   *copies = NIL;
	ListCell   *cell;

	foreach(cell, pairs)
	{
		const HttpHeader *pair = lfirst(cell);
		HttpHeader *copy = palloc(sizeof(HttpHeader));

		copy->name = pstrdup(pair->name);
		copy->value = pstrdup(pair->value);
		copies = lappend(copies, copy);
	}
	return copies;
}

/* In the destination's own memory: it outlives requests. */
static void
adopt(Asker *asker, const StoredToken *token)
{
	Destination *destination = asker->destination;
	MemoryContext caller = MemoryContextSwitchTo(GetMemoryChunkContext(destination));

	destination->token = copy_pairs(token->values);
	destination->token_secrets = lcons(copy_pairs(token->secrets), destination->token_secrets);
	if (list_length(destination->token_secrets) > OLD_TOKENS)
		destination->token_secrets = list_truncate(destination->token_secrets, OLD_TOKENS);
	destination->token_serial = token->serial;
	destination->token_expires_s = token->expires_s;
	destination->token_worked = false;
	memcpy(destination->token_key, asker->key, ACT_TOKEN_KEY_LEN);
	MemoryContextSwitchTo(caller);
	asker->scope->token = destination->token;
}

/* The document's own word of the address, or the option's, which is checked when it is loaded. */
static bool
obtain(Asker *asker)
{
	const Destination *destination = asker->destination;
	StoredToken token;

	if (act_connector_rotating_secret(destination->connector, asker->scope) != NULL)
		act_stored_secret_require_key(destination->name);
	set_key(asker);
	if (!find_or_ask(asker, &token))
		return false;
	adopt(asker, &token);
	return true;
}

static char *
failure_hint(const Asker *asker)
{
	const Destination *destination = asker->destination;
	const char *rotating = act_connector_rotating_secret(destination->connector, asker->scope);

	if (asker->failure.hint != NULL)
		return asker->failure.hint;
	if (rotating != NULL && asker->failure.code != NULL && strcmp(asker->failure.code, "invalid_grant") == 0)
		return psprintf("It was revoked, used elsewhere or is over: authorize anew, then SELECT activate.set_secret(%s, %s, '...');",
						quote_literal_cstr(destination->name), quote_literal_cstr(rotating));
	return psprintf("SELECT * FROM activate.check_destination(%s);", quote_literal_cstr(destination->name));
}

static void
stop(Asker *asker)
{
	Run		   *run = asker->run;

	if (run->stop.set)
		return;
	act_run_stop(run, RUN_FAILED,
				 psprintf(asker->failure.later ? "destination \"%s\" gives no token" :
						  "destination \"%s\" refuses the credentials", run->destination->name),
				 asker->failure.problem, failure_hint(asker));
	run->unreachable = asker->failure.later;
}

static bool
is_due(const Destination *destination)
{
	return destination->token == NIL ||
		(destination->token_expires_s != 0 && unix_now() >= destination->token_expires_s);
}

bool
act_token_ready(Run *run)
{
	Destination *destination = run->destination;
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context;
	Asker		asker = {.destination = destination,.scope = &run->scope,.run = run,.may_commit = true};
	bool		had_one = destination->token != NIL;

	if (!act_connector_needs_token(destination->connector, &run->scope) || !is_due(destination))
		return true;
	context = AllocSetContextCreate(run->context, "pg_activate token", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(context);
	if (obtain(&asker))
		destination->generation += had_one;
	else
		stop(&asker);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
	return !run->stop.set;
}

char *
act_token_ready_once(Destination *destination, ConnectorScope *scope, bool may_commit)
{
	Asker		asker = {.destination = destination,.scope = scope,.may_commit = may_commit};

	if (!act_connector_needs_token(destination->connector, scope))
		return NULL;
	asker.until = GetCurrentTimestamp() + ONCE_TIMEOUT_MS * INT64CONST(1000);
	return obtain(&asker) ? NULL : psprintf("%s (%s)", asker.failure.problem, failure_hint(&asker));
}

bool
act_token_refused(Run *run)
{
	Destination *destination = run->destination;

	if (destination->token == NIL || (destination->token_renewed && !destination->token_worked))
		return false;
	act_token_store_forget(destination->token_key, destination->token_serial);
	act_token_drop(run);
	destination->token_renewed = true;
	return true;
}

void
act_token_drop(Run *run)
{
	if (run->destination->token == NIL)
		return;
	run->destination->token = run->scope.token = NIL;
	run->destination->generation++;
}

void
act_token_worked(Run *run, int generation)
{
	if (generation == run->destination->generation)
		run->destination->token_worked = true;
}
