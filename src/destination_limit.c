/*-------------------------------------------------------------------------
 *
 * destination_limit.c
 *	  What a destination can take: who may send to it, and when.
 *
 * One question before each request (act_limit_enter) and one word after it
 * (act_limit_leave), each a few steps under the table's lock.  Without a
 * transaction, in any memory context; nothing is allocated but for what
 * attaching needs.
 *
 * Whoever has asked in vain stands in the queue of its destination.  What
 * comes free is for the best of them: the highest priority, then the one
 * whose last turn is the longest ago.  Only that one has to know when the
 * next request is due, so whoever takes its turn wakes the next.  One that
 * does not come when it is woken (it may be writing to the database) is
 * passed over after a moment, until it asks again.
 *
 * After a pause that the destination asked for, and when it is back after it
 * was down, requests come back gradually: one at a time, two after the first
 * answer, and so on, so that they are not turned away once more.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "destination_limit_private.h"
#include "fault.h"

/* Requests in a row that failed, and for how long at least, until it counts as down. */
#define BREAKER_FAILURES 5
#define BREAKER_TIME (2 * USECS_PER_SEC)

/* Who waits asks again after so long, though nobody woke it. */
#define WAIT_LIMIT USECS_PER_SEC

/* So long what came free is kept for the one that was woken for it. */
#define WAKE_TIME (100 * INT64CONST(1000))

/* A pause or a day that ends later than that was left behind by the clock. */
#define PAUSE_LIMIT (25 * USECS_PER_HOUR)

static Limit mine;

const char *
act_limit_reason_name(LimitReason reason)
{
	switch (reason)
	{
		case LIMIT_NOTHING:
			return NULL;
		case LIMIT_RATE:
			return "rate limit";
		case LIMIT_QUOTA:
			return "quota of the day";
		case LIMIT_CONCURRENCY:
			return "concurrency";
		case LIMIT_PAUSE:
			return "throttled";
		case LIMIT_DOWN:
			return "destination is down";
	}
	return NULL;
}

LimitReason
act_limit_reason(const Limit *limit)
{
	return limit->reason;
}

static LimitUser *
user_of(const Limit *limit)
{
	return &limit->table->users[limit->user];
}

static LimitEntry *
entry_of(const Limit *limit)
{
	return &limit->table->entries[limit->entry];
}

/* ---------------------------------------------------------------- the queue */

/* While it is down only those that began later may try. */
static bool
may_try(const LimitEntry *entry, const LimitUser *user)
{
	return entry->breaker == BREAKER_CLOSED || user->began_at > entry->opened_at;
}

static bool
goes_before(const LimitUser *left, const LimitUser *right)
{
	if (left->priority != right->priority)
		return left->priority > right->priority;
	return left->turn < right->turn;
}

/* The one of those who wait that goes first, but for one; -1: nobody waits. */
static int
best_waiter_but(const Limit *limit, int but)
{
	const LimitEntry *entry = entry_of(limit);
	const LimitUser *users = limit->table->users;
	int			priority = users[limit->user].priority;
	int			best = -1;

	for (int i = entry->first_user; i >= 0; i = users[i].next)
	{
		bool		waits = users[i].waiting || (users[i].coming && users[i].priority > priority);

		if (i != but && waits && may_try(entry, &users[i]) &&
			(best < 0 || goes_before(&users[i], &users[best])))
			best = i;
	}
	return best;
}

static int
best_waiter(const Limit *limit)
{
	return best_waiter_but(limit, -1);
}

static void
wake(const Limit *limit, int index, TimestampTz now)
{
	LimitUser  *user = &limit->table->users[index];

	if (index == limit->user)
		return;
	if (user->woken_at == 0)
		user->woken_at = now;
	if (user->proc >= 0)
		act_wake_process(user->proc);
}

/* Who is here itself may still have something else to do: the next one looks after it. */
static void
wake_next(const Limit *limit, TimestampTz now)
{
	int			next = best_waiter(limit);

	if (next == limit->user)
		next = best_waiter_but(limit, next);
	if (next >= 0)
		wake(limit, next, now);
}

/*
 * Whether what is free is somebody else's.  Who was woken for it and did not
 * come waits no longer, as far as the others are concerned.
 */
static bool
others_turn(const Limit *limit, TimestampTz now)
{
	LimitUser  *user = user_of(limit);

	for (int i = 0; i <= limit->table->nusers; i++)
	{
		int			best = best_waiter(limit);
		LimitUser  *other;

		if (best < 0 || best == limit->user)
			return false;
		other = &limit->table->users[best];
		if (!goes_before(other, user))
			return false;
		if (other->woken_at == 0 || (now >= other->woken_at && now - other->woken_at < WAKE_TIME))
		{
			wake(limit, best, now);
			return true;
		}
		other->waiting = other->coming = false;
		other->woken_at = 0;
	}
	return false;
}

