/*-------------------------------------------------------------------------
 *
 * template_value.c
 *	  What an expression stands for: paths resolved, filters run.
 *
 * Values that are JSON already (key and fields of a row) are spliced as they
 * are, so that no number is ever read.  What had to be made stands in the
 * buffers of the input, until the next value is asked for.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <openssl/evp.h>

#include "json_text.h"
#include "template_private.h"

static Value resolve_message(const Expression *expression, const TemplateInput *input);
static TemplateResult apply_filters(const Expression *expression, int first, int end, TemplateInput *input, Value *value);
static TemplateResult gather_rows(const Expression *expression, TemplateInput *input, Value *value);

static void
begin_buffer(StringInfo buf)
{
	if (buf->data == NULL)
		initStringInfo(buf);
	resetStringInfo(buf);
}

/* Whether what is missing or null is some filter's business. */
static bool
has_default(const Expression *expression)
{
	for (int i = 0; i < expression->nfilters; i++)
	{
		if (expression->filters[i].filter->takes_null)
			return true;
	}
	return false;
}

TemplateResult
act_value_of(const Expression *expression, TemplateInput *input, Value *value)
{
	TemplateResult result = TEMPLATE_DONE;

	if (expression->each)
		result = gather_rows(expression, input, value);
	else
		*value = act_value_resolve(expression, input);
	if (result == TEMPLATE_DONE && expression->nfilters > 0)
	{
		if ((value->kind != VALUE_MISSING && !act_value_is_null(value)) || has_default(expression))
			result = apply_filters(expression, expression->neach, expression->nfilters, input, value);
	}
	if (result == TEMPLATE_DONE && value->kind == VALUE_MISSING)
		result = TEMPLATE_MISSING;
	if (result != TEMPLATE_DONE)
		input->culprit = expression->source;
	return result;
}

/* What rows.* has of input->row. */
TemplateResult
act_value_of_each(const Expression *expression, TemplateInput *input, Value *value)
{
	*value = act_value_resolve(expression, input);
	if (value->kind == VALUE_MISSING || act_value_is_null(value))
		return TEMPLATE_MISSING;
	return expression->neach == 0 ? TEMPLATE_DONE : apply_filters(expression, 0, expression->neach, input, value);
}

/* rows.*: an array; each row has to have one. */
static TemplateResult
gather_rows(const Expression *expression, TemplateInput *input, Value *value)
{
	const Row  *outer = input->row;
	TemplateResult result = TEMPLATE_DONE;
	StringInfoData all;

	initStringInfo(&all);
	appendStringInfoChar(&all, '[');
	for (int i = 0; i < input->nrows && result == TEMPLATE_DONE; i++)
	{
		Value		one;

		input->row = input->rows[i];
		input->row_index = i;
		result = act_value_of_each(expression, input, &one);
		if (result == TEMPLATE_MISSING && input->trial && act_value_comes_later(expression))
		{
			result = TEMPLATE_DONE;
			continue;
		}
		if (result != TEMPLATE_DONE)
			continue;
		if (all.len > 1)
			appendStringInfoChar(&all, ',');
		act_value_put_json(&all, &one);
	}
	appendStringInfoChar(&all, ']');
	if (result == TEMPLATE_DONE)
		input->row = outer;		/* else messages name it */
	*value = (Value) {VALUE_JSON, all.data, all.len};
	return result;
}

static void
swap_buffers(TemplateInput *input)
{
	StringInfoData other = input->from;

	input->from = input->to;
	input->to = other;
	resetStringInfo(&input->to);
}

/* The value as the first filter gets it; returns what it is then. */
static ValueKind
begin_filters(TemplateInput *input, const Value *value, const Filter *first)
{
	begin_buffer(&input->from);
	begin_buffer(&input->to);
	if (value->kind == VALUE_MISSING)
		appendStringInfoString(&input->from, "null");
	else if (value->kind == VALUE_JSON && *value->data == '"' && !first->wants_json)
	{
		act_json_append_unescaped(&input->from, value->data, value->len);
		return VALUE_TEXT;
	}
	else
		appendBinaryStringInfo(&input->from, value->data, value->len);
	return value->kind == VALUE_MISSING ? VALUE_JSON : value->kind;
}

