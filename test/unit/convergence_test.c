/*-------------------------------------------------------------------------
 *
 * convergence_test.c
 *	  Every order of change, request, loss and crash, over decision.c as built.
 *
 * One key, searched breadth-first over all states.  Model, snapshot and
 * destination each hold nothing, A or B; the snapshot is the RowState that
 * decision.c works on, a claim is durable, a request has a version and a
 * change_id.  Promises, for each mode:
 *
 *   - From every state that can be reached, once nothing changes and nothing
 *     fails any more, runs end with the destination as the mode wants it, and
 *     with nothing left to send.  (Where the destination said no for good to
 *     the very version that the model has, or may have it already and must
 *     not get it twice, once a person names the key.)
 *   - A change_id stands for one version, and is not used again after another
 *     version was sent, so a destination that remembers change_ids converges
 *     just as well.
 *   - remove_after counts from the last run that saw the row, and attempts are
 *     charged to the version that was refused.
 *   - What may have been applied, and may not be twice, is not sent again
 *     before another version was, and in append nothing else is either, unless
 *     a person names the key.
 *   - A request whose answer was lost may be applied late, and no other version
 *     of the row is sent before that is over.
 *   - Without claims there are states that stay wrong, and so there are without
 *     that wait.
 *
 * Run by make -C test/unit; prints how many states there were.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "decision.h"

#undef printf
#undef fprintf

#define MAX_ATTEMPTS 2
#define DAY (24 * 60 * 60 * USECS_PER_SEC)
#define NOW ((TimestampTz) 1000 * DAY)
#define LATER (NOW + 10 * DAY)	/* all that waits is due */
#define QUIET_RUNS 8
#define TIMEOUT_MS 30000

/* What model and destination hold. */
enum
{
	NOTHING, A, B,
	KEPT						/* destination: archived, cleared or updated */
};

/* How far a run has come with the key. */
enum
{
	IDLE,						/* no run */
	DIFFED,						/* decided what to send */
	CLAIMED,					/* durably so */
	SENT,						/* on the wire */
	APPLIED,
	ANSWERED					/* outcome known, not written down */
};

/* A version on its way, under its change_id. */
typedef struct Version
{
	uint8		op;				/* RowOp; 0: none */
	uint8		value;			/* A or B; NOTHING for a removal */
	uint8		id;				/* change_id: the same number is the same one */
	bool		seen;			/* the destination has applied it */
	uint8		attempts;		/* charged to it before */
} Version;

typedef struct World
{
	uint8		model;
	uint8		destination;
	uint8		phase;
	uint8		outcome;		/* in ANSWERED */
	bool		uncertain;		/* an earlier try may have been applied */
	bool		overtaken;		/* another version was sent after tried */
	bool		missed;			/* the run before did not find it in the model */
	bool		altered;		/* the definition is the mode's other one */
	Version		flight;
	Version		claim;
	Version		tried;			/* what the snapshot's change_id stands for */
	Version		late;			/* lost, but may still be applied */
	Version		unsure;			/* at most once: last sent, and its answer was lost */
	RowState	snapshot;
} World;

typedef struct Mode
{
	const char *name;
	RowOp		op;
	RowOp		removal;
	bool		never_again;
	int64		remove_after_ms;
	bool		once;			/* not sent again once it may have been applied */
	bool		alters;			/* on_removed becomes another at some time */
	RowOp		other_op;
	RowOp		other_removal;
	bool		dedupe;			/* the destination remembers change_ids */
	bool		claims;
	bool		hasty;			/* a newer version goes at once, whatever may still arrive */
} Mode;