/* ------------------------------------------------------------------ the day */

/* Outside of the lock, since it may look up the zone. */
static void
look_at_calendar(Limit *limit, TimestampTz clock)
{
	if (clock < limit->day_ends_at && limit->day_ends_at - clock <= PAUSE_LIMIT)
		return;
	limit->day_ends_at = act_rate_limit_day_end(limit->zone, clock);
	limit->day_used = 0;
}

static void
begin_day(const Limit *limit, TimestampTz clock)
{
	LimitEntry *entry = entry_of(limit);

	if (limit->day_ends_at > entry->day_ends_at)
	{
		entry->day_used = 0;
		entry->day_ends_at = limit->day_ends_at;
	}
	else if (entry->day_ends_at - clock > 2 * PAUSE_LIMIT)
		entry->day_ends_at = limit->day_ends_at;
}

/* ------------------------------------------------------------------- pauses */

static bool
quota_is_used(const LimitEntry *entry)
{
	return entry->rate.day_requests > 0 && entry->day_used >= entry->rate.day_requests;
}

/* 0: nothing does, for anybody. */
static TimestampTz
held_until(LimitEntry *entry, TimestampTz clock, LimitReason *reason)
{
	TimestampTz until = 0;

	*reason = LIMIT_NOTHING;
	if (entry->throttled_until - clock > PAUSE_LIMIT)
		entry->throttled_until = 0;
	if (entry->throttled_until > clock)
	{
		until = entry->throttled_until;
		*reason = LIMIT_PAUSE;
	}
	if (quota_is_used(entry) && entry->day_ends_at > Max(until, clock))
	{
		until = entry->day_ends_at;
		*reason = LIMIT_QUOTA;
	}
	return until;
}

/* When the pace lets the next request go; in the past or now: at once. */
static TimestampTz
paced_until(LimitEntry *entry, TimestampTz now)
{
	TimestampTz until = now;

	for (int i = 0; i < entry->rate.nwindows; i++)
	{
		LimitPace  *pace = &entry->paces[i];

		/* Further ahead than it can come by itself: the clock went back. */
		if (pace->due_at - now > pace->interval_us * (pace->burst + 1))
			pace->due_at = now + pace->interval_us * pace->burst;
		until = Max(until, pace->due_at - pace->interval_us * (pace->burst - 1));
	}
	return until;
}

static int
most_at_a_time(const LimitEntry *entry)
{
	return entry->allowed > 0 ? Min(entry->allowed, entry->concurrency) : entry->concurrency;
}

/* What keeps a request from going now, and for how long at most; nothing: it may. */
static LimitReason
obstacle(const Limit *limit, TimestampTz now, TimestampTz clock, int64 *wait_us)
{
	LimitEntry *entry = entry_of(limit);
	LimitUser  *user = user_of(limit);
	LimitReason reason;
	TimestampTz until = held_until(entry, clock, &reason);

	*wait_us = WAIT_LIMIT;
	if (reason != LIMIT_NOTHING)
	{
		*wait_us = until - clock;
		return reason;
	}
	if (!may_try(entry, user) || (entry->breaker == BREAKER_OPEN && entry->prober >= 0))
		return LIMIT_DOWN;
	if (entry->in_flight >= most_at_a_time(entry) && entry->breaker == BREAKER_CLOSED)
		return LIMIT_CONCURRENCY;
	until = paced_until(entry, now);
	if (until > now)
	{
		/* Who goes first knows when; the others only look after it. */
		*wait_us = until - now + (best_waiter(limit) == limit->user ? 0 : WAKE_TIME);
		return LIMIT_RATE;
	}
	if (others_turn(limit, now))
	{
		*wait_us = WAKE_TIME;
		return entry->rate.nwindows > 0 ? LIMIT_RATE : LIMIT_CONCURRENCY;
	}
	return LIMIT_NOTHING;
}

/* ------------------------------------------------------------------ requests */

static void
take_turn(Limit *limit, TimestampTz now)
{
	LimitEntry *entry = entry_of(limit);
	LimitUser  *user = user_of(limit);

	for (int i = 0; i < entry->rate.nwindows; i++)
	{
		LimitPace  *pace = &entry->paces[i];

		pace->due_at = Max(pace->due_at, now) + pace->interval_us;
	}
	if (entry->breaker == BREAKER_OPEN)
		entry->prober = limit->user;
	entry->in_flight++;
	user->in_flight++;
	entry->requests++;
	entry->day_used++;
	limit->day_used++;
	user->turn = ++entry->turns;
	user->waiting = false;
	user->coming = limit->coming;
	wake_next(limit, now);
}

