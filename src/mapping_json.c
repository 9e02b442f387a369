/*-------------------------------------------------------------------------
 *
 * mapping_json.c
 *	  A mapping written as a JSON object.
 *
 * Read with PostgreSQL's own scanner for JSON, as text: the order of members
 * is kept, a member given twice is an error, and numbers never become
 * doubles.  A string is an SQL expression, parsed alone, so that no value
 * can reach into the next.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/jsonapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"

#include "compat.h"
#include "mapping.h"
#include "nearest.h"
#include "sql_text.h"

#define EXPRESSION_PREFIX "SELECT NULL, "

typedef struct JsonReader
{
	JsonLexContext *lex;
	List	   *labels;			/* of char *: the way to where we are */
	List	   *expressions;	/* of char *: of the leaves so far */
} JsonReader;

static MappingNode *read_value(JsonReader *reader, const char *member);

static void
next_token(JsonReader *reader)
{
	JsonParseErrorType result = json_lex(reader->lex);

	if (result != JSON_SUCCESS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("the mapping is not valid JSON"),
				 errdetail_internal("%s", json_errdetail(result, reader->lex)),
				 errhint("Text that starts with { is read as JSON: {\"field\": \"expression\"}.")));
}

static void
expect(JsonReader *reader, bool there, const char *what)
{
	JsonLexContext *lex = reader->lex;

	if (there)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
			 errmsg("the mapping is not valid JSON"),
			 lex->token_type == JSON_TOKEN_END ?
			 errdetail("Expected %s, but the text ended.", what) :
			 errdetail("Expected %s, but found \"%s\".", what,
					   pnstrdup(lex->token_start, lex->token_terminator - lex->token_start)),
			 errhint("Text that starts with { is read as JSON: {\"field\": \"expression\"}.")));
}

static char *
label(const JsonReader *reader)
{
	StringInfoData buf;
	ListCell   *cell;

	initStringInfo(&buf);
	foreach(cell, reader->labels)
	{
		if (buf.len > 0)
			appendStringInfoChar(&buf, '.');
		appendStringInfoString(&buf, lfirst(cell));
	}
	return buf.data;
}

static char *
name_expression(void *arg, int offset)
{
	return psprintf("mapping field \"%s\"", label(arg));
}

static void
refuse_expression(JsonReader *reader, const char *problem, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_SYNTAX_ERROR),
			 errmsg("mapping field \"%s\": %s", label(reader), problem),
			 errdetail("Strings in a mapping are SQL expressions."),
			 errhint("%s", hint)));
}

/* One expression and nothing else: no name, no second one, no clause. */
static void
check_expression(JsonReader *reader, const char *text)
{
	SqlOrigin	origin = {
		.sql = psprintf(EXPRESSION_PREFIX "%s\n", text),
		.start = strlen(EXPRESSION_PREFIX),
		.text = text,
		.name_part = name_expression,
		.arg = reader,
		.hint = "Strings in a mapping are SQL expressions; a text constant has quotes of its own: \"'warehouse'\"."
	};
	List	   *statements;
	SelectStmt *select;
	ResTarget  *target;

	if (text[strspn(text, " \t\r\n\f")] == '\0')
		refuse_expression(reader, "the expression is empty",
						  "For an empty text write \"''\", for no value \"NULL\".");
	statements = act_sql_text_parse(&origin);
	if (list_length(statements) != 1)
		refuse_expression(reader, "several statements", "Leave out the semicolon and what follows it.");
	select = castNode(SelectStmt, linitial_node(RawStmt, statements)->stmt);
	if (select->op != SETOP_NONE || select->intoClause != NULL || select->fromClause != NIL ||
		select->whereClause != NULL || select->groupClause != NIL || select->havingClause != NULL ||
		select->windowClause != NIL || select->sortClause != NIL || select->limitOffset != NULL ||
		select->limitCount != NULL || select->lockingClause != NIL)
		refuse_expression(reader, "more than an expression",
						  "Leave out FROM and all that follows, or put a subquery in parentheses.");
	if (list_length(select->targetList) != 2)
		refuse_expression(reader, "several expressions",
						  "Give each a field of its own, or use a JSON array of strings.");
	target = llast_node(ResTarget, select->targetList);
	if (target->name != NULL)
		refuse_expression(reader, psprintf("the name \"%s\" has no place here", target->name),
						  "In JSON the member is the field's name: leave out AS.");
	if (IsA(target->val, ColumnRef) && IsA(llast(((ColumnRef *) target->val)->fields), A_Star))
		refuse_expression(reader, "* stands for several columns", "Name one column.");
}

