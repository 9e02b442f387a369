/*-------------------------------------------------------------------------
 *
 * connector_private.h
 *	  A compiled connector, for the files that make and run it:
 *	  connector.c, connector_rules.c and connector_rate.c (compile), connector_request.c
 *	  (render), connector_auth.c (credentials), connector_answer.c (judge).
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_CONNECTOR_PRIVATE_H
#define ACT_CONNECTOR_PRIVATE_H

#include "connector.h"
#include "document.h"
#include "filter.h"
#include "template.h"

/* A header or query parameter. */
typedef struct NamedTemplate
{
	const char *name;
	const Template *value;
} NamedTemplate;

typedef struct NamedTemplates
{
	int			count;
	NamedTemplate *items;
} NamedTemplates;

typedef struct RequestTemplate
{
	const char *method;
	int			nsegments;		/* of the path, a slash before each */
	const Template **segments;
	NamedTemplates query;
	NamedTemplates headers;
	const Template *body;		/* NULL: none */
	const Template *row;		/* what $rows stands for; NULL: no $rows */
} RequestTemplate;

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

/* Is the value at a pointer there, and does all hold that is said of it? */
typedef struct AnswerTest
{
	const JsonPointer *at;		/* NULL: always true */
	int			nvalues;		/* 0: any value will do; else it is one of these */
	TestValue  *values;
	const char *contains;		/* NULL: whatever its text */
	bool		has_lt;
	bool		has_gt;
	double		lt;				/* a number below, above these */
	double		gt;
} AnswerTest;

/* Where an answer says why. */
typedef struct ReasonPointers
{
	const JsonPointer *code;	/* NULL: nowhere */
	const JsonPointer *message;
} ReasonPointers;

typedef struct AnswerRule
{
	StatusRanges statuses;
	AnswerTest	test;
	AnswerClass then;
	int			wait_ms;		/* whatever the answer says; -1: as that says */
	bool		until_midnight;
	ReasonPointers reason;
} AnswerRule;

typedef struct RowRule
{
	AnswerTest	test;
	RowOutcome	then;			/* DELAYED: sent again soon */
	bool		throttles;		/* and not before the destination takes requests again */
} RowRule;

/* How results are told apart; the order is that of by_names[]. */
typedef enum AnswerBy
{
	BY_NONE,					/* the status of the answer speaks for all rows */
	BY_POSITION					/* one result for each row, in their order */
} AnswerBy;

typedef struct RowAnswers
{
	AnswerBy	by;
	bool		optional;		/* an answer without results accepts all rows */
	const JsonPointer *items;
	int			nrules;
	RowRule    *rules;
	const JsonPointer *retry;	/* false there: refused, not rejected */
	const JsonPointer *external_id;
	ReasonPointers reason;
} RowAnswers;

typedef struct Operation Operation;
struct Operation
{
	ConnectorOperation public;
	const Operation *owner;		/* the first of its mix, or itself */
	const RequestTemplate *request; /* of owners */
	const RowAnswers *answer;	/* of owners */
	const struct JobPlan *job;	/* of owners: in place of request, which then is the step that has the rows; or NULL */
	const Template *row;
	RowOutcome	absent;			/* what an absent record means for this one */
};

/* The order is that of auth_names[]. */
typedef enum AuthKind
{
	AUTH_NONE,
	AUTH_BEARER,
	AUTH_BASIC,
	AUTH_HMAC,
	AUTH_URL
} AuthKind;

typedef struct Auth
{
	AuthKind	kind;
	const char *when;			/* the secret that chooses it; NULL: always */
	const Template *token;
	const Template *username;
	const Template *password;
	const Template *key;
	const Template *payload;
	const Template *path;		/* what follows the request's own */
	NamedTemplates headers;
} Auth;

/* How records are told apart in the answer to a lookup; the order is that of lookup_by_names[]. */
typedef enum LookupBy
{
	LOOKUP_BY_MATCH,			/* by the values of the match fields */
	LOOKUP_BY_KEY,				/* by the row's key */
	LOOKUP_BY_POSITION			/* one for each row, in their order; null: none */
} LookupBy;

typedef struct Lookup
{
	ConnectorOperation batch;	/* of which only the limits mean something */
	const RequestTemplate *request;
	const Template *row_templates[ROW_OP_COUNT];	/* its own, whatever the row's operation */
	StatusRanges absent;		/* an answer that says that there is none */
	LookupBy	by;
	const JsonPointer *items;
	int			nmatch;
	const JsonPointer **match;	/* in an item, in the order of the sync's match fields */
	int			ncompare;
	const Filter **compare;		/* what both values go through before */
	const JsonPointer *key;
	const JsonPointer *external_id;
	const JsonPointer *fields;	/* or NULL: what it has is not told */
} Lookup;

/* Section "rate": the pace, and which headers of an answer speak of it. */
typedef struct RateSection
{
	ConnectorRate public;
	const char *retry_after;	/* names of headers; */
	const char *reset;			/* NULL: none */
	HttpTimeForm reset_as;
	const char *remaining;		/* NULL: none */
	int			throttle_ms;	/* where an answer does not say how long; -1: nothing set */
} RateSection;