int64
act_limit_enter(Limit *limit)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz clock = act_now();
	LimitEntry *entry = entry_of(limit);
	LimitUser  *user = user_of(limit);
	int64		wait_us;

	look_at_calendar(limit, clock);
	act_limit_table_lock(limit->table);
	entry->used_at = now;
	begin_day(limit, clock);
	user->waiting = true;
	user->woken_at = 0;
	limit->reason = obstacle(limit, now, clock, &wait_us);
	if (limit->reason == LIMIT_NOTHING)
		take_turn(limit, now);
	act_limit_table_unlock(limit->table);
	if (limit->reason == LIMIT_NOTHING)
		return 0;
	return Min(wait_us, WAIT_LIMIT) / 1000 + 1;
}

void
act_limit_want(Limit *limit)
{
	act_limit_table_lock(limit->table);
	user_of(limit)->waiting = true;
	act_limit_table_unlock(limit->table);
}

void
act_limit_coming(Limit *limit, bool coming)
{
	if (limit->coming == coming)
		return;
	limit->coming = coming;
	act_limit_table_lock(limit->table);
	user_of(limit)->coming = coming;
	act_limit_table_unlock(limit->table);
}

void
act_limit_again(Limit *limit)
{
	act_limit_table_lock(limit->table);
	entry_of(limit)->retries++;
	act_limit_table_unlock(limit->table);
}

static void
close_breaker(LimitEntry *entry)
{
	if (entry->breaker == BREAKER_OPEN)
		entry->allowed = 1;
	entry->breaker = BREAKER_CLOSED;
	entry->failures = 0;
}

static void
open_breaker(LimitEntry *entry)
{
	entry->breaker = BREAKER_OPEN;
	entry->opened_at = act_now();
	entry->failures = 0;
}

static void
note_answer(LimitEntry *entry)
{
	close_breaker(entry);
	/* What was under way when the pause began says nothing of its end. */
	if (entry->allowed > 0 && act_now() >= entry->throttled_until && ++entry->allowed > entry->concurrency)
		entry->allowed = 0;
}

static void
note_failure(LimitEntry *entry, TimestampTz now)
{
	if (entry->failures == 0 || now < entry->failing_since)
		entry->failing_since = now;
	entry->failures++;
	if (entry->failures >= BREAKER_FAILURES &&
		(entry->breaker == BREAKER_OPEN || now - entry->failing_since >= BREAKER_TIME))
		open_breaker(entry);
}

void
act_limit_leave(Limit *limit, LimitResult result, double duration_ms)
{
	TimestampTz now = GetCurrentTimestamp();
	LimitEntry *entry = entry_of(limit);
	LimitUser  *user = user_of(limit);

	act_limit_table_lock(limit->table);
	entry->in_flight--;
	user->in_flight--;
	if (entry->prober == limit->user)
		entry->prober = -1;
	act_limit_note_duration(entry, duration_ms);
	switch (result)
	{
		case LIMIT_OK:
		case LIMIT_REFUSED:
			note_answer(entry);
			break;
		case LIMIT_THROTTLED:
			entry->throttled++;
			close_breaker(entry);
			entry->allowed = 1;
			break;
		case LIMIT_FAILED:
			entry->failed++;
			note_failure(entry, now);
			break;
		case LIMIT_UNCLEAR:
			entry->failed++;
			break;
	}
	wake_next(limit, now);
	act_limit_table_unlock(limit->table);
}

/* With the lock held. */
static void
drop(const Limit *limit)
{
	LimitEntry *entry = entry_of(limit);
	LimitUser  *user = user_of(limit);

	entry->in_flight -= user->in_flight;
	user->in_flight = 0;
	user->waiting = false;
	if (entry->prober == limit->user)
		entry->prober = -1;
	wake_next(limit, GetCurrentTimestamp());
}

void
act_limit_drop(Limit *limit)
{
	act_limit_table_lock(limit->table);
	drop(limit);
	act_limit_table_unlock(limit->table);
}

/* ------------------------------------------------------- the destination's state */

void
act_limit_throttle(Limit *limit, TimestampTz until)
{
	LimitEntry *entry = entry_of(limit);

	act_limit_table_lock(limit->table);
	entry->throttled_until = Max(entry->throttled_until, until);
	entry->allowed = 1;
	act_limit_table_unlock(limit->table);
}

TimestampTz
act_limit_held_until(Limit *limit, LimitReason *reason)
{
	TimestampTz clock = act_now();
	TimestampTz until;

	look_at_calendar(limit, clock);
	act_limit_table_lock(limit->table);
	begin_day(limit, clock);
	until = held_until(entry_of(limit), clock, reason);
	act_limit_table_unlock(limit->table);
	return until;
}

bool
act_limit_down(const Limit *limit)
{
	bool		down;

	act_limit_table_lock(limit->table);
	down = !may_try(entry_of(limit), user_of(limit));
	act_limit_table_unlock(limit->table);
	return down;
}

