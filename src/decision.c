/*-------------------------------------------------------------------------
 *
 * decision.c
 *	  What to do with one row, and what an answer makes of it.
 *
 * The snapshot's fingerprint is what the destination certainly has; whatever
 * leaves that uncertain takes it away, and a row without one is sent again
 * whatever its value.  That is all that convergence needs, as long as what was
 * lost is over: a request that may still be applied late must not be overtaken,
 * so until then only the very version that it carried may go.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "decision.h"

#define FIRST_RETRY_US (60 * USECS_PER_SEC)
#define LAST_RETRY_US (24 * 60 * 60 * USECS_PER_SEC)
#define ABSENT_RETRY_US (60 * 60 * USECS_PER_SEC)

static const char *const state_names[] = {
	[STATE_ACCEPTED] = "accepted",
	[STATE_REJECTED] = "rejected",
	[STATE_REFUSED] = "refused",
	[STATE_ABSENT] = "absent",
	[STATE_DOUBT] = "doubt",
	[STATE_UNKNOWN] = "unknown",
	[STATE_WAITING] = "waiting",
	[STATE_LEAVING] = "leaving",
	[STATE_LEFT] = "left",
	[STATE_REMOVED] = "removed",
	[STATE_GONE] = "gone",
	[STATE_SKIPPED] = "skipped",
	[STATE_FORGOTTEN] = "forgotten"
};

const char *
act_state_name(SnapshotState state)
{
	return state_names[state];
}

/*
 * The owner may write his table: a state we do not know means that we do not
 * know what the destination has.
 */
SnapshotState
act_state_parse(const char *name, size_t len)
{
	for (int i = 0; i < STATE_FORGOTTEN; i++)
	{
		if (strlen(state_names[i]) == len && memcmp(state_names[i], name, len) == 0)
			return (SnapshotState) i;
	}
	return STATE_DOUBT;
}

static void
mark(Decision *decision, SnapshotState state)
{
	decision->action = ACTION_MARK;
	decision->mark = true;
	decision->mark_state = state;
}

/*
 * A version that the destination said no to is asked again when its time has
 * come, when it changed, or when a person names it.
 */
static RowAction
retry_action(const RowPolicy *policy, const RowState *state)
{
	if (policy->forced)
		return ACTION_SEND;
	switch (state->state)
	{
		case STATE_REFUSED:
			return ACTION_SKIP;
		case STATE_UNKNOWN:
			return ACTION_UNKNOWN;
		case STATE_ABSENT:
			return policy->now < state->next_attempt_at ? ACTION_ABSENT : ACTION_SEND;
		case STATE_REJECTED:
			if (state->next_attempt_at == 0)
				return ACTION_SKIP;
			return policy->now < state->next_attempt_at ? ACTION_DELAY : ACTION_SEND;
		default:
			return ACTION_SEND;
	}
}

static bool
tried_before(const RowState *state, RowOp op, const uint8 *fingerprint)
{
	return state->has_tried && state->tried_op == op &&
		memcmp(state->tried, fingerprint, ACT_DIGEST_LEN) == 0;
}

/* The version tried last: what was charged and said of it still holds. */
static void
try_again(const RowPolicy *policy, const RowState *state, Decision *decision)
{
	decision->reuse_change_id = true;
	decision->attempts = state->attempts;
	decision->action = retry_action(policy, state);
	if (decision->action == ACTION_DELAY || decision->action == ACTION_ABSENT)
		decision->until = state->next_attempt_at;
}

/*
 * Another version than the one that was lost would be overtaken by it, and
 * then the destination has the older one for ever.  The row waits, and says
 * so where that would not be seen: its version may have been accepted since.
 */
static void
wait_for_late(const RowPolicy *policy, const RowState *state, Decision *decision)
{
	if (decision->action != ACTION_SEND || policy->as_unit || policy->now >= state->late_until ||
		decision->reuse_change_id)
		return;
	decision->action = ACTION_DELAY;
	decision->late = true;
	decision->until = state->late_until;
	if (decision->mark)
		return;
	decision->mark = state->state == STATE_ACCEPTED || state->state == STATE_LEFT || state->state == STATE_GONE ||
		(state->state == STATE_DOUBT && state->next_attempt_at != state->late_until);
	decision->mark_state = STATE_HELD_BACK;
}

