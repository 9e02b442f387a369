/*-------------------------------------------------------------------------
 *
 * canary.c
 *	  Option canary: a few rows go first, and the others when all of them pass.
 *
 * Called by delivery, between whose short transactions nothing of the
 * database is held, and by run_guard().  The rows are chosen with a pass of
 * its own over what the diff stored, so that they are of every kind there is:
 * those that break a mapping are seldom the first ones in key order.  The
 * same rows are chosen each time from the same diff.
 *
 * Memory of the run's context; throws nothing but for memory.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/binaryheap.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "port/pg_bswap.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "canary.h"

/* Refusals that a held run shows. */
#define MAX_REASONS 3

/* What is looked for among the rows; the rest of the canary is spread evenly. */
typedef enum SampleKind
{
	SAMPLE_REFUSED,				/* by an earlier canary: is it any better now? */
	SAMPLE_CHANGED,
	SAMPLE_REMOVED,
	SAMPLE_ADDED,
	SAMPLE_LONGEST,
	SAMPLE_NULLS
} SampleKind;
#define SAMPLE_COUNT (SAMPLE_NULLS + 1)

/* A row by its place among those to send. */
typedef struct Pick
{
	int64		place;
	uint64		score;			/* the higher, the better */
} Pick;

typedef struct Sample
{
	int			size;
	binaryheap *best;			/* of Pick, the worst first */
	Pick	   *picks;
} Sample;

struct Canary
{
	int			nrows;
	int64	   *places;			/* ascending */
	bool		rest;			/* the others are being read */
	int			next;			/* of places: the next to send, or to pass over */
	int64		at;				/* place of the row that the store returns next */

	int64		passed;			/* accepted, or absent */
	int64		refused;
	int64		answered;		/* all that are not to go again as they are */
	uint8		tried[ACT_DIGEST_LEN];	/* digest of those */
	int			nreasons;
	char	   *reasons[MAX_REASONS];
};

/* ------------------------------------------------------------------ choosing */

static int
compare_picks(Datum a, Datum b, void *arg)
{
	const Pick *x = (const Pick *) DatumGetPointer(a);
	const Pick *y = (const Pick *) DatumGetPointer(b);

	if (x->score != y->score)
		return x->score < y->score ? 1 : -1;
	return x->place > y->place ? 1 : x->place < y->place ? -1 : 0;
}

static void
sample_create(Sample *sample, int size)
{
	sample->size = size;
	sample->best = binaryheap_allocate(size, compare_picks, NULL);
	sample->picks = palloc(sizeof(Pick) * size);
}

static void
sample_offer(Sample *sample, int64 place, uint64 score)
{
	Pick	   *pick;

	if (sample->best->bh_size < sample->size)
	{
		pick = &sample->picks[sample->best->bh_size];
		*pick = (Pick) {place, score};
		binaryheap_add(sample->best, PointerGetDatum(pick));
		return;
	}
	pick = (Pick *) DatumGetPointer(binaryheap_first(sample->best));
	if (score <= pick->score)
		return;
	*pick = (Pick) {place, score};
	binaryheap_replace_first(sample->best, PointerGetDatum(pick));
}

/* Nulls of a payload, at any depth: the word, outside of strings. */
static uint64
count_nulls(const char *json)
{
	uint64		count = 0;
	bool		in_string = false;

	for (const char *p = json; *p != '\0'; p++)
	{
		if (in_string && *p == '\\' && p[1] != '\0')
			p++;
		else if (*p == '"')
			in_string = !in_string;
		else if (!in_string && strncmp(p, "null", 4) == 0)
			count++;
	}
	return count;
}

/* As good as random, and the same each time. */
static uint64
hash_key(const char *key)
{
	uint8		digest[ACT_DIGEST_LEN];
	uint64		hash;

	act_digest(key, strlen(key), digest);
	memcpy(&hash, digest, sizeof(hash));
	return pg_ntoh64(hash);
}

static void
offer_row(Sample *samples, const Row *row, int64 place)
{
	uint64		hash = hash_key(row->key);
	uint64		nulls = row->fields != NULL ? count_nulls(row->fields) : 0;

	if (row->attempts > 0)
		sample_offer(&samples[SAMPLE_REFUSED], place, hash);
	switch (row->cause)
	{
		case ROW_ADDED:
			sample_offer(&samples[SAMPLE_ADDED], place, hash);
			break;
		case ROW_CHANGED:
			sample_offer(&samples[SAMPLE_CHANGED], place, hash);
			break;
		case ROW_REMOVED:
			sample_offer(&samples[SAMPLE_REMOVED], place, hash);
			break;
	}
	if (row->fields != NULL)
		sample_offer(&samples[SAMPLE_LONGEST], place, strlen(row->fields));
	if (nulls > 0)
		sample_offer(&samples[SAMPLE_NULLS], place, nulls);
}

