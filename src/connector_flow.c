/*-------------------------------------------------------------------------
 *
 * connector_flow.c
 *	  Which way a row goes: what is asked for it, by what is known of it.
 *
 * Operations say it by their members by_id, needs, lookup, missing and large.
 * Compiled with the rest of the document; asked by whoever makes batches,
 * renders requests and reads answers.  Touches neither database nor network;
 * throws only while it compiles.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "connector_private.h"
#include "json_text.h"

#define MAX_FROM_ROWS 1000000000

/* Where nothing can be asked for rows that lack something, they are dealt with in such parts. */
#define UNASKED_ROWS 1000

/* Found out once more so often that the record is there: somebody else is at it, too. */
#define MAX_TURNS 3

static const char external_id[] = "external_id";

/* In the order of LookupWhen; an operation that needs nothing says neither. */
static const char *const when_names[] = {"needed", "always", NULL};

static const ConnectorOperation unasked = {
	.op = ROW_OP_NONE,.max_rows = UNASKED_ROWS,.default_rows = UNASKED_ROWS,.idempotent = true
};

/* ----------------------------------------------------------------
 *		The document
 * ----------------------------------------------------------------
 */

static void
compile_needs(const Document *document, const cJSON *at, Flow *flow)
{
	const cJSON *needs = act_document_array(document, at, "needs");

	if (needs == NULL)
		return;
	if (cJSON_GetArraySize(needs) == 0)
		act_document_error(document, needs, NULL, "an empty list");
	flow->needs = palloc0(sizeof(char *) * cJSON_GetArraySize(needs));
	for (const cJSON *need = needs->child; need != NULL; need = need->next)
	{
		if (!cJSON_IsString(need) || *need->valuestring == '\0')
			act_document_error(document, need, "\"external_id\", or a name of \"remember\".", "a name is expected");
		if (strcmp(need->valuestring, external_id) == 0)
			flow->needs_id = true;
		else
			flow->needs[flow->nneeds++] = pstrdup(need->valuestring);
	}
}

/* Members by what they are, whether of the operation or of the one it is like. */
void
act_flow_compile(const Document *document, const FlowHolders *at, Flow *flow)
{
	const cJSON *missing = act_document_member(at->missing, "missing");
	char	   *name = act_document_string(document, at->missing, "missing");

	compile_needs(document, at->needs, flow);
	flow->always = act_document_choice(document, at->lookup, "lookup", when_names, NULL, 0) == 1;
	flow->looks_up = flow->always || flow->needs_id || flow->nneeds > 0;
	if (!flow->looks_up && act_document_member(at->lookup, "lookup") != NULL)
		act_document_error(document, act_document_member(at->lookup, "lookup"),
						   "Name what rows must have: \"needs\": [\"external_id\"]; or let it be \"always\".",
						   "a lookup of what is needed, without \"needs\",");
	if (!flow->looks_up && missing != NULL)
		act_document_error(document, missing, "It goes with \"needs\" or \"lookup\": \"always\".",
						   "\"missing\" of an operation that looks nothing up,");
	flow->missing = MISSING_ABSENT;
	if (name == NULL || strcmp(name, "absent") == 0)
		return;
	if (strcmp(name, "send") == 0)
	{
		flow->missing = MISSING_SEND;
		return;
	}
	flow->missing = MISSING_OPERATION;
	flow->missing_op = act_row_op_parse(name);
	if (flow->missing_op == ROW_OP_NONE || act_row_op_sent(flow->missing_op) != flow->missing_op)
		act_document_error(document, missing, "\"absent\", \"send\", or the name of an operation such as \"insert\".",
						   "unknown way \"%s\"", name);
}

int
act_flow_compile_large(const Document *document, const cJSON *large)
{
	(void) act_document_need(document, large, "from_rows");
	return act_document_int(document, large, "from_rows", 1, MAX_FROM_ROWS, 1);
}

static void
check_operation(const Document *document, const cJSON *at, const Connector *connector, const Operation *operation)
{
	const Flow *flow = &operation->flow;
	const Operation *other = flow->missing == MISSING_OPERATION ? connector->operations[flow->missing_op] : NULL;

	if (flow->missing == MISSING_OPERATION && (other == NULL || other == operation || other->public.op == ROW_OP_REPLACE))
		act_document_error(document, act_document_member(at, "missing"), NULL,
						   "an operation, \"%s\", that cannot be asked for instead,", act_row_op_name(flow->missing_op));
	if (flow->always && connector->lookup == NULL)
		act_document_error(document, act_document_member(at, "lookup"), "Describe it as operation \"lookup\".",
						   "a lookup in a document without one");
	if (operation->large != NULL)
		check_operation(document, act_document_member(at, "large"), connector, operation->large);
}

