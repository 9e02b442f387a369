/*-------------------------------------------------------------------------
 *
 * sync.h
 *	  A sync's definition, as stored in activate.sync.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_SYNC_H
#define ACT_SYNC_H

#include "cluster.h"
#include "datatype/timestamp.h"
#include "nodes/pg_list.h"
#include "row.h"
#include "storage/lockdefs.h"
#include "utils/jsonb.h"

typedef enum SyncMode
{
	MODE_UPSERT,
	MODE_INSERT,
	MODE_UPDATE,
	MODE_MIRROR,
	MODE_APPEND,
	MODE_REPLACE
} SyncMode;
#define SYNC_MODE_COUNT (MODE_REPLACE + 1)

typedef enum OnRemoved
{
	REMOVED_IGNORE,
	REMOVED_DELETE,
	REMOVED_ARCHIVE,
	REMOVED_CLEAR,
	REMOVED_UPDATE,
	REMOVED_REMOVE
} OnRemoved;
#define ON_REMOVED_COUNT (REMOVED_REMOVE + 1)

/* A guard: a count, or a percentage of what is synced. */
typedef struct GuardLimit
{
	bool		set;
	bool		percent;
	double		value;
} GuardLimit;

typedef enum FirstRun
{
	FIRST_RUN_SEND,
	FIRST_RUN_BASELINE,
	FIRST_RUN_LINK
} FirstRun;

/* What null is for the destination, where the field does not say. */
typedef enum NullPolicy
{
	NULL_SEND,
	NULL_OMIT,
	NULL_EMPTY					/* as the empty text */
} NullPolicy;

typedef enum DeliveryPolicy
{
	DELIVERY_DEFAULT,			/* at most once where the operation is not idempotent */
	DELIVERY_AT_LEAST_ONCE,
	DELIVERY_AT_MOST_ONCE
} DeliveryPolicy;

/* What a change of the model that breaks the sync does. */
typedef enum OnModelChange
{
	MODEL_CHANGE_PAUSE,			/* it waits until the model works again */
	MODEL_CHANGE_REFUSE,		/* the change is refused */
	MODEL_CHANGE_FAIL			/* each run fails */
} OnModelChange;

/* Which requests the view requests has. */
typedef enum RequestLogged
{
	REQUEST_LOG_ERRORS,			/* those that were not plainly accepted */
	REQUEST_LOG_ALL,
	REQUEST_LOG_NONE
} RequestLogged;

/* Parsed from activate.sync.options, with the defaults of design 2.2. */
typedef struct SyncOptions
{
	GuardLimit	max_changed;
	GuardLimit	max_removed;	/* default 5 % */
	GuardLimit	max_invalid;	/* default 10 % */
	GuardLimit	max_rejected;	/* default 10 % */
	int64		remove_after_ms;	/* default 1 hour for delete, else 0 */
	int			batch_size;		/* 0: the destination's or the connector's */
	int			max_attempts;	/* default 10 */
	int64		max_run_time_ms;	/* 0: no limit */
	int			priority;		/* default 0; higher goes first */
	int64		freshness_ms;	/* 0: none promised */
	bool		first_run_named;
	FirstRun	first_run;
	char	   *removed_mapping;	/* mapping text, or NULL */
	char	   *insert_mapping; /* mapping text, or NULL */
	int			canary;			/* rows that go before the others after a change; 0: none */
	NullPolicy	nulls;
	bool		nulls_given;	/* else the connector's document may say another */
	int			nignored;
	char	  **ignored;		/* ignore_fields: top-level fields that are not compared */
	bool		changed_fields_only;
	bool		keep_payload;
	DeliveryPolicy delivery;
	OnModelChange on_model_change;
	RequestLogged log;
	bool		strict;			/* what the destination's fields are not made for is an error */
} SyncOptions;

typedef struct Sync
{
	int64		sync_id;
	char	   *name;
	char	   *model;
	bool		model_is_query;
	int			nkeys;
	char	  **key;			/* column names, unquoted */
	char	   *destination;
	char	   *object;			/* or NULL */
	int			nmatch;
	char	  **match;
	char	   *mapping;		/* canonical text, never '*' */
	SyncMode	mode;
	OnRemoved	on_removed;
	char	   *schedule;
	char	   *options_text;	/* jsonb as text */
	SyncOptions options;
	char	   *search_path;
	char	   *time_zone;
	int64		system_identifier;
	Oid			database_oid;
	char	   *host;
	bool		paused;
	char	   *pause_reason;
	bool		first_batch_alone;
	bool		first_run_pending;	/* no run has done what option first_run says */
	TimestampTz definition_changed_at;	/* as it was loaded */
	int			timeline;		/* of the cluster when it last ran */
	bool		in_doubt;		/* all rows are still to be put in doubt; the diff takes them to be */
	bool		hold_next;		/* and is held */

	/* not stored: the table in activate_data and who owns it */
	Oid			table_oid;		/* InvalidOid: it is gone */
	Oid			owner;
} Sync;

/*
 * Reads a definition as the extension, inside a transaction with SPI
 * connected; allocated in the current memory context.  missing_ok: NULL
 * instead of ERROR 42704 (which names the nearest sync).  Checks that the
 * current user may see it: 42501 otherwise.
 */
extern Sync *act_sync_load(const char *name, bool missing_ok);

/* The same as it stays until this transaction ends; change: to alter it. */
extern Sync *act_sync_load_locked(const char *name, bool missing_ok, bool change);

extern Sync *act_sync_load_by_id(int64 sync_id);	/* no check; NULL if gone */

/*
 * The sync's table before each use: same oid, a plain table, owned by the
 * sync's owner, no rules, its columns of the types they are read as.  Locks it; conditional: returns false instead of
 * waiting for the lock.
 */
extern bool act_sync_table_open(const Sync *sync, LOCKMODE lockmode, bool conditional);

/* What keeps the table from being used, or NULL; holds a weak lock on it. */
extern char *act_sync_table_hint(const Sync *sync);	/* what to do about it */
extern const char *act_sync_table_problem(const Sync *sync);

extern char *act_sync_table_name(const Sync *sync);	/* quoted, qualified */

/*
 * The options of a definition: ERROR 22023 with the nearest name for an
 * unknown one, 0A000 for one that is not built yet.
 */
extern void act_sync_options_parse(Jsonb *options, OnRemoved on_removed, SyncOptions *parsed);

/* Whether the options of two mean the same, however they are written; both are valid. */
extern bool act_sync_options_same(const Sync *a, const Sync *b);

/* What is stored of an object of options: one that is null is not given. */
extern char *act_sync_options_given(Jsonb *options);

/* The options of a sync as they were given, but for those that are the default. */
extern char *act_sync_options_set(const Sync *sync);

extern const char *act_sync_mode_name(SyncMode mode);
extern const char *act_on_removed_name(OnRemoved on_removed);
extern SyncMode act_sync_mode_parse(const char *name);
extern OnRemoved act_on_removed_parse(const char *name);

/* What is asked of the destination for rows of the model, and for those that left. */
extern RowOp act_sync_mode_op(SyncMode mode, OnRemoved on_removed);
extern RowOp act_on_removed_op(OnRemoved on_removed);	/* ROW_OP_NONE: nothing */

extern void act_sync_require_unpaused(const Sync *sync);	/* else 55000 */

#endif							/* ACT_SYNC_H */
