/*-------------------------------------------------------------------------
 *
 * answer_class.h
 *	  What answers mean: the one table of it.
 *
 * doc/reference.md shows these tables word for word (test/unit/answer_test.c
 * compares).  A connector's document may say otherwise for any of them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_ANSWER_CLASS_H
#define ACT_ANSWER_CLASS_H

#include "http.h"

typedef enum AnswerClass
{
	ANSWER_ACCEPTED,
	ANSWER_ROW_REFUSED,
	ANSWER_REFUSED_FOR_GOOD,
	ANSWER_BATCH_REFUSED,
	ANSWER_TOO_LARGE,
	ANSWER_THROTTLED,
	ANSWER_TRANSIENT,
	ANSWER_UNCERTAIN,
	ANSWER_AUTH,
	ANSWER_CONFIGURATION,
	ANSWER_FOUND,
	ANSWER_ABSENT
} AnswerClass;
#define ANSWER_CLASS_COUNT (ANSWER_ABSENT + 1)

/* What an answer means for the batch as a whole. */
typedef enum Verdict
{
	VERDICT_ROWS,				/* each row has its outcome */
	VERDICT_REFUSED,			/* certain refusal of the batch, no row named */
	VERDICT_TOO_LARGE,			/* halve it */
	VERDICT_THROTTLED,			/* certainly not applied; wait, charge nothing */
	VERDICT_UNREACHED,			/* certainly not applied; try again */
	VERDICT_UNCERTAIN,			/* may have been applied; try again */
	VERDICT_AUTH,				/* credentials refused: stop, charge nothing */
	VERDICT_CONFIGURATION		/* wrong URL, TLS, DNS, redirect: stop, charge nothing */
} Verdict;

/* A class: its names, and what becomes of the rows. */
typedef struct AnswerClassInfo
{
	const char *name;
	Verdict		verdict;
	const char *rule;			/* "then" of a document's rules; NULL: not there */
	const char *outcome;		/* "then" of its outcomes of rows; NULL: not there */
	const char *effect;
} AnswerClassInfo;

/* A range of statuses that mean the same; the first that matches decides. */
typedef struct AnswerStatus
{
	int			from;
	int			to;
	bool		with_retry_after;	/* only where the answer says when */
	AnswerClass class;
	const char *why;
} AnswerStatus;

/* What came in place of an answer, by HttpTransport. */
typedef struct AnswerTransport
{
	const char *what;
	AnswerClass class;
	const char *why;
} AnswerTransport;

extern const AnswerClassInfo act_answer_classes[ANSWER_CLASS_COUNT];
extern const AnswerStatus act_answer_statuses[];	/* the last one matches all that is left */
extern const int act_answer_status_count;
extern const AnswerTransport act_answer_transports[HTTP_TRANSPORT_COUNT];

/* The class of a status where no rule of a document says otherwise. */
extern AnswerClass act_answer_status_class(int status, bool with_retry_after);

#endif							/* ACT_ANSWER_CLASS_H */