/* What stands in from becomes what the filter wants. */
static void
convert(TemplateInput *input, ValueKind kind, const Filter *filter)
{
	if (filter->wants_json && kind != VALUE_JSON)
		act_json_append_string(&input->to, input->from.data, input->from.len);
	else if (!filter->wants_json && kind == VALUE_JSON && input->from.len > 0 && input->from.data[0] == '"')
		act_json_append_unescaped(&input->to, input->from.data, input->from.len);
	else
		return;
	swap_buffers(input);
}

/* Of a list of HttpHeader; NULL: it is not in there. */
static const char *
named_text(const List *values, const char *name)
{
	ListCell   *cell;

	foreach(cell, values)
	{
		const HttpHeader *value = lfirst(cell);

		if (strcmp(value->name, name) == 0)
			return value->value;
	}
	return NULL;
}

/* Runs the filters from first to before end; the value then stands in input->from. */
static TemplateResult
apply_filters(const Expression *expression, int first, int end, TemplateInput *input, Value *value)
{
	ValueKind	kind = begin_filters(input, value, expression->filters[first].filter);

	for (int i = first; i < end; i++)
	{
		const FilterCall *call = &expression->filters[i];
		const Filter *filter = call->filter;
		const char *argument = call->argument;

		*value = (Value) {kind, input->from.data, input->from.len};
		if (act_value_is_null(value) && !filter->takes_null)
			continue;
		if (filter->takes_argument == FILTER_SECRET)
			argument = input->scope->secret(input->scope->arg, argument);
		if (filter->takes_argument == FILTER_SAVED)
			argument = named_text(input->scope->saved, argument + strlen("saved."));
		if (argument == NULL && (filter->takes_argument == FILTER_SECRET || filter->takes_argument == FILTER_SAVED))
			return TEMPLATE_MISSING;
		convert(input, kind, filter);
		if (!filter->apply(argument, &input->from, &input->to))
			return TEMPLATE_UNFIT;
		swap_buffers(input);
		kind = filter->makes_json ? VALUE_JSON : VALUE_TEXT;
	}
	*value = (Value) {kind, input->from.data, input->from.len};
	return TEMPLATE_DONE;
}

static Value
json_value(const char *text)
{
	return text == NULL ? (Value) {VALUE_MISSING} : (Value) {VALUE_JSON, text, strlen(text)};
}

static Value
text_value(const char *text)
{
	return text == NULL ? (Value) {VALUE_MISSING} : (Value) {VALUE_TEXT, text, strlen(text)};
}

/* 8-4-4-4-12 hex digits */
static Value
uuid_value(const uint8 *id, char *scratch)
{
	static const char digits[] = "0123456789abcdef";
	char	   *out = scratch;

	for (int i = 0; i < ACT_DIGEST_LEN; i++)
	{
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*out++ = '-';
		*out++ = digits[id[i] >> 4];
		*out++ = digits[id[i] & 15];
	}
	return (Value) {VALUE_PLAIN, scratch, out - scratch};
}

static void
append_hex(const uint8 *bytes, int len, char *out)
{
	static const char digits[] = "0123456789abcdef";

	for (int i = 0; i < 2 * len; i++)
		out[i] = digits[(bytes[i / 2] >> (i % 2 == 0 ? 4 : 0)) & 15];
	out[2 * len] = '\0';
}

Value
act_value_member(const char *object, char *const *names)
{
	Value		value = json_value(object);

	for (; *names != NULL && value.kind != VALUE_MISSING; names++)
	{
		if (!act_json_find_member(value.data, value.len, *names, &value.data, &value.len))
			value.kind = VALUE_MISSING;
	}
	return value;
}

const char *
act_value_row_fields(const Row *row)
{
	return act_row_op_has_fields(row->op) ? row->fields : NULL;
}

const char *
act_value_option(const Expression *expression, const ConnectorScope *scope)
{
	const char *text = scope->option(scope->arg, expression->name);

	const ConnectorOption *option = expression->option;

	if (text == NULL)
		text = option->default_value;
	for (int i = 0; text != NULL && option->values != NULL && option->values[i] != NULL; i++)
	{
		if (strcmp(text, option->values[i]) == 0)
			return option->meanings[i];
	}
	return text;
}

static bool
is_named(const JsonMember *member, const char *const *names, int count)
{
	for (int i = 0; i < count && names[i] != NULL; i++)
	{
		if (act_json_name_is(member, names[i]))
			return true;
	}
	return false;
}

