/*-------------------------------------------------------------------------
 *
 * row.h
 *	  A row on its way from the model to a destination.
 *
 * Plain data, shared by every layer: the diff makes rows (values already
 * rendered as text, so that nothing outside a transaction touches catalogs
 * or type output), the connector engine renders and judges them, delivery
 * moves them, settling writes down what became of them.  Includes neither
 * curl nor anything of the database.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_ROW_H
#define ACT_ROW_H

#include "nodes/pg_list.h"

#define ACT_DIGEST_LEN 16		/* fingerprints and change ids: 128 bits */

/* What is asked of the destination, by the name it has in the webhook. */
typedef enum RowOp
{
	ROW_OP_NONE,				/* nothing is sent: bookkeeping only */
	ROW_OP_INSERT,
	ROW_OP_UPDATE,
	ROW_OP_UPSERT,
	ROW_OP_DELETE,
	ROW_OP_ARCHIVE,
	ROW_OP_CLEAR,
	ROW_OP_ADD,
	ROW_OP_REMOVE,
	ROW_OP_UPDATE_REMOVED,		/* on_removed update: an update for those who get it */
	ROW_OP_REPLACE,				/* the whole model as one unit */
	ROW_OP_REPLACE_REMOVED		/* mode replace: the unit, without this row */
} RowOp;
#define ROW_OP_COUNT (ROW_OP_REPLACE_REMOVED + 1)

/* Why the row is here: under which of the run's three sums it counts. */
typedef enum RowCause
{
	ROW_ADDED,
	ROW_CHANGED,
	ROW_REMOVED
} RowCause;

/*
 * What became of a row in a run.  DELAYED, SKIPPED and the like are decided
 * without asking the destination; a row in DOUBT counts as delayed.
 */
typedef enum RowOutcome
{
	ROW_UNDECIDED,
	ROW_ACCEPTED,
	ROW_REJECTED,				/* said no; tried again with back-off */
	ROW_REFUSED,				/* said no for good */
	ROW_ABSENT,					/* the record to update is not there */
	ROW_DOUBT,					/* answer lost: may or may not be applied */
	ROW_UNKNOWN,				/* the same, where asking twice is not safe */
	ROW_DELAYED,				/* not tried, or certainly not applied */
	ROW_SKIPPED,				/* parked, muted, refused before */
	ROW_WAITING,				/* a referenced row has no id yet */
	ROW_HELD_OUT
} RowOutcome;
#define ROW_OUTCOME_COUNT (ROW_HELD_OUT + 1)

typedef struct Row
{
	/* made by the diff */
	RowOp		op;
	RowCause	cause;
	bool		in_doubt;		/* an earlier answer was lost */
	int			nkeys;
	char	  **key_values;		/* type output of each key column, for settling */
	char	   *key;			/* {"customer_id": 7}: JSON, UTF-8 */
	char	   *fields;			/* payload as a JSON object, UTF-8, or NULL */
	char	   *payload;		/* all that the record has then, where that is kept and not just fields; or NULL */
	char	   *changed;		/* in previews: {"field": {"old": .., "new": ..}}, or NULL: not known */
	char	   *field_hashes;	/* of each of its fields (field_hash.h), where kept, in hex; NULL: not */
	bool		was_there;		/* accepted before and not removed since */
	char	   *external_id;	/* UTF-8, or NULL while unknown */
	List	   *remembered;		/* of HttpHeader, values are JSON: kept with the external id (row.remembered.<name>) */
	List	   *found;			/* the same of what a lookup set for this request (row.found.<name>) */
	RowOp		ask;			/* what delivery asks for in place of op, by what it found there; NONE: op itself */
	uint8		fingerprint[ACT_DIGEST_LEN];
	uint8		change_id[ACT_DIGEST_LEN];
	int			attempts;		/* charged to this version before this run */
	int64		late_until;		/* TimestampTz: before it a lost request of this key may still be applied; 0: none may */

	/* made by delivery */
	bool		at_most_once;	/* not sent again once it may have been applied */
	bool		uncertain;		/* a try of it in this run may have been applied */
	bool		late;			/* and may still be */
	bool		put_by;			/* the destination works on it: what comes of it is asked for by a later run */
	size_t		bytes;			/* that it adds to a request, about */
	struct Claim *claim;		/* batch.h */

	/* made by delivery, of what it found at the destination (connector_flow.c) */
	bool		in_lookup;		/* the batch that it travels in asks for it, and changes nothing */
	bool		looked_up;		/* and need not be again */
	bool		look_up;		/* whatever is known of it: it is there, and which it is was not told */
	bool		forgot_id;		/* the record of its id was gone */
	bool		id_changed;		/* external_id and remembered are not those of the snapshot any more */
	int			turns;			/* so often it turned out to be there */

	/* made by reading the answer; strings in UTF-8 */
	RowOutcome	outcome;
	int			http_status;	/* 0: none */
	char	   *code;
	char	   *message;
	bool		exists;			/* ROW_REJECTED, since its record is there: new_external_id is its id, where it was told */
	char	   *new_external_id;
	List	   *new_remembered; /* of HttpHeader, values are JSON: what the answer gave to remember; NIL: nothing */
	const int64 *request_id;	/* of what decided it, once that is written down (request_log.h); NULL: not logged */
} Row;

/* With all its strings, in the current memory context. */
extern Row *act_row_copy(const Row *row);

/* Named values (of HttpHeader), with all their strings, in the current memory context. */
extern List *act_row_values_copy(const List *values);

/* Named values (of HttpHeader), those of more in place of those of that name; their strings are shared. */
extern List *act_row_values_over(List *values, List *more);

/* As a JSON object in UTF-8, and back; NULL: there are none. */
extern char *act_row_values_json(const List *values);
extern List *act_row_values_parse(const char *object);

extern const char *act_row_op_name(RowOp op);	/* as stored; each its own */
extern RowOp act_row_op_parse(const char *name);	/* ROW_OP_NONE: no such op */
extern RowOp act_row_op_sent(RowOp op); /* the operation that the destination is asked for */
extern const char *act_row_op_sent_name(RowOp op);
extern bool act_row_op_has_fields(RowOp op);
extern bool act_row_op_removes(RowOp op);
extern bool act_row_op_keeps(RowOp op); /* removes, and leaves a record that is still known by its id */

#endif							/* ACT_ROW_H */