static const Mode modes[] = {
	{"upsert", ROW_OP_UPSERT, ROW_OP_NONE},
	{"insert", ROW_OP_INSERT, ROW_OP_NONE, true},
	{"update", ROW_OP_UPDATE, ROW_OP_NONE},
	{"mirror, delete", ROW_OP_UPSERT, ROW_OP_DELETE},
	{"mirror, delete after an hour", ROW_OP_UPSERT, ROW_OP_DELETE, false, 3600000},
	{"mirror, archive", ROW_OP_UPSERT, ROW_OP_ARCHIVE},
	{"mirror, clear", ROW_OP_UPSERT, ROW_OP_CLEAR},
	{"mirror, update", ROW_OP_UPSERT, ROW_OP_UPDATE_REMOVED},
	{"mirror, remove", ROW_OP_ADD, ROW_OP_REMOVE},
	{"mirror, remove after an hour", ROW_OP_ADD, ROW_OP_REMOVE, false, 3600000},
	{"append, at most once", ROW_OP_INSERT, ROW_OP_NONE, true, 0, true},
	{"upsert, at most once", ROW_OP_UPSERT, ROW_OP_NONE, false, 0, true},
	{"update, at most once", ROW_OP_UPDATE, ROW_OP_NONE, false, 0, true},
	{"mirror, delete after an hour, at most once", ROW_OP_UPSERT, ROW_OP_DELETE, false, 3600000, true},
	{"mirror, update, at most once", ROW_OP_UPSERT, ROW_OP_UPDATE_REMOVED, false, 0, true},
	{"delete, then archive", ROW_OP_UPSERT, ROW_OP_DELETE, false, 3600000, false, true, ROW_OP_UPSERT, ROW_OP_ARCHIVE},
	{"archive, then delete", ROW_OP_UPSERT, ROW_OP_ARCHIVE, false, 0, false, true, ROW_OP_UPSERT, ROW_OP_DELETE},
	{"clear, then update", ROW_OP_UPSERT, ROW_OP_CLEAR, false, 0, false, true, ROW_OP_UPSERT, ROW_OP_UPDATE_REMOVED},
	{"update, then ignore", ROW_OP_UPSERT, ROW_OP_UPDATE_REMOVED, false, 0, false, true, ROW_OP_UPSERT, ROW_OP_NONE},
	{"ignore, then delete", ROW_OP_UPSERT, ROW_OP_NONE, false, 3600000, false, true, ROW_OP_UPSERT, ROW_OP_DELETE},
	{"delete, then remove", ROW_OP_UPSERT, ROW_OP_DELETE, false, 0, false, true, ROW_OP_ADD, ROW_OP_REMOVE},
	{"delete, then archive, at most once", ROW_OP_UPSERT, ROW_OP_DELETE, false, 3600000, true, true, ROW_OP_UPSERT, ROW_OP_ARCHIVE},
	{"replace", ROW_OP_REPLACE, ROW_OP_REPLACE_REMOVED},
};

static const Mode *mode;
static int	failures;

/* ------------------------------------------------------- states and their set */

static World *worlds;
static int *parents;
static const char **moves;
static int	nworlds;
static int	capacity;
static int *slots;
static int	nslots;

static uint64
hash(const World *world)
{
	const uint8 *bytes = (const uint8 *) world;
	uint64		h = UINT64CONST(14695981039346656037);

	for (size_t i = 0; i < sizeof(World); i++)
		h = (h ^ bytes[i]) * UINT64CONST(1099511628211);
	return h ^ (h >> 29);
}

static void
set_reset(void)
{
	nworlds = 0;
	nslots = 1 << 22;
	slots = realloc(slots, nslots * sizeof(int));
	memset(slots, 0xff, nslots * sizeof(int));
}

static void
add(const World *world, int parent, const char *move)
{
	uint64		at = hash(world) & (nslots - 1);

	for (; slots[at] >= 0; at = (at + 1) & (nslots - 1))
	{
		if (memcmp(&worlds[slots[at]], world, sizeof(World)) == 0)
			return;
	}
	if (nworlds == capacity)
	{
		capacity = capacity * 2 + 1024;
		worlds = realloc(worlds, capacity * sizeof(World));
		parents = realloc(parents, capacity * sizeof(int));
		moves = realloc(moves, capacity * sizeof(char *));
	}
	if (nworlds >= nslots / 2)
	{
		fprintf(stderr, "convergence_test: too many states\n");
		exit(1);
	}
	worlds[nworlds] = *world;
	parents[nworlds] = parent;
	moves[nworlds] = move;
	slots[at] = nworlds++;
}

static void
print_path(int at)
{
	if (parents[at] >= 0)
		print_path(parents[at]);
	fprintf(stderr, "    %s\n", moves[at]);
}