void
act_flow_check(const Document *document, const cJSON *operations, const Connector *connector)
{
	for (const cJSON *at = operations->child; at != NULL; at = at->next)
	{
		RowOp		op = act_row_op_parse(at->string);

		if (op != ROW_OP_NONE && connector->operations[op] != NULL)
			check_operation(document, at, connector, connector->operations[op]);
	}
}

/* ----------------------------------------------------------------
 *		What is asked for a row
 * ----------------------------------------------------------------
 */

void
act_connector_expect(Connector *connector, int64 rows)
{
	for (int op = 0; op < ROW_OP_COUNT; op++)
	{
		const Operation *operation = connector->operations[op];

		if (operation != NULL && operation->large != NULL && rows >= operation->large_from)
			connector->operations[op] = operation->large;
	}
}

bool
act_connector_goes_by_id(const Connector *connector, RowOp op)
{
	const Operation *operation = connector->operations[op];

	return operation != NULL && operation->flow.needs_id && operation->flow.missing == MISSING_ABSENT;
}

/*
 * Whatever is known of the row.  One that may have something to clear is as
 * good as one that has: a text with the word is only sent another way.
 */
static const Operation *
base_operation(const Connector *connector, const Row *row)
{
	const Operation *operation = connector->operations[row->ask != ROW_OP_NONE ? row->ask : row->op];

	if (operation != NULL && operation->clears != NULL && row->was_there && row->fields != NULL &&
		strstr(row->fields, "null") != NULL)
		return operation->clears;
	return operation;
}

const Operation *
act_flow_operation(const Connector *connector, const Row *row)
{
	const Operation *operation = base_operation(connector, row);

	return operation != NULL && operation->by_id != NULL && row->external_id != NULL ? operation->by_id : operation;
}

static bool
has_value(const List *values, const char *name)
{
	ListCell   *cell;

	foreach(cell, values)
	{
		if (strcmp(((const HttpHeader *) lfirst(cell))->name, name) == 0)
			return true;
	}
	return false;
}

/* The first thing that the operation needs and the row has not, or NULL. */
static const char *
lacks(const Flow *flow, const Row *row)
{
	if (flow->needs_id && row->external_id == NULL)
		return external_id;
	for (int i = 0; i < flow->nneeds; i++)
	{
		if (!has_value(row->remembered, flow->needs[i]) && !has_value(row->found, flow->needs[i]))
			return flow->needs[i];
	}
	return NULL;
}

static bool
is_to_be_looked_up(const Operation *operation, const Row *row)
{
	const Flow *flow = &operation->flow;

	if (row->look_up)
		return true;
	if (row->looked_up || !flow->looks_up)
		return false;
	return flow->always || lacks(flow, row) != NULL;
}

const ConnectorOperation *
act_connector_row_operation(const Connector *connector, const Row *row)
{
	const Operation *operation = base_operation(connector, row);

	if (operation == NULL)
		return NULL;
	if (is_to_be_looked_up(operation, row))
		return connector->lookup != NULL ? &connector->lookup->batch : &unasked;
	return &act_flow_operation(connector, row)->public;
}

/* ----------------------------------------------------------------
 *		What was found of a row
 * ----------------------------------------------------------------
 */

/* A record is known again, or another one than before. */
static void
take_record(Row *row, char *id)
{
	if (row->external_id == NULL || strcmp(row->external_id, id) != 0)
	{
		row->external_id = id;
		row->id_changed = true;
		row->remembered = NIL;
	}
}

/* What is known of the record is not so any more. */
static void
forget_record(Row *row)
{
	row->id_changed = row->id_changed || row->external_id != NULL || row->remembered != NIL;
	row->external_id = NULL;
	row->remembered = row->found = NIL;
}

static void
say(Row *row, RowOutcome outcome, const char *code, char *message)
{
	row->outcome = outcome;
	row->code = code == NULL ? NULL : pstrdup(code);
	row->message = message;
}

