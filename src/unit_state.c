/*-------------------------------------------------------------------------
 *
 * unit_state.c
 *	  Mode replace: what is known of the unit as a whole, in activate.sync_state.
 *
 * The snapshot says row by row what the destination has; the digest over all
 * rows says in which order.  Without a digest, what was tried last says that
 * the destination may have that or what it had before, so that the next run
 * sends the unit; without either nothing is known, which is where a baseline
 * leaves it, and the next run notes the order as it is.  A unit that was
 * refused waits as a whole: so its back-off stands here, too.
 *
 * Called inside transactions that the caller commits, with SPI connected;
 * enters and leaves the extension's identity.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "fault.h"
#include "identity.h"
#include "transaction.h"
#include "unit.h"

static bool
read_digest(int column, uint8 *digest)
{
	bool		isnull;
	Datum		value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column, &isnull);

	if (!isnull)
		memcpy(digest, DatumGetUUIDP(value)->data, ACT_DIGEST_LEN);
	return !isnull;
}

void
act_unit_load(int64 sync_id, UnitState *state)
{
	Identity	identity;
	SqlArgument args[] = {SQL_INT8(sync_id)};
	bool		isnull;

	memset(state, 0, sizeof(*state));
	act_identity_extension(&identity);
	if (act_sql(SPI_OK_SELECT,
				"SELECT unit_digest, unit_tried, unit_attempts, unit_next_attempt_at, unit_late_until"
				" FROM activate.sync_state WHERE sync_id = $1", 1, args) == 1)
	{
		state->has_digest = read_digest(1, state->digest);
		state->has_tried = read_digest(2, state->tried);
		state->attempts = (int) act_sql_int64(0, 3);
		state->next_attempt_at = DatumGetTimestampTz(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 4, &isnull));
		if (isnull)
			state->next_attempt_at = 0;
		state->late_until = DatumGetTimestampTz(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 5, &isnull));
		if (isnull)
			state->late_until = 0;
	}
	act_identity_leave(&identity);
}

static void
store(const Sync *sync, const UnitState *state)
{
	Identity	identity;
	pg_uuid_t	digest;
	pg_uuid_t	tried;
	SqlArgument args[] = {
		SQL_INT8(sync->sync_id),
		{UUIDOID, UUIDPGetDatum(&digest), !state->has_digest},
		{UUIDOID, UUIDPGetDatum(&tried), !state->has_tried},
		SQL_INT4(state->attempts),
		{TIMESTAMPTZOID, TimestampTzGetDatum(state->next_attempt_at), state->next_attempt_at == 0},
		{TIMESTAMPTZOID, TimestampTzGetDatum(state->late_until), state->late_until == 0}
	};

	memcpy(digest.data, state->digest, UUID_LEN);
	memcpy(tried.data, state->tried, UUID_LEN);
	act_identity_extension(&identity);
	act_sql(SPI_OK_UPDATE,
			"UPDATE activate.sync_state SET unit_digest = $2, unit_tried = $3, unit_attempts = $4,"
			" unit_next_attempt_at = $5, unit_late_until = $6 WHERE sync_id = $1", lengthof(args), args);
	act_identity_leave(&identity);
}

static UnitState
accepted(const Unit *unit)
{
	UnitState	state = {.has_digest = unit->has_digest};

	memcpy(state.digest, unit->digest, ACT_DIGEST_LEN);
	return state;
}

static UnitState
in_doubt(const Unit *unit)
{
	UnitState	state = {.has_tried = true, .attempts = unit->attempts};

	memcpy(state.tried, unit->digest, ACT_DIGEST_LEN);
	return state;
}

void
act_unit_record(const Sync *sync, const Unit *unit)
{
	UnitState	state = accepted(unit);

	store(sync, &state);
	ACT_FAULT("unit_recorded");
}

void
act_unit_claim(const Sync *sync, const Unit *unit)
{
	UnitState	state = in_doubt(unit);

	state.late_until = unit->before.late_until;
	store(sync, &state);
}

void
act_unit_retry(const Sync *sync)
{
	UnitState	state;

	act_unit_load(sync->sync_id, &state);
	if (state.attempts == 0)
		return;
	state.attempts = 0;
	state.next_attempt_at = act_now();
	store(sync, &state);
}

void
act_unit_lost(const Sync *sync, int late_ms)
{
	UnitState	state;

	act_unit_load(sync->sync_id, &state);
	state.late_until = Max(state.late_until, act_now() + late_ms * INT64CONST(1000));
	store(sync, &state);
}

TimestampTz
act_unit_settle(const Sync *sync, const Unit *unit)
{
	UnitState	state = unit->before;
	TimestampTz now = act_now();
	TimestampTz late_until = unit->late_ms > 0 ? now + unit->late_ms * INT64CONST(1000) : 0;

	switch (unit->outcome)
	{
		case ROW_ACCEPTED:
			state = accepted(unit);
			break;
		case ROW_REJECTED:
		case ROW_REFUSED:
			state = in_doubt(unit);
			state.attempts++;
			state.next_attempt_at = act_next_attempt(state.attempts, sync->options.max_attempts, now);
			/* The no is certain of this request; what an earlier try of it did is not. */
			if (!unit->uncertain)
			{
				state.has_digest = unit->before.has_digest;
				memcpy(state.digest, unit->before.digest, ACT_DIGEST_LEN);
			}
			break;
		default:
			if (unit->uncertain)
				state = in_doubt(unit);
			break;
	}
	state.late_until = Max(late_until, unit->before.late_until > now ? unit->before.late_until : 0);
	store(sync, &state);
	return state.next_attempt_at;
}

/* No unit has this digest, so that it is like one in doubt.  A lost request is not over for that. */
void
act_unit_forget(const Sync *sync, bool send)
{
	UnitState	before;
	UnitState	state = {.has_tried = send};

	act_unit_load(sync->sync_id, &before);
	state.late_until = before.late_until;
	store(sync, &state);
}