static void
fail(int at, const char *what)
{
	if (failures++ >= 5)
		return;
	fprintf(stderr, "convergence_test: %s%s: %s\n", mode->name,
			mode->dedupe ? ", change_ids remembered" : "", what);
	print_path(at);
}

/* ------------------------------------------------------------- the protocol */

static RowOp
current_removal(const World *world)
{
	return world->altered ? mode->other_removal : mode->removal;
}

static RowPolicy
policy_at(const World *world, TimestampTz now, bool forced)
{
	RowPolicy	policy = {
		.op = world->altered ? mode->other_op : mode->op,.removal = current_removal(world),
		.never_again = mode->never_again,
		.remove_after_ms = mode->remove_after_ms,.forced = forced,.now = now
	};

	act_removal_fingerprint(policy.removal, NULL, policy.removal_version);
	return policy;
}

static void
fingerprint(uint8 op, uint8 value, uint8 *digest)
{
	if (act_row_op_removes(op))
		act_removal_fingerprint(op, NULL, digest);
	else
		memset(digest, value, ACT_DIGEST_LEN);
}

static void
forget(Version *version)
{
	memset(version, 0, sizeof(Version));
}

/* Numbers of change_ids mean nothing but who has the same. */
static void
number_ids(World *world)
{
	Version    *versions[] = {&world->flight, &world->claim, &world->tried, &world->late, &world->unsure};
	uint8		numbers[256] = {0};
	uint8		next = 1;

	for (int i = 0; i < lengthof(versions); i++)
	{
		Version    *version = versions[i];

		if (version->op == ROW_OP_NONE)
			continue;
		if (numbers[version->id] == 0)
			numbers[version->id] = next++;
		version->id = numbers[version->id];
	}
}

/* What cannot matter any more, so that equal states look equal. */
static void
normalize(World *world)
{
	RowState   *s = &world->snapshot;

	if (s->exists && s->state == STATE_FORGOTTEN)
		s->exists = false;
	if (!s->exists)
		memset(s, 0, sizeof(*s));
	if (!s->has_fingerprint)
		memset(s->fingerprint, 0, ACT_DIGEST_LEN);
	memset(s->change_id, 0, ACT_DIGEST_LEN);
	if (!s->has_tried)
	{
		s->tried_op = ROW_OP_NONE;
		memset(s->tried, 0, ACT_DIGEST_LEN);
		forget(&world->tried);
		world->overtaken = false;
	}
	s->attempts = Min(s->attempts, MAX_ATTEMPTS + 1);
	if (world->phase == IDLE)
	{
		forget(&world->flight);
		world->uncertain = false;
	}
	if (world->phase != ANSWERED)
		world->outcome = 0;
	if (mode->remove_after_ms == 0)
		world->missed = false;
	number_ids(world);
}

static Row
row_of(const Version *version, RowOutcome outcome)
{
	Row			row = {.op = version->op,.outcome = outcome};

	fingerprint(version->op, version->value, row.fingerprint);
	return row;
}

/* Settling: the claim goes with it. */
static void
settle(World *world, const Version *version, RowOutcome outcome, bool uncertain)
{
	Row			row = row_of(version, outcome);

	row.attempts = version->attempts;
	row.late_until = world->snapshot.late_until;
	act_settle_state(&row, uncertain, uncertain && !mode->hasty ? TIMEOUT_MS : 0, MAX_ATTEMPTS, NOW, &world->snapshot);
	if (outcome != ROW_DELAYED || uncertain)
	{
		world->tried = *version;
		world->tried.attempts = 0;	/* the snapshot says it */
		world->overtaken = false;
	}
	forget(&world->claim);
}

/* As the next run finds it: an answer that was never written down is lost. */
static void
recover(World *world)
{
	if (world->claim.op != ROW_OP_NONE)
	{
		Version		version = world->claim;

		settle(world, &version, mode->once ? ROW_UNKNOWN : ROW_DOUBT, true);
	}
}