bool
act_connector_match_is_id(const Connector *connector, const ConnectorScope *scope)
{
	const ConnectorObject *object = act_connector_object(connector);

	return object != NULL && object->match_id != NULL && scope->nmatch == 1 &&
		strcmp(object->match_id, scope->match_names[0]) == 0;
}

/* Where the record is gone there is nothing else that it could be found by. */
void
act_connector_row_own_id(const ConnectorScope *scope, Row *row)
{
	const char *value;
	size_t		len;
	StringInfoData id;

	if (!scope->match_is_id || row->fields == NULL ||
		!act_json_find_member(row->fields, strlen(row->fields), scope->match_names[0], &value, &len) ||
		(len == 4 && memcmp(value, "null", 4) == 0))
		return;
	initStringInfo(&id);
	if (*value == '"')
		act_json_append_unescaped(&id, value, len);
	else
		appendBinaryStringInfo(&id, value, len);
	if (id.len > 0)
		take_record(row, id.data);
	row->forgot_id = true;
}

void
act_connector_row_missing(const Connector *connector, Row *row, bool asked)
{
	const Operation *operation = base_operation(connector, row);
	bool		turned = row->look_up;

	row->looked_up = true;
	row->look_up = false;
	row->found = NIL;
	/* It goes by its id, which the lookup has nothing to say of. */
	if (operation->by_id != NULL && row->external_id != NULL)
		return;
	if (!operation->flow.looks_up && turned)
	{
		/* There, as it was answered, and not to be found: the answer stands. */
		row->outcome = ROW_REJECTED;
		return;
	}
	if (!asked && operation->flow.always && lacks(&operation->flow, row) == NULL)
		return;
	if (asked && operation->flow.looks_up)
		forget_record(row);
	switch (operation->flow.missing)
	{
		case MISSING_SEND:
			return;
		case MISSING_OPERATION:
			row->ask = operation->flow.missing_op;
			return;
		case MISSING_ABSENT:
			break;
	}
	if (act_row_op_removes(row->op) && act_row_op_sent(row->op) != row->op)
		say(row, ROW_ACCEPTED, NULL, NULL);
	else if (operation->absent == ROW_ACCEPTED)
		say(row, ROW_ACCEPTED, NULL, NULL);
	else
		say(row, ROW_ABSENT, NULL, pstrdup(asked ? "the destination has no record for it" :
										   psprintf("its %s is not known, and the destination cannot be asked for it",
													lacks(&operation->flow, row) ? lacks(&operation->flow, row) : "record")));
}

static bool
is_among(const NamedPointers *names, const char *name)
{
	for (int i = 0; i < names->count; i++)
	{
		if (strcmp(names->items[i].name, name) == 0)
			return true;
	}
	return false;
}

/* Names that are needed are names that are remembered. */
static bool
is_remembered(const Operation *operation, const char *name)
{
	const RowAnswers *answer = operation->owner->answer;

	for (int i = 0; i < operation->flow.nneeds; i++)
	{
		if (strcmp(operation->flow.needs[i], name) == 0)
			return true;
	}
	for (int i = 0; answer != NULL && i < answer->nplaces; i++)
	{
		if (is_among(&answer->places[i].remember, name))
			return true;
	}
	return is_among(&operation->remember, name) || (answer != NULL && is_among(&answer->remember, name)) ||
		(operation->by_id != NULL && is_remembered(operation->by_id, name));
}

/* What the lookup set is remembered from now on, where it goes by a name that is. */
static void
take_values(const Operation *operation, Row *row, List *values)
{
	List	   *kept = NIL;
	ListCell   *cell;

	row->found = values;
	foreach(cell, values)
	{
		HttpHeader *value = lfirst(cell);

		if (has_value(row->remembered, value->name) || is_remembered(operation, value->name))
			kept = lappend(kept, value);
	}
	if (kept == NIL)
		return;
	row->remembered = act_row_values_over(row->remembered, kept);
	row->id_changed = true;
}

/*
 * An update of the record that is there: as the row's own operation does it
 * for rows with an id, else as operation update.
 */
static bool
turn_to_update(const Connector *connector, Row *row)
{
	const Operation *own = connector->operations[row->op];

	if (own->by_id != NULL || own->flow.looks_up)
		row->ask = ROW_OP_NONE;
	else if (connector->operations[ROW_OP_UPDATE] != NULL)
		row->ask = ROW_OP_UPDATE;
	else
		return false;
	return true;
}

