/*-------------------------------------------------------------------------
 *
 * search_test.c
 *	  The search for bad rows against made-up destinations, and its bounds.
 *
 * Rows, batches and searches are the extension's own; the loop around them is
 * that of deliver.c in short: a few requests in flight, answered in any
 * order.  SEED begins the random cases, CASES says how many.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "batch_search.h"
#include "canary.h"
#include "pg_stub.h"
#include "utils/memutils.h"

#undef printf
#undef fprintf

#define MAX_ROWS 12000
#define MAX_IN_FLIGHT 64
#define MAX_READY 20000

/* ------------------------------------------------- what the sources ask for */

MemoryContext
AllocSetContextCreateInternal(MemoryContext parent, const char *name, Size min, Size init, Size max)
{
	return NULL;
}

void
MemoryContextDelete(MemoryContext context)
{
}

void *
MemoryContextAlloc(MemoryContext context, Size size)
{
	return palloc(size);
}

void *
MemoryContextAllocZero(MemoryContext context, Size size)
{
	return palloc0(size);
}

void *
repalloc_huge(void *pointer, Size size)
{
	return repalloc(pointer, size);
}

static int	nrows;				/* of the run */
static int	read_rows;
static Row	rows[MAX_ROWS];
static ConnectorOperation operations[] = {{.op = ROW_OP_UPSERT,.max_rows = 10000,.idempotent = true},
{.op = ROW_OP_DELETE,.max_rows = 10000,.idempotent = true}};

Row *
act_diff_next(Diff *diff)
{
	return read_rows < nrows ? &rows[read_rows++] : NULL;
}

Row *
act_row_copy(const Row *row)
{
	return unconstify(Row *, row);
}

void
act_connector_row_own_id(const ConnectorScope *scope, Row *row)
{
}

const ConnectorOperation *
act_connector_row_operation(const Connector *connector, const Row *row)
{
	return &operations[row->op == ROW_OP_DELETE];
}

size_t
act_connector_row_bytes(const Connector *connector, const ConnectorScope *scope, const Row *row)
{
	return row->bytes;
}

size_t
act_connector_row_url_bytes(const Connector *connector, const ConnectorScope *scope, const Row *row)
{
	return 0;
}

size_t
act_connector_url_room(const Connector *connector, const ConnectorScope *scope, const Row *row)
{
	return SIZE_MAX;
}

TimestampTz
act_now(void)
{
	return 0;
}

char *
act_connector_batch_by(const Connector *connector, const Row *row)
{
	return NULL;
}

/* Never come to here. */
char *
act_connector_match_text(const Connector *connector, const ConnectorScope *scope, const Row *row)
{
	abort();
}

char *
MemoryContextStrdup(MemoryContext context, const char *string)
{
	abort();
}

Row *
act_canary_next(Run *run)
{
	abort();
}

Row *
act_unit_next(Unit *unit)
{
	abort();
}

void
act_unit_rewind(Unit *unit)
{
	abort();
}

void
act_connector_render(const Connector *connector, const ConnectorScope *scope, Row **batch_rows, int count,
					 HttpRequest *request)
{
	abort();
}

void
act_connector_render_unit(const Connector *connector, const ConnectorScope *scope, Row **batch_rows, int count,
						  const uint8 *id, HttpRequest *request)
{
	abort();
}

void
act_connector_render_lookup(const Connector *connector, const ConnectorScope *scope, Row **batch_rows, int count,
							HttpRequest *request)
{
	abort();
}

char *
act_connector_lookup_problem(const Connector *connector, int nmatch)
{
	abort();
}

bool
act_connector_lookup_has(const Connector *connector, const ConnectorScope *scope, const Row *row)
{
	abort();
}

void
act_connector_row_missing(const Connector *connector, Row *row, bool asked)
{
	abort();
}

const char *
act_row_op_sent_name(RowOp op)
{
	abort();
}

/* ------------------------------------------------------------- destinations */

