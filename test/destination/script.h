/*
 * script.h
 *	  What the test destination was told to do with coming requests.  The
 *	  JSON is described in README.md beside this file.
 */
#ifndef SCRIPT_H
#define SCRIPT_H

#include "json.h"

typedef enum ApplyWhen
{
	APPLY_DEFAULT,				/* at once if the answer is a 2xx, else not */
	APPLY_BEFORE,				/* at once, whatever the answer */
	APPLY_AFTER,				/* when the answer is sent */
	APPLY_NONE,
	APPLY_LATE					/* when the answer is due, though nobody waits for it any more */
} ApplyWhen;

typedef enum CloseWhen
{
	CLOSE_NOT,
	CLOSE_BEFORE,				/* before the body is read */
	CLOSE_AFTER,				/* after applying, without an answer */
	CLOSE_MID,					/* in the middle of the answer's body */
	CLOSE_NEXT					/* answers, and hangs up on the connection's next request */
} CloseWhen;

typedef enum ResultsKind
{
	RESULTS_RIGHT,
	RESULTS_SHORT,
	RESULTS_LONG,
	RESULTS_NULL,
	RESULTS_UNKNOWN,			/* a status nobody has heard of */
	RESULTS_CUT,				/* JSON that ends early */
	RESULTS_NONE,				/* {"ok":true} */
	RESULTS_HTML
} ResultsKind;

typedef struct RowRule
{
	char	   *where;			/* text that the row's JSON contains */
	char	   *status;
	char	   *error;
	int			retry;			/* -1: not said */
} RowRule;

/* One element of the script; NULL, 0 and false: not asked for. */
typedef struct Behaviour
{
	char	   *path;
	char	   *method;
	char	   *contains;
	long		after;			/* matching requests still to be let through */
	long		times;			/* left; negative: always */

	int			status;
	Buf			headers;		/* "Name: value\r\n"... */
	bool		content_type;	/* headers has one */
	char	   *body;
	ApplyWhen	apply;
	long		delay_ms;
	bool		hang;
	CloseWhen	close;
	bool		reset;			/* close by RST */
	long		content_length; /* -1: the right one */
	bool		chunked_bad;
	bool		endless;
	long		header_bytes;
	Buf			gzip;
	char	   *refuse_if;
	RowRule    *rules;
	int			nrules;
	ResultsKind results;

	int			refs;
	struct Behaviour *next;
} Behaviour;

/* Replaces the script, or adds to it; NULL, or what is wrong (caller frees). */
extern char *script_set(Span script, bool append);

/*
 * The behaviour for a request, held until script_release(), NULL if none.
 * Without a body (NULL) only those that don't need to see it.
 */
extern Behaviour *script_take(const char *method, const char *path, const Buf *body);
extern void script_release(Behaviour *behaviour);
extern void script_reset(void);

/* The first of its rules that fits a row, NULL if none. */
extern const RowRule *script_row_rule(const Behaviour *behaviour, Span row);

#endif
