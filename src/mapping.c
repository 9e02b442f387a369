/*-------------------------------------------------------------------------
 *
 * mapping.c
 *	  A mapping: a select list (or JSON, mapping_json.c) over the model.
 *
 * Parsed by PostgreSQL's raw parser, which needs no catalogs, when a sync is
 * defined and again by each run.  The select list stays one piece of text, so
 * that comments, operators and quoting mean what they mean in SQL; the parse
 * only tells the names of the fields and proves that nothing else is in it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "parser/parse_target.h"
#include "utils/builtins.h"

#include "mapping.h"
#include "sql_text.h"

/*
 * With a target before it, an empty list, DISTINCT and ALL are the syntax
 * errors that they would be later on.
 */
#define LIST_PREFIX "SELECT NULL, "
#define LIST_HINT "A mapping is a select list over the model, without SELECT and FROM: 'email, score AS health_score'."

typedef struct ListItems
{
	SqlItem    *items;
	int			count;
} ListItems;

static char *
name_list_part(void *arg, int offset)
{
	ListItems  *list = arg;
	int			found = 0;

	if (list == NULL || offset < 0)
		return pstrdup("mapping");
	for (int i = 0; i < list->count; i++)
	{
		if (list->items[i].start <= offset)
			found = i;
	}
	return psprintf("mapping, field %d", found + 1);
}

static void
refuse_list(const char *problem, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_SYNTAX_ERROR),
			 errmsg("%s", problem),
			 errdetail("A mapping is a select list over the model: what stands between SELECT and FROM."),
			 errhint("%s", hint)));
}

static SelectStmt *
parse_list(const char *text, ListItems *list)
{
	SqlOrigin	origin = {
		.sql = psprintf(LIST_PREFIX "%s\n", text),
		.start = strlen(LIST_PREFIX),
		.text = text,
		.name_part = name_list_part,
		.arg = list,
		.hint = LIST_HINT
	};
	List	   *statements = act_sql_text_parse(&origin);
	SelectStmt *select;

	if (list_length(statements) != 1)
		refuse_list("a mapping is one select list, not several statements",
					"Leave out the semicolon and what follows it.");
	select = castNode(SelectStmt, linitial_node(RawStmt, statements)->stmt);
	if (select->op != SETOP_NONE)
		refuse_list("a mapping has no UNION, INTERSECT or EXCEPT",
					"Put it into the model: model => 'SELECT ... UNION ...'.");
	if (select->intoClause != NULL)
		refuse_list("a mapping has no INTO", "Leave INTO out.");
	if (select->fromClause != NIL || select->whereClause != NULL ||
		select->groupClause != NIL || select->havingClause != NULL ||
		select->windowClause != NIL)
		refuse_list("a mapping has no FROM, WHERE, GROUP BY or WINDOW",
					"Leave out FROM and all that follows; the model is what is selected from: model => 'SELECT ... WHERE ...'.");
	if (select->sortClause != NIL || select->limitOffset != NULL ||
		select->limitCount != NULL || select->lockingClause != NIL)
		refuse_list("a mapping has no ORDER BY, LIMIT or FOR UPDATE",
					"Leave out all that follows the last field.");
	return select;
}

static bool
is_star(Node *node)
{
	if (IsA(node, ColumnRef))
		return IsA(llast(((ColumnRef *) node)->fields), A_Star);
	if (IsA(node, A_Indirection))
		return IsA(llast(((A_Indirection *) node)->indirection), A_Star);
	return false;
}

/* The name of a field; throws where there is none that can be sent. */
static char *
field_name(Mapping *mapping, ResTarget *target, int number, const char *alias)
{
	char	   *name;

	if (is_star(target->val))
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("mapping, field %d: * stands for all columns and only alone", number),
				 errhint("Name the columns, or leave the mapping out, or write * EXCEPT (column).")));
	if (target->name == NULL)
	{
		name = FigureColname(target->val);
		if (strcmp(name, "?column?") == 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("mapping, field %d has no name", number),
					 errdetail("The expression does not say how the destination calls it."),
					 errhint("Add AS and the destination's name of the field: ... AS source.")));
		return name;
	}

	if (act_sql_text_identifier_length(alias) >= NAMEDATALEN)
		ereport(ERROR,
				(errcode(ERRCODE_NAME_TOO_LONG),
				 errmsg("mapping, field %d: the name is longer than %d bytes, and SQL would cut it off to \"%s\"",
						number, NAMEDATALEN - 1, target->name),
				 errhint("Write the mapping as JSON, where names may be of any length: {\"name\": \"expression\"}.")));
	if (alias[0] != '"')
	{
		int			len = act_sql_text_identifier_length(alias);
		char	   *written = pnstrdup(alias, len);

		if (strcmp(written, target->name) != 0 && pg_strcasecmp(written, target->name) == 0)
			mapping->folded = lappend(mapping->folded, written);
	}
	return target->name;
}