typedef enum Kind
{
	BAD_ROWS,					/* refuses what contains a bad row */
	TOGETHER,					/* refuses more than one row, takes each alone */
	RANDOM,						/* refuses now and then, whatever it is */
	PAIRS,						/* refuses two rows in one batch that are a pair */
	EVERY_OTHER,				/* takes every other full batch */
	EVERYTHING,					/* refuses all */
	FEW_ROWS,					/* says too large to more than so many */
	FEW_BYTES					/* the same by bytes */
} Kind;

typedef struct Place
{
	Kind		kind;
	bool		bad[MAX_ROWS];
	int			percent;
	int			most;
	int			turn;
	bool		mixed;			/* some rows are removals, which have requests of their own */
} Place;

static Place place;
static uint64 seed;

static int
any(int below)
{
	seed = seed * UINT64CONST(6364136223846793005) + UINT64CONST(1442695040888963407);
	return (int) ((seed >> 33) % below);
}

typedef enum Saying
{
	SAYS_YES,
	SAYS_NO,
	SAYS_TOO_LARGE
} Saying;

static Saying
answer(const Batch *batch)
{
	bool		refused = false;
	size_t		bytes = 0;

	for (int i = 0; i < batch->nrows; i++)
		bytes += batch->rows[i]->bytes;
	switch (place.kind)
	{
		case BAD_ROWS:
			for (int i = 0; i < batch->nrows; i++)
				refused = refused || place.bad[batch->rows[i] - rows];
			break;
		case TOGETHER:
			refused = batch->nrows > 1;
			break;
		case RANDOM:
			refused = any(100) < place.percent;
			break;
		case PAIRS:
			for (int i = 0; i < batch->nrows; i++)
				for (int j = 0; j < i; j++)
					refused = refused || ((batch->rows[i] - rows) ^ (batch->rows[j] - rows)) == 64;
			break;
		case EVERY_OTHER:
			refused = batch->nrows > 1 && (batch->probe || place.turn++ % 2 == 1);
			break;
		case EVERYTHING:
			refused = true;
			break;
		case FEW_ROWS:
			return batch->nrows > place.most ? SAYS_TOO_LARGE : SAYS_YES;
		case FEW_BYTES:
			return bytes > place.most ? SAYS_TOO_LARGE : SAYS_YES;
	}
	return refused ? SAYS_NO : SAYS_YES;
}

/* --------------------------------------------------------------------- a run */

typedef struct Case
{
	int			batch_size;
	int			concurrency;
	bool		first_alone;
	int			stop_after;		/* rows asked alone and refused in a row; 0: never */

	int			requests;
	int			accepted;
	int			rejected;
	int			worst_alone;	/* the most rows in a row that were refused alone */
	int			requests_then;	/* when that reached stop_after */
} Case;

static Batch *ready[MAX_READY];
static int	nready;
static Batch *in_flight[MAX_IN_FLIGHT];
static int	nin_flight;

static void
fail(const char *what, const Case *c)
{
	fprintf(stderr, "search_test: %s: kind %d, %d rows, batches of %d, concurrency %d, %d requests, seed " UINT64_FORMAT "\n",
			what, place.kind, nrows, c->batch_size, c->concurrency, c->requests, seed);
	exit(1);
}

static void
send_first(Batch *batch)
{
	if (batch == NULL)
		return;
	memmove(ready + 1, ready, sizeof(Batch *) * nready);
	ready[0] = batch;
	nready++;
}

static void
finish_rows(Case *c, const Batch *batch, RowOutcome outcome)
{
	for (int i = 0; i < batch->nrows; i++)
	{
		if (batch->rows[i]->outcome != ROW_UNDECIDED)
			fail("a row was sent after its answer", c);
		batch->rows[i]->outcome = outcome;
	}
}

