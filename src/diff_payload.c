/*-------------------------------------------------------------------------
 *
 * diff_payload.c
 *	  The payload of a row that the diff sends: all of it, or the fields that
 *	  differ from what the destination accepted.
 *
 * Called by diff_receiver.c for the row of a key, in the memory context of
 * that key.  What was accepted is known by a digest of each field (option
 * changed_fields_only) or in full (keep_payload); without either nothing here
 * costs anything.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "change_id.h"
#include "diff_private.h"
#include "field_hash.h"
#include "json_text.h"
#include "payload.h"

/* What a request can carry at most; PostgreSQL itself ends at 1 GB. */
#define MAX_FIELDS_BYTES (256 * 1024 * 1024)

/* Fields of earlier mappings that are counted; the owner can write what was kept. */
#define MAX_GONE_FIELDS 1600

/* A field of the payload that was accepted. */
typedef struct OldField
{
	JsonMember	member;
	bool		met;			/* the new payload has it, too */
} OldField;

/* The new payload against what the destination has. */
typedef struct Comparison
{
	const Payload *payload;
	bool		hashed;			/* by digests: hash_differs is set */
	bool	   *hash_differs;	/* by field of the payload */
	bool		kept;			/* by the payload accepted last: the rest is set */
	int		   *old_of;			/* by field of the payload; -1: the old one has no such field */
	int			nold;
	OldField   *old;
} Comparison;

/* ---------------------------------------------------------- what was accepted */

static void
compare_hashes(Comparison *comparison, const DiffState *state, TupleTableSlot *slot)
{
	const Payload *payload = comparison->payload;
	FieldHashes hashes;
	bool		isnull;
	Datum		value = act_diff_value(state, slot, DIFF_FIELD_HASHES, &isnull);
	text	   *digits;

	if (isnull)
		return;
	digits = DatumGetTextPP(value);
	if (!act_field_hashes_read(VARDATA_ANY(digits), VARSIZE_ANY_EXHDR(digits), &hashes))
		return;
	comparison->hashed = true;
	comparison->hash_differs = palloc(sizeof(bool) * Max(payload->nfields, 1));
	for (int i = 0; i < payload->nfields; i++)
	{
		const PayloadField *field = &payload->fields[i];

		comparison->hash_differs[i] = !act_field_hashes_hold(&hashes, payload->json.data + field->start,
															 field->end - field->start);
	}
}

static void
read_old_fields(Comparison *comparison, const char *json)
{
	const char *next = json;
	const char *end = json + strlen(json);
	int			room = 16;
	JsonMember	member;

	comparison->old = palloc(sizeof(OldField) * room);
	while (act_json_next_member(&next, end, &member))
	{
		if (comparison->nold == room)
		{
			room *= 2;
			comparison->old = repalloc(comparison->old, sizeof(OldField) * room);
		}
		comparison->old[comparison->nold++] = (OldField) {.member = member};
	}
}

static bool
is_named(const JsonMember *member, const MappingNode *node)
{
	size_t		len = strlen(node->prefix) - 1;	/* without the colon */

	return member->name_len == len && memcmp(member->name, node->prefix, len) == 0;
}

/* Most often it is the one after the last that was found. */
static int
find_old_field(const Comparison *comparison, const MappingNode *node, int hint)
{
	for (int i = 0; i < comparison->nold; i++)
	{
		int			at = (hint + i) % comparison->nold;

		if (is_named(&comparison->old[at].member, node))
			return at;
	}
	return -1;
}

