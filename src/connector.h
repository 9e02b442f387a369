/*-------------------------------------------------------------------------
 *
 * connector.h
 *	  A destination's API as data: compile, render, authorize, judge.
 *
 * A connector is a JSON document (src/connectors/NAME.json).  It is compiled
 * once per run into a tree of segments; rendering a batch writes straight
 * into the request's body.  Nothing here touches the database or the
 * network, so all of it may run outside a transaction.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_CONNECTOR_H
#define ACT_CONNECTOR_H

#include "answer_class.h"
#include "lib/stringinfo.h"
#include "row.h"

typedef struct Connector Connector;

/* A mapped field, as the destination knows it. */
typedef struct ScopeField
{
	const char *name;
	const char *type;			/* of the document's vocabulary (connectors.md); NULL: not known */
	bool		is_match;
	const char *document;		/* JSON, as the destination told it; NULL: it did not */
} ScopeField;

/* What templates may name besides the row. */
typedef struct ConnectorScope
{
	const char *sync_name;
	const char *object;			/* NULL: none */
	const char *match;			/* destination field(s), comma separated, or NULL */
	int64		run_id;
	int64		run_started_ms; /* since 1970 */
	int			nkeys;
	char	  **key_names;		/* model's key columns, UTF-8 */
	int			nmatch;
	char	  **match_names;	/* of match, one by one */
	bool		match_is_id;	/* it is the destination's own id: what rows go by, and none of their fields */
	List	   *object_parts;	/* of HttpHeader: object.<name>, what the pattern's {name} stand for */
	List	   *token;			/* of HttpHeader: token.<name>, what was kept of the token's answer */
	List	   *saved;			/* of HttpHeader: saved.<name>, from the answers to earlier steps of a job */
	const char *const *listed_fields;	/* that the object's document names, NULL-ended; NULL: none */
	List	   *fields;			/* of ScopeField: the mapped ones, in the mapping's order */
	const char *batch_by;		/* JSON: the value that all rows of the request share, or NULL */
	int64		now_ms;			/* of this try, since 1970; 0: unknown */

	/*
	 * A server option or a secret by name, NULL where it is not set.  The
	 * returned string is the caller's for the length of the call.
	 */
	const char *(*option) (void *arg, const char *name);
	const char *(*secret) (void *arg, const char *name);
	void	   *arg;
} ConnectorScope;

/* What a connector says about one operation. */
typedef struct ConnectorOperation
{
	RowOp		op;
	const char *mix;			/* operations with one mix share requests */
	int			max_rows;		/* what the API takes */
	int			default_rows;	/* where the user sets no batch_size */
	int			max_bytes;		/* of the body; 0: no limit but the engine's */
	bool		idempotent;
	bool		irreversible;	/* no mode's work: only forget does it */
	bool		append;			/* of upsert: serves for insert, too */
	int			max_row_bytes;	/* of one row in the body; 0: no limit of its own */
	bool		unique_match;	/* no two rows of one match in a request */
	const char *by;				/* field of which all rows of a request have one value; NULL: none */
} ConnectorOperation;

/* What the document says about the pace that the API allows (section "rate"). */
typedef struct ConnectorRate
{
	int			requests;		/* within per_ms; 0: no limit */
	int			per_ms;
	int			concurrency;	/* requests under way at a time */
	int			jobs;			/* jobs under way at a time; 0: the document does not say */
	int			day_requests;	/* until midnight in the account's time zone; 0: no limit */
} ConnectorRate;

/* How one option of a server may look; options are a table, not code. */
typedef enum OptionKind
{
	OPTION_TEXT,
	OPTION_URL,
	OPTION_HOST,				/* api.example.com, maybe with a port */
	OPTION_LABEL,				/* one part of a host's name: acme */
	OPTION_INTEGER,
	OPTION_DURATION,
	OPTION_RATE,
	OPTION_BOOLEAN,
	OPTION_JSON,
	OPTION_FILE
} OptionKind;