/* mark_sql of settle.c */
static void
write_mark(World *world, SnapshotState state, TimestampTz now)
{
	RowState   *s = &world->snapshot;

	if (state == STATE_HELD_BACK)
	{
		/* hold_sql */
		s->state = STATE_DOUBT;
		s->next_attempt_at = s->late_until;
		return;
	}
	if (state != STATE_UNKNOWN && !(state == STATE_LEAVING && s->state == STATE_UNKNOWN))
		s->has_tried = false;
	s->state = state;
	s->missing_since = state == STATE_LEAVING ? now : 0;
	s->attempts = 0;
	s->next_attempt_at = 0;
}

/* Recover, diff, marks.  Returns whether there is something to send. */
static bool
start_run(World *world, TimestampTz now, bool forced, int at)
{
	RowPolicy	policy = policy_at(world, now, forced);
	uint8		digest[ACT_DIGEST_LEN];
	Decision	decision;
	RowState	before;

	recover(world);
	normalize(world);
	before = world->snapshot;
	fingerprint(ROW_OP_UPSERT, world->model, digest);
	act_decide(&policy, world->model == NOTHING ? NULL : digest, &before, &decision);
	if (decision.reuse_change_id && decision.action == ACTION_SEND)
	{
		if (world->tried.op != decision.op ||
			world->tried.value != (act_row_op_removes(decision.op) ? NOTHING : world->model))
			fail(at, "a change_id is used for another version");
		if (world->overtaken && mode->claims)
			fail(at, "a change_id is used again after another version was sent");
	}
	if (act_row_op_removes(decision.op) && decision.action == ACTION_SEND &&
		mode->remove_after_ms > 0 && !world->missed && !(forced && before.state == STATE_UNKNOWN))
		fail(at, "removed at once although remove_after says to wait");
	world->missed = world->model == NOTHING;
	if (decision.attempts > 0 && !decision.reuse_change_id)
		fail(at, "a version is charged with the attempts of another");
	if (decision.reuse_change_id)
		world->flight = world->tried;
	else
	{
		forget(&world->flight);
		world->flight.id = 100;
	}
	if (decision.mark)
	{
		if (!before.exists)
			fail(at, "a mark for a row that is not there");
		write_mark(world, decision.mark_state, now);
	}
	if (decision.action != ACTION_SEND)
	{
		world->phase = IDLE;
		normalize(world);
		return false;
	}
	if (mode->once && mode->claims && !forced && world->unsure.op == decision.op &&
		(mode->never_again ||
		 world->unsure.value == (act_row_op_removes(decision.op) ? NOTHING : world->model)))
		fail(at, "sent again although it may have been applied");
	world->flight.op = decision.op;
	world->flight.value = act_row_op_removes(decision.op) ? NOTHING : world->model;
	world->flight.attempts = Min(decision.attempts, MAX_ATTEMPTS + 1);
	world->phase = DIFFED;
	return true;
}

/* -------------------------------------------------------------- destination */

static void
remember(World *world, uint8 id)
{
	Version    *versions[] = {&world->flight, &world->claim, &world->tried, &world->late, &world->unsure};

	for (int i = 0; i < lengthof(versions); i++)
	{
		if (versions[i]->op != ROW_OP_NONE && versions[i]->id == id)
			versions[i]->seen = true;
	}
}

static void
apply(World *world, const Version *version)
{
	if (mode->dedupe)
	{
		if (version->seen)
			return;
		/* Absent is an answer, not a change. */
		if (world->destination != NOTHING || version->op == ROW_OP_UPSERT || version->op == ROW_OP_INSERT ||
			version->op == ROW_OP_ADD)
			remember(world, version->id);
	}
	switch (version->op)
	{
		case ROW_OP_UPDATE:
			if (world->destination != NOTHING)
				world->destination = version->value;
			break;
		case ROW_OP_DELETE:
		case ROW_OP_REMOVE:
			world->destination = NOTHING;
			break;
		case ROW_OP_ARCHIVE:
		case ROW_OP_CLEAR:
		case ROW_OP_UPDATE_REMOVED:
			if (world->destination != NOTHING)
				world->destination = KEPT;
			break;
		default:
			world->destination = version->value;
			break;
	}
}

/* What it says when all goes well; a removal of nothing counts as done. */
static RowOutcome
honest_answer(const World *world)
{
	return world->flight.op == ROW_OP_UPDATE && world->destination == NOTHING ?
		ROW_ABSENT : ROW_ACCEPTED;
}

