/*-------------------------------------------------------------------------
 *
 * catalog_suggest.c
 *	  SQL-callable: suggest_mapping(), a select list for create_sync().
 *
 * Columns of a model and fields of an object meet by their names: the very
 * name, then the same words however they are written, then the few names that
 * everybody has for the same thing.  What cannot be set is never mapped, and
 * what does not fit or was not met stands in comments.  In the caller's
 * transaction; the model is read (no row of it) as the caller.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#include "catalog.h"
#include "definition.h"
#include "identity.h"
#include "model.h"
#include "transaction.h"

PG_FUNCTION_INFO_V1(act_suggest_mapping);

#define EXAMPLE "SELECT activate.suggest_mapping('analytics.customers', 'crm', 'contacts');"

/* Names of one thing, as words without signs between them; NULL-ended. */
static const char *const synonyms[][8] = {
	{"email", "emailaddress", "mail", "useremail", NULL},
	{"firstname", "givenname", "fname", NULL},
	{"lastname", "surname", "familyname", "lname", NULL},
	{"name", "fullname", "displayname", NULL},
	{"phone", "phonenumber", "telephone", "tel", NULL},
	{"mobile", "mobilephone", "cellphone", "mobilenumber", NULL},
	{"company", "companyname", "organization", "organisation", "accountname", NULL},
	{"zip", "zipcode", "postalcode", "postcode", "plz", NULL},
	{"country", "countrycode", NULL},
	{"state", "region", "province", NULL},
	{"street", "address", "streetaddress", "address1", NULL},
	{"website", "url", "homepage", NULL},
	{"birthdate", "dateofbirth", "birthday", "dob", "born", NULL},
	{"title", "jobtitle", NULL},
	{"externalid", "customerid", "userid", "customerref", NULL},
	{"createdat", "createddate", "createdate", NULL},
	{"updatedat", "updateddate", "lastmodifieddate", NULL},
};

typedef struct Suggestion
{
	const Catalog *catalog;
	TupleDesc	columns;
	const CatalogField **chosen;	/* by column; NULL: none */
	bool	   *unfit;			/* by column: of a type that the chosen one cannot take */
} Suggestion;

/* In lower case, letters and digits alone; custom fields without what marks them. */
static char *
words(const char *name)
{
	StringInfoData buf;
	size_t		len = strlen(name);

	if (len > 3 && strcmp(name + len - 3, "__c") == 0)
		len -= 3;
	initStringInfo(&buf);
	for (size_t i = 0; i < len; i++)
	{
		if (IS_HIGHBIT_SET(name[i]) || isalnum((unsigned char) name[i]))
			appendStringInfoChar(&buf, pg_ascii_tolower((unsigned char) name[i]));
	}
	return buf.data;
}

static int
synonym_of(const char *name)
{
	for (int i = 0; i < lengthof(synonyms); i++)
	{
		for (int j = 0; synonyms[i][j] != NULL; j++)
		{
			if (strcmp(synonyms[i][j], name) == 0)
				return i;
		}
	}
	return -1;
}

/* How sure it is that they are the same: 0 not at all. */
static int
likeness(const char *column, const CatalogField *field)
{
	char	   *a = words(column);
	char	   *b = words(field->name);

	if (strcmp(column, field->name) == 0)
		return 4;
	if (*a == '\0')
		return 0;
	if (strcmp(a, b) == 0)
		return 3;
	if (field->title != NULL && strcmp(a, words(field->title)) == 0)
		return 2;
	return synonym_of(a) >= 0 && synonym_of(a) == synonym_of(b) ? 1 : 0;
}

static const char *
column_name(const Suggestion *suggestion, int column)
{
	return NameStr(TupleDescAttr(suggestion->columns, column)->attname);
}

static bool
is_taken(const Suggestion *suggestion, const CatalogField *field)
{
	for (int i = 0; i < suggestion->columns->natts; i++)
	{
		if (suggestion->chosen[i] == field)
			return true;
	}
	return false;
}

/* The surest pairs first, each column and each field but once. */
static void
choose(Suggestion *suggestion)
{
	for (int wanted = 4; wanted > 0; wanted--)
	{
		for (int i = 0; i < suggestion->columns->natts; i++)
		{
			ListCell   *cell;

			CHECK_FOR_INTERRUPTS();
			foreach(cell, suggestion->catalog->fields)
			{
				const CatalogField *field = lfirst(cell);
				const char *cast;

				if (suggestion->chosen[i] != NULL || !field->writable || is_taken(suggestion, field) ||
					likeness(column_name(suggestion, i), field) != wanted)
					continue;
				suggestion->chosen[i] = field;
				suggestion->unfit[i] = act_catalog_type_problem(field->type,
																TupleDescAttr(suggestion->columns, i)->atttypid, &cast) != NULL;
			}
		}
	}
}

/* A name that ends no comment. */
static char *
in_comment(const char *text)
{
	char	   *copy = pstrdup(text);

	for (char *c = copy; *c != '\0'; c++)
	{
		if (*c == '\n' || *c == '\r')
			*c = ' ';
	}
	return copy;
}