static void
refuse_duplicates(const char **names, int count)
{
	for (int i = 1; i < count; i++)
	{
		for (int j = 0; j < i; j++)
		{
			if (strcmp(names[i], names[j]) == 0)
				ereport(ERROR,
						(errcode(ERRCODE_DUPLICATE_COLUMN),
						 errmsg("mapping names field \"%s\" twice", names[i]),
						 errdetail("They are fields %d and %d.", j + 1, i + 1),
						 errhint("Give one of them another name with AS, or leave it out.")));
		}
	}
}

/* The text of a field without its name. */
static char *
field_expression(const char *text, const SqlItem *item, const ResTarget *target)
{
	int			end = item->end;

	if (target->name != NULL)
	{
		/* ColLabel is one token, but for U&"..." UESCAPE '...'. */
		if (text[item->last] == '\'')
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("mapping field \"%s\": a name cannot be written with UESCAPE", target->name),
					 errhint("Write the characters themselves in double quotes.")));
		end = item->last;
		if (pg_strncasecmp(text + item->before_last, "as", 2) == 0 &&
			act_sql_text_identifier_length(text + item->before_last) == 2)
			end = item->before_last;
	}
	return pnstrdup(text + item->start, end - item->start);
}

static Mapping *
parse_select_list(const char *text)
{
	Mapping    *mapping = palloc0(sizeof(Mapping));
	SqlOrigin	origin = {.sql = text, .text = text, .name_part = name_list_part, .hint = LIST_HINT};
	ListItems	list;
	SelectStmt *select;
	List	   *nodes = NIL;
	List	   *expressions = NIL;
	const char **names;
	ListCell   *cell;
	int			leaf = 0;

	list.items = act_sql_text_split(&origin, &list.count);
	if (list.count == 0)
		refuse_list("the mapping is empty",
					"Leave it out for all columns of the model, or name what to send: 'email, score AS health_score'.");
	select = parse_list(text, &list);

	/* What the parse and the split both understood in the same way. */
	if (list_length(select->targetList) != list.count + 1)
		refuse_list("the mapping could not be split into its fields",
					"Write it as JSON: {\"field\": \"expression\"}.");

	names = palloc(sizeof(char *) * list.count);
	for_each_from(cell, select->targetList, 1)
	{
		ResTarget  *target = lfirst_node(ResTarget, cell);
		SqlItem    *item = &list.items[leaf];
		MappingNode *node;

		names[leaf] = field_name(mapping, target, leaf + 1, text + item->last);
		expressions = lappend(expressions, field_expression(text, item, target));
		node = act_mapping_node(NODE_LEAF, names[leaf]);
		node->leaf = leaf++;
		nodes = lappend(nodes, node);
	}
	refuse_duplicates(names, leaf);
	mapping->root = act_mapping_node(NODE_OBJECT, NULL);
	act_mapping_node_adopt(mapping->root, nodes);
	act_mapping_finish(mapping, expressions);
	return mapping;
}

static Mapping *
parse(const char *text, bool constants_suffice)
{
	const char *start = text + strspn(text, " \t\r\n\f");

	if (*start == '{')
		return act_mapping_parse_json(text, constants_suffice);
	return parse_select_list(text);
}

Mapping *
act_mapping_parse(const char *text)
{
	return parse(text, false);
}

Mapping *
act_mapping_parse_part(const char *text)
{
	return parse(text, true);
}

MappingNode *
act_mapping_node(MappingNodeKind kind, const char *member)
{
	MappingNode *node = palloc0(sizeof(MappingNode));

	node->kind = kind;
	node->leaf = -1;
	node->prefix = "";
	if (member != NULL)
	{
		char	   *label = act_value_json_label(member);

		if (label == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_CHARACTER_NOT_IN_REPERTOIRE),
					 errmsg("the name of a mapping field cannot be written in UTF-8"),
					 errdetail("Destinations are sent UTF-8."),
					 errhint("Give the field another name with AS.")));
		node->member = pstrdup(member);
		node->prefix = label;
	}
	return node;
}

void
act_mapping_node_adopt(MappingNode *node, List *children)
{
	ListCell   *cell;

	node->children = palloc(sizeof(MappingNode *) * Max(list_length(children), 1));
	foreach(cell, children)
		node->children[node->nchildren++] = lfirst(cell);
}

/* One step of a JSON pointer (RFC 6901). */
static char *
pointer_step(const char *path, const char *member, int index)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfo(&buf, "%s/", path);
	if (member == NULL)
		appendStringInfo(&buf, "%d", index);
	else
	{
		for (const char *p = member; *p != '\0'; p++)
		{
			if (*p == '~')
				appendStringInfoString(&buf, "~0");
			else if (*p == '/')
				appendStringInfoString(&buf, "~1");
			else
				appendStringInfoChar(&buf, *p);
		}
	}
	return buf.data;
}

