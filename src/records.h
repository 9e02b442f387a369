/*-------------------------------------------------------------------------
 *
 * records.h
 *	  Answers that are records one after the other: CSV, lines of JSON.
 *
 * A record at a time, so that a file of any size costs no more memory than
 * its longest record.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_RECORDS_H
#define ACT_RECORDS_H

#include "json.h"

/* The order is that of the names. */
typedef enum RecordFormat
{
	RECORDS_JSON,				/* one document: none of our business */
	RECORDS_CSV,
	RECORDS_NDJSON
} RecordFormat;

extern const char *const act_record_formats[];	/* NULL-ended */

#define ACT_RECORD_MAX_BYTES (64 * 1024 * 1024)
#define ACT_RECORD_MAX_COLUMNS 10000

typedef struct Records Records;

/* The text must stay where it is.  In the current memory context. */
extern Records *act_records_open(RecordFormat format, const char *text, size_t len);

/*
 * The next record: of CSV an object of its columns' texts (a null for what
 * is empty and not quoted), of NDJSON what the line is.  NULL at the end, or
 * where *problem (in the current memory context) says what is wrong.  The
 * tree is valid until the next call, or until the records are closed, which
 * is to be done however reading them ends.
 */
extern const cJSON *act_records_next(Records *records, char **problem);
extern void act_records_close(Records *records);

#endif							/* ACT_RECORDS_H */