static MappingNode *
read_leaf(JsonReader *reader, const char *member, char *text)
{
	MappingNode *node = act_mapping_node(NODE_LEAF, member);

	check_expression(reader, text);
	node->leaf = list_length(reader->expressions);
	reader->expressions = lappend(reader->expressions, text);
	return node;
}

/* ----------------------------------------------------------------
 *		{"$sql": "phone", "$on": "insert"}: a field with a policy
 * ----------------------------------------------------------------
 */

#define POLICY_EXAMPLE "{\"field\": {\"$sql\": \"expression\", \"$null\": \"omit\"}}"

typedef enum PolicyMember
{
	POLICY_SQL,
	POLICY_ON,
	POLICY_NULL,
	POLICY_REQUIRED
} PolicyMember;

static const char *const policy_members[] = {"$sql", "$on", "$null", "$required", NULL};
static const char *const on_choices[] = {
	[ON_ALWAYS] = "always", [ON_INSERT] = "insert", [ON_UPDATE] = "update", NULL
};
static const char *const null_choices[] = {
	[NULL_SEND] = "send", [NULL_OMIT] = "omit", [NULL_EMPTY] = "empty", NULL
};

static void
refuse_policy(const JsonReader *reader, const char *problem, const char *detail, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%s: %s", reader->labels == NIL ? "mapping" :
					psprintf("mapping field \"%s\"", label(reader)), problem),
			 errdetail("%s", detail),
			 errhint("%s", hint)));
}

static PolicyMember
find_policy_member(const JsonReader *reader, const char *member)
{
	const char *nearest;

	for (int i = 0; policy_members[i] != NULL; i++)
	{
		if (strcmp(policy_members[i], member) == 0)
			return (PolicyMember) i;
	}
	if (member[0] != '$')
		refuse_policy(reader, psprintf("\"%s\" cannot stand beside members that begin with $", member),
					  "What has such members is one SQL expression and its policy.",
					  POLICY_EXAMPLE);
	nearest = act_nearest_name(member, policy_members);
	refuse_policy(reader, psprintf("unknown member \"%s\"", member),
				  "Members that begin with $ are kept for what a field's policy says.",
				  nearest ? psprintf("Perhaps you meant \"%s\".", nearest) :
				  "They are: $sql, $on, $null, $required.");
	return POLICY_SQL;
}

/* As position in a NULL-ended list of names. */
static int
read_choice(JsonReader *reader, PolicyMember member, const char *const *choices)
{
	JsonLexContext *lex = reader->lex;
	const char *value = NULL;
	const char *nearest;
	StringInfoData list;

	initStringInfo(&list);
	if (lex->token_type == JSON_TOKEN_STRING)
		value = lex->strval->data;
	for (int i = 0; choices[i] != NULL; i++)
	{
		if (value != NULL && strcmp(choices[i], value) == 0)
			return i;
		appendStringInfo(&list, "%s\"%s\"", i > 0 ? ", " : "", choices[i]);
	}
	nearest = value != NULL ? act_nearest_name(value, choices) : NULL;
	refuse_policy(reader,
				  value != NULL ? psprintf("\"%s\" cannot be \"%s\"", policy_members[member], value) :
				  psprintf("\"%s\" is no string", policy_members[member]),
				  psprintf("It is one of %s.", list.data),
				  nearest ? psprintf("Perhaps you meant \"%s\".", nearest) : POLICY_EXAMPLE);
	return 0;
}

