/*-------------------------------------------------------------------------
 *
 * connector_results.h
 *	  What answers mean, as a document says it: rules for the whole of one,
 *	  results for each of its rows.
 *
 * Compiled by connector_rules.c (tests, rules) and connector_shape.c (the
 * member "answer"); run by connector_answer.c and connector_results.c.
 * Included by connector_private.h only.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_CONNECTOR_RESULTS_H
#define ACT_CONNECTOR_RESULTS_H

#include "connector.h"
#include "connector_identity.h"
#include "document.h"
#include "records.h"

typedef struct StatusRange
{
	int			from;
	int			to;
} StatusRange;

typedef struct StatusRanges
{
	int			count;			/* 0: any status */
	StatusRange *items;
} StatusRanges;

/* A scalar of the document, compared by type and text. */
typedef struct TestValue
{
	int			type;			/* as cJSON has it */
	char	   *text;			/* of a string or number */
} TestValue;

/* Is the value there, and does all hold that is said of it?  Looks at one place at most. */
typedef struct AnswerTest
{
	const JsonPointer *at;		/* into a JSON value; */
	const char *header;			/* a header of that name; */
	bool		text;			/* the body as it is.  None of them: always true */
	int			nvalues;		/* 0: any value will do; else it is one of these */
	TestValue  *values;
	const char *contains;		/* NULL: whatever its text */
	bool		has_lt;
	bool		has_gt;
	double		lt;				/* a number below, above these */
	double		gt;
	bool		negated;		/* all of this does not hold, or there is nothing there */
} AnswerTest;

/* Where an answer says why; a text of the document stands for itself. */
typedef struct ReasonPointers
{
	const JsonPointer *code;	/* NULL: nowhere */
	const JsonPointer *message;
	const char *code_text;		/* NULL: none */
	const char *message_text;
} ReasonPointers;

typedef struct AnswerRule
{
	StatusRanges statuses;
	AnswerTest	test;
	AnswerClass then;
	int			wait_ms;		/* whatever the answer says; -1: as that says */
	bool		until_midnight;
	const JsonPointer *external_id; /* of the record that is there already (ANSWER_FOUND); NULL: it does not say */
	ReasonPointers reason;
} AnswerRule;

typedef struct AnswerRules
{
	int			count;
	AnswerRule *items;
} AnswerRules;

/* What a result says of its row. */
typedef struct ResultMeaning
{
	RowOutcome	outcome;		/* DELAYED: sent again soon; UNDECIDED: nothing */
	bool		throttles;		/* and not before the destination takes requests again */
	bool		found;			/* REJECTED, since the record is there already */
} ResultMeaning;

typedef struct RowRule
{
	AnswerTest	test;
	ResultMeaning then;
} RowRule;

/* How results are told apart; the order is that of by_names[]. */
typedef enum AnswerBy
{
	BY_NONE,					/* the status of the answer speaks for all rows */
	BY_POSITION,				/* one result for each row, in their order */
	BY_INDEX,					/* a result has the number of its row, from 0 */
	BY_REF,						/* a result has row.ref */
	BY_MATCH,					/* ... the values of the match fields */
	BY_KEY,
	BY_EXTERNAL_ID,
	BY_VALUE,					/* results are values of the match field themselves */
	BY_INDEX_LISTS				/* results are lists of numbers, or objects of such lists */
} AnswerBy;

/* {name: pointer} */
typedef struct NamedPointer
{
	const char *name;
	const JsonPointer *at;
} NamedPointer;

typedef struct NamedPointers
{
	int			count;
	NamedPointer *items;
} NamedPointers;

/* One of the places of an answer where results stand. */
typedef struct ResultPlace
{
	AnswerBy	by;
	const JsonPointer *items;
	const JsonPointer *is;		/* of BY_INDEX and BY_REF: the number or ref in a result */
	Identity	identity;		/* of what names rows by values */
	AnswerTest	where;			/* results that it does not hold for are passed over */
	int			nrules;
	RowRule    *rules;			/* the first that holds counts */
	ResultMeaning then;			/* in their place; UNDECIDED: the rules say */
	const JsonPointer *external_id;
	NamedPointers remember;
	ReasonPointers reason;
} ResultPlace;