static char *
item(const Suggestion *suggestion, int column)
{
	const char *name = column_name(suggestion, column);
	const char *field = suggestion->chosen[column]->name;

	return strcmp(name, field) == 0 ? pstrdup(quote_identifier(name)) :
		psprintf("%s AS %s", quote_identifier(name), quote_identifier(field));
}

static void
append_unfit(StringInfo buf, const Suggestion *suggestion, int column)
{
	const CatalogField *field = suggestion->chosen[column];
	const char *name = quote_identifier(column_name(suggestion, column));
	const char *cast;
	const char *problem = act_catalog_type_problem(field->type, TupleDescAttr(suggestion->columns, column)->atttypid, &cast);

	appendStringInfo(buf, "-- %s is %s %s there: %s", in_comment(quote_identifier(field->name)),
					 act_catalog_article(field->type), field->type, problem);
	if (cast != NULL)
		appendStringInfo(buf, "; perhaps: %s%s AS %s", in_comment(name), cast, in_comment(quote_identifier(field->name)));
	appendStringInfoChar(buf, '\n');
}

static void
append_rest(StringInfo buf, const Suggestion *suggestion)
{
	StringInfoData unmet;
	StringInfoData needed;
	ListCell   *cell;

	initStringInfo(&unmet);
	initStringInfo(&needed);
	for (int i = 0; i < suggestion->columns->natts; i++)
	{
		if (suggestion->chosen[i] == NULL && !TupleDescAttr(suggestion->columns, i)->attisdropped)
			appendStringInfo(&unmet, "%s%s", unmet.len > 0 ? ", " : "", in_comment(quote_identifier(column_name(suggestion, i))));
		else if (suggestion->unfit[i])
			append_unfit(buf, suggestion, i);
	}
	foreach(cell, suggestion->catalog->fields)
	{
		const CatalogField *field = lfirst(cell);

		if (field->required && field->writable && !is_taken(suggestion, field))
			appendStringInfo(&needed, "%s%s", needed.len > 0 ? ", " : "", in_comment(quote_identifier(field->name)));
	}
	if (needed.len > 0)
		appendStringInfo(buf, "-- new records must also have: %s\n", needed.data);
	if (unmet.len > 0)
		appendStringInfo(buf, "-- no field was found for: %s\n", unmet.data);
}

static char *
suggestion_text(const Suggestion *suggestion)
{
	StringInfoData buf;
	bool		any = false;

	initStringInfo(&buf);
	for (int i = 0; i < suggestion->columns->natts; i++)
	{
		if (suggestion->chosen[i] == NULL || suggestion->unfit[i])
			continue;
		appendStringInfo(&buf, "%s%s", any ? ",\n" : "", item(suggestion, i));
		any = true;
	}
	if (any)
		appendStringInfoChar(&buf, '\n');
	append_rest(&buf, suggestion);
	return buf.data;
}

/* The model's columns, as the caller may read them; no row is read. */
static TupleDesc
model_columns(const char *model)
{
	bool		is_query;
	char	   *canonical = act_model_canonical(model, GetUserId(), &is_query);
	char	   *sql = is_query ? psprintf("SELECT * FROM (%s\n) AS " MODEL_ALIAS " LIMIT 0", canonical) :
		psprintf("SELECT * FROM %s LIMIT 0", canonical);
	bool		writes_before = act_transaction_forbid_writes();
	TupleDesc	columns;

	if (SPI_execute(sql, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "the columns of a model cannot be read");
	columns = CreateTupleDescCopy(SPI_tuptable->tupdesc);
	act_transaction_allow_writes(writes_before);
	return columns;
}

/* activate.suggest_mapping(model text, destination text, object text) */
Datum
act_suggest_mapping(PG_FUNCTION_ARGS)
{
	static const char *const arguments[] = {"model", "destination", "object"};
	MemoryContext caller = CurrentMemoryContext;
	char	   *texts[lengthof(arguments)];
	Suggestion	suggestion = {0};
	Catalog    *catalog;
	char	   *list;

	for (int i = 0; i < lengthof(arguments); i++)
	{
		act_require_argument(PG_ARGISNULL(i), arguments[i], EXAMPLE);
		texts[i] = text_to_cstring(PG_GETARG_TEXT_PP(i));
	}
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	catalog = act_catalog_of(texts[1], texts[2], NULL);
	suggestion.catalog = catalog;
	if (catalog->fields == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("nothing is known of the fields of \"%s\" of destination \"%s\"", catalog->object,
						catalog->destination),
				 catalog->discovers ?
				 errhint("CALL activate.refresh_destination(%s, ARRAY[%s]);", quote_literal_cstr(catalog->destination),
						 quote_literal_cstr(catalog->object)) :
				 errhint("Its connector lists none, and cannot ask for them: name the columns yourself, or mapping => '*'.")));
	act_catalog_tell_unasked(catalog);
	suggestion.columns = model_columns(texts[0]);
	suggestion.chosen = palloc0(sizeof(CatalogField *) * Max(1, suggestion.columns->natts));
	suggestion.unfit = palloc0(sizeof(bool) * Max(1, suggestion.columns->natts));
	choose(&suggestion);
	list = MemoryContextStrdup(caller, suggestion_text(&suggestion));
	SPI_finish();
	PG_RETURN_TEXT_P(cstring_to_text(list));
}
