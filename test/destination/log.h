/*
 * log.h
 *	  Every request the test destination was sent (its own control requests
 *	  apart), as JSON and as lines.
 */
#ifndef LOG_H
#define LOG_H

#include "json.h"

typedef struct LogEntry
{
	long		seq;
	long		connection;
	double		time;			/* monotonic, seconds: when it was complete */
	char	   *method;
	char	   *path;			/* with the query */
	Buf			headers;		/* JSON object, names in lower case */
	Buf			body;
	long		rows;
	int			status;			/* answered; 0: nothing (yet) */
	double		ended;			/* when it was answered, or somebody hung up; 0: not yet */
} LogEntry;

/* Takes the headers over, copies the body. */
extern long log_add(const char *method, const char *path, long connection, double time,
					Buf *headers, const Buf *body);
/* NULL once the log was reset. */
extern LogEntry *log_find(long seq);
extern void log_json(Buf *out, long since);
extern void log_lines(Buf *out, long since);
extern void log_row_lines(Buf *out, long since, const char *object);
extern void log_reset(void);

#endif