/* Those of the fields that are, or are not, among the names. */
static Value
some_fields(const char *fields, const char *const *names, int count, bool wanted, TemplateInput *input)
{
	const char *next = fields;
	const char *end = next == NULL ? NULL : next + strlen(next);
	JsonMember	member;

	if (next == NULL)
		return (Value) {VALUE_MISSING};
	begin_buffer(&input->built);
	appendStringInfoCharMacro(&input->built, '{');
	while (act_json_next_member(&next, end, &member))
	{
		if (is_named(&member, names, count) != wanted)
			continue;
		if (input->built.len > 1)
			appendStringInfoCharMacro(&input->built, ',');
		appendBinaryStringInfo(&input->built, member.name, member.value + member.value_len - member.name);
	}
	appendStringInfoCharMacro(&input->built, '}');
	return (Value) {VALUE_JSON, input->built.data, input->built.len};
}

static Value
listed_fields(const Row *row, bool wanted, TemplateInput *input)
{
	const char *const *names = input->scope->listed_fields;

	return some_fields(act_value_row_fields(row), names, names == NULL ? 0 : INT_MAX, wanted, input);
}

/*
 * The match fields as an object, all of them: of rows that send no fields,
 * too.  Some of them alone would be true of more records than the row's own.
 */
Value
act_value_match_fields(const Row *row, TemplateInput *input)
{
	const ConnectorScope *scope = input->scope;

	if (row == NULL || scope->nmatch == 0 || row->fields == NULL)
		return (Value) {VALUE_MISSING};
	for (int i = 0; i < scope->nmatch; i++)
	{
		char	   *name[2] = {scope->match_names[i], NULL};

		if (act_value_member(row->fields, name).kind == VALUE_MISSING)
			return (Value) {VALUE_MISSING};
	}
	return some_fields(row->fields, (const char *const *) scope->match_names, scope->nmatch, true, input);
}

/* Of one match field the value; of several, an object. */
static Value
match_value(const Row *row, TemplateInput *input)
{
	const ConnectorScope *scope = input->scope;
	char	   *field[2] = {NULL, NULL};

	if (scope->nmatch == 0)
		return (Value) {VALUE_MISSING};
	if (scope->nmatch > 1)
		return act_value_match_fields(row, input);
	field[0] = scope->match_names[0];
	return act_value_member(row->fields, field);
}

static Value
match_field(const Row *row, const char *name, const ConnectorScope *scope)
{
	char	   *field[2] = {unconstify(char *, name), NULL};

	for (int i = 0; i < scope->nmatch; i++)
	{
		if (strcmp(scope->match_names[i], name) == 0)
			return act_value_member(row->fields, field);
	}
	return (Value) {VALUE_MISSING};
}

static Value
time_value(int64 ms, TemplateInput *input)
{
	if (ms == 0)
		return (Value) {VALUE_MISSING};
	begin_buffer(&input->built);
	act_time_append_ms(&input->built, ms);
	return (Value) {VALUE_PLAIN, input->built.data, input->built.len};
}

static Value
resolve_field(const Expression *expression, const TemplateInput *input)
{
	const ScopeField *field = input->field;

	if (field == NULL)
		return (Value) {VALUE_MISSING};
	switch (expression->path)
	{
		case PATH_FIELD_NAME:
			return text_value(field->name);
		case PATH_FIELD_TYPE:
			return text_value(field->type);
		case PATH_FIELD_IS_MATCH:
			return json_value(field->is_match ? "true" : "false");
		default:
			return json_value(field->document);
	}
}