static void
name_leaves(Mapping *mapping, const MappingNode *node, const char *path, const char *label)
{
	if (node->kind == NODE_LEAF)
	{
		mapping->leaves[node->leaf].path = pstrdup(path);
		mapping->leaves[node->leaf].label = pstrdup(label);
		return;
	}
	for (int i = 0; i < node->nchildren; i++)
	{
		const MappingNode *child = node->children[i];
		char	   *step = child->member ? child->member : psprintf("%d", i);
		char	   *child_path = pointer_step(path, child->member, i);
		char	   *child_label = label[0] == '\0' ? step : psprintf("%s.%s", label, step);

		name_leaves(mapping, child, child_path, child_label);
		if (child->insert != NULL)
			name_leaves(mapping, child->insert, child_path, child_label);
	}
}

void
act_mapping_finish(Mapping *mapping, List *expressions)
{
	ListCell   *cell;

	mapping->nleaves = 0;
	mapping->leaves = palloc0(sizeof(MappingLeaf) * Max(list_length(expressions), 1));
	initStringInfo(&mapping->select);
	foreach(cell, expressions)
	{
		MappingLeaf *leaf = &mapping->leaves[mapping->nleaves++];

		leaf->expression = lfirst(cell);
		appendStringInfoString(&mapping->select, mapping->select.len > 0 ? ", (" : "(");
		leaf->start = mapping->select.len;
		appendStringInfo(&mapping->select, "%s\n)", leaf->expression);
	}
	name_leaves(mapping, mapping->root, "", "");
}

const char *
act_mapping_leaf_path(const Mapping *mapping, int leaf)
{
	return mapping->leaves[leaf].path;
}

const char *
act_mapping_leaf_label(const Mapping *mapping, int leaf)
{
	return mapping->leaves[leaf].label;
}

int
act_mapping_leaf_at(const Mapping *mapping, int offset)
{
	int			found = 0;

	for (int i = 0; i < mapping->nleaves; i++)
	{
		if (mapping->leaves[i].start <= offset)
			found = i;
	}
	return found;
}

int
act_mapping_nfields(const Mapping *mapping)
{
	return mapping->root->nchildren;
}

const char *
act_mapping_field_name(const Mapping *mapping, int field)
{
	return mapping->root->children[field]->member;
}

int
act_mapping_field_leaf(const Mapping *mapping, int field)
{
	return mapping->root->children[field]->leaf;
}

void
act_mapping_append_select(StringInfo buf, const Mapping *mapping)
{
	appendBinaryStringInfo(buf, mapping->select.data, mapping->select.len);
}

const char *
act_mapping_leaf_expression(const Mapping *mapping, int leaf)
{
	return mapping->leaves[leaf].expression;
}

bool
act_mapping_leaf_compared(const Mapping *mapping, int leaf)
{
	return !mapping->leaves[leaf].uncompared;
}

bool
act_mapping_field_is_plain(const Mapping *mapping, int field)
{
	const MappingNode *node = mapping->root->children[field];

	return node->on == ON_ALWAYS && node->insert == NULL && !node->ignored;
}

MappingNode *
act_mapping_find_field(const Mapping *mapping, const char *name)
{
	for (int i = 0; i < mapping->root->nchildren; i++)
	{
		if (strcmp(mapping->root->children[i]->member, name) == 0)
			return mapping->root->children[i];
	}
	return NULL;
}

char *
act_mapping_compact(const char *text)
{
	StringInfoData buf;
	bool		quoted = false;

	text += strspn(text, " \t\r\n");
	initStringInfo(&buf);
	if (*text != '{')
	{
		appendStringInfoString(&buf, text);
		while (buf.len > 0 && strchr(" \t\r\n", buf.data[buf.len - 1]) != NULL)
			buf.data[--buf.len] = '\0';
		return buf.data;
	}
	for (const char *p = text; *p != '\0'; p++)
	{
		if (quoted && *p == '\\' && p[1] != '\0')
			appendStringInfoChar(&buf, *p++);
		else if (*p == '"')
			quoted = !quoted;
		else if (!quoted && strchr(" \t\r\n", *p) != NULL)
			continue;
		appendStringInfoChar(&buf, *p);
	}
	return buf.data;
}

void
act_mapping_warn_folded(const Mapping *mapping)
{
	ListCell   *cell;

	foreach(cell, mapping->folded)
	{
		const char *written = lfirst(cell);
		char	   *folded = pstrdup(written);

		for (char *p = folded; *p != '\0'; p++)
			*p = pg_tolower((unsigned char) *p);
		ereport(WARNING,
				(errcode(ERRCODE_WARNING),
				 errmsg("mapping field %s is sent as \"%s\"", written, folded),
				 errdetail("Names without quotes become lower case, as everywhere in SQL."),
				 errhint("To keep the capitals: AS \"%s\".", written)));
	}
}