static void
take_answer(Case *c, BatchSearch *search, Batch *batch, int *alone)
{
	Batch	   *next;

	switch (answer(batch))
	{
		case SAYS_YES:
			finish_rows(c, batch, ROW_ACCEPTED);
			c->accepted += batch->nrows;
			*alone = 0;
			send_first(act_search_answered(search, batch, true));
			return;
		case SAYS_TOO_LARGE:
			if (batch->nrows > 1)
			{
				act_search_too_large(search, batch);
				return;
			}
			break;
		case SAYS_NO:
			next = act_search_refused(search, batch);
			if (next != NULL)
			{
				send_first(next);
				return;
			}
			send_first(act_search_single(search, batch));
			break;
	}
	act_search_dropped(search, batch);
	finish_rows(c, batch, ROW_REJECTED);
	c->rejected++;
	if (batch->probe && ++*alone > c->worst_alone)
		c->worst_alone = *alone;
	if (c->stop_after > 0 && c->worst_alone >= c->stop_after && c->requests_then == 0)
		c->requests_then = c->requests;
}

static bool
any_probe(void)
{
	for (int i = 0; i < nready; i++)
		if (ready[i]->probe)
			return true;
	for (int i = 0; i < nin_flight; i++)
		if (in_flight[i]->probe)
			return true;
	return false;
}

static void
perform(Case *c)
{
	static Destination destination;
	static Sync sync;
	static Run	run;
	BatchSearch search = {0};
	BatchReader reader = {.run = &run,.search = &search};
	int			alone = 0;

	memset(&sync, 0, sizeof(sync));
	run.destination = &destination;
	run.sync = &sync;
	sync.options.batch_size = c->batch_size;
	nready = nin_flight = read_rows = 0;
	for (int i = 0; i < nrows; i++)
	{
		rows[i] = (Row) {.op = place.mixed && i >= nrows / 2 ? ROW_OP_DELETE : ROW_OP_UPSERT,.bytes = rows[i].bytes};
	}
	c->requests = c->accepted = c->rejected = c->worst_alone = c->requests_then = 0;
	for (;;)
	{
		bool		doubtful = act_search_doubtful(&search, c->accepted > 0);
		int			wanted = doubtful || (c->first_alone && c->accepted + c->rejected == 0) ? 1 : 2 * c->concurrency;
		int			limit = doubtful ? 1 : c->concurrency;

		while (nready + nin_flight < wanted)
		{
			Batch	   *batch;

			reader.more_may_come = nready + nin_flight > 0;
			reader.searching = any_probe();
			batch = act_batch_read(&reader);
			if (batch == NULL)
				break;
			ready[nready++] = batch;
		}
		while (nready > 0 && nin_flight < limit)
		{
			in_flight[nin_flight++] = ready[0];
			memmove(ready, ready + 1, sizeof(Batch *) * --nready);
			c->requests++;
			if (c->requests > 40 * MAX_ROWS)
				fail("it does not end", c);
		}
		if (nin_flight == 0)
			break;
		else
		{
			int			which = any(nin_flight);
			Batch	   *batch = in_flight[which];

			in_flight[which] = in_flight[--nin_flight];
			take_answer(c, &search, batch, &alone);
		}
		if (c->requests_then > 0)
			break;
	}
	if (c->requests_then == 0 && c->accepted + c->rejected != nrows)
		fail("rows were lost", c);
	stub_reset();
}

/* --------------------------------------------------------------------- cases */

static int
log2_up(int n)
{
	int			bits = 0;

	while (1 << bits < n)
		bits++;
	return bits;
}

static int
base_requests(int batch_size)
{
	return (nrows + batch_size - 1) / batch_size;
}

static void
make_rows(int count, Kind kind)
{
	nrows = count;
	memset(&place, 0, sizeof(place));
	place.kind = kind;
	for (int i = 0; i < nrows; i++)
		rows[i].bytes = 100;
}

