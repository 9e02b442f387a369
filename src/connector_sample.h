/*-------------------------------------------------------------------------
 *
 * connector_sample.h
 *	  Made-up rows for a connector's document: what a sync could send.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_CONNECTOR_SAMPLE_H
#define ACT_CONNECTOR_SAMPLE_H

#include "connector.h"
#include "json.h"

#define ACT_SAMPLE_MAX_ROWS 1000

typedef struct ConnectorSample
{
	ConnectorScope scope;		/* but for its callbacks */
	Row		  **rows;
	int			nrows;
	bool		rows_given;		/* by the caller, with the ids that they have */
	const cJSON *document;
} ConnectorSample;

/* An object that fits the pattern: lists/{list}/members as lists/list/members. */
extern char *act_sample_object(const cJSON *document, const char *pattern);

/*
 * Rows and the rest of what templates name, in the current memory context.
 * document: as it is compiled; entry: of its "objects", or NULL; object: the
 * one that the sync has.  The sample is good as long as the document.
 */
extern ConnectorSample *act_sample_make(const cJSON *document, const cJSON *entry, const char *object, int nrows);

/* Rows of one's own in their place; the problem with them in words, or NULL. */
extern char *act_sample_take_rows(ConnectorSample *sample, const cJSON *rows);

/* The first rows as asked for op, not judged yet; made-up ones with external ids or without. */
extern void act_sample_ask(ConnectorSample *sample, RowOp op, int nrows, bool with_ids);

/* A value for a server's option, or NULL. */
extern const char *act_sample_option(const ConnectorSample *sample, const char *name);

#endif							/* ACT_CONNECTOR_SAMPLE_H */