void
act_limit_found_down(Limit *limit)
{
	act_limit_table_lock(limit->table);
	open_breaker(entry_of(limit));
	act_limit_table_unlock(limit->table);
}

void
act_limit_forgive(Oid server)
{
	LimitTable *table = act_limit_table_shared();
	int			found;

	if (table == NULL)
		table = act_limit_table_private();
	act_limit_table_lock(table);
	found = act_limit_table_find(table, MyDatabaseId, server);
	if (found >= 0)
	{
		LimitEntry *entry = &table->entries[found];

		close_breaker(entry);
		entry->throttled_until = 0;
		for (int i = entry->first_user; i >= 0; i = table->users[i].next)
		{
			if (table->users[i].proc >= 0)
				act_wake_process(table->users[i].proc);
		}
	}
	act_limit_table_unlock(table);
}

bool
act_limit_day(const Limit *limit, int64 *used, TimestampTz *ends_at)
{
	*used = limit->day_used;
	*ends_at = limit->day_ends_at;
	return entry_of(limit)->rate.day_requests > 0;
}

void
act_limit_day_kept(Limit *limit, int64 used)
{
	limit->day_used -= used;
}

/* ----------------------------------------------------------------- attaching */

static void
detach_at_exit(int code, Datum arg)
{
	LWLockReleaseAll();
	act_limit_detach(&mine);
}

/* What its options say now, which may not be what they said before. */
static void
take_options(LimitEntry *entry, const Destination *destination)
{
	entry->concurrency = Max(destination->concurrency, 1);
	if (memcmp(&entry->rate, &destination->rate, sizeof(RateLimit)) == 0)
		return;
	entry->rate = destination->rate;
	memset(entry->paces, 0, sizeof(entry->paces));
	for (int i = 0; i < entry->rate.nwindows; i++)
		act_rate_limit_pace(&entry->rate.windows[i], &entry->paces[i].interval_us, &entry->paces[i].burst);
}

/* What was known before the server started. */
static void
take_record(LimitEntry *entry, const Destination *destination, TimestampTz began_at)
{
	if (destination->day_ends_at > entry->day_ends_at)
	{
		entry->day_ends_at = destination->day_ends_at;
		entry->day_used = destination->day_used;
	}
	else if (destination->day_ends_at == entry->day_ends_at)
		entry->day_used = Max(entry->day_used, destination->day_used);
	if (destination->down && entry->requests == 0 && entry->breaker == BREAKER_CLOSED)
	{
		entry->breaker = BREAKER_OPEN;
		entry->opened_at = began_at - 1;
	}
}

static bool
attach_to(LimitTable *table, const Destination *destination, int priority, TimestampTz began_at)
{
	int			entry;
	int			user;

	if (table == NULL)
		return false;
	act_limit_table_lock(table);
	user = act_limit_table_user(table);
	entry = user < 0 ? -1 : act_limit_table_entry(table, MyDatabaseId, destination->server_oid);
	if (entry >= 0)
	{
		LimitEntry *to = &table->entries[entry];
		LimitUser	fresh = {
			.entry = entry, .next = to->first_user, .priority = priority, .began_at = began_at,
			.proc = table == act_limit_table_shared() ? act_compat_my_proc() : -1
		};

		table->users[user] = fresh;
		to->first_user = user;
		to->used_at = GetCurrentTimestamp();
		take_options(to, destination);
		take_record(to, destination, began_at);
		/* Opened in the future: the clock went back. */
		if (to->opened_at > act_now())
			to->opened_at = 0;
		mine.user = user;
		mine.entry = entry;
		mine.table = table;
	}
	act_limit_table_unlock(table);
	return entry >= 0;
}

Limit *
act_limit_attach(const Destination *destination, int priority, TimestampTz began_at)
{
	static bool registered = false;
	LimitTable *own = act_limit_table_private();

	if (!registered)
	{
		on_shmem_exit(detach_at_exit, (Datum) 0);
		registered = true;
	}
	act_limit_detach(&mine);
	memset(&mine, 0, sizeof(mine));
	mine.zone = destination->zone;
	if (!attach_to(act_limit_table_shared(), destination, priority, began_at))
		(void) attach_to(own, destination, priority, began_at);
	return &mine;
}

void
act_limit_detach(Limit *limit)
{
	LimitTable *table;
	int		   *link;

	if (limit == NULL || limit->table == NULL)
		return;
	table = limit->table;
	act_limit_table_lock(table);
	drop(limit);
	for (link = &entry_of(limit)->first_user; *link >= 0; link = &table->users[*link].next)
	{
		if (*link == limit->user)
		{
			*link = user_of(limit)->next;
			break;
		}
	}
	user_of(limit)->entry = -1;
	limit->table = NULL;
	act_limit_table_unlock(table);
}