/* How bad rows lie. */
static void
place_bad(int count, int pattern, int batch_size)
{
	int			at = any(nrows);
	int			batch = at / batch_size * batch_size;

	for (int placed = 0; placed < count;)
	{
		int			row = pattern == 0 ? any(nrows)	/* anywhere */
			: pattern == 1 ? batch + any(Min(batch_size, nrows - batch))	/* in one batch */
			: pattern == 2 ? (at + placed) % nrows	/* neighbours */
			: pattern == 3 ? (placed % 2 == 0 ? placed / 2 : nrows - 1 - placed / 2)	/* first and last */
			: placed;			/* the first */

		if (place.bad[row] && (pattern >= 2 || (pattern == 1 && any(4) == 0)))
			row = any(nrows);
		if (place.bad[row])
			continue;
		place.bad[row] = true;
		placed++;
	}
}

/* The bound for up to three bad rows; more than it: a failure. */
static int
few_bad(int count, int batch_size, int bad, int pattern, Case *c)
{
	int			extra;

	make_rows(count, BAD_ROWS);
	place_bad(bad, pattern, batch_size);
	c->batch_size = batch_size;
	perform(c);
	extra = c->requests - base_requests(batch_size);
	if (c->rejected != bad)
		fail("not just the bad rows are rejected", c);
	if (extra > bad * (log2_up(batch_size) + 2))
		fail("more requests than ceil(log2 n) + 2 for a bad row", c);
	if (c->worst_alone > 3)
		fail("three bad rows look like a destination that refuses all", c);
	return extra;
}

static void
test_few_bad(int cases)
{
	int			worst = 0;
	int			worst_bound = 0;

	for (int i = 0; i < cases; i++)
	{
		Case		c = {.concurrency = 1 + any(6),.first_alone = any(2)};
		int			batch_size = 2 + any(any(4) == 0 ? 300 : 40);
		int			count = 4 + any(batch_size * 12);
		int			bad = 1 + any(3);
		int			extra = few_bad(count, batch_size, bad, any(5), &c);
		int			bound = bad * (log2_up(batch_size) + 2);

		if (extra * 1000 / bound >= worst)
			worst = extra * 1000 / bound, worst_bound = bound;
	}
	printf("search: %d random cases of 1 to 3 bad rows: at most %d %% of the bound (%d)\n", cases, worst / 10, worst_bound);
}

static void
test_ten_thousand(void)
{
	static const int sizes[] = {100, 500, 1000};
	static const char *const patterns[] = {"anywhere", "in one batch", "neighbours", "first and last", "the first three"};

	for (int s = 0; s < lengthof(sizes); s++)
	{
		for (int pattern = 0; pattern < lengthof(patterns); pattern++)
		{
			int			worst = 0;

			for (int i = 0; i < 40; i++)
			{
				Case		c = {.concurrency = i % 2 == 0 ? 1 : 4,.first_alone = i % 3 == 0};
				int			extra = few_bad(10000, sizes[s], 3, pattern, &c);

				worst = Max(worst, extra);
			}
			printf("search: 10000 rows in batches of %4d, 3 bad, %s: at most %d more requests, bound %d\n",
				   sizes[s], patterns[pattern], worst, 3 * log2_up(sizes[s]) + 6);
		}
	}
}

/* Rows of two kinds, which no request mixes: one batch more. */
static void
test_kinds(int cases)
{
	for (int i = 0; i < cases; i++)
	{
		Case		c = {.concurrency = 1 + any(4),.batch_size = 2 + any(100),.first_alone = any(2)};

		make_rows(10 + any(1000), BAD_ROWS);
		place.mixed = true;
		place_bad(3, any(5), c.batch_size);
		perform(&c);
		if (c.rejected != 3)
			fail("two kinds: not just the bad rows", &c);
		if (c.requests > base_requests(c.batch_size) + 2 + 3 * (log2_up(c.batch_size) + 2))
			fail("two kinds: too many requests", &c);
	}
}