/* A pass over all rows to send. */
static void
take_samples(Run *run, Sample *samples)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "pg_activate canary row",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);

	for (int64 place = 0;; place++)
	{
		Row		   *row;

		MemoryContextReset(context);
		CHECK_FOR_INTERRUPTS();
		row = act_diff_next(&run->diff);
		if (row == NULL)
			break;
		offer_row(samples, row, place);
	}
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
	act_diff_rewind(&run->diff);
}

typedef struct Choice
{
	HTAB	   *chosen;			/* of int64 */
	Canary	   *canary;
	int			size;
} Choice;

static void
choose(Choice *choice, int64 place)
{
	bool		found;

	if (choice->canary->nrows >= choice->size)
		return;
	(void) hash_search(choice->chosen, &place, HASH_ENTER, &found);
	if (!found)
		choice->canary->places[choice->canary->nrows++] = place;
}

/*
 * From the places that divide all rows evenly; of those that are not taken
 * yet, as many as are wanted, evenly again.
 */
static void
spread(Choice *choice, int64 total)
{
	int			wanted = choice->size - choice->canary->nrows;
	int			nfree = 0;
	int64	   *free_places = palloc(sizeof(int64) * choice->size);

	for (int i = 0; i < choice->size; i++)
	{
		int64		place = (int64) ((double) i * total / choice->size);

		if (hash_search(choice->chosen, &place, HASH_FIND, NULL) == NULL)
			free_places[nfree++] = place;
	}
	for (int i = 0; i < wanted; i++)
		choose(choice, free_places[(int64) i * nfree / wanted]);
	pfree(free_places);
}

static int
compare_places(const void *a, const void *b)
{
	int64		x = *(const int64 *) a;
	int64		y = *(const int64 *) b;

	return x < y ? -1 : x > y;
}