static bool
goal(const World *world)
{
	if (world->model == NOTHING)
	{
		/* Left alone, archived or cleared; whatever it is, it is not deleted. */
		if (current_removal(world) == ROW_OP_NONE)
			return true;
		/* What was archived when that was wanted stays. */
		return world->destination == NOTHING ||
			((act_row_op_keeps(current_removal(world)) || (world->altered && act_row_op_keeps(mode->removal))) &&
			 world->destination == KEPT);
	}
	if (mode->op == ROW_OP_INSERT)
		return world->destination != NOTHING;
	if (mode->op == ROW_OP_UPDATE && world->destination == NOTHING)
		return true;
	return world->destination == world->model;
}

/* --------------------------------------------------------------- the search */

/* What is sent now would be lost under what arrives late. */
static void
check_late(const World *from, int at)
{
	if (mode->claims && !mode->hasty && from->late.op != ROW_OP_NONE &&
		(from->late.op != from->flight.op || from->late.value != from->flight.value))
		fail(at, "sent while an older version may still be applied");
}

static void
step(const World *from, int at)
{
	World		next;

#define MOVE(move, ...) \
	do { next = *from; __VA_ARGS__; normalize(&next); add(&next, at, move); } while (0)

	/* The model moves at any time. */
	for (int value = NOTHING; value <= B; value++)
	{
		static const char *const names[] = {"model: nothing", "model: A", "model: B"};

		if (value != from->model)
			MOVE(names[value], next.model = value);
	}
	if (mode->alters && !from->altered && from->phase == IDLE)
		MOVE("on_removed becomes another", next.altered = true);
	/* Somebody else makes the record. */
	if (mode->op == ROW_OP_UPDATE && from->phase == IDLE && from->claim.op == ROW_OP_NONE &&
		from->destination == NOTHING && !from->snapshot.there)
		MOVE("others make the record", next.destination = KEPT);
	/* What was lost arrives after all, or never; and nobody waits for ever. */
	if (from->late.op != ROW_OP_NONE)
	{
		MOVE("the lost request is applied late", apply(&next, &from->late); forget(&next.late));
		MOVE("the lost request never arrives", forget(&next.late));
	}
	else if (from->phase == IDLE && from->snapshot.late_until != 0)
		MOVE("the timeout has passed", next.snapshot.late_until = 0);

	switch (from->phase)
	{
		case IDLE:
			MOVE("run", (void) start_run(&next, NOW, false, at));
			MOVE("run, much later", forget(&next.late); (void) start_run(&next, LATER, false, at));
			MOVE("run of this key", (void) start_run(&next, NOW, true, at));
			break;
		case DIFFED:
			MOVE("killed before the claim", next.phase = IDLE);
			MOVE("claim", next.phase = CLAIMED;
				 if (mode->claims) next.claim = next.flight;
				 /* Known as sent from here on, and a newer version replaces the one before. */
				 if (!mode->never_again) forget(&next.unsure));
			break;
		case CLAIMED:
			MOVE("killed after the claim", next.phase = IDLE);
			MOVE("send", next.phase = SENT;
				 if (next.flight.id != next.tried.id) next.overtaken = next.snapshot.has_tried;
				 check_late(from, at);
				 if (mode->once) next.unsure = next.flight);
			break;
		case SENT:
			MOVE("applied", apply(&next, &from->flight); next.phase = APPLIED);
			MOVE("killed while it is on its way", next.phase = IDLE; next.late = next.flight);
			MOVE("refused", next.phase = ANSWERED; next.outcome = ROW_REJECTED);
			MOVE("refused for good", next.phase = ANSWERED; next.outcome = ROW_REFUSED);
			MOVE("429, given up", next.phase = ANSWERED; next.outcome = ROW_DELAYED;
				 if (!next.uncertain) next.overtaken = false);
			if (!mode->once)
				MOVE("lost, tried again", next.uncertain = true; next.late = next.flight);
			MOVE("lost, given up", next.uncertain = true; next.late = next.flight;
				 next.phase = ANSWERED; next.outcome = ROW_DELAYED);
			break;
		case APPLIED:
			MOVE("killed before the answer", next.phase = IDLE);
			MOVE("answered", next.phase = ANSWERED; next.outcome = honest_answer(from));
			if (!mode->once)
				MOVE("answer lost, tried again", next.uncertain = true; next.phase = SENT);
			MOVE("answer lost, given up", next.uncertain = true;
				 next.phase = ANSWERED; next.outcome = ROW_DELAYED);
			break;
		case ANSWERED:
			MOVE("killed before it is written down", next.phase = IDLE);
			MOVE("written down", next.phase = IDLE;
				 if (!from->uncertain) forget(&next.unsure);
				 if (mode->claims) settle(&next, &next.flight, from->uncertain && mode->once ? ROW_UNKNOWN : from->outcome, from->uncertain);
				 else settle(&next, &next.flight, from->outcome, false));
			break;
	}
#undef MOVE
}