/* What no search can make sense of ends all the same, and soon. */
static void
test_nasty(const char *what, Kind kind, int percent, int bad)
{
	double		worst = 0;

	for (int i = 0; i < 60; i++)
	{
		Case		c = {.concurrency = 1 + any(4),.batch_size = i % 2 == 0 ? 100 : 2 + any(1000),.first_alone = any(2)};
		int			l = log2_up(c.batch_size);
		int			bound;

		make_rows(100 + any(4000), kind);
		place.percent = percent;
		if (bad > 0)
			place_bad(nrows * bad / 100, i % 3, c.batch_size);
		perform(&c);
		bound = kind == TOGETHER ? 2 * nrows + 100 : 3 * nrows + 8 * (l + 2) * (l + 2);
		if (c.requests > bound)
			fail(what, &c);
		if (kind != RANDOM && kind != BAD_ROWS && c.rejected > 0)
			fail("a row was charged that is fine alone", &c);
		worst = Max(worst, (double) c.requests / nrows);
	}
	printf("search: %s: at most %.2f requests a row\n", what, worst);
}

static void
test_everything(void)
{
	for (int batch_size = 2; batch_size <= 10000; batch_size = batch_size * 5 + 3)
	{
		for (int concurrency = 1; concurrency <= 4; concurrency += 3)
		{
			Case		c = {.concurrency = concurrency,.batch_size = batch_size,.stop_after = 5};

			make_rows(MAX_ROWS, EVERYTHING);
			perform(&c);
			/* Of a batch of two there are not five rows to ask. */
			if (c.requests_then == 0 || c.requests_then > concurrency + Max(log2_up(batch_size), 3) + 4)
				fail("everything refused: too many requests until that is plain", &c);
			printf("search: all refused, batches of %d, concurrency %d: plain after %d requests\n",
				   batch_size, concurrency, c.requests_then);
		}
	}
}

static void
test_too_large(void)
{
	for (int i = 0; i < 300; i++)
	{
		Case		c = {.concurrency = 1 + any(4),.batch_size = 2 + any(300),.first_alone = any(2)};
		int			most = 1 + any(c.batch_size);

		make_rows(1 + any(3000), FEW_ROWS);
		place.most = most;
		perform(&c);
		if (c.rejected > 0)
			fail("too large: a row was charged that is not", &c);
		/* Batches of half of what it takes at least, and a few that were refused. */
		if (c.requests > 2 * ((nrows + most - 1) / most) + (c.concurrency + 1) * (log2_up(c.batch_size) + 1) + 2)
			fail("too large: the size is not remembered", &c);
	}
	/* One row that is larger than what it takes does not make batches small. */
	for (int i = 0; i < 300; i++)
	{
		Case		c = {.concurrency = 1 + any(4),.batch_size = 100};

		make_rows(2000, FEW_BYTES);
		place.most = 20000;
		rows[any(nrows)].bytes = 20001 + any(100000);
		perform(&c);
		if (c.rejected != 1)
			fail("too large: not just the large row", &c);
		if (c.requests > 20 + 30)
			fail("too large: one large row makes all batches small", &c);
	}
}

int
main(void)
{
	int			cases = getenv("CASES") ? atoi(getenv("CASES")) : 20000;

	seed = getenv("SEED") ? strtoull(getenv("SEED"), NULL, 10) : 1;
	for (int i = 0; i < 10; i++)
		(void) any(2);
	test_few_bad(cases);
	test_ten_thousand();
	test_kinds(500);
	test_nasty("refuses together, takes alone", TOGETHER, 0, 0);
	test_nasty("refuses pairs", PAIRS, 0, 0);
	test_nasty("takes every other batch", EVERY_OTHER, 0, 0);
	test_nasty("refuses 1 % of requests", RANDOM, 1, 0);
	test_nasty("refuses 10 % of requests", RANDOM, 10, 0);
	test_nasty("refuses 50 % of requests", RANDOM, 50, 0);
	test_nasty("refuses 90 % of requests", RANDOM, 90, 0);
	test_nasty("5 % of rows are bad", BAD_ROWS, 0, 5);
	test_nasty("30 % of rows are bad", BAD_ROWS, 0, 30);
	test_nasty("90 % of rows are bad", BAD_ROWS, 0, 90);
	test_everything();
	test_too_large();
	printf("search: ok\n");
	return 0;
}