static void
read_policy_value(JsonReader *reader, PolicyMember member, MappingNode *node, char **expression)
{
	JsonLexContext *lex = reader->lex;

	switch (member)
	{
		case POLICY_SQL:
			if (lex->token_type != JSON_TOKEN_STRING)
				refuse_policy(reader, "\"$sql\" is no string", "It is an SQL expression in a string.",
							  "A constant has no policy; write it alone: {\"field\": 1}.");
			*expression = pstrdup(lex->strval->data);
			break;
		case POLICY_ON:
			node->on = (FieldOn) read_choice(reader, member, on_choices);
			if (list_length(reader->labels) > 1)
				refuse_policy(reader, "\"$on\" is for top-level fields", "What a field holds is sent when the field is.",
							  "Leave it out here, or make it a field of its own.");
			break;
		case POLICY_NULL:
			node->null_given = (NullPolicy) read_choice(reader, member, null_choices);
			node->null_named = true;
			if (node->member == NULL && node->null_given == NULL_OMIT)
				refuse_policy(reader, "what is in an array cannot be omitted", "The elements after it would move.",
							  "\"$null\": \"send\" or \"empty\".");
			break;
		case POLICY_REQUIRED:
			if (lex->token_type != JSON_TOKEN_TRUE && lex->token_type != JSON_TOKEN_FALSE)
				refuse_policy(reader, "\"$required\" is neither true nor false", "With true a row whose value is null is invalid.",
							  "{\"field\": {\"$sql\": \"expression\", \"$required\": true}}");
			node->required = lex->token_type == JSON_TOKEN_TRUE;
			break;
	}
}

/* The rest of an object whose first member, the current token, begins with $. */
static MappingNode *
read_policy(JsonReader *reader, const char *member)
{
	MappingNode *node = act_mapping_node(NODE_LEAF, member);
	char	   *expression = NULL;
	bool		seen[lengthof(policy_members)] = {false};

	if (reader->labels == NIL)
		refuse_policy(reader, "a mapping has fields", "Members that begin with $ are a field's.", POLICY_EXAMPLE);
	for (;;)
	{
		PolicyMember what;

		expect(reader, reader->lex->token_type == JSON_TOKEN_STRING, "$sql, $on, $null or $required");
		what = find_policy_member(reader, reader->lex->strval->data);
		if (seen[what])
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_COLUMN),
					 errmsg("mapping field \"%s\" names \"%s\" twice", label(reader), policy_members[what]),
					 errhint("Leave one of them out.")));
		seen[what] = true;
		next_token(reader);
		expect(reader, reader->lex->token_type == JSON_TOKEN_COLON, "\":\"");
		next_token(reader);
		read_policy_value(reader, what, node, &expression);
		next_token(reader);
		if (reader->lex->token_type == JSON_TOKEN_OBJECT_END)
			break;
		expect(reader, reader->lex->token_type == JSON_TOKEN_COMMA, "\",\" or \"}\"");
		next_token(reader);
	}
	if (expression == NULL)
		refuse_policy(reader, "a policy without \"$sql\"", "It says when and how the value of an SQL expression is sent.",
					  POLICY_EXAMPLE);
	check_expression(reader, expression);
	node->leaf = list_length(reader->expressions);
	reader->expressions = lappend(reader->expressions, expression);
	next_token(reader);
	return node;
}

/* ---------------------------------------------------------------- */

