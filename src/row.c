/*-------------------------------------------------------------------------
 *
 * row.c
 *	  The names and the few properties of operations and outcomes.
 *
 * One table each: a new operation or outcome is one line here.  Nothing
 * throws; only copies of rows and their named values are allocated.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "http.h"
#include "json_text.h"
#include "row.h"

typedef struct OpProperties
{
	const char *name;
	bool		has_fields;
	bool		removes;
	bool		keeps;			/* of those that remove: the record stays and is known by its id */
} OpProperties;

static const OpProperties ops[] = {
	[ROW_OP_NONE] = {"none", false, false},
	[ROW_OP_INSERT] = {"insert", true, false},
	[ROW_OP_UPDATE] = {"update", true, false},
	[ROW_OP_UPSERT] = {"upsert", true, false},
	[ROW_OP_DELETE] = {"delete", false, true},
	[ROW_OP_ARCHIVE] = {"archive", false, true, true},
	[ROW_OP_CLEAR] = {"clear", true, true, true},
	[ROW_OP_ADD] = {"add", true, false},
	[ROW_OP_REMOVE] = {"remove", false, true},
	[ROW_OP_UPDATE_REMOVED] = {"update_removed", true, true, true},
	[ROW_OP_REPLACE] = {"replace", true, false},
	[ROW_OP_REPLACE_REMOVED] = {"replace_removed", false, true},
};

StaticAssertDecl(lengthof(ops) == ROW_OP_COUNT, "every operation has its properties");

const char *
act_row_op_name(RowOp op)
{
	return ops[op].name;
}

RowOp
act_row_op_parse(const char *name)
{
	for (int i = ROW_OP_NONE + 1; i < ROW_OP_COUNT; i++)
	{
		if (strcmp(ops[i].name, name) == 0)
			return (RowOp) i;
	}
	return ROW_OP_NONE;
}

RowOp
act_row_op_sent(RowOp op)
{
	switch (op)
	{
		case ROW_OP_UPDATE_REMOVED:
			return ROW_OP_UPDATE;
		case ROW_OP_REPLACE_REMOVED:
			return ROW_OP_REPLACE;
		default:
			return op;
	}
}

const char *
act_row_op_sent_name(RowOp op)
{
	return ops[act_row_op_sent(op)].name;
}

bool
act_row_op_has_fields(RowOp op)
{
	return ops[op].has_fields;
}

bool
act_row_op_removes(RowOp op)
{
	return ops[op].removes;
}

bool
act_row_op_keeps(RowOp op)
{
	return ops[op].keeps;
}

List *
act_row_values_copy(const List *values)
{
	List	   *copies = NIL;
	ListCell   *cell;

	foreach(cell, values)
	{
		const HttpHeader *value = lfirst(cell);
		HttpHeader *copy = palloc(sizeof(HttpHeader));

		copy->name = pstrdup(value->name);
		copy->value = pstrdup(value->value);
		copies = lappend(copies, copy);
	}
	return copies;
}

List *
act_row_values_over(List *values, List *more)
{
	List	   *all = NIL;
	ListCell   *cell;
	ListCell   *other;

	foreach(cell, values)
	{
		const char *name = ((HttpHeader *) lfirst(cell))->name;
		bool		replaced = false;

		foreach(other, more)
			replaced = replaced || strcmp(((HttpHeader *) lfirst(other))->name, name) == 0;
		if (!replaced)
			all = lappend(all, lfirst(cell));
	}
	foreach(other, more)
		all = lappend(all, lfirst(other));
	return all;
}

char *
act_row_values_json(const List *values)
{
	StringInfoData json;
	ListCell   *cell;

	if (values == NIL)
		return NULL;
	initStringInfo(&json);
	foreach(cell, values)
	{
		const HttpHeader *value = lfirst(cell);

		appendStringInfoString(&json, json.len > 0 ? ", " : "{");
		act_json_append_string(&json, value->name, strlen(value->name));
		appendStringInfo(&json, ": %s", value->value);
	}
	appendStringInfoChar(&json, '}');
	return json.data;
}

List *
act_row_values_parse(const char *object)
{
	const char *next = object;
	const char *end = object == NULL ? NULL : object + strlen(object);
	List	   *values = NIL;
	JsonMember	member;

	while (object != NULL && act_json_next_member(&next, end, &member))
	{
		HttpHeader *value = palloc(sizeof(HttpHeader));
		StringInfoData name;

		initStringInfo(&name);
		act_json_append_unescaped(&name, member.name, member.name_len);
		value->name = name.data;
		value->value = pnstrdup(member.value, member.value_len);
		values = lappend(values, value);
	}
	return values;
}

Row *
act_row_copy(const Row *row)
{
	static const size_t strings[] = {
		offsetof(Row, key), offsetof(Row, fields), offsetof(Row, payload), offsetof(Row, changed),
		offsetof(Row, field_hashes), offsetof(Row, external_id), offsetof(Row, code),
		offsetof(Row, message), offsetof(Row, new_external_id)
	};
	Row		   *copy = memcpy(palloc(sizeof(Row)), row, sizeof(Row));

	for (int i = 0; i < lengthof(strings); i++)
	{
		char	  **string = (char **) ((char *) copy + strings[i]);

		*string = *string ? pstrdup(*string) : NULL;
	}
	copy->remembered = act_row_values_copy(row->remembered);
	copy->found = act_row_values_copy(row->found);
	copy->new_remembered = act_row_values_copy(row->new_remembered);
	copy->key_values = palloc0(sizeof(char *) * row->nkeys);
	for (int i = 0; i < row->nkeys; i++)
		copy->key_values[i] = row->key_values[i] ? pstrdup(row->key_values[i]) : NULL;
	return copy;
}