/* What the headers of one answer say of waiting; -1: nothing. */
typedef struct RateReading
{
	int64		retry_after_ms;
	int64		reset_ms;		/* until requests are counted anew, or as long as the document says */
	bool		used_up;		/* none is left until then */
} RateReading;

struct Connector
{
	const char *name;
	bool		takes_key;
	const char *time_zone;		/* or NULL */
	RateSection rate;
	char	   *(*redact) (void *arg, const char *text);	/* or NULL */
	void	   *redact_arg;
	const Filter **match_compare;	/* NULL-ended */
	const Template *base_url;	/* NULL: the server's option must say */
	NamedTemplates headers;
	const ConnectorOption *options;
	const char *const *secrets;
	int			nauths;
	Auth	   *auths;
	ReasonPointers reason;		/* where no rule has its own */
	int			nrules;
	AnswerRule *rules;
	const RequestTemplate *check;	/* NULL: none */
	StatusRanges check_fails;	/* none: whatever is not 2xx */
	const Lookup *lookup;		/* NULL: it cannot be asked */
	const Operation *operations[ROW_OP_COUNT];
	const Template *row_templates[ROW_OP_COUNT];
};

/*
 * connector_request.c
 */
/* Sets a header, in place of one of that name. Throws on bytes no header may have. */
extern void act_request_set_header(const char *connector, HttpRequest *request,
								   const char *name, const char *value);
extern const char *act_request_header(const HttpRequest *request, const char *name);
/* Why the text cannot be a header's value, or NULL. */
extern const char *act_request_value_problem(const char *value, size_t len);
extern void act_request_render(const Connector *connector, const RequestTemplate *template,
							   TemplateInput *input, size_t bytes, HttpRequest *request);
extern void act_request_add_headers(const Connector *connector, const NamedTemplates *headers,
									TemplateInput *input, HttpRequest *request);

/*
 * connector_auth.c
 */
extern void act_auth_compile(const Document *document, const cJSON *auths, Connector *connector);

/*
 * connector.c
 */
extern NamedTemplates act_connector_compile_named(const Document *document, const cJSON *object,
												  const char *name, int place);
extern void act_connector_compile_batch(const Document *document, const cJSON *batch, ConnectorOperation *operation);
/* max_rows: of a batch, 0 for a request without rows */
extern const RequestTemplate *act_connector_compile_request(const Document *document, const cJSON *at, int max_rows);

/*
 * connector_lookup.c
 */
extern const Lookup *act_lookup_compile(const Document *document, const cJSON *at);

/*
 * connector_job.c: steps, poll, results and abort of an operation or of the
 * one that it is like (NULL: of none); NULL: it has no steps.
 */
extern const struct JobPlan *act_job_compile(const Document *document, const cJSON *at, const cJSON *like, int max_rows,
											 const RequestTemplate **rows_request);
/* What a preview shows of it. */
extern void act_job_render_rows(const Connector *connector, const ConnectorScope *scope, Row **rows, int nrows,
								HttpRequest *request);

/*
 * connector_answer.c
 */
/*
 * The verdict, by the rules of the document; where it is VERDICT_ROWS the
 * reader has the tree (NULL: problem says why there is none) and may change it.
 */
typedef void (*AnswerReader) (const cJSON *root, const char *problem, ConnectorAnswer *answer, void *arg);
extern void act_answer_read(const Connector *connector, const HttpResponse *response, int64 now_ms,
							AnswerReader reader, void *arg, ConnectorAnswer *answer);
/* As act_connector_read(), by results that stand elsewhere than in the operation. */
extern void act_answer_read_rows(const Connector *connector, const RowAnswers *answers, const HttpResponse *response,
								 Row **rows, int nrows, int64 now_ms, ConnectorAnswer *answer);

/*
 * connector_rate.c
 */
extern void act_rate_compile(const Document *document, Connector *connector);
/* A member that is a duration, in milliseconds; fallback where it is not there. */
extern int act_rate_compile_duration(const Document *document, const cJSON *object, const char *name,
									 int min_ms, int fallback);
extern RateReading act_rate_read(const Connector *connector, const HttpResponse *response, int64 now_ms);

/*
 * connector_rules.c
 */
extern StatusRanges act_rules_compile_statuses(const Document *document, const cJSON *object, const char *name);
extern bool act_rules_status_in(const StatusRanges *statuses, int status);
extern void act_rules_compile(const Document *document, const cJSON *rules, Connector *connector);
extern const RowAnswers *act_rules_compile_rows(const Document *document, const cJSON *at);
extern ReasonPointers act_rules_compile_reason(const Document *document, const cJSON *at);
extern AnswerTest act_rules_compile_test(const Document *document, const cJSON *at);
extern bool act_rules_test(const AnswerTest *test, const cJSON *value);

#endif							/* ACT_CONNECTOR_PRIVATE_H */
