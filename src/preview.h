/*-------------------------------------------------------------------------
 *
 * preview.h
 *	  What the functions that only look have in common.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_PREVIEW_H
#define ACT_PREVIEW_H

#include "fmgr.h"
#include "nodes/execnodes.h"
#include "run.h"

typedef struct Preview
{
	Run			run;			/* of which nothing is recorded: run_id is 0 */
	ReturnSetInfo *result;
	bool		writes_before;
} Preview;

/*
 * Connects to SPI and loads the sync that the first argument names.  Until
 * act_preview_end() nothing can be written, by functions of the model either.
 */
extern Preview *act_preview_begin(FunctionCallInfo fcinfo, const char *hint);
extern void act_preview_end(Preview *preview);

/* The destination (secrets stand as asterisks) and the scope of templates. */
extern void act_preview_destination(Preview *preview);

/*
 * Lets the model know its destination, for what that can take.  Where it is
 * not loaded it is tried: rows can be looked at without it.
 */
extern void act_preview_tell_model(Preview *preview);

extern void act_preview_put(Preview *preview, Datum *values, bool *nulls);

/* An argument that is a number greater than zero; 0 where it is null. */
extern int	act_preview_limit(FunctionCallInfo fcinfo, int argument, const char *name);

/* JSON of ours, in UTF-8, as values of these types. */
extern Datum act_preview_json(const char *utf8);
extern Datum act_preview_jsonb(const char *utf8);
/* The same of what holds JSON of users: escapes that jsonb cannot hold are shown. */
extern Datum act_preview_changes(const char *utf8, bool *isnull);

/*
 * plan.c: what the next run of a sync would do, as a JSON object; inside a
 * transaction with SPI connected.  Nothing can be written meanwhile.
 */
extern char *act_plan_json(Sync *sync);

/* Seconds for so many rows at the speed of earlier runs; -1: there were none. */
extern int64 act_plan_seconds(int64 sync_id, int64 rows);

#endif							/* ACT_PREVIEW_H */