static Value
resolve_row(const Expression *expression, TemplateInput *input)
{
	const ConnectorScope *scope = input->scope;
	const Row  *row = input->row;
	char	   *column[2] = {unconstify(char *, expression->name), NULL};

	if (row == NULL)
		return (Value) {VALUE_MISSING};
	switch (expression->path)
	{
		case PATH_ROW_OP:
			return (Value) {VALUE_PLAIN, act_row_op_sent_name(row->op), strlen(act_row_op_sent_name(row->op))};
		case PATH_ROW_KEY:
			return json_value(row->key);
		case PATH_ROW_KEY_COLUMN:
			return act_value_member(row->key, column);
		case PATH_ROW_FIELDS:
			if (scope->match_is_id)
				return some_fields(act_value_row_fields(row), (const char *const *) scope->match_names, scope->nmatch,
								   false, input);
			return json_value(act_value_row_fields(row));
		case PATH_ROW_FIELD:
			return act_value_member(act_value_row_fields(row), expression->fields);
		case PATH_ROW_REST:
			return some_fields(act_value_row_fields(row), (const char *const *) scope->match_names, scope->nmatch,
							   false, input);
		case PATH_ROW_LISTED:
			return listed_fields(row, true, input);
		case PATH_ROW_UNLISTED:
			return listed_fields(row, false, input);
		case PATH_ROW_MATCH:
			return match_value(row, input);
		case PATH_ROW_MATCH_FIELD:
			return match_field(row, expression->name, scope);
		case PATH_ROW_MATCHED:
			return act_value_match_fields(row, input);
		case PATH_ROW_EXTERNAL_ID:
			return text_value(row->external_id);
		case PATH_ROW_REMEMBERED:
			return json_value(named_text(row->remembered, expression->name));
		case PATH_ROW_FOUND:
			return json_value(named_text(row->found, expression->name));
		case PATH_ROW_REF:
			snprintf(input->scratch, sizeof(input->scratch), "r%d", input->row_index);
			return (Value) {VALUE_PLAIN, input->scratch, strlen(input->scratch)};
		default:
			return uuid_value(row->change_id, input->scratch);
	}
}

/* The digest of the batch, in scratch; false: there are no rows. */
static bool
write_digest(TemplateInput *input)
{
	if (input->unit_id != NULL)
		append_hex(input->unit_id, ACT_DIGEST_LEN, input->scratch);
	else if (input->nrows == 0)
		return false;
	else
		act_template_batch_digest(input->rows, input->nrows, input->scratch);
	return true;
}

static Value
resolve_batch(const Expression *expression, TemplateInput *input)
{
	switch (expression->path)
	{
		case PATH_BATCH_SIZE:
			snprintf(input->scratch, sizeof(input->scratch), "%d", input->nrows);
			return json_value(input->scratch);
		case PATH_BATCH_BY:
			return json_value(input->scope->batch_by);
		case PATH_BATCH_FIELDS:
			snprintf(input->scratch, sizeof(input->scratch), "%d", list_length(input->scope->fields));
			return json_value(input->scratch);
		default:
			if (!write_digest(input))
				return (Value) {VALUE_MISSING};
			return (Value) {VALUE_PLAIN, input->scratch, ACT_BATCH_DIGEST_LEN};
	}
}

static void
append_time(StringInfo buf, TemplateInput *input, bool day_only)
{
	StringInfoData time;

	initStringInfo(&time);
	act_time_append_ms(&time, input->scope->run_started_ms);
	if (day_only)
		appendBinaryStringInfo(buf, time.data, (int) strcspn(time.data, "T"));
	for (const char *c = time.data; !day_only && *c != '\0' && *c != '.'; c++)
	{
		if (*c != '-' && *c != ':')
			appendStringInfoChar(buf, *c);
	}
	if (!day_only)
		appendStringInfoChar(buf, 'Z');
}

/* The object as the name of a file: with <date>, <time>, <run> and <batch> filled in. */
static Value
file_value(TemplateInput *input)
{
	static const char *const names[] = {"<date>", "<time>", "<run>", "<batch>"};
	const char *at = input->scope->object;
	StringInfoData buf;

	if (at == NULL)
		return (Value) {VALUE_MISSING};
	initStringInfo(&buf);
	while (*at != '\0')
	{
		int			n = 0;

		while (n < lengthof(names) && strncmp(at, names[n], strlen(names[n])) != 0)
			n++;
		if (n == lengthof(names))
		{
			appendStringInfoChar(&buf, *at++);
			continue;
		}
		at += strlen(names[n]);
		if (n < 2)
			append_time(&buf, input, n == 0);
		else if (n == 2)
			appendStringInfo(&buf, INT64_FORMAT, input->scope->run_id);
		else if (write_digest(input))
			appendStringInfoString(&buf, input->scratch);
		else
			return (Value) {VALUE_MISSING};
	}
	return text_value(buf.data);
}

