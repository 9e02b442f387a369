/*-------------------------------------------------------------------------
 *
 * catalog_ask.c
 *	  Asking a destination for its objects and their fields.
 *
 * Page by page, within the limits that all who use the destination share, and
 * outside of transactions: a catalogue may have many pages.  What fails for
 * the moment is asked again a few times.  This file includes neither SPI nor
 * curl.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "catalog.h"
#include "compat.h"
#include "connector_discover.h"
#include "exchange.h"
#include "fault.h"
#include "request_retry.h"
#include "token.h"
#include "server_text.h"

/* More are no list that a person could read, but a server that goes in circles. */
#define MAX_PAGES 1000
#define MAX_ITEMS 50000
/* Nobody waits for longer than that for one page. */
#define MAX_WAIT_MS (60 * 1000)

typedef struct CatalogQuestion
{
	Destination *destination;
	ConnectorScope scope;
	Exchange   *exchange;
	Limit	   *limit;
	int			number;			/* of the document's requests */
	List	   *items;			/* of Discovered */
	int			passed_over;
	bool		has_unique;
	char	   *problem;
} CatalogQuestion;

ACT_NORETURN static void
refuse(const CatalogQuestion *question, const ConnectorAnswer *answer, int sqlstate, const char *what)
{
	ereport(ERROR,
			(errcode(sqlstate),
			 errmsg("destination \"%s\" %s", question->destination->name, what),
			 errdetail_internal("%s", act_text_to_server(answer->message != NULL ? answer->message : "no answer")),
			 errhint("SELECT * FROM activate.check_destination(%s);",
					 quote_literal_cstr(question->destination->name))));
}

/* False: it was not answered for good yet. */
static bool
judge(CatalogQuestion *question, const ConnectorAnswer *answer, int tries)
{
	int64		pause = act_request_retry_pause(tries);

	switch (answer->verdict)
	{
		case VERDICT_ROWS:
			return true;
		case VERDICT_THROTTLED:
			pause = act_request_throttle_pause(question->destination, answer, tries);
			if (pause > MAX_WAIT_MS || tries >= REQUEST_MAX_TRIES)
				refuse(question, answer, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "limits its rate");
			act_limit_throttle(question->limit, act_now() + pause * 1000);
			break;
		case VERDICT_UNREACHED:
		case VERDICT_UNCERTAIN:
			if (tries >= REQUEST_MAX_TRIES || answer->wait_ms > MAX_WAIT_MS)
				refuse(question, answer, ERRCODE_FDW_UNABLE_TO_ESTABLISH_CONNECTION, "does not answer as it should");
			pause = Max(pause, answer->wait_ms);
			break;
		case VERDICT_AUTH:
			refuse(question, answer, ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION, "refuses the credentials");
		case VERDICT_REFUSED:
		case VERDICT_TOO_LARGE:
		case VERDICT_CONFIGURATION:
			question->problem = answer->message != NULL ? answer->message : pstrdup("no answer");
			return true;
	}
	act_exchange_pause(question->exchange, pause);
	return false;
}

static void
ask_page(CatalogQuestion *question, const char *next, DiscoveredPage *page)
{
	Destination *destination = question->destination;

	for (int tries = 1;; tries++)
	{
		ConnectorAnswer answer = {.verdict = VERDICT_UNREACHED,.wait_ms = -1};
		HttpRequest request = {0};
		HttpResponse *response;

		CHECK_FOR_INTERRUPTS();
		act_connector_render_discovery(destination->connector, &question->scope, question->number, next, &request);
		response = act_exchange_ask(question->exchange, &question->scope, &request, 2 * MAX_WAIT_MS);
		if (response == NULL)
		{
			answer.message = pstrdup("others have used up its limits for too long");
			tries = REQUEST_MAX_TRIES;
		}
		else
		{
			act_connector_read_discovery(destination->connector, &question->scope, question->number,
										 response, act_unix_ms(act_now()), &answer, page);
			pfree(response->body);	/* there may be a thousand of them */
		}
		act_exchange_told(question->exchange, &answer);
		if (answer.message != NULL)
			answer.message = act_destination_redact(destination, answer.message);
		if (judge(question, &answer, tries))
			return;
	}
}

static void
ask_pages(CatalogQuestion *question)
{
	char	   *next = NULL;

	for (int pages = 0;; pages++)
	{
		DiscoveredPage page = {0};

		ask_page(question, next, &page);
		question->items = list_concat(question->items, page.items);
		question->passed_over += page.passed_over;
		if (question->problem != NULL || page.next == NULL)
			return;
		if (pages >= MAX_PAGES || list_length(question->items) > MAX_ITEMS ||
			(next != NULL && strcmp(next, page.next) == 0))
		{
			question->problem = psprintf("its list has no end: %d pages were read", pages + 1);
			return;
		}
		next = page.next;
	}
}

static void
ask_all(CatalogQuestion *question, bool fields)
{
	int			count = act_connector_discover_count(question->destination->connector);

	if (fields)
	{
		question->number = DISCOVER_FIELDS;
		ask_pages(question);
		return;
	}
	for (question->number = 0; question->number < count && question->problem == NULL; question->number++)
		ask_pages(question);
}

static void
ask_token(CatalogQuestion *question)
{
	char	   *why = act_token_ready_once(question->destination, &question->scope, true);

	if (why != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
				 errmsg("destination \"%s\" gives no token", question->destination->name),
				 errdetail_internal("%s", act_destination_redact(question->destination, why))));
}

static void
tell_passed_over(const CatalogQuestion *question)
{
	if (question->passed_over > 0)
		ereport(NOTICE,
				(errmsg("%d items that destination \"%s\" listed were passed over", question->passed_over,
						question->destination->name),
				 errdetail("They have no name, or one that is too long to be mapped.")));
}

List *
act_catalog_ask(Destination *destination, const char *object, bool *has_unique, char **problem)
{
	CatalogQuestion question = {
		.destination = destination,
		.scope = {
			.object = object == NULL ? NULL : pg_server_to_any(object, strlen(object), PG_UTF8),
			.option = act_destination_option,
			.secret = act_destination_secret,
			.arg = destination,
			.object_parts = object == NULL ? NIL : act_connector_object_parts(destination->connector),
			.now_ms = act_unix_ms(act_now())
		}
	};

	PG_TRY();
	{
		question.limit = act_limit_attach(destination, 0, act_now());
		question.exchange = act_exchange_open(destination, question.limit, MAX_WAIT_MS);
		ask_token(&question);
		ask_all(&question, object != NULL);
	}
	PG_CATCH();
	{
		act_exchange_close(question.exchange);
		act_limit_detach(question.limit);
		PG_RE_THROW();
	}
	PG_END_TRY();
	act_exchange_close(question.exchange);
	act_limit_detach(question.limit);
	tell_passed_over(&question);
	if (has_unique != NULL)
		*has_unique = question.items != NIL && ((Discovered *) linitial(question.items))->has_unique;
	*problem = question.problem;
	return question.problem == NULL ? question.items : NIL;
}