void
act_connector_row_found(const Connector *connector, Row *row, const ConnectorFound *found)
{
	const Operation *operation = base_operation(connector, row);
	const char *lacking;

	/* Another record than the one that is known by its id: that one counts where requests go by ids. */
	if (operation->by_id != NULL && row->external_id != NULL && strcmp(row->external_id, found->external_id) != 0)
	{
		act_connector_row_missing(connector, row, true);
		return;
	}
	row->looked_up = true;
	take_record(row, found->external_id);
	take_values(operation, row, found->values);
	if (row->look_up && !turn_to_update(connector, row))
		row->outcome = ROW_REJECTED;
	row->look_up = false;
	operation = base_operation(connector, row);
	lacking = row->outcome == ROW_UNDECIDED ? lacks(&operation->flow, row) : NULL;
	if (lacking != NULL)
		say(row, ROW_REJECTED, "lookup_incomplete",
			psprintf("record %s was found, but not its %s, which operation \"%s\" needs", row->external_id, lacking,
					 act_row_op_sent_name(row->op)));
}

/*
 * It was sent as that record already: what was remembered of it is not so any
 * more, and sent again it would say the same.
 */
static bool
went_as(const Connector *connector, const Row *row, const char *id)
{
	return row->external_id != NULL && strcmp(row->external_id, id) == 0 && connector->lookup != NULL;
}

bool
act_connector_finds(const Connector *connector)
{
	return connector->finds;
}

bool
act_connector_row_is_there(const Connector *connector, Row *row)
{
	if (!row->exists || row->outcome != ROW_REJECTED || row->turns >= MAX_TURNS)
		return false;
	if (row->new_external_id == NULL && connector->lookup == NULL)
		return false;
	row->turns++;
	row->exists = false;
	row->looked_up = false;
	if (row->new_external_id == NULL || went_as(connector, row, row->new_external_id))
	{
		row->new_external_id = NULL;
		forget_record(row);
		row->look_up = true;
		return true;
	}
	row->found = NIL;
	take_record(row, row->new_external_id);
	row->new_external_id = NULL;
	return turn_to_update(connector, row);
}

bool
act_connector_row_forgets(const Connector *connector, Row *row)
{
	const Operation *operation = act_flow_operation(connector, row);

	if (row->outcome != ROW_ABSENT || !operation->absent_is_match || row->forgot_id)
		return false;
	row->forgot_id = true;
	row->looked_up = false;
	row->ask = ROW_OP_NONE;
	forget_record(row);
	return true;
}

/* ----------------------------------------------------------------
 *		In words
 * ----------------------------------------------------------------
 */

char *
act_connector_row_way(const Connector *connector, const Row *row)
{
	const Operation *operation = base_operation(connector, row);
	StringInfoData way;

	if (operation == NULL)
		return NULL;
	initStringInfo(&way);
	if (!is_to_be_looked_up(operation, row))
	{
		if (operation->by_id == NULL && !operation->flow.needs_id)
			return NULL;
		appendStringInfo(&way, row->external_id != NULL ? "It goes by its external id %s." : "It goes by its match.",
						 row->external_id);
		if (row->external_id != NULL && operation->by_id != NULL && operation->by_id->absent_is_match)
			appendStringInfoString(&way, " If that record is gone, it goes by its match.");
		return way.data;
	}
	if (connector->lookup != NULL)
		appendStringInfoString(&way, "Its record is looked up first.");
	else
		appendStringInfo(&way, "Its %s is not known, and the destination cannot be asked for it.",
						 lacks(&operation->flow, row));
	switch (operation->flow.missing)
	{
		case MISSING_SEND:
			appendStringInfoString(&way, connector->lookup != NULL ? " If there is none, it is sent all the same." :
								   " It is sent all the same.");
			break;
		case MISSING_OPERATION:
			appendStringInfo(&way, connector->lookup != NULL ? " If there is none, it is sent as %s." : " It is sent as %s.",
							 act_row_op_name(operation->flow.missing_op));
			break;
		case MISSING_ABSENT:
			appendStringInfoString(&way, connector->lookup != NULL ? " If there is none, it is not sent." : " It is not sent.");
			break;
	}
	return way.data;
}