static void
compare_payloads(Comparison *comparison, const DiffState *state, TupleTableSlot *slot)
{
	const Payload *payload = comparison->payload;
	bool		isnull;
	Datum		value = act_diff_value(state, slot, DIFF_PAYLOAD, &isnull);
	char	   *json;
	int			hint = 0;

	if (isnull)
		return;
	json = TextDatumGetCString(value);
	read_old_fields(comparison, pg_server_to_any(json, strlen(json), PG_UTF8));
	comparison->kept = true;
	comparison->old_of = palloc(sizeof(int) * Max(payload->nfields, 1));
	for (int i = 0; i < payload->nfields; i++)
	{
		int			at = find_old_field(comparison, payload->fields[i].node, hint);

		comparison->old_of[i] = at;
		if (at < 0)
			continue;
		comparison->old[at].met = true;
		hint = at + 1;
	}
}

/* The value of a field, without the blanks that a json value may have around it. */
static void
new_value(const Payload *payload, int i, const char **value, size_t *len)
{
	const char *start = payload->json.data + payload->fields[i].value;
	const char *end = payload->json.data + payload->fields[i].end;

	while (start < end && strchr(" \t\r\n", *start) != NULL)
		start++;
	while (end > start && strchr(" \t\r\n", end[-1]) != NULL)
		end--;
	*value = start;
	*len = end - start;
}

static bool
differs(const Comparison *comparison, int i)
{
	const JsonMember *old;
	const char *value;
	size_t		len;

	if (!comparison->kept)
		return comparison->hash_differs[i];
	if (comparison->old_of[i] < 0)
		return true;
	old = &comparison->old[comparison->old_of[i]].member;
	new_value(comparison->payload, i, &value, &len);
	return len != old->value_len || memcmp(value, old->value, len) != 0;
}

/* A field that only an insert sends stays as it was. */
static bool
is_set_once(const Comparison *comparison, const OldField *old)
{
	const MappingNode *root = comparison->payload->mapping->root;

	for (int i = 0; i < root->nchildren; i++)
	{
		if (root->children[i]->on == ON_INSERT && is_named(&old->member, root->children[i]))
			return true;
	}
	return false;
}

static bool
is_gone(const Comparison *comparison, const OldField *old)
{
	return !old->met && !is_set_once(comparison, old);
}

/* -------------------------------------------------------------- what is sent */

static bool
is_match(const Sync *sync, const MappingNode *node)
{
	for (int i = 0; i < sync->nmatch; i++)
	{
		if (strcmp(sync->match[i], node->member) == 0)
			return true;
	}
	return false;
}

/* Match fields and those that differ; all where none does. */
static char *
differing_fields(const Comparison *comparison, const Sync *sync)
{
	const Payload *payload = comparison->payload;
	StringInfoData buf;
	bool		any = false;

	initStringInfo(&buf);
	appendStringInfoChar(&buf, '{');
	for (int i = 0; i < payload->nfields; i++)
	{
		const PayloadField *field = &payload->fields[i];

		if (!comparison->hash_differs[i] && !is_match(sync, field->node))
			continue;
		any = any || comparison->hash_differs[i];
		if (buf.len > 1)
			appendStringInfoChar(&buf, ',');
		appendBinaryStringInfo(&buf, payload->json.data + field->start, field->end - field->start);
	}
	appendStringInfoChar(&buf, '}');
	return any ? buf.data : payload->json.data;
}

static char *
field_hashes(const Payload *payload)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < payload->nfields; i++)
		act_field_hash_append(&buf, payload->json.data + payload->fields[i].start,
							  payload->fields[i].end - payload->fields[i].start);
	return buf.data;
}

/* All that the record has then, what an insert set, too; NULL: that is what is sent. */
static char *
whole_payload(const Comparison *comparison, const Row *row)
{
	StringInfoData buf;
	bool		any = false;

	for (int i = 0; i < comparison->nold && !any; i++)
		any = !comparison->old[i].met && is_set_once(comparison, &comparison->old[i]);
	if (!any)
		return row->fields == comparison->payload->json.data ? NULL : comparison->payload->json.data;

	initStringInfo(&buf);
	appendBinaryStringInfo(&buf, comparison->payload->json.data, comparison->payload->json.len - 1);
	for (int i = 0; i < comparison->nold; i++)
	{
		const OldField *old = &comparison->old[i];

		if (old->met || !is_set_once(comparison, old))
			continue;
		if (buf.len > 1)
			appendStringInfoChar(&buf, ',');
		appendBinaryStringInfo(&buf, old->member.name, old->member.name_len);
		appendStringInfoChar(&buf, ':');
		appendBinaryStringInfo(&buf, old->member.value, old->member.value_len);
	}
	appendStringInfoChar(&buf, '}');
	return buf.data;
}