/* Whatever is wanted of it: nobody asks the destination for anything. */
static void
skip_muted(const RowState *state, Decision *decision)
{
	if (decision->action == ACTION_NONE || decision->action == ACTION_MARK)
		return;
	decision->action = ACTION_SKIP;
	decision->reuse_change_id = false;
	/* What else is known of it goes on being known. */
	decision->mark = state->state == STATE_ACCEPTED || state->state == STATE_LEFT ||
		state->state == STATE_REMOVED || state->state == STATE_GONE ||
		(state->state == STATE_LEAVING && !state->in_doubt);
	decision->mark_state = STATE_SKIPPED;
}

/*
 * A request of it may have been applied, to ask twice is not safe, and no
 * person has decided: also while it is leaving, so that it is known what was
 * asked when it comes back.
 */
static bool
waits_for_person(const RowState *state)
{
	return state->state == STATE_UNKNOWN ||
		(state->state == STATE_LEAVING && state->in_doubt && state->has_tried);
}

/* The unknown version is wanted again, or no other may follow it. */
static void
stay_unknown(const RowPolicy *policy, const RowState *state, Decision *decision)
{
	decision->reuse_change_id = true;
	decision->attempts = state->attempts;
	decision->action = policy->forced ? ACTION_SEND : ACTION_UNKNOWN;
	decision->mark = state->state != STATE_UNKNOWN;
	decision->mark_state = STATE_UNKNOWN;
}

static void
decide_present(const RowPolicy *policy, const uint8 *fingerprint,
			   const RowState *state, Decision *decision)
{
	bool		same;

	decision->op = policy->op;
	decision->action = ACTION_SEND;
	if (!state->exists)
	{
		decision->cause = ROW_ADDED;
		return;
	}

	same = state->has_fingerprint && !state->in_doubt &&
		memcmp(state->fingerprint, fingerprint, ACT_DIGEST_LEN) == 0;
	if (same || (policy->never_again && state->there && !state->in_doubt))
	{
		/* The destination has it: at most, our notes say otherwise. */
		if (state->state == STATE_ACCEPTED)
			decision->action = ACTION_NONE;
		else
			mark(decision, STATE_ACCEPTED);
		return;
	}

	decision->in_doubt = state->in_doubt;
	decision->cause = state->there || state->in_doubt ? ROW_CHANGED : ROW_ADDED;
	if (waits_for_person(state) && tried_before(state, policy->op, fingerprint))
		stay_unknown(policy, state, decision);
	else if (waits_for_person(state) && policy->never_again && !policy->forced)
		decision->action = ACTION_UNKNOWN;	/* what came after it is another event, or the same */
	else if (state->missing_since != 0)
	{
		/* It is back: remove_after counts anew, and its removal is no longer wanted. */
		decision->mark = true;
		decision->mark_state = waits_for_person(state) ? STATE_UNKNOWN :
			state->in_doubt ? STATE_DOUBT : STATE_ACCEPTED;
	}
	else if (tried_before(state, policy->op, fingerprint))
		try_again(policy, state, decision);
}

static void
decide_gone(const RowPolicy *policy, const RowState *state, Decision *decision)
{
	if (!state->there && !state->in_doubt)
	{
		/* Nothing of ours is there. */
		if (state->state == STATE_REMOVED)
			return;
		if (!state->muted && (policy->as_unit || policy->now >= state->late_until))
			mark(decision, STATE_FORGOTTEN);
		else if (state->state != STATE_GONE)
			mark(decision, STATE_GONE);
		return;
	}
	if (policy->removal == ROW_OP_NONE)
	{
		SnapshotState wanted = waits_for_person(state) ? STATE_UNKNOWN : STATE_LEFT;

		if (state->state != wanted)
			mark(decision, wanted);
		return;
	}

	decision->cause = ROW_REMOVED;
	decision->op = policy->removal;
	decision->in_doubt = state->in_doubt;
	if (policy->remove_after_ms > 0 &&
		!(state->has_tried && state->tried_op == policy->removal &&
		  (state->missing_since != 0 || state->state == STATE_UNKNOWN)))
	{
		if (state->missing_since == 0)
		{
			mark(decision, STATE_LEAVING);
			decision->action = ACTION_LEAVING;
			return;
		}
		if (policy->now - state->missing_since < policy->remove_after_ms * 1000)
		{
			decision->action = ACTION_LEAVING;
			return;
		}
	}
	decision->action = ACTION_SEND;
	if (tried_before(state, policy->removal, policy->removal_version))
		try_again(policy, state, decision);
}

