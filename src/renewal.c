/*-------------------------------------------------------------------------
 *
 * renewal.c
 *	  New credentials in the middle of a run.
 *
 * A run reads its credentials when it begins.  Where the destination refuses
 * them later, somebody may have changed the user mapping or rotated a file
 * since, so they are read once more.  If these are others than those that
 * were refused, requests go again with them: once for each new credential,
 * since one that was refused in this run is not tried again.  The
 * destination, its address above all, stays what the run began with.
 *
 * A token that is refused is exchanged for a new one first (token.c); where
 * that one is refused, too, before anything was accepted with it, the
 * credentials are read again, and then the run stops.
 *
 * Called by the loops of deliver.c and link.c, whose other requests stay under
 * way meanwhile.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "renewal.h"
#include "token.h"
#include "transaction.h"

static bool
same_secrets(List *some, List *others)
{
	ListCell   *a;
	ListCell   *b;

	if (list_length(some) != list_length(others))
		return false;
	forboth(a, some, b, others)
	{
		const HttpHeader *one = lfirst(a);
		const HttpHeader *other = lfirst(b);

		if (strcmp(one->name, other->name) != 0 || strcmp(one->value, other->value) != 0)
			return false;
	}
	return true;
}

/* Whether it is refused already in this run. */
static bool
is_known(const Destination *destination, List *secrets)
{
	ListCell   *cell;

	foreach(cell, destination->old_secrets)
	{
		if (same_secrets(lfirst(cell), secrets))
			return true;
	}
	return same_secrets(destination->secrets, secrets);
}

/* What is set now may be meant for another place than this run sends to. */
static bool
same_place(const Destination *destination, const Destination *now)
{
	return now->server_oid == destination->server_oid &&
		strcmp(now->connector_name, destination->connector_name) == 0 &&
		strcmp(now->origin, destination->origin) == 0 &&
		(now->base_url == NULL || destination->base_url == NULL ? now->base_url == destination->base_url :
		 strcmp(now->base_url, destination->base_url) == 0);
}

Destination *
act_renewal_read(Run *run, char **problem)
{
	Destination *volatile now = NULL;

	PG_TRY();
	{
		act_transaction_read_only();
		MemoryContextSwitchTo(run->context);
		now = act_destination_load_object(run->destination->name, run->sync->owner, run->sync->object, true);
		act_transaction_commit(false);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(run->context);
		error = CopyErrorData();
		FlushErrorState();
		act_transaction_rollback();
		if (error->sqlerrcode == ERRCODE_QUERY_CANCELED || error->sqlerrcode == ERRCODE_ADMIN_SHUTDOWN ||
			act_transaction_shut_out())
			ReThrowError(error);
		*problem = error->message;
		now = NULL;
	}
	PG_END_TRY();
	return now;
}

bool
act_renewal_try(Run *run, int generation, char **problem)
{
	Destination *destination = run->destination;
	MemoryContext caller = CurrentMemoryContext;
	Destination *now;
	bool		renewed;

	*problem = NULL;
	if (generation < destination->generation)
		return true;
	if (act_token_refused(run))
		return true;
	now = act_renewal_read(run, problem);
	MemoryContextSwitchTo(caller);
	if (now == NULL)
		return false;
	renewed = same_place(destination, now) && !is_known(destination, now->secrets);
	if (renewed)
	{
		MemoryContextSwitchTo(run->context);
		destination->old_secrets = lappend(destination->old_secrets, destination->secrets);
		destination->secrets = now->secrets;
		destination->secret_identities = now->secret_identities;
		act_token_drop(run);
		destination->generation++;
		MemoryContextSwitchTo(caller);
	}
	else
		act_destination_wipe(now);
	return renewed;
}
