/*-------------------------------------------------------------------------
 *
 * connector_private.h
 *	  A compiled connector, for the files that make and run it:
 *	  connector.c, connector_rules.c, connector_shape.c and connector_rate.c (compile),
 *	  connector_request.c (render), connector_auth.c (credentials), connector_answer.c
 *	  and connector_results.c (judge).
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_CONNECTOR_PRIVATE_H
#define ACT_CONNECTOR_PRIVATE_H

#include "connector_object.h"
#include "connector_results.h"
#include "document.h"
#include "filter.h"
#include "template.h"

/* A header or query parameter. */
typedef struct NamedTemplate
{
	const char *name;
	const Template *value;
	bool		of_match;		/* "$match": one for each match field, by its name */
} NamedTemplate;

typedef struct NamedTemplates
{
	int			count;
	NamedTemplate *items;
} NamedTemplates;

/* How a body is written; the order is that of format_names[]. */
typedef enum BodyFormat
{
	FORMAT_JSON,
	FORMAT_NDJSON,
	FORMAT_FORM,
	FORMAT_CSV,
	FORMAT_TEXT,
	FORMAT_NONE
} BodyFormat;

/* One column, or one for each member of an object. */
typedef struct CsvColumn
{
	const Template *name;		/* NULL: spread */
	const Template *value;		/* or what is spread */
} CsvColumn;

typedef struct RequestTemplate
{
	const char *method;
	int			nsegments;		/* of the path, a slash before each */
	const Template **segments;
	NamedTemplates query;
	NamedTemplates headers;
	BodyFormat	format;
	const char *content_type;
	bool		gzip;
	const Template *body;		/* of JSON, form and text; NULL: none */
	const Template *lines;		/* of NDJSON, for each row */
	int			ncolumns;		/* of CSV */
	CsvColumn  *columns;
	const char *null_as;
	const char *empty_as;		/* what an empty text becomes, or NULL: itself */
	const Template *row;		/* what the first $rows, or lines, stands for; NULL: neither */
	bool		several_rows;	/* it can carry more than one */
	bool		rows_in_url;	/* and its address says so of each */
	bool		may_fail;		/* not every row can be rendered */
	bool		may_lack;		/* nor every one whose record is not known */
} RequestTemplate;

/* What becomes of a row whose record a lookup did not find, or could not look for. */
typedef enum MissingWay
{
	MISSING_ABSENT,
	MISSING_SEND,				/* it goes as it is */
	MISSING_OPERATION			/* another operation is asked for */
} MissingWay;

/* Which way the rows of an operation go (connector_flow.c). */
typedef struct Flow
{
	bool		looks_up;		/* rows that lack something, or: */
	bool		always;			/* each of them */
	bool		needs_id;
	int			nneeds;
	const char **needs;			/* names that are remembered or found */
	MissingWay	missing;
	RowOp		missing_op;
} Flow;

typedef struct Operation Operation;
struct Operation
{
	ConnectorOperation public;
	const Operation *owner;		/* the first of its mix, or itself */
	const RequestTemplate *request; /* of owners */
	const RowAnswers *answer;	/* of owners */
	const struct JobPlan *job;	/* of owners: in place of request, which then is the step that has the rows; or NULL */
	const struct JobPlan *prepare;	/* of a unit: one step, asked before it; or NULL */
	const Template *row;		/* of later ones of a mix, in place of what the request says; NULL: that */
	RowOutcome	absent;			/* what an absent record means for this one */
	bool		absent_is_match;	/* of a by_id: then the row goes by its match */
	Flow		flow;
	const Operation *by_id;		/* of rows whose external id is known; NULL: the same */
	const Operation *large;		/* of runs with so many rows: */
	int64		large_from;
	const Operation *clears;	/* of one that is large and cannot clear: what does it for rows that were there; or NULL */
	ResultCodes accepted_codes; /* of this one, beside the answer's own */
	NamedPointers remember;		/* in each row's result, beside the answer's own */
	AnswerRules rules;			/* of owners: before the connector's */
};

/* The order is that of auth_names[]. */
typedef enum AuthKind
{
	AUTH_NONE,
	AUTH_BEARER,
	AUTH_BASIC,
	AUTH_HEADERS,
	AUTH_QUERY,
	AUTH_BODY,
	AUTH_HMAC,
	AUTH_URL,
	AUTH_AWS_SIGV4,
	AUTH_OAUTH2,
	AUTH_TOKEN_REQUEST
} AuthKind;

typedef struct TokenSource TokenSource;