void
act_decide(const RowPolicy *policy, const uint8 *fingerprint,
		   const RowState *state, Decision *decision)
{
	memset(decision, 0, sizeof(*decision));
	decision->action = ACTION_NONE;
	decision->was_there = state->there;
	if (fingerprint != NULL)
		decide_present(policy, fingerprint, state, decision);
	else if (state->exists)
		decide_gone(policy, state, decision);
	wait_for_late(policy, state, decision);
	if (state->muted)
		skip_muted(state, decision);
}

void
act_doubt_state(const RowPolicy *policy, RowState *state)
{
	if (state->state == STATE_UNKNOWN || (policy->never_again && state->there && !state->in_doubt))
		return;
	state->in_doubt = true;
	if (state->state != STATE_LEFT && state->state != STATE_LEAVING)
		state->state = STATE_DOUBT;
	state->has_fingerprint = false;
	state->has_tried = false;
	state->attempts = 0;
	state->next_attempt_at = 0;
}

void
act_removal_fingerprint(RowOp op, const uint8 *payload, uint8 *fingerprint)
{
	if (payload != NULL)
		memcpy(fingerprint, payload, ACT_DIGEST_LEN);
	else
		memset(fingerprint, 0, ACT_DIGEST_LEN);
	fingerprint[0] = (uint8) op;
}

/* From a minute, doubling, to a day; 0 (parked) when all attempts are used. */
TimestampTz
act_next_attempt(int attempts, int max_attempts, TimestampTz now)
{
	int64		wait = FIRST_RETRY_US;

	if (attempts >= max_attempts)
		return 0;
	for (int i = 1; i < attempts && wait < LAST_RETRY_US; i++)
		wait *= 2;
	return now + Min(wait, LAST_RETRY_US);
}

static void
settle_accepted(const Row *row, RowState *state)
{
	state->in_doubt = false;
	state->has_tried = false;
	state->attempts = 0;
	state->next_attempt_at = 0;
	state->missing_since = 0;
	if (act_row_op_removes(row->op))
	{
		state->there = false;
		state->has_fingerprint = false;
		state->state = act_row_op_keeps(row->op) ? STATE_REMOVED :
			state->late_until != 0 ? STATE_GONE : STATE_FORGOTTEN;
		return;
	}
	state->exists = true;
	state->state = STATE_ACCEPTED;
	state->there = true;
	state->has_fingerprint = true;
	memcpy(state->fingerprint, row->fingerprint, ACT_DIGEST_LEN);
}

TimestampTz
act_late_until(const Row *row, int64 late_ms, TimestampTz now)
{
	TimestampTz before = row->late_until > now ? row->late_until : 0;

	return late_ms > 0 ? Max(now + late_ms * 1000, before) : before;
}

void
act_settle_state(const Row *row, bool uncertain, int64 late_ms, int max_attempts,
				 TimestampTz now, RowState *state)
{
	RowOutcome	outcome = row->outcome;

	if (outcome == ROW_ACCEPTED)
	{
		state->late_until = act_late_until(row, late_ms, now);
		settle_accepted(row, state);
		return;
	}
	if (outcome == ROW_DELAYED || outcome == ROW_UNDECIDED)
	{
		if (!uncertain)
			return;				/* certainly not applied: as if never sent */
		outcome = ROW_DOUBT;
	}

	state->late_until = act_late_until(row, late_ms, now);
	state->exists = true;
	state->attempts = row->attempts;
	state->in_doubt = state->in_doubt || uncertain ||
		outcome == ROW_DOUBT || outcome == ROW_UNKNOWN;
	state->has_tried = true;
	state->tried_op = row->op;
	memcpy(state->tried, row->fingerprint, ACT_DIGEST_LEN);
	memcpy(state->change_id, row->change_id, ACT_DIGEST_LEN);
	state->next_attempt_at = 0;
	switch (outcome)
	{
		case ROW_REJECTED:
			state->state = STATE_REJECTED;
			state->attempts++;
			state->next_attempt_at = act_next_attempt(state->attempts, max_attempts, now);
			break;
		case ROW_REFUSED:
			state->state = STATE_REFUSED;
			state->attempts++;
			break;
		case ROW_ABSENT:
			/* That answer is certain about what is there: nothing. */
			state->state = STATE_ABSENT;
			state->in_doubt = false;
			state->there = false;
			state->has_fingerprint = false;
			state->next_attempt_at = now + ABSENT_RETRY_US;
			break;
		case ROW_UNKNOWN:
			state->state = STATE_UNKNOWN;
			break;
		default:
			state->state = STATE_DOUBT;
			break;
	}
	if (state->in_doubt)
		state->has_fingerprint = false;
}