typedef struct ConnectorOption
{
	const char *name;
	OptionKind	kind;
	bool		required;
	const char *default_value;	/* NULL: none */
	const char *const *values;	/* the only ones, NULL-ended; NULL: any */
	const char *const *meanings;	/* what templates have in place of each of these */
} ConnectorOption;

typedef struct ConnectorAnswer
{
	Verdict		verdict;
	int			http_status;
	char	   *code;			/* machine-readable reason, or NULL */
	char	   *message;		/* the destination's words, or the transport's; never NULL unless ROWS */
	char	   *hint;
	bool		final;			/* VERDICT_REFUSED: the row that causes it is refused for good */
	bool		renew;			/* VERDICT_AUTH: other credentials may do */
	bool		rows_put_off;	/* VERDICT_ROWS: those that are delayed can be sent again soon */
	bool		rows_throttled; /* ... when the destination takes requests again */
	bool		until_midnight; /* in place of wait_ms: the day's quota is used up */
	int64		wait_ms;		/* what it asks to wait; -1: it said nothing */
	int64		limited_ms;		/* a success: no more requests for so long; -1: it said nothing */
} ConnectorAnswer;

/*
 * Compiles a document, in the current memory context.  ERROR 22023 names the
 * JSON pointer of what is wrong and what would be right.
 */
extern Connector *act_connector_compile(const char *name, const char *spec);

/*
 * The same for the object of a sync (UTF-8), which says what can be asked:
 * 22023 with all objects where it is none of the document's.  object NULL:
 * the sync names none, which only a document without objects can do with.
 */
extern Connector *act_connector_compile_object(const char *name, const char *spec, const char *object);

/*
 * What is wrong with a document, in parts: the same compiles, and where it
 * throws for a place in the document says which and what, as the error does.
 */
typedef struct ConnectorProblem
{
	char	   *pointer;		/* "" the document itself; NULL: no place in it */
	char	   *what;
} ConnectorProblem;

extern Connector *act_connector_check(const char *name, const char *spec, ConnectorProblem *problem);

extern const ConnectorOperation *act_connector_operation(const Connector *connector, RowOp op);

/*
 * What is asked for a row next, by what is known of it; requests are shared by
 * rows for which this is the same, or of one mix.  NULL: there is no such operation.
 */
extern const ConnectorOperation *act_connector_row_operation(const Connector *connector, const Row *row);

/* The sync's only match field is what the object calls the destination's own id. */
extern bool act_connector_match_is_id(const Connector *connector, const ConnectorScope *scope);

/* Such a row goes by its match as by an external id; in the row's memory context. */
extern void act_connector_row_own_id(const ConnectorScope *scope, Row *row);

/* So many rows are to be sent in this run: chooses what is asked for in large ones.  Once for each compiled connector. */
extern void act_connector_expect(Connector *connector, int64 rows);
extern bool act_connector_takes_key(const Connector *connector);	/* no match needed */
/* What becomes of match values before the destination compares them; NULL-ended. */
extern const struct Filter *const *act_connector_match_compare(const Connector *connector);

/*
 * Why a row cannot be rendered: a filter cannot do with its value, or a text
 * needs one that it has not.  What is known only when it is sent (ids, tokens)
 * does not count.  NULL: nothing is wrong.
 */
extern char *act_connector_row_problem(const Connector *connector, const ConnectorScope *scope, Row *row);

/*
 * Of batches: the value (JSON, as the row has it) that all rows of the row's
 * request share, NULL where the operation names none; and by what the row is
 * matched, as the destination compares it, NULL where it has no match.
 */
extern char *act_connector_batch_by(const Connector *connector, const Row *row);
extern char *act_connector_match_text(const Connector *connector, const ConnectorScope *scope, const Row *row);

/* Why one row is more than a request of its operation can carry, or NULL. */
extern char *act_connector_size_problem(const Connector *connector, const ConnectorScope *scope, Row *row);

