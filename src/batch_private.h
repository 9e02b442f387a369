/*-------------------------------------------------------------------------
 *
 * batch_private.h
 *	  Batches being made: shared by batch.c (one at a time, in the order in
 *	  which rows are read) and batch_group.c (several, where rows that share
 *	  a value go together).
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_BATCH_PRIVATE_H
#define ACT_BATCH_PRIVATE_H

#include "batch_search.h"

/* batch.c */
extern const ConnectorOperation *act_batch_operation(const Run *run, const Row *row);
extern bool act_batch_same_request(const ConnectorOperation *a, const ConnectorOperation *b);
extern void act_filling_begin(BatchReader *reader, BatchFilling *filling, const ConnectorOperation *operation);

/* Whether the row goes with the others; then it is one of them. */
extern bool act_filling_add(BatchReader *reader, BatchFilling *filling, Row *row);
extern void act_filling_add_pooled(BatchReader *reader, BatchFilling *filling);

/* A row that was read for it, which lives in the context of its claim. */
extern void act_filling_claim(BatchFilling *filling, Row *row);

/* The last rows go when there are no others that could come along. */
extern bool act_filling_must_wait(const BatchReader *reader, const BatchFilling *filling);

/* The next row in reader->ahead, if there is one. */
extern void act_batch_read_ahead(BatchReader *reader);

/*
 * batch_group.c: as act_batch_read(), where the next row's operation says that
 * rows of a request share a value, or rows are waiting for such a request.
 */
extern Batch *act_group_read(BatchReader *reader);

#endif							/* ACT_BATCH_PRIVATE_H */