static void
choose_rows(Run *run, Canary *canary, int size)
{
	HASHCTL		control = {.keysize = sizeof(int64), .entrysize = sizeof(int64), .hcxt = CurrentMemoryContext};
	Choice		choice = {.canary = canary,.size = size};
	Sample		samples[SAMPLE_COUNT];
	int			kinds = SAMPLE_COUNT;

	choice.chosen = hash_create("pg_activate canary", size, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	for (int kind = 0; kind < SAMPLE_COUNT; kind++)
		sample_create(&samples[kind], kind == SAMPLE_REFUSED ? size : Max(size / SAMPLE_COUNT, 1));
	take_samples(run, samples);

	/* What was refused before is asked first, and alone: the others of that canary passed. */
	if (run->canary_pending && samples[SAMPLE_REFUSED].best->bh_size > 0)
		kinds = SAMPLE_REFUSED + 1;
	for (int kind = 0; kind < kinds; kind++)
	{
		for (int i = 0; i < samples[kind].best->bh_size; i++)
			choose(&choice, samples[kind].picks[i].place);
	}
	if (kinds == SAMPLE_COUNT)
		spread(&choice, run->diff.counts.to_send);
	qsort(canary->places, canary->nrows, sizeof(int64), compare_places);
}

void
act_canary_choose(Run *run)
{
	const Sync *sync = run->sync;
	int			size = (int) Min(sync->options.canary, run->diff.counts.to_send);
	MemoryContext context;
	MemoryContext caller;
	Canary	   *canary;

	if (size <= 0 || !sync->first_batch_alone || run->approved || run->keys != NULL || run->unit != NULL)
		return;
	canary = MemoryContextAllocZero(run->context, sizeof(Canary));
	canary->places = MemoryContextAlloc(run->context, sizeof(int64) * size);
	context = AllocSetContextCreate(run->context, "pg_activate canary", ALLOCSET_DEFAULT_SIZES);
	caller = MemoryContextSwitchTo(context);
	choose_rows(run, canary, size);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
	run->canary = canary;
}

/* ------------------------------------------------------------------- sending */

static Row *
next_of_canary(Canary *canary, Diff *diff)
{
	int64		place;

	if (canary->next >= canary->nrows)
		return NULL;
	place = canary->places[canary->next++];
	act_diff_skip(diff, place - canary->at);
	canary->at = place + 1;
	return act_diff_next(diff);
}

static Row *
next_of_rest(Canary *canary, Diff *diff)
{
	while (canary->next < canary->nrows && canary->places[canary->next] == canary->at)
	{
		act_diff_skip(diff, 1);
		canary->next++;
		canary->at++;
	}
	canary->at++;
	return act_diff_next(diff);
}

Row *
act_canary_next(Run *run)
{
	return run->canary->rest ? next_of_rest(run->canary, &run->diff) : next_of_canary(run->canary, &run->diff);
}

bool
act_canary_under_way(const Run *run)
{
	return run->canary != NULL && !run->canary->rest;
}

static void
note_reason(Run *run, const Row *row)
{
	Canary	   *canary = run->canary;
	MemoryContext caller;

	if (canary->nreasons >= MAX_REASONS)
		return;
	caller = MemoryContextSwitchTo(run->context);
	canary->reasons[canary->nreasons++] =
		psprintf("%s: %s%s%s", row->key, row->code ? row->code : "", row->code && row->message ? ": " : "",
				 row->message ? row->message : row->code ? "" : psprintf("HTTP %d", row->http_status));
	MemoryContextSwitchTo(caller);
}

void
act_canary_note(Run *run, const Row *row)
{
	Canary	   *canary = run->canary;

	if (!act_canary_under_way(run))
		return;
	switch (row->outcome)
	{
		case ROW_ACCEPTED:
		case ROW_ABSENT:
			canary->passed++;
			break;
		case ROW_REJECTED:
		case ROW_REFUSED:
			canary->refused++;
			note_reason(run, row);
			break;
		case ROW_UNKNOWN:
			break;
		default:
			return;				/* goes again with the next run */
	}
	canary->answered++;
	if (row->attempts == 0)
		act_diff_digest_row(canary->tried, row, false);
}

static void
subtract(uint8 *digest, const uint8 *part)
{
	uint64		a[2];
	uint64		b[2];

	memcpy(a, digest, sizeof(a));
	memcpy(b, part, sizeof(b));
	a[0] -= b[0];
	a[1] -= b[1];
	memcpy(digest, a, sizeof(a));
}

/*
 * What is held, and to be approved, is what the next diff finds if nothing
 * changes: without the rows that have their answer, and without those whose
 * leaving is written down by now.
 */
static void
hold(Run *run, int64 rest)
{
	const Canary *canary = run->canary;
	StringInfoData detail;

	initStringInfo(&detail);
	for (int i = 0; i < canary->nreasons; i++)
		appendStringInfo(&detail, "%s%s", i > 0 ? "; " : "", canary->reasons[i]);
	appendStringInfo(&detail, ". The other " INT64_FORMAT " rows were not sent.", rest);
	act_run_stop(run, RUN_HELD,
				 psprintf("run " INT64_FORMAT " of sync \"%s\" is held: " INT64_FORMAT " of %d canary rows were refused",
						  run->run_id, run->sync->name, canary->refused, canary->nrows),
				 act_text_to_server(detail.data),
				 psprintf("SELECT key, code, message FROM activate.rejections WHERE sync = %s; then SELECT activate.approve_run("
						  INT64_FORMAT "); sends the others, SELECT activate.discard_run(" INT64_FORMAT "); lets the next run choose another canary.",
						  quote_literal_cstr(run->sync->name), run->run_id, run->run_id));
	run->canary_held = true;
	subtract(run->diff.digest, run->diff.leaving_digest);
	subtract(run->diff.digest, canary->tried);
}

bool
act_canary_passed(Run *run)
{
	Canary	   *canary = run->canary;
	int64		rest = run->diff.counts.to_send - canary->nrows;

	if (run->stop.set)
		return false;
	if (canary->passed == canary->nrows)
	{
		act_diff_rewind(&run->diff);
		canary->rest = true;
		canary->next = 0;
		canary->at = 0;
		run->canary_passed = true;
		return true;
	}
	/* Nothing is left that could be held: it ends as any run with refusals. */
	if (rest == 0)
		return false;
	if (canary->refused > 0)
		hold(run, rest);
	else
		act_run_stop(run, RUN_PARTIAL,
					 psprintf(INT64_FORMAT " of %d canary rows have no answer; the other " INT64_FORMAT " rows wait for the next run",
							  canary->nrows - canary->answered, canary->nrows, rest),
					 NULL, NULL);
	return false;
}

int64
act_canary_refused(const Run *run)
{
	const DiffCounts *counts = &run->diff.counts;

	if (!run->canary_pending || counts->to_send == 0)
		return 0;
	return counts->delayed - counts->beyond + counts->skipped;
}

void
act_canary_guard(Run *run)
{
	int64		refused = act_canary_refused(run);

	if (!run->canary_pending)
		return;
	if (run->stop.set)
	{
		/* Held for another reason: what the canary found still stands. */
		run->canary_held = true;
		return;
	}
	if (refused == 0)
		return;
	act_run_stop(run, RUN_HELD,
				 psprintf("run " INT64_FORMAT " of sync \"%s\" is held: " CANARY_REFUSED,
						  run->run_id, run->sync->name),
				 psprintf("Rows that wait with a refusal: " INT64_FORMAT ". Nothing was sent.", refused),
				 psprintf("SELECT key, code, message FROM activate.rejections WHERE sync = %s; then SELECT activate.approve_run("
						  INT64_FORMAT "); sends the others, SELECT activate.discard_run(" INT64_FORMAT "); lets the next run choose another canary.",
						  quote_literal_cstr(run->sync->name), run->run_id, run->run_id));
	run->canary_held = true;
}