extern int	act_connector_concurrency(const Connector *connector);	/* its default */
extern const ConnectorRate *act_connector_rate(const Connector *connector); /* never NULL */

/* Of the accounts there, by name; NULL: the document does not say. */
extern const char *act_connector_time_zone(const Connector *connector);

/*
 * The address that all its requests begin with: option base_url, else its
 * own; NULL where neither says.  Needs nothing of the scope but options.
 */
extern char *act_connector_base_url(const Connector *connector, const ConnectorScope *scope);
/* Where option base_url does not say, a token's answer does: NULL until there is one. */
extern bool act_connector_token_leads(const Connector *connector);

/* Options (beyond the common ones) and secrets it knows; NULL-name ended. */
extern const ConnectorOption *act_connector_options(const Connector *connector);
extern const char *const *act_connector_secrets(const Connector *connector);

/*
 * The first thing wrong about which secrets are set (none where one is
 * needed, username without password), or NULL.
 */
extern char *act_connector_secret_problem(const Connector *connector, const ConnectorScope *scope);

/*
 * Renders the rows (all of one mix) as one request, without credentials.
 * ERROR where the document and the rows do not fit together.
 */
extern void act_connector_render(const Connector *connector, const ConnectorScope *scope,
								 Row **rows, int nrows, HttpRequest *request);

/*
 * The same for operation replace: all rows of the model, in order; there may
 * be none.  id stands for this content in this request.
 */
extern void act_connector_render_unit(const Connector *connector, const ConnectorScope *scope,
									  Row **rows, int nrows, const uint8 *id, HttpRequest *request);

/* Bytes a row adds to a body: what a batch by bytes is measured with. */
extern size_t act_connector_row_bytes(const Connector *connector, const ConnectorScope *scope, const Row *row);

/*
 * Some requests name their rows in the address, which servers limit.  What the
 * row adds to it (0: nothing), and how much all rows of such a request may.
 */
#define ACT_MAX_URL 8000
extern size_t act_connector_row_url_bytes(const Connector *connector, const ConnectorScope *scope, const Row *row);
extern size_t act_connector_url_room(const Connector *connector, const ConnectorScope *scope, const Row *row);

/* The harmless request of check_destination(). */
extern void act_connector_render_check(const Connector *connector, const ConnectorScope *scope, HttpRequest *request);
/* true: ok; else *problem says why not. */
extern bool act_connector_read_check(const Connector *connector, const HttpResponse *response, char **problem);

/*
 * Adds the credentials: called for each try, since signatures carry the time
 * (Unix seconds).  A preview passes a scope whose secrets are masked.
 */
extern void act_connector_authorize(const Connector *connector, const ConnectorScope *scope,
									HttpRequest *request, int64 now_s);

/*
 * connector_token.c: credentials that are exchanged for a token before
 * anything else is asked (kinds oauth2 and token_request).
 */
#define ACT_TOKEN_MAX_BYTES 16384	/* of all that is kept of one answer */

typedef struct ConnectorToken
{
	List	   *values;			/* of HttpHeader: access_token and what "keep" names; for the scope's token */
	List	   *secrets;		/* those of values that nobody may see */
	int64		expires_s;		/* Unix seconds from when another one is needed; 0: when it is refused */
	char	   *refresh_token;	/* that the answer gave, or NULL */
	char	   *problem;		/* why there is none, in words; NULL: there is */
	char	   *hint;
	char	   *code;			/* OAuth's own word for it, such as invalid_grant, or NULL */
	bool		later;			/* it may well be there when it is asked for again */
} ConnectorToken;

/* A token for requests that are not sent, all of its values the same. */
extern List *act_connector_sample_token(const Connector *connector, const ConnectorScope *scope, const char *value);
extern bool act_connector_needs_token(const Connector *connector, const ConnectorScope *scope);
/* The secret that a token's answer may replace for good; NULL: none. */
extern const char *act_connector_rotating_secret(const Connector *connector, const ConnectorScope *scope);
extern void act_connector_render_token(const Connector *connector, const ConnectorScope *scope, int64 now_s,
									   HttpRequest *request);