/* ---------------------------------------------------------------- what is told */

static void
append_change(StringInfo buf, const char *name, size_t name_len, const JsonMember *old,
			  const char *new, size_t new_len)
{
	if (buf->len > 1)
		appendStringInfoChar(buf, ',');
	appendBinaryStringInfo(buf, name, name_len);
	appendStringInfoString(buf, ":{");
	if (old != NULL)
	{
		appendStringInfoString(buf, "\"old\":");
		appendBinaryStringInfo(buf, old->value, old->value_len);
	}
	if (new != NULL)
	{
		appendStringInfo(buf, "%s\"new\":", old != NULL ? "," : "");
		appendBinaryStringInfo(buf, new, new_len);
	}
	appendStringInfoChar(buf, '}');
}

/* {"field": {"old": .., "new": ..}} */
static char *
changes(const Comparison *comparison)
{
	const Payload *payload = comparison->payload;
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfoChar(&buf, '{');
	for (int i = 0; i < payload->nfields; i++)
	{
		const char *prefix = payload->fields[i].node->prefix;
		const char *value;
		size_t		len;

		if (!differs(comparison, i))
			continue;
		new_value(payload, i, &value, &len);
		append_change(&buf, prefix, strlen(prefix) - 1,
					  comparison->kept && comparison->old_of[i] >= 0 ?
					  &comparison->old[comparison->old_of[i]].member : NULL, value, len);
	}
	for (int i = 0; i < comparison->nold; i++)
	{
		const JsonMember *old = &comparison->old[i].member;

		if (is_gone(comparison, &comparison->old[i]))
			append_change(&buf, old->name, old->name_len, old, NULL, 0);
	}
	appendStringInfoChar(&buf, '}');
	return buf.data;
}

static void
count_field(DiffState *state, const char *name, size_t len, int *hint)
{
	Diff	   *diff = state->diff;
	int			count = list_length(diff->fields);
	MemoryContext caller;
	FieldChanges *field;

	for (int i = 0; i < count; i++)
	{
		field = list_nth(diff->fields, (*hint + i) % count);
		if (strlen(field->name) != len || memcmp(field->name, name, len) != 0)
			continue;
		field->rows++;
		*hint = (*hint + i + 1) % count;
		return;
	}
	if (count >= MAX_GONE_FIELDS + act_mapping_nfields(state->model->mapping))
		return;
	caller = MemoryContextSwitchTo(state->seen.context);
	field = palloc(sizeof(FieldChanges));
	field->name = pnstrdup(name, len);
	field->rows = 1;
	diff->fields = lappend(diff->fields, field);
	MemoryContextSwitchTo(caller);
}

static void
count_changes(DiffState *state, const Comparison *comparison)
{
	const Payload *payload = comparison->payload;
	int			hint = 0;

	for (int i = 0; i < payload->nfields; i++)
	{
		const char *prefix = payload->fields[i].node->prefix;

		if (differs(comparison, i))
			count_field(state, prefix, strlen(prefix) - 1, &hint);
	}
	for (int i = 0; i < comparison->nold; i++)
	{
		const JsonMember *old = &comparison->old[i].member;

		if (is_gone(comparison, &comparison->old[i]))
			count_field(state, old->name, old->name_len, &hint);
	}
}

/* ------------------------------------------------------------------- the row */

