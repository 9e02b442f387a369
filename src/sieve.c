/*-------------------------------------------------------------------------
 *
 * sieve.c
 *	  Which keys of a table can differ from the snapshot, without a join.
 *
 * Each row, by its key and fingerprint, is a number; those of the model are
 * added to a bucket chosen by the key, those of the snapshot subtracted.  A
 * bucket that comes to zero holds the same rows on both sides.  Two plain
 * scans instead of a join: for the usual run, in which few rows changed, that
 * is most of the work, and only the rest is joined.  The numbers are salted
 * anew each time, so that nobody can make two changes cancel out.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "port/pg_bitutils.h"
#include "storage/bufmgr.h"
#include "tcop/dest.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/typcache.h"
#include "utils/uuid.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "diff_query.h"
#include "sieve.h"

/* Rows that share a bucket, and how many buckets there may be (8 bytes each). */
#define ROWS_PER_BUCKET 1
#define MIN_BITS 10
#define MAX_BITS 21

/* Additions under way while the memory that they need is fetched. */
#define AHEAD 16

/* Rows of a snapshot on one of its pages, about. */
#define ROWS_PER_PAGE 64

/* With more of the buckets different, everything is joined. */
#define MAX_DIFFERENT 0.25

struct Sieve
{
	const Model *model;
	int			nkeys;
	FmgrInfo   *hash;
	bool	   *integer;		/* hashed here, without a call */
	int16	   *len;
	bool	   *byval;
	const Oid  *collations;
	uint64		salt;
	int			bits;
	uint64	   *sums;			/* NULL after shaking */
	uint8	   *held;			/* bit per bucket: to be joined */

	/* a row's bucket is nowhere near the last one's: it is asked for early */
	uint32		buckets[AHEAD];
	uint64		numbers[AHEAD];
	uint32		next;
	MemoryContext row_context;	/* reset for each row */
};

typedef struct SieveReceiver
{
	DestReceiver receiver;		/* must be first */
	Sieve	   *sieve;
	SieveResult *result;
	bool		snapshot;
} SieveReceiver;

/* murmurhash64() is of the server only from 16 on. */
static inline uint64
mix(uint64 value)
{
	value ^= value >> 33;
	value *= UINT64CONST(0xff51afd7ed558ccd);
	value ^= value >> 33;
	value *= UINT64CONST(0xc4ceb9fe1a85ec53);
	value ^= value >> 33;
	return value;
}

static uint64
hash_key(Sieve *sieve, const Datum *keys, const bool *nulls)
{
	uint64		hash = sieve->salt;

	for (int i = 0; i < sieve->nkeys; i++)
	{
		if (nulls[i])
			continue;
		if (sieve->integer[i])
			hash = hash_combine64(hash, mix((uint64) keys[i] ^ sieve->salt));
		else
			hash = hash_combine64(hash, DatumGetUInt64(FunctionCall2Coll(&sieve->hash[i], sieve->collations[i],
																		 keys[i], UInt64GetDatum(sieve->salt))));
	}
	return hash;
}

static inline uint32
bucket_of(const Sieve *sieve, uint64 hash)
{
	return (uint32) (hash >> (64 - sieve->bits));
}

bool
act_sieve_holds(Sieve *sieve, const Datum *keys, const bool *nulls)
{
	uint32		bucket;

	for (int i = 0; i < sieve->nkeys; i++)
	{
		if (nulls[i])
			return true;
	}
	bucket = bucket_of(sieve, hash_key(sieve, keys, nulls));
	return (sieve->held[bucket / 8] & (1 << (bucket % 8))) != 0;
}

static inline void
hold(Sieve *sieve, uint32 bucket)
{
	sieve->held[bucket / 8] |= 1 << (bucket % 8);
}

/* Zero for the rest of those under way. */
static inline void
add(Sieve *sieve, uint32 bucket, uint64 number)
{
	uint32		slot = sieve->next++ % AHEAD;

	sieve->sums[sieve->buckets[slot]] += sieve->numbers[slot];
	sieve->buckets[slot] = bucket;
	sieve->numbers[slot] = number;
	__builtin_prefetch(&sieve->sums[bucket], 1);
}

/*
 * What a row adds or takes away.  The hash functions of many types keep
 * little of the value (those of timestamps 32 bits, whatever the salt), so
 * keys enter by their bytes: equal ones of other bytes only cost a join.
 */