extern void act_connector_read_token(const Connector *connector, const ConnectorScope *scope,
									 const HttpResponse *response, int64 now_s, ConnectorToken *token);
/* 32 bytes: the same for the same credentials, asked with at the same place. */
extern void act_connector_token_digest(const Connector *connector, const ConnectorScope *scope, uint8 *digest);
/* Of char *, as act_url_origin() has them: where else than to base_url secrets go, as far as options say. */
extern List *act_connector_token_origins(const Connector *connector, const ConnectorScope *scope);

/*
 * Takes secrets out of what answers say, before anything of it is cut: a part
 * of one would not be known any more.  NULL: nobody does.
 */
extern void act_connector_set_redactor(Connector *connector, char *(*redact) (void *arg, const char *text), void *arg);

/*
 * Reads an answer: fills in each row's outcome when the verdict is
 * VERDICT_ROWS, and leaves the rows alone otherwise.  Strings are allocated
 * in the current memory context, are valid UTF-8 and of bounded length.
 */
extern void act_connector_read(const Connector *connector, const ConnectorScope *scope, const HttpResponse *response,
							   Row **rows, int nrows, int64 now_ms, ConnectorAnswer *answer);

/*
 * connector_lookup.c: asking which records there are.  The first says why
 * those of a sync with so many match fields cannot be asked for, or NULL.
 */
extern char *act_connector_lookup_problem(const Connector *connector, int nmatch);
extern int	act_connector_lookup_rows(const Connector *connector, int wanted);	/* in a request; wanted 0: its default */

/* Whether a row has what it is looked up by. */
extern bool act_connector_lookup_has(const Connector *connector, const ConnectorScope *scope, const Row *row);

/* What was found of a row. */
typedef struct ConnectorFound
{
	List	   *values;			/* of HttpHeader, values are JSON: what the lookup sets (row.found.<name>) */
	int			count;			/* records that match; 0: there is none */
	char	   *external_id;	/* of the first */
	bool		same;			/* and its fields are those of the row, as far as was told */
} ConnectorFound;

extern void act_connector_render_lookup(const Connector *connector, const ConnectorScope *scope,
										Row **rows, int nrows, HttpRequest *request);

/* found: one for each row, written when the verdict is VERDICT_ROWS. */
extern void act_connector_read_lookup(const Connector *connector, const ConnectorScope *scope,
									  const HttpResponse *response, Row **rows, int nrows,
									  int64 now_ms, ConnectorAnswer *answer, ConnectorFound *found);

/*
 * connector_flow.c: what becomes of a row by what was found of its record.
 * Its outcome stays UNDECIDED where it goes on, as another request.
 */
/* asked: the destination has none; else it cannot be asked for this one. */
extern void act_connector_row_missing(const Connector *connector, Row *row, bool asked);
extern void act_connector_row_found(const Connector *connector, Row *row, const ConnectorFound *found);

/* Whether rows are asked for by their ids, without which they are not asked for at all. */
extern bool act_connector_goes_by_id(const Connector *connector, RowOp op);

/* Why a row that is about to be sent cannot be rendered, now that all is known of it, or NULL. */
extern char *act_connector_row_unready(const Connector *connector, const ConnectorScope *scope, Row *row);

/* Whether a row may be given a record that was there before it. */
extern bool act_connector_finds(const Connector *connector);

/* A row that is refused since it is there: true where it goes on as an update of its record, or is looked up. */
extern bool act_connector_row_is_there(const Connector *connector, Row *row);

/* A row whose record is gone: true where it goes on by its match, once in a run. */
extern bool act_connector_row_forgets(const Connector *connector, Row *row);

/* In words, for explain_row(); NULL: there is only one way. */
extern char *act_connector_row_way(const Connector *connector, const Row *row);

#endif							/* ACT_CONNECTOR_H */