Value
act_value_resolve(const Expression *expression, TemplateInput *input)
{
	const ConnectorScope *scope = input->scope;

	switch (expression->path)
	{
		case PATH_SYNC_NAME:
			return text_value(scope->sync_name);
		case PATH_SYNC_OBJECT:
			return text_value(scope->object);
		case PATH_SYNC_FILE:
			return file_value(input);
		case PATH_SYNC_MATCH:
			return text_value(scope->match);
		case PATH_OBJECT:
			return text_value(named_text(scope->object_parts, expression->name));
		case PATH_RUN_ID:
			snprintf(input->scratch, sizeof(input->scratch), INT64_FORMAT, scope->run_id);
			return json_value(input->scratch);
		case PATH_RUN_STARTED_AT:
			return time_value(scope->run_started_ms, input);
		case PATH_NOW:
			return time_value(scope->now_ms, input);
		case PATH_BATCH_DIGEST:
		case PATH_BATCH_SIZE:
		case PATH_BATCH_BY:
		case PATH_BATCH_FIELDS:
			return resolve_batch(expression, input);
		case PATH_OPTION:
			return text_value(act_value_option(expression, scope));
		case PATH_TOKEN:
			return text_value(named_text(scope->token, expression->name));
		case PATH_SAVED:
			return text_value(named_text(scope->saved, expression->name));
		case PATH_FIELD_NAME:
		case PATH_FIELD_TYPE:
		case PATH_FIELD_IS_MATCH:
		case PATH_FIELD_DOCUMENT:
			return resolve_field(expression, input);
		case PATH_VALUE:
			return input->value == NULL ? (Value) {VALUE_MISSING} :
				(Value) {VALUE_JSON, input->value, input->value_len};
		case PATH_SECRET:
			return text_value(scope->secret(scope->arg, expression->name));
		case PATH_MESSAGE_ID:
		case PATH_MESSAGE_TIME:
		case PATH_MESSAGE_BODY:
		case PATH_MESSAGE_SIGNATURE:
			return resolve_message(expression, input);
		default:
			return resolve_row(expression, input);
	}
}

bool
act_value_comes_later(const Expression *expression)
{
	switch (expression->path)
	{
		case PATH_ROW_EXTERNAL_ID:
		case PATH_ROW_REMEMBERED:
		case PATH_ROW_FOUND:
		case PATH_BATCH_BY:
		case PATH_NOW:
		case PATH_TOKEN:
		case PATH_SAVED:
			return true;
		default:
			return false;
	}
}

static Value
resolve_message(const Expression *expression, const TemplateInput *input)
{
	const TemplateMessage *message = input->message;

	if (message == NULL)
		return (Value) {VALUE_MISSING};
	switch (expression->path)
	{
		case PATH_MESSAGE_ID:
			return text_value(message->id);
		case PATH_MESSAGE_TIME:
			return text_value(message->time);
		case PATH_MESSAGE_BODY:
			return (Value) {VALUE_TEXT, message->body, message->body_len};
		case PATH_MESSAGE_SIGNATURE:
			if (message->signature == NULL)
				return (Value) {VALUE_MISSING};
			return (Value) {VALUE_TEXT, (const char *) message->signature, message->signature_len};
		default:
			return (Value) {VALUE_MISSING};
	}
}

void
act_template_batch_digest(Row *const *rows, int nrows, char *digest)
{
	unsigned char hash[EVP_MAX_MD_SIZE];
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool		ok = context != NULL && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1;

	for (int i = 0; i < nrows && ok; i++)
		ok = EVP_DigestUpdate(context, rows[i]->change_id, ACT_DIGEST_LEN) == 1;
	ok = ok && EVP_DigestFinal_ex(context, hash, NULL) == 1;
	EVP_MD_CTX_free(context);
	if (!ok)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("SHA-256 is not available")));
	append_hex(hash, ACT_BATCH_DIGEST_LEN / 2, digest);
}

bool
act_filter_chain_apply(const FilterChain *chain, const char *value, size_t len, StringInfo out)
{
	TemplateInput input = {.value = value,.value_len = len};
	Value		result;
	bool		done = act_value_of(chain, &input, &result) == TEMPLATE_DONE;

	if (done && chain->makes_bytes && result.kind == VALUE_TEXT)
	{
		act_utf8_append(&input.to, result.data, result.len);
		act_json_append_string(out, input.to.data, input.to.len);
	}
	else if (done)
		act_value_put_json(out, &result);
	if (input.from.data != NULL)
	{
		pfree(input.from.data);
		pfree(input.to.data);
	}
	return done;
}