static char *
read_member_name(JsonReader *reader, List *siblings)
{
	char	   *name;
	ListCell   *cell;

	expect(reader, reader->lex->token_type == JSON_TOKEN_STRING, "the name of a field");
	name = pstrdup(reader->lex->strval->data);
	if (name[0] == '$')
	{
		(void) find_policy_member(reader, name);
		refuse_policy(reader, psprintf("\"%s\" cannot stand beside fields", name),
					  "What has members that begin with $ is one SQL expression and its policy.",
					  POLICY_EXAMPLE);
	}
	foreach(cell, siblings)
	{
		if (strcmp(((MappingNode *) lfirst(cell))->member, name) == 0)
		{
			reader->labels = lappend(reader->labels, name);
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_COLUMN),
					 errmsg("mapping names field \"%s\" twice", label(reader)),
					 errhint("Leave one of them out, or give it another name.")));
		}
	}
	next_token(reader);
	expect(reader, reader->lex->token_type == JSON_TOKEN_COLON, "\":\"");
	next_token(reader);
	return name;
}

/* The rest of an object or array whose opening bracket was just read. */
static MappingNode *
read_container(JsonReader *reader, const char *member, bool is_object)
{
	MappingNode *node = act_mapping_node(is_object ? NODE_OBJECT : NODE_ARRAY, member);
	JsonTokenType end = is_object ? JSON_TOKEN_OBJECT_END : JSON_TOKEN_ARRAY_END;
	List	   *children = NIL;

	check_stack_depth();
	next_token(reader);
	if (is_object && reader->lex->token_type == JSON_TOKEN_STRING && reader->lex->strval->data[0] == '$')
		return read_policy(reader, member);
	while (reader->lex->token_type != end)
	{
		char	   *name = is_object ? read_member_name(reader, children) : NULL;

		reader->labels = lappend(reader->labels,
								 name ? name : psprintf("%d", list_length(children)));
		children = lappend(children, read_value(reader, name));
		reader->labels = list_delete_last(reader->labels);

		if (reader->lex->token_type == end)
			break;
		expect(reader, reader->lex->token_type == JSON_TOKEN_COMMA, is_object ? "\",\" or \"}\"" : "\",\" or \"]\"");
		next_token(reader);
		expect(reader, reader->lex->token_type != end, is_object ? "the name of a field" : "a value");
	}
	next_token(reader);
	act_mapping_node_adopt(node, children);
	return node;
}

/* A value at the current token; the token after it is the next. */
static MappingNode *
read_value(JsonReader *reader, const char *member)
{
	JsonLexContext *lex = reader->lex;
	MappingNode *node;

	switch (lex->token_type)
	{
		case JSON_TOKEN_OBJECT_START:
			return read_container(reader, member, true);
		case JSON_TOKEN_ARRAY_START:
			return read_container(reader, member, false);
		case JSON_TOKEN_STRING:
			node = read_leaf(reader, member, pstrdup(lex->strval->data));
			break;
		case JSON_TOKEN_NUMBER:
		case JSON_TOKEN_TRUE:
		case JSON_TOKEN_FALSE:
		case JSON_TOKEN_NULL:
			node = act_mapping_node(NODE_CONSTANT, member);
			node->constant = pnstrdup(lex->token_start, lex->token_terminator - lex->token_start);
			break;
		default:
			expect(reader, false, "a value");
			return NULL;
	}
	next_token(reader);
	return node;
}

Mapping *
act_mapping_parse_json(const char *text, bool constants)
{
	Mapping    *mapping = palloc0(sizeof(Mapping));
	JsonReader	reader = {0};

	reader.lex = act_compat_json_lexer(pstrdup(text), strlen(text));
	next_token(&reader);
	mapping->root = read_value(&reader, NULL);
	expect(&reader, reader.lex->token_type == JSON_TOKEN_END, "the end of the text");
	if (constants ? mapping->root->nchildren == 0 : reader.expressions == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 constants ? errmsg("the mapping has no field") :
				 errmsg("the mapping takes nothing from the model"),
				 constants ? errhint("Name what is to be set: {\"active\": false}.") :
				 errhint("At least one value must be an SQL expression in a string: {\"field\": \"column\"}.")));
	act_mapping_finish(mapping, reader.expressions);
	return mapping;
}