typedef struct Auth
{
	AuthKind	kind;
	const char *when;			/* the secret that chooses it; NULL: always */
	const char *const *secrets; /* that it names and needs, NULL-ended; when among them */
	const char *const *spare_secrets;	/* that it names and can do without */
	const Template *token;
	const Template *username;
	const Template *password;	/* of a basic one NULL: "" */
	const Template *key;
	const Template *payload;
	const Template *path;		/* what follows the request's own */
	const Template *members;	/* an object, for the root of a JSON body */
	bool		sha512;			/* of a signature; else sha256 */
	NamedTemplates headers;
	NamedTemplates query;
	const Template *service;	/* aws_sigv4 */
	const Template *region;
	const Template *access_key;
	const Template *secret_key;
	const Template *session_token;
	const TokenSource *source;	/* of AUTH_OAUTH2 and AUTH_TOKEN_REQUEST */
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
	StatusRanges absent;		/* an answer that says that there is none */
	LookupBy	by;
	const JsonPointer *items;
	Identity	identity;		/* of all but positions */
	const JsonPointer *external_id;
	const JsonPointer *fields;	/* or NULL: what it has is not told */
	AnswerTest	where;			/* items that it does not hold for are passed over */
	AnswerTest	none;			/* by position: what says that there is none; nothing: having no id */
	NamedPointers set;			/* what rows have of it from then on */
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
	ConnectorObject **objects;	/* all, NULL-ended, where it was compiled for none */
	const ConnectorObject *object;	/* that it was compiled for */
	List	   *object_parts;	/* of HttpHeader */
	ValueForms	forms;
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
	AnswerRules rules;
	const RequestTemplate *check;	/* NULL: none */
	StatusRanges check_fails;	/* none: whatever is not 2xx */
	AnswerRules check_rules;	/* before that */
	const Lookup *lookup;		/* NULL: it cannot be asked */
	bool		finds;			/* rows may be given records that were there: looked up, or told by an answer */
	int			nobject_lists;	/* requests that tell the objects */
	struct Discovery *object_lists;
	const struct Discovery *field_list; /* the fields of an object; NULL: they cannot be asked for */
	const struct LimitsSection *limits; /* NULL: it does not tell them */
	const struct AccountSection *account;	/* NULL: it does not tell */
	const Operation *operations[ROW_OP_COUNT];
	List	   *owners;			/* of Operation: those of a mix, in the order of the document */
	List	   *jobs;			/* of JobPlan: all of them, whatever is asked for in this run */
};

/*
 * connector_flow.c
 */
/* What is asked for this row, as far as it is known; NULL: the connector does not know the operation. */
extern const Operation *act_flow_operation(const Connector *connector, const Row *row);

/* The objects that have a member: the operation, or the one it is like. */
typedef struct FlowHolders
{
	const cJSON *needs;
	const cJSON *lookup;
	const cJSON *missing;
} FlowHolders;

extern void act_flow_compile(const Document *document, const FlowHolders *at, Flow *flow);
extern int	act_flow_compile_large(const Document *document, const cJSON *large);
/* Once all operations are there: those that are named exist. */
extern void act_flow_check(const Document *document, const cJSON *operations, const Connector *connector);

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
extern TemplateInput act_request_input(const Connector *connector, const ConnectorScope *scope, Row **rows, int nrows);
extern void act_request_add_headers(const Connector *connector, const NamedTemplates *headers,
									TemplateInput *input, HttpRequest *request);

/*
 * connector_auth.c
 */
extern void act_auth_compile(const Document *document, const cJSON *auths, Connector *connector);
/* The way that the secrets which are set choose; NULL: none. */
extern const Auth *act_auth_choose(const Connector *connector, const ConnectorScope *scope);
/* Appends the text of a template; throws where there is none. */
extern void act_auth_text(const Template *template, TemplateInput *input, StringInfo out);

/*
 * connector.c
 */
extern NamedTemplates act_connector_compile_named(const Document *document, const cJSON *object,
												  const char *name, int place);
extern void act_connector_compile_batch(const Document *document, const cJSON *batch, ConnectorOperation *operation);

/*
 * request_template.c
 */
/* max_rows: of a batch; 0: a request without rows; less: one that asks for a token */
extern const RequestTemplate *act_connector_compile_request(const Document *document, const cJSON *at, int max_rows);
#define REQUEST_FOR_TOKEN (-1)	/* as max_rows: no rows, and it may name secrets */

extern void act_connector_compile_operations(Document *document, const cJSON *operations, Connector *connector);