static uint64
number_of(const Sieve *sieve, const TupleTableSlot *slot, uint64 hash)
{
	uint64		number = XXH3_64bits_withSeed(DatumGetUUIDP(slot->tts_values[sieve->nkeys])->data,
											  UUID_LEN, hash);

	for (int i = 0; i < sieve->nkeys; i++)
	{
		Datum		key = slot->tts_values[i];

		if (slot->tts_isnull[i] || sieve->integer[i])
			continue;			/* in the hash as it is */
		if (sieve->byval[i])
			number = XXH3_64bits_withSeed(&key, sizeof(key), number);
		else if (sieve->len[i] > 0)
			number = XXH3_64bits_withSeed(DatumGetPointer(key), sieve->len[i], number);
		else
		{
			struct varlena *bytes = PG_DETOAST_DATUM_PACKED(key);

			number = XXH3_64bits_withSeed(VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes), number);
		}
	}
	return number;
}

/* A row of the snapshot that is as it was accepted: what may be unchanged. */
static bool
is_settled(const TupleTableSlot *slot, int nkeys)
{
	const char *accepted = "accepted";
	text	   *state;

	if (slot->tts_isnull[nkeys] || slot->tts_isnull[nkeys + 2])
		return false;
	state = DatumGetTextPP(slot->tts_values[nkeys + 2]);
	return VARSIZE_ANY_EXHDR(state) == strlen(accepted) &&
		memcmp(VARDATA_ANY(state), accepted, strlen(accepted)) == 0;
}

static void
pour_row(SieveReceiver *self, TupleTableSlot *slot)
{
	Sieve	   *sieve = self->sieve;
	int			nkeys = sieve->nkeys;
	uint64		hash;
	uint64		number;
	uint32		bucket;

	slot_getallattrs(slot);
	hash = hash_key(sieve, slot->tts_values, slot->tts_isnull);
	bucket = bucket_of(sieve, hash);
	if (self->snapshot)
	{
		if (!slot->tts_isnull[nkeys + 1])
			self->result->synced++;
		if (!is_settled(slot, nkeys))
		{
			hold(sieve, bucket);
			return;
		}
	}
	else
	{
		self->result->rows_in_model++;
		for (int i = 0; i < nkeys; i++)
		{
			/* A null key matches nothing: it is never unchanged. */
			if (slot->tts_isnull[i])
				hold(sieve, bucket);
		}
	}
	number = number_of(sieve, slot, hash);
	add(sieve, bucket, self->snapshot ? -number : number);
}

static bool
receive(TupleTableSlot *slot, DestReceiver *receiver)
{
	SieveReceiver *self = (SieveReceiver *) receiver;
	MemoryContext caller = MemoryContextSwitchTo(self->sieve->row_context);

	pour_row(self, slot);
	MemoryContextSwitchTo(caller);
	MemoryContextReset(self->sieve->row_context);
	return true;
}

static void
startup(DestReceiver *receiver, int operation, TupleDesc desc)
{
	const Model *model = ((SieveReceiver *) receiver)->sieve->model;

	for (int i = 0; i < model->sync->nkeys; i++)
		act_diff_query_require_type(model, model->sync->key[i], model->key_types[i],
							  TupleDescAttr(desc, i)->atttypid);
}

static void
nothing(DestReceiver *receiver)
{
}

static void
pour(Sieve *sieve, SieveResult *result, bool snapshot, const char *sql)
{
	SieveReceiver receiver = {
		.receiver = {.receiveSlot = receive,.rStartup = startup,.rShutdown = nothing,
		.rDestroy = nothing,.mydest = DestTuplestore},
		.sieve = sieve,.result = result,.snapshot = snapshot
	};
	SPIExecuteOptions options = {.read_only = true,.dest = &receiver.receiver};
	MemoryContext caller = CurrentMemoryContext;

	if (SPI_execute_extended(sql, &options) != SPI_OK_SELECT)
		elog(ERROR, "the sieve reads only");
	MemoryContextSwitchTo(caller);
}