bool
act_diff_keeps_fields(const DiffState *state)
{
	const SyncOptions *options = &state->model->sync->options;

	return options->changed_fields_only || options->keep_payload;
}

static void
compare(DiffState *state, TupleTableSlot *slot, const RowState *row_state, const Payload *payload)
{
	const Sync *sync = state->model->sync;
	Row		   *row = state->group_row;
	Comparison	comparison = {.payload = payload};
	bool		certain = row_state->there && !row_state->in_doubt && row_state->has_fingerprint;
	bool		updates = !payload->insert && (row->op == ROW_OP_UPSERT || row->op == ROW_OP_UPDATE);

	if (!payload->insert && sync->options.changed_fields_only && certain)
		compare_hashes(&comparison, state, slot);
	if (!payload->insert && sync->options.keep_payload && row_state->there)
		compare_payloads(&comparison, state, slot);

	if (updates && comparison.hashed)
		row->fields = differing_fields(&comparison, sync);
	else if (updates && sync->options.changed_fields_only)
	{
		/* Tried before with some of its fields, maybe: not what that change_id stands for. */
		act_change_id_new(row->change_id);
	}
	if (sync->options.changed_fields_only)
		row->field_hashes = field_hashes(payload);
	if (sync->options.keep_payload)
		row->payload = whole_payload(&comparison, row);
	if (state->preview && row->cause == ROW_CHANGED && (comparison.hashed || comparison.kept))
	{
		row->changed = changes(&comparison);
		count_changes(state, &comparison);
	}
}

/* Modes that only insert or only update say what the row is; else what is there. */
static bool
is_insert(const Sync *sync, const RowState *row_state)
{
	switch (sync->mode)
	{
		case MODE_INSERT:
		case MODE_APPEND:
			return true;
		case MODE_UPDATE:
			return false;
		default:
			return !row_state->there;
	}
}

void
act_diff_payload(DiffState *state, TupleTableSlot *slot, const RowState *row_state)
{
	const Model *model = state->model;
	int			nkeys = model->sync->nkeys;
	Payload		payload = {
		.mapping = model->mapping,
		.types = model->leaf_values,
		.values = slot->tts_values + nkeys,
		.nulls = slot->tts_isnull + nkeys,
		.insert = is_insert(model->sync, row_state),
		.waits = state->reference_nonce[0] == '\0' ? NULL : state->reference_nonce
	};

	if (act_diff_keeps_fields(state))
		payload.fields = palloc(sizeof(PayloadField) * Max(act_mapping_nfields(model->mapping), 1));
	act_payload_render(&payload);
	state->group_row->fields = payload.json.data;
	if (payload.code != NULL)
	{
		state->group_code = payload.code;
		state->group_problem = payload.problem;
	}
	else if (payload.json.len > MAX_FIELDS_BYTES)
	{
		state->group_code = "size";
		state->group_problem = psprintf("the row takes %d MB as JSON, at most %d can be sent",
										payload.json.len / (1024 * 1024), MAX_FIELDS_BYTES / (1024 * 1024));
	}
	else if (payload.fields != NULL)
		compare(state, slot, row_state, &payload);
}

/* ------------------------------------------------------------------- the key */

const char *
act_diff_render_key(const DiffState *state, TupleTableSlot *slot, StringInfo buf)
{
	const char *problem = NULL;

	appendStringInfoChar(buf, '{');
	for (int i = 0; i < state->model->sync->nkeys; i++)
	{
		const char *why;
		int			start;

		appendStringInfo(buf, "%s%s: ", i > 0 ? ", " : "", state->key_names[i]);
		start = buf->len;
		why = act_value_append_json(buf, state->key_values[i], slot->tts_values[i], slot->tts_isnull[i]);
		if (why != NULL)
		{
			problem = problem ? problem : why;
			buf->len = start;
			buf->data[start] = '\0';
			appendStringInfoString(buf, "null");
		}
	}
	appendStringInfoChar(buf, '}');
	return problem;
}