/*
 * connector_object.c: of the object wanted (NULL: of none; all are checked).
 * The second throws where the document has objects and a sync names none.
 */
extern void act_objects_compile(Document *document, const char *wanted, Connector *connector);
extern void act_objects_require(const Document *document);
extern void act_object_compile_document_match(const Document *document, const cJSON *match, Connector *connector);

/*
 * connector_field.c
 */
extern void act_object_compile_fields(const Document *document, const cJSON *at, ConnectorObject *object);

/*
 * connector_type.c: what is not said stays as it is in forms; null_form_compile
 * reads member "null".
 */
extern void act_value_forms_compile(const Document *document, const cJSON *at, ValueForms *forms);
extern NullForm act_null_form_compile(const Document *document, const cJSON *object, NullForm fallback,
									  const char **text);
extern FieldType act_field_type_compile(const Document *document, const cJSON *object, const char *name);

/*
 * connector_discover.c, connector_account.c: sections of the document, NULL
 * where there is none; of_object: one of an object, which has fields alone.
 */
extern void act_discover_compile(const Document *document, const cJSON *at, bool of_object, Connector *connector);
extern void act_account_compile(const Document *document, const cJSON *at, Connector *connector);

/* Members "row" and "lines" of a later operation of a mix; NULL: it has neither. */
extern const Template *act_request_compile_row(const Document *document, const cJSON *at,
											   const RequestTemplate *request, RowOp op);
/* Throws where the first operation of a mix, or one alone, has them. */
extern void act_request_refuse_row(const Document *document, const cJSON *at);
/* Throws where the request has no place for such rows. */
extern void act_request_check_takes(const Document *document, const cJSON *at,
									const RequestTemplate *request, RowOp op);

/*
 * request_body.c: appends the body; throws 22023 where template and rows do
 * not fit together.  trial: of one row, for its own parts only, and tells.
 */
extern void act_body_render(const RequestTemplate *template, TemplateInput *input, StringInfo body);
extern TemplateResult act_body_try_row(const RequestTemplate *template, TemplateInput *input);
extern size_t act_body_row_bytes(const RequestTemplate *template, const TemplateInput *input, const Row *row);
extern void act_body_compress(HttpRequest *request);

/*
 * connector_lookup.c
 */
extern const Lookup *act_lookup_compile(const Document *document, const cJSON *at, const Filter *const *match_compare);

/*
 * connector_limits.c
 */
extern void act_limits_compile(const Document *document, Connector *connector);

/*
 * connector_job.c: steps, poll, results and abort of an operation or of the
 * one that it is like (NULL: of none); NULL: it has no steps.
 */
extern const struct JobPlan *act_job_compile(const Document *document, const cJSON *at, const cJSON *like, int max_rows,
											 const Filter *const *match_compare, const Operation *operation,
											 const RequestTemplate **rows_request);
/* Member "prepare" of operation replace. */
extern const struct JobPlan *act_job_compile_prepare(const Document *document, const cJSON *at, const Operation *operation);
/* What previews of the unit have in place of what is saved. */
extern List *act_job_assumed_prepared(const struct JobPlan *plan);
/* Of HttpHeader: what is saved before the step that has the rows, where nothing was asked yet. */
extern List *act_job_assumed(const struct JobPlan *plan);
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
/* The same by the rules of an operation, too. */
extern void act_answer_read_step(const Connector *connector, const Operation *operation, const HttpResponse *response,
								 int64 now_ms, AnswerReader reader, void *arg, ConnectorAnswer *answer);

/* The text at a pointer without secrets and of bounded length, or NULL; objects and arrays as JSON. */
extern char *act_answer_text(const Connector *connector, const JsonPointer *pointer, const cJSON *root, size_t limit);
extern char *act_answer_words(const Connector *connector, const char *text, size_t limit);
extern char *act_answer_shown(const Connector *connector, const cJSON *value);	/* for messages */
extern bool act_answer_is_success(const HttpResponse *response);

#define ACT_ANSWER_MAX_CODE 200
#define ACT_ANSWER_MAX_MESSAGE 2000

/*
 * connector_rate.c
 */
extern void act_rate_compile(const Document *document, Connector *connector);
/* A member that is a duration, in milliseconds; fallback where it is not there. */
extern int act_rate_compile_duration(const Document *document, const cJSON *object, const char *name,
									 int min_ms, int fallback);
extern RateReading act_rate_read(const Connector *connector, const HttpResponse *response, int64 now_ms);

#endif							/* ACT_CONNECTOR_PRIVATE_H */