typedef struct ResultCodes
{
	int			count;
	struct
	{
		char	   *code;
		RowOutcome	outcome;
	}		   *items;			/* sorted by code */
} ResultCodes;

typedef struct RowAnswers
{
	AnswerBy	by;
	RecordFormat format;
	bool		optional;		/* an answer without results accepts all rows */
	bool		enter;			/* a result is the only member of what stands there */
	int			nplaces;
	ResultPlace *places;
	RowOutcome	fallback;		/* of rows that no result speaks of; UNDECIDED: then all are in doubt */
	int			nempty;
	const JsonPointer **empty;	/* a success in which all of them are empty has written nothing */
	const JsonPointer *retry;	/* false there: refused, not rejected */
	ResultCodes codes;
	const JsonPointer *external_id; /* BY_NONE: of the only row */
	NamedPointers remember;
} RowAnswers;

/*
 * connector_rules.c
 */
extern StatusRanges act_rules_compile_statuses(const Document *document, const cJSON *object, const char *name);
extern bool act_rules_status_in(const StatusRanges *statuses, int status);

/* Appends the rules of an array (NULL: none): those of an object go before those of the document. */
extern void act_rules_compile(const Document *document, const cJSON *rules, AnswerRules *into);

/* Members code and message: pointers, or {"text": "..."}. */
extern ReasonPointers act_rules_compile_reason(const Document *document, const cJSON *at);
extern ReasonPointers act_rules_compile_reason_members(const Document *document, const cJSON *at);

/* Members at, in, contains, lt, gt of an object that may have others. */
extern AnswerTest act_rules_compile_test(const Document *document, const cJSON *at);
extern bool act_rules_is_test(const AnswerTest *test);	/* false: it is always true */
extern bool act_rules_test(const AnswerTest *test, const cJSON *value);

/* The same, with tests that look at headers and at the text. */
extern bool act_rules_test_answer(const AnswerTest *test, const HttpResponse *response, const cJSON *root);

/*
 * connector_shape.c
 */
extern const RowAnswers *act_shape_compile(const Document *document, const cJSON *answer,
										   const Filter *const *match_compare);
extern ResultCodes act_shape_compile_codes(const Document *document, const cJSON *at, const char *name,
										   RowOutcome outcome);
extern NamedPointers act_shape_compile_remember(const Document *document, const cJSON *at, const char *name);
extern RowOutcome act_shape_code(const ResultCodes *codes, const char *code);	/* UNDECIDED: not among them */

/*
 * connector_results.c: what one or several answers say of the rows of one
 * request.  A job's results are added page by page; an answer that comes at
 * once is one page.  No row is written to before act_results_finish().
 */
typedef struct RowResults RowResults;
struct Operation;

extern RowResults *act_results_begin(const Connector *connector, const ConnectorScope *scope,
									 const struct Operation *operation, Row **rows, int nrows);

/*
 * Reads the results of an answer.  root is its body as JSON (NULL: it is
 * none, or problem says in words why it cannot be read).  Returns NULL, or
 * why it does not say what became of the rows: then all are in doubt.
 * Does not throw because of the answer's contents.
 */
extern const char *act_results_add(RowResults *results, const RowAnswers *answers, const HttpResponse *response,
								   const cJSON *root, const char *problem);

/*
 * Writes each row's outcome, and which of them are to be sent again into
 * answer; or returns why not, and leaves the rows alone.
 */
extern const char *act_results_finish(RowResults *results, ConnectorAnswer *answer);

/* Whether there is anything at any of the places where results stand. */
extern bool act_results_present(const RowAnswers *answers, const HttpResponse *response, const cJSON *root);

/* What it means of a row that its record is not there. */
extern RowOutcome act_results_absent(const Connector *connector, const Row *row);

/* An id that can be kept, or NULL. */
extern char *act_results_external_id(const cJSON *value);

/* Adds the values that are there to a list (of HttpHeader, values are JSON). */
extern void act_results_remember(const NamedPointers *pointers, const cJSON *item, List **remembered);

#endif							/* ACT_CONNECTOR_RESULTS_H */
