/*-------------------------------------------------------------------------
 *
 * sql_text.c
 *	  SQL text that users give us, parsed and split.
 *
 * PostgreSQL's own scanner and parser do the work; what is added is where an
 * error stands in what the user wrote.  Without that its position would be
 * taken for one in the statement that called us.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "parser/parser.h"
#include "parser/scanner.h"
#include "parser/scansup.h"
#include "utils/guc.h"

#include "sql_text.h"

/*
 * The scanner tells of identifiers it cuts off; callers make errors of them,
 * so that notice would only be in the way.
 */
static int
enter_fixed_settings(void)
{
	int			nest = NewGUCNestLevel();

	(void) set_config_option("standard_conforming_strings", "on", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	(void) set_config_option("client_min_messages", "error", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	return nest;
}

List *
act_sql_text_parse(const SqlOrigin *origin)
{
	MemoryContext context = CurrentMemoryContext;
	int			nest = enter_fixed_settings();
	List	   *volatile statements = NIL;

	PG_TRY();
	{
		ACT_SQL_TEXT_SHIELD();
		statements = raw_parser(origin->sql, RAW_PARSE_DEFAULT);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		act_sql_text_rethrow(origin);
	}
	PG_END_TRY();

	AtEOXact_GUC(false, nest);
	return statements;
}

int
act_sql_text_offset(const ErrorData *error, const SqlOrigin *origin)
{
	int			position = error->cursorpos;
	int			offset;

	if (position <= 0)
		return -1;
	offset = pg_mbcharcliplen(origin->sql, strlen(origin->sql), position - 1) - origin->start;
	if (offset < 0 || offset > strlen(origin->text))
		return -1;
	return offset;
}

void
act_sql_text_move(ErrorData *error, const SqlOrigin *origin)
{
	int			offset = act_sql_text_offset(error, origin);

	error->cursorpos = 0;
	if (offset >= 0)
	{
		error->internalpos = pg_mbstrlen_with_len(origin->text, offset) + 1;
		error->internalquery = pstrdup(origin->text);
	}
}

void
act_sql_text_rethrow(const SqlOrigin *origin)
{
	ErrorData  *error = CopyErrorData();
	char	   *part;
	int			category = ERRCODE_TO_CATEGORY(error->sqlerrcode);

	if (error->cursorpos <= 0 &&
		category != ERRCODE_SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION &&
		category != ERRCODE_DATA_EXCEPTION &&
		category != ERRCODE_FEATURE_NOT_SUPPORTED)
		PG_RE_THROW();

	FlushErrorState();
	part = origin->name_part(origin->arg, act_sql_text_offset(error, origin));
	if (part != NULL)
		error->message = psprintf("%s: %s", part, error->message);
	if (error->hint == NULL && origin->hint != NULL)
		error->hint = pstrdup(origin->hint);
	act_sql_text_move(error, origin);
	ThrowErrorData(error);
	pg_unreachable();
}

static SqlItem *
split(const char *text, int *count)
{
	core_yy_extra_type extra;
	core_yyscan_t scanner;
	core_YYSTYPE value;
	YYLTYPE		location = 0;
	int			token;
	int			depth = 0;
	int			room = 16;
	SqlItem    *items = palloc(room * sizeof(SqlItem));
	bool		fresh = true;

	*count = 0;
	scanner = scanner_init(text, &extra, &ScanKeywords, ScanKeywordTokens);
	while ((token = core_yylex(&value, &location, scanner)) != 0)
	{
		if (token == '(' || token == '[')
			depth++;
		else if (token == ')' || token == ']')
			depth--;
		else if (token == ',' && depth == 0)
		{
			if (*count > 0)
				items[*count - 1].end = location;
			fresh = true;
			continue;
		}
		if (fresh)
		{
			if (*count == room)
				items = repalloc(items, (room *= 2) * sizeof(SqlItem));
			items[(*count)++] = (SqlItem) {location, strlen(text), location, location};
			fresh = false;
		}
		items[*count - 1].before_last = items[*count - 1].last;
		items[*count - 1].last = location;
	}
	scanner_finish(scanner);
	return items;
}

SqlItem *
act_sql_text_split(const SqlOrigin *origin, int *count)
{
	MemoryContext context = CurrentMemoryContext;
	int			nest = enter_fixed_settings();
	SqlItem    *volatile items = NULL;

	PG_TRY();
	{
		ACT_SQL_TEXT_SHIELD();
		items = split(origin->sql, count);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		act_sql_text_rethrow(origin);
	}
	PG_END_TRY();

	AtEOXact_GUC(false, nest);
	return items;
}

int
act_sql_text_identifier_length(const char *text)
{
	int			length = 0;

	if (text[0] != '"')
	{
		while (text[length] == '_' || text[length] == '$' || IS_HIGHBIT_SET(text[length]) ||
			   isalnum((unsigned char) text[length]))
			length++;
		return length;
	}
	for (const char *p = text + 1; *p != '\0'; p++, length++)
	{
		if (p[0] != '"')
			continue;
		if (p[1] != '"')
			break;
		p++;
	}
	return length;
}
