/*-------------------------------------------------------------------------
 *
 * snapshot.h
 *	  The table of a sync in activate_data: what its destination accepted.
 *
 * Typed key columns by their model's names, then the engine's columns, all
 * prefixed activate_.  Created as the extension's owner (nobody else may
 * create in that schema), then given to the sync's owner, who *is* the owner
 * of the sync.  From then on it is only touched as that owner.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_SNAPSHOT_H
#define ACT_SNAPSHOT_H

#include "model.h"

/* Fingerprints of another format are not comparable: stored with each sync. */
#define SNAPSHOT_FORMAT 1

/* Of an UPDATE: what a row is of which the destination has nothing, but for its state and its id. */
#define ACT_SNAPSHOT_NOTHING_THERE \
	" activate_accepted_at = NULL, activate_fingerprint = NULL," \
	" activate_in_doubt = false, activate_tried = NULL, activate_op = NULL, activate_change_id = NULL," \
	" activate_attempts = 0, activate_first_at = NULL, activate_last_at = NULL," \
	" activate_next_attempt_at = NULL, activate_http_status = NULL, activate_code = NULL," \
	" activate_message = NULL, activate_missing_since = NULL, activate_field_hashes = NULL," \
	" activate_payload = NULL"


/*
 * All of these are called inside a transaction with SPI connected and change
 * identity themselves.
 */
extern void act_snapshot_create(const Sync *sync, const Model *model, Oid owner);
extern void act_snapshot_drop(const Sync *sync);
extern void act_snapshot_rename(const Sync *sync, const char *new_name);
extern void act_snapshot_give(const Sync *sync, Oid new_owner);

/* Key columns renamed to those of new_key; types and values must agree (22023). */
extern void act_snapshot_rename_key(const Sync *sync, int nkeys, char **new_key);

/*
 * Whether the table's key columns have the model's types.  They may have
 * narrower ones, as after an int became a bigint, and are then to be widened;
 * anything else is an error (42804).
 */
extern bool act_snapshot_check_key(const Sync *sync, const Model *model);
extern void act_snapshot_widen_key(const Sync *sync, const Model *model);

/*
 * Forget everything sent, but for what is muted and, unless the sync moved to
 * another place, for requests that may still be applied; or accept today's
 * rows as sent.
 */
extern void act_snapshot_forget(const Sync *sync, bool moved);
extern int64 act_snapshot_baseline(const Sync *sync, const Model *model);

/*
 * alter_sync(resend => none): rows unchanged under the old mapping count as
 * sent under the new one.  Returns how many rows.
 */
extern int64 act_snapshot_carry_over(const Sync *sync, const Model *old_model, const Model *new_model);
/* Payloads and digests of fields that are kept no longer go at once. */
extern bool act_snapshot_keeps_less(const Sync *old, const Sync *new);
extern void act_snapshot_keep_less(const Sync *sync, const Sync *new);
/* alter_sync(resend => all): every row counts as changed. */
extern void act_snapshot_resend_all(const Sync *sync);

/*
 * What the destination has of any row is not certain: requests may have been
 * made that this server knows nothing of.  Returns how many rows.
 */
extern int64 act_snapshot_doubt(const Sync *sync, const char *reason);

/*
 * snapshot_rebuild.c: whether the table is not as it was made, so that writing
 * to it may fail or do something else; and another one in its place, empty,
 * with the same owner.  Not of a table that is gone.
 */
extern bool act_snapshot_altered(const Sync *sync);
extern void act_snapshot_rebuild(Sync *sync);

#endif							/* ACT_SNAPSHOT_H */