/*
 * No more faults, no more changes.  forced: a person names the key, at the
 * end of a long day.  Returns whether it ends as it should.
 */
static bool
quiet(const World *from, bool forced, int at, bool *refused)
{
	World		world = *from;
	Version		version;
	bool		sent = true;

	forget(&world.late);
	for (int i = 0; i < QUIET_RUNS; i++)
	{
		sent = start_run(&world, LATER + i * 10 * DAY, forced, at);
		if (!sent)
			continue;
		world.phase = IDLE;
		version = world.flight;
		apply(&world, &version);
		settle(&world, &version, honest_answer(&world), false);
		normalize(&world);
	}
	/* An absent record is asked for again, now and then. */
	if (sent && !(mode->op == ROW_OP_UPDATE && world.snapshot.state == STATE_ABSENT))
		return false;
	*refused = world.snapshot.exists &&
		(world.snapshot.state == STATE_REFUSED || world.snapshot.state == STATE_UNKNOWN ||
		 (world.snapshot.state == STATE_REJECTED && world.snapshot.next_attempt_at == 0));
	return goal(&world);
}

static int
search(void)
{
	World		start;
	int			stuck = 0;
	bool		refused;

	set_reset();
	memset(&start, 0, sizeof(start));
	add(&start, -1, "nothing anywhere");
	for (int at = 0; at < nworlds; at++)
	{
		World		from = worlds[at];

		step(&from, at);
		if (from.phase != IDLE)
			continue;
		refused = false;
		if (!quiet(&from, false, at, &refused) && !refused)
		{
			if (stuck++ == 0 && mode->claims && !mode->hasty)
				fail(at, "the destination stays wrong");
			continue;
		}
		if (!quiet(&from, true, at, &refused))
		{
			if (stuck++ == 0 && mode->claims && !mode->hasty)
				fail(at, "the destination stays wrong although a person named the key");
		}
	}
	return stuck;
}

/* An insert that was applied late is what insert wants. */
static bool
may_go_wrong(const Mode *built)
{
	return built->op != ROW_OP_INSERT;
}

int
main(void)
{
	for (int i = 0; i < lengthof(modes); i++)
	{
		for (int variant = 0; variant < 5; variant++)
		{
			Mode		built = modes[i];
			int			stuck;

			/* One definition is enough to show what the wait is for. */
			if (variant == 4 && built.alters)
				continue;
			built.dedupe = (variant & 1) != 0;
			built.claims = (variant & 2) == 0;
			built.hasty = (variant & 4) != 0;
			mode = &built;
			stuck = search();
			printf("%-42s %-14s %-24s %7d states, %d stuck\n", built.name,
				   built.hasty ? "no wait" : built.claims ? "claims" : "without claims",
				   built.dedupe ? "change_ids remembered" : "", nworlds, stuck);
			if (built.claims && !built.hasty && stuck > 0)
				failures++;
			if (built.hasty && stuck == 0 && may_go_wrong(&built))
			{
				fprintf(stderr, "convergence_test: %s: no stuck state without a wait\n", built.name);
				failures++;
			}
			/* An insert that was applied is what insert wants. */
			if (!built.claims && stuck == 0 && built.op != ROW_OP_INSERT)
			{
				fprintf(stderr, "convergence_test: %s: no stuck state without claims\n", built.name);
				failures++;
			}
		}
	}
	printf("convergence_test: %s\n", failures == 0 ? "ok" : "FAILED");
	return failures == 0 ? 0 : 1;
}
