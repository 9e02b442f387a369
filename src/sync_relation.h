/*-------------------------------------------------------------------------
 *
 * sync_relation.h
 *	  Which relations the models of syncs read: activate.sync_relation.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_SYNC_RELATION_H
#define ACT_SYNC_RELATION_H

#include "model.h"

/*
 * What is kept for a sync is what its model reads now: true, else it is to be
 * stored.  Both as the extension, inside a transaction with SPI connected;
 * who stores has the sync's state locked.
 */
extern bool act_sync_relation_current(const Model *model);
extern void act_sync_relation_store(const Model *model);

/* A sync that reads a relation that somebody named. */
typedef struct SyncRelation
{
	int64		sync_id;
	bool		is_model;		/* it is the model itself */
} SyncRelation;

/*
 * Those that read a relation of this OID or of this name (either may be
 * missing), and those that read anything in a schema.  Lists of SyncRelation
 * in the current memory context, a sync may be there twice.  In any
 * transaction and identity; reads the table directly, which takes no
 * privileges and next to no time, and never waits: who cannot look finds
 * nothing.
 */
extern List *act_sync_relation_find(Oid relation, const char *name);
extern List *act_sync_relation_find_schema(Oid schema);

/*
 * Locks all that a sync's model read when it was last seen, as a query does,
 * until the transaction ends; ERROR 55P03 at once where somebody else has it.
 */
extern void act_sync_relation_lock(int64 sync_id);

#endif							/* ACT_SYNC_RELATION_H */
