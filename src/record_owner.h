/*-------------------------------------------------------------------------
 *
 * record_owner.h
 *	  Whose the records of a destination are: no two rows have one.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_RECORD_OWNER_H
#define ACT_RECORD_OWNER_H

#include "run.h"

typedef struct RecordOwners RecordOwners;

/* Empty; in this memory context. */
extern RecordOwners *act_owners_create(MemoryContext context);

/* The record is this row's, as an answer said. */
extern void act_owners_note(RecordOwners *owners, const char *id, const char *key);

/*
 * NULL: the record is this row's, from now on at the latest; else the key of
 * the row that has it, or "" where that is not known.  The first call reads
 * the ids that rows of the sync have, in a transaction of its own.
 */
extern const char *act_owners_take(RecordOwners *owners, Run *run, const char *id, const char *key);

#endif							/* ACT_RECORD_OWNER_H */