/* NULL where a key cannot be hashed, or not alike on both sides. */
static Sieve *
make_sieve(const Model *model, double snapshot_rows)
{
	const Sync *sync = model->sync;
	Sieve	   *sieve = palloc0(sizeof(Sieve));

	sieve->model = model;
	sieve->nkeys = sync->nkeys;
	sieve->collations = model->key_collations;
	sieve->hash = palloc0(sizeof(FmgrInfo) * sync->nkeys);
	sieve->integer = palloc0(sizeof(bool) * sync->nkeys);
	sieve->len = palloc(sizeof(int16) * sync->nkeys);
	sieve->byval = palloc(sizeof(bool) * sync->nkeys);
	sieve->row_context = AllocSetContextCreate(CurrentMemoryContext, "pg_activate sieve row",
											   ALLOCSET_DEFAULT_SIZES);
	for (int i = 0; i < sync->nkeys; i++)
	{
		TypeCacheEntry *type = lookup_type_cache(model->key_types[i], TYPECACHE_HASH_EXTENDED_PROC_FINFO);
		AttrNumber	attnum = get_attnum(sync->table_oid, sync->key[i]);

		if (!OidIsValid(type->hash_extended_proc_finfo.fn_oid) || attnum == InvalidAttrNumber ||
			get_atttype(sync->table_oid, attnum) != model->key_types[i])
			return NULL;
		/* By value in a Datum, sign extended or not: alike on both sides. */
		sieve->integer[i] = SIZEOF_DATUM == 8 &&
			(model->key_types[i] == INT8OID || model->key_types[i] == INT4OID);
		fmgr_info_copy(&sieve->hash[i], &type->hash_extended_proc_finfo, CurrentMemoryContext);
		sieve->len[i] = type->typlen;
		sieve->byval[i] = type->typbyval;
	}
	if (!pg_strong_random(&sieve->salt, sizeof(sieve->salt)))
		return NULL;
	sieve->bits = pg_leftmost_one_pos64((uint64) Max(snapshot_rows / ROWS_PER_BUCKET, 1)) + 1;
	sieve->bits = Min(Max(sieve->bits, MIN_BITS), MAX_BITS);
	sieve->sums = palloc0(sizeof(uint64) << sieve->bits);
	sieve->held = palloc0(((Size) 1 << sieve->bits) / 8);
	return sieve;
}

/* Rows the snapshot may have; 0: none. */
static double
estimate_snapshot(const Sync *sync)
{
	Relation	rel = relation_open(sync->table_oid, NoLock);
	double		rows = (double) RelationGetNumberOfBlocks(rel) * ROWS_PER_PAGE;

	relation_close(rel, NoLock);
	return rows;
}

static double
estimate_model(const Model *model)
{
	Relation	rel = relation_open(model->relation, AccessShareLock);
	double		rows = rel->rd_rel->reltuples;

	relation_close(rel, NoLock);
	return rows;
}

static bool
too_different(Sieve *sieve, bool *clean)
{
	uint32		buckets = (uint32) 1 << sieve->bits;
	uint32		different = 0;

	for (int i = 0; i < AHEAD; i++)
		add(sieve, 0, 0);
	for (uint32 i = 0; i < buckets; i++)
	{
		if (sieve->sums[i] != 0)
			hold(sieve, i);
	}
	pfree(sieve->sums);
	sieve->sums = NULL;
	for (uint32 i = 0; i < buckets / 8; i++)
		different += pg_number_of_ones[sieve->held[i]];
	*clean = different == 0;
	return different > MAX_DIFFERENT * buckets;
}

/*
 * Only tables are read twice lightly; a query or a view may cost whatever it
 * costs, once.
 */
Sieve *
act_sieve_shake(const Model *model, SieveResult *result)
{
	StringInfoData sql;
	double		snapshot_rows;
	Sieve	   *sieve;

	memset(result, 0, sizeof(*result));
	if (model->relkind != RELKIND_RELATION && model->relkind != RELKIND_MATVIEW &&
		model->relkind != RELKIND_PARTITIONED_TABLE)
		return NULL;
	snapshot_rows = estimate_snapshot(model->sync);
	if (snapshot_rows == 0 || (sieve = make_sieve(model, snapshot_rows)) == NULL)
		return NULL;

	initStringInfo(&sql);
	act_diff_query_append_snapshot_sieve(&sql, model);
	pour(sieve, result, true, sql.data);
	if (result->synced < estimate_model(model) / 2)
		return NULL;			/* most of it is new */

	resetStringInfo(&sql);
	act_diff_query_append_model_sieve(&sql, model);
	pour(sieve, result, false, sql.data);
	if (too_different(sieve, &result->clean))
		return NULL;
	result->used = true;
	return sieve;
}
