/*-------------------------------------------------------------------------
 *
 * sync_options.c
 *	  The options of a sync: one table of all that design 2.2 names.
 *
 * Parsed when a sync is defined and again each time it is loaded, so a
 * definition of a later version is refused here and not misread.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

#include "mapping.h"
#include "nearest.h"
#include "sync.h"

#define MAX_BATCH_SIZE 100000
#define MAX_CANARY 10000
#define MAX_PRIORITY 100		/* and as far below 0 */
#define MAX_DURATION_MS ((int64) 365 * 24 * 3600 * 1000)

typedef enum OptionType
{
	TYPE_LATER,					/* known, not built yet */
	TYPE_LIMIT,
	TYPE_COUNT,
	TYPE_PRIORITY,
	TYPE_DURATION,
	TYPE_BOOLEAN,
	TYPE_CHOICE,				/* an enum; its names in the order of its values */
	TYPE_NAMES,					/* fields: an array, or 'a, b' */
	TYPE_MAPPING				/* a select list in a string, or an object */
} OptionType;

typedef struct KnownOption
{
	const char *name;
	OptionType	type;
	size_t		offset;			/* in SyncOptions */
	int			max;			/* TYPE_COUNT; at least 1 */
	const char *const *choices; /* TYPE_CHOICE; NULL-ended */
} KnownOption;

static const char *const first_runs[] = {"send", "baseline", "link", NULL};
static const char *const null_policies[] = {"send", "omit", "empty", NULL};
static const char *const deliveries[] = {"default", "at_least_once", "at_most_once", NULL};
static const char *const request_logs[] = {"errors", "all", "none", NULL};
static const char *const model_changes[] = {"pause", "refuse", "fail", NULL};

static const KnownOption known_options[] = {
	{"max_changed", TYPE_LIMIT, offsetof(SyncOptions, max_changed)},
	{"max_removed", TYPE_LIMIT, offsetof(SyncOptions, max_removed)},
	{"max_invalid", TYPE_LIMIT, offsetof(SyncOptions, max_invalid)},
	{"max_rejected", TYPE_LIMIT, offsetof(SyncOptions, max_rejected)},
	{"remove_after", TYPE_DURATION, offsetof(SyncOptions, remove_after_ms)},
	{"batch_size", TYPE_COUNT, offsetof(SyncOptions, batch_size), MAX_BATCH_SIZE},
	{"max_attempts", TYPE_COUNT, offsetof(SyncOptions, max_attempts), 1000000},
	{"max_run_time", TYPE_DURATION, offsetof(SyncOptions, max_run_time_ms)},
	{"priority", TYPE_PRIORITY, offsetof(SyncOptions, priority)},
	{"freshness", TYPE_DURATION, offsetof(SyncOptions, freshness_ms)},
	{"first_run", TYPE_CHOICE, offsetof(SyncOptions, first_run), 0, first_runs},
	{"removed_mapping", TYPE_MAPPING, offsetof(SyncOptions, removed_mapping)},
	{"insert_mapping", TYPE_MAPPING, offsetof(SyncOptions, insert_mapping)},
	{"canary", TYPE_COUNT, offsetof(SyncOptions, canary), MAX_CANARY},
	{"nulls", TYPE_CHOICE, offsetof(SyncOptions, nulls), 0, null_policies},
	{"ignore_fields", TYPE_NAMES, offsetof(SyncOptions, ignored)},
	{"changed_fields_only", TYPE_BOOLEAN, offsetof(SyncOptions, changed_fields_only)},
	{"keep_payload", TYPE_BOOLEAN, offsetof(SyncOptions, keep_payload)},
	{"log", TYPE_CHOICE, offsetof(SyncOptions, log), 0, request_logs},
	{"delivery", TYPE_CHOICE, offsetof(SyncOptions, delivery), 0, deliveries},
	{"watch", TYPE_LATER},
	{"confirm_every", TYPE_LATER},
	{"on_model_change", TYPE_CHOICE, offsetof(SyncOptions, on_model_change), 0, model_changes},
	{"subject", TYPE_LATER},
	{"experiment", TYPE_LATER},
	{"strict", TYPE_BOOLEAN, offsetof(SyncOptions, strict)}
};

static const struct
{
	const char *name;
	int64		ms;
}			units[] =
{
	{"ms", 1}, {"millisecond", 1}, {"milliseconds", 1},
	{"s", 1000}, {"sec", 1000}, {"second", 1000}, {"seconds", 1000},
	{"min", 60000}, {"minute", 60000}, {"minutes", 60000},
	{"h", 3600000}, {"hour", 3600000}, {"hours", 3600000},
	{"d", 86400000}, {"day", 86400000}, {"days", 86400000},
	{"w", 604800000}, {"week", 604800000}, {"weeks", 604800000}
};

/* A scalar of the options as text; numbers as they were written. */
static char *
scalar_text(const JsonbValue *value)
{
	switch (value->type)
	{
		case jbvString:
			return pnstrdup(value->val.string.val, value->val.string.len);
		case jbvNumeric:
			return numeric_normalize(value->val.numeric);
		case jbvBool:
			return pstrdup(value->val.boolean ? "true" : "false");
		default:
			return pstrdup("an object or array");
	}
}

static void
refuse_value(const KnownOption *option, const char *text, const char *wanted, const char *example)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("option \"%s\" cannot be \"%s\"", option->name,
					pnstrdup(text, pg_mbcliplen(text, strlen(text), 64))),
			 errdetail("It is %s.", wanted),
			 errhint("options => '{\"%s\": %s}'", option->name, example)));
}

/* strtod() without what no option means: hexadecimal, infinity, NaN. */
static bool
read_number(const char *text, double *number, const char **end)
{
	char	   *stop;

	if (!isdigit((unsigned char) text[0]) || (text[0] == '0' && (text[1] == 'x' || text[1] == 'X')))
		return false;
	errno = 0;
	*number = strtod(text, &stop);
	*end = stop;
	return errno == 0;
}

static void
parse_limit(const KnownOption *option, const char *text, GuardLimit *limit)
{
	const char *rest;
	double		number;
	bool		ok = read_number(text, &number, &rest);

	if (ok)
	{
		rest += strspn(rest, " ");
		limit->percent = *rest == '%';
		rest += limit->percent ? 1 : 0;
		ok = *rest == '\0' && (limit->percent ? number <= 100 : number == floor(number));
	}
	if (!ok)
		refuse_value(option, text, "a number of rows, or a percentage of the rows that are synced", "\"5 %\"");
	limit->set = true;
	limit->value = number;
}

static int
parse_count(const KnownOption *option, const char *text)
{
	const char *rest;
	double		number;

	if (!read_number(text, &number, &rest) || *rest != '\0' || number != floor(number) ||
		number < 1 || number > option->max)
		refuse_value(option, text, psprintf("a whole number from 1 to %d", option->max), "10");
	return (int) number;
}

static int
parse_priority(const KnownOption *option, const char *text)
{
	bool		negative = *text == '-';
	const char *rest;
	double		number;

	if (!read_number(text + negative, &number, &rest) || *rest != '\0' || number != floor(number) ||
		number > MAX_PRIORITY)
		refuse_value(option, text, psprintf("a whole number from %d to %d; higher goes first",
											-MAX_PRIORITY, MAX_PRIORITY), "10");
	return negative ? -(int) number : (int) number;
}

/* '1 hour 30 minutes', '90 s'; a bare number is seconds. */
static int64
parse_duration(const KnownOption *option, const char *text)
{
	const char *p = text + strspn(text, " ");
	double		total = 0;
	bool		ok = *p != '\0';

	while (ok && *p != '\0')
	{
		double		number;
		int			len;
		int64		ms = 0;

		ok = read_number(p, &number, &p);
		if (!ok)
			break;
		p += strspn(p, " ");
		len = strspn(p, "abcdefghijklmnopqrstuvwxyz");
		if (len == 0 && *p == '\0' && total == 0)
			ms = 1000;
		for (int i = 0; i < lengthof(units); i++)
		{
			if (strlen(units[i].name) == len && strncmp(units[i].name, p, len) == 0)
				ms = units[i].ms;
		}
		total += number * ms;
		p += len;
		p += strspn(p, " ");
		ok = ms > 0 && total <= MAX_DURATION_MS;
	}
	if (!ok)
		refuse_value(option, text, "a duration of at most a year", "\"1 hour\"");
	return (int64) total;
}

static bool
parse_boolean(const KnownOption *option, const JsonbValue *value, const char *text)
{
	if (value->type != jbvBool)
		refuse_value(option, text, "true or false", "true");
	return value->val.boolean;
}

static int
parse_choice(const KnownOption *option, const char *text)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; option->choices[i] != NULL; i++)
	{
		if (strcmp(option->choices[i], text) == 0)
			return i;
		appendStringInfo(&list, "%s\"%s\"", i > 0 ? ", " : "", option->choices[i]);
	}
	refuse_value(option, text, psprintf("one of %s", list.data), psprintf("\"%s\"", option->choices[0]));
	return -1;
}

/* The only option with names, so that their number has one place. */
static void
parse_names(const KnownOption *option, const JsonbValue *value, const char *text, SyncOptions *parsed)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	element;
	List	   *names = NIL;
	ListCell   *cell;

	if (value->type == jbvString)
	{
		parsed->ignored = act_identifier_list(option->name, text, &parsed->nignored);
		return;
	}
	if (value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data))
		refuse_value(option, text, "an array of names, or names in a string, separated by commas", "[\"synced_at\"]");
	iterator = JsonbIteratorInit(value->val.binary.data);
	while ((token = JsonbIteratorNext(&iterator, &element, true)) != WJB_DONE)
	{
		if (token == WJB_ELEM && element.type == jbvString)
			names = lappend(names, pnstrdup(element.val.string.val, element.val.string.len));
		else if (token == WJB_ELEM)
			refuse_value(option, scalar_text(&element), "an array of names", "[\"synced_at\"]");
	}
	parsed->ignored = palloc(sizeof(char *) * Max(list_length(names), 1));
	parsed->nignored = 0;
	foreach(cell, names)
		parsed->ignored[parsed->nignored++] = lfirst(cell);
}

/* As text, which mapping.c reads; that it can is checked where the model is known. */
static char *
parse_mapping(const KnownOption *option, const JsonbValue *value, char *text)
{
	if (value->type == jbvString)
		return text;
	if (value->type != jbvBinary || !JsonContainerIsObject(value->val.binary.data))
		refuse_value(option, text, "a mapping: a select list in a string, or an object", "{\"active\": false}");
	return JsonbToCString(NULL, value->val.binary.data, value->val.binary.len);
}

static char *
list_options(void)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < lengthof(known_options); i++)
	{
		if (known_options[i].type != TYPE_LATER)
			appendStringInfo(&list, "%s%s", list.len > 0 ? ", " : "", known_options[i].name);
	}
	return list.data;
}

static const KnownOption *
find_option(const char *name)
{
	const char *names[lengthof(known_options) + 1] = {NULL};
	const char *nearest;

	for (int i = 0; i < lengthof(known_options); i++)
	{
		if (strcmp(known_options[i].name, name) == 0)
			return &known_options[i];
		names[i] = known_options[i].name;
	}
	nearest = act_nearest_name(name, names);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown option \"%s\"", name),
			 nearest ? errhint("Perhaps you meant \"%s\".", nearest) :
			 errhint("Options are %s.", list_options())));
	return NULL;
}

static void
parse_option(const char *name, const JsonbValue *value, SyncOptions *parsed)
{
	const KnownOption *option = find_option(name);
	char	   *target = (char *) parsed + option->offset;
	char	   *text;

	if (value->type == jbvNull)
		return;					/* the default */
	text = scalar_text(value);
	if (target == (char *) &parsed->first_run)
		parsed->first_run_named = true;
	if (target == (char *) &parsed->nulls)
		parsed->nulls_given = true;
	switch (option->type)
	{
		case TYPE_LATER:
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("option \"%s\" is not supported by this version of pg_activate", name),
					 errhint("Leave it out.")));
			break;
		case TYPE_LIMIT:
			parse_limit(option, text, (GuardLimit *) target);
			break;
		case TYPE_COUNT:
			*(int *) target = parse_count(option, text);
			break;
		case TYPE_PRIORITY:
			*(int *) target = parse_priority(option, text);
			break;
		case TYPE_DURATION:
			*(int64 *) target = parse_duration(option, text);
			break;
		case TYPE_BOOLEAN:
			*(bool *) target = parse_boolean(option, value, text);
			break;
		case TYPE_CHOICE:
			*(int *) target = parse_choice(option, text);
			break;
		case TYPE_NAMES:
			parse_names(option, value, text, parsed);
			break;
		case TYPE_MAPPING:
			*(char **) target = parse_mapping(option, value, text);
			break;
	}
}

void
act_sync_options_parse(Jsonb *options, OnRemoved on_removed, SyncOptions *parsed)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	value;
	char	   *name = NULL;

	*parsed = (SyncOptions) {
		.max_removed = {.set = true, .percent = true, .value = 5},
		.max_invalid = {.set = true, .percent = true, .value = 10},
		.max_rejected = {.set = true, .percent = true, .value = 10},
		.remove_after_ms = on_removed == REMOVED_DELETE ? 3600000 : 0,
		.max_attempts = 10
	};
	if (!JB_ROOT_IS_OBJECT(options))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("options are not a JSON object"),
				 errhint("options => '{\"max_removed\": \"5 %%\"}'")));

	iterator = JsonbIteratorInit(&options->root);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			name = pnstrdup(value.val.string.val, value.val.string.len);
		else if (token == WJB_VALUE)
			parse_option(name, &value, parsed);
	}
}

/* ----------------------------------------------------------------
 *		What options mean, however they were written
 * ----------------------------------------------------------------
 */

/* The value of one, so that two are equal where their texts are. */
static char *
meaning(const KnownOption *option, const SyncOptions *parsed)
{
	const char *value = (const char *) parsed + option->offset;
	const GuardLimit *limit = (const GuardLimit *) value;
	StringInfoData names;

	if (value == (const char *) &parsed->first_run && !parsed->first_run_named)
		return "";
	switch (option->type)
	{
		case TYPE_LATER:
			break;
		case TYPE_LIMIT:
			return limit->set ? psprintf("%.17g%s", limit->value, limit->percent ? "%" : "") : "";
		case TYPE_COUNT:
		case TYPE_PRIORITY:
		case TYPE_CHOICE:
			return psprintf("%d", *(const int *) value);
		case TYPE_DURATION:
			return psprintf(INT64_FORMAT, *(const int64 *) value);
		case TYPE_BOOLEAN:
			return *(const bool *) value ? "true" : "false";
		case TYPE_MAPPING:
			return *(char *const *) value != NULL ? act_mapping_compact(*(char *const *) value) : "";
		case TYPE_NAMES:
			initStringInfo(&names);
			for (int i = 0; i < parsed->nignored; i++)
				appendStringInfo(&names, "%s,", quote_identifier(parsed->ignored[i]));
			return names.data;
	}
	return "";
}

static void
parse_text(const char *text, OnRemoved on_removed, SyncOptions *parsed)
{
	act_sync_options_parse(DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text))),
						   on_removed, parsed);
}

bool
act_sync_options_same(const Sync *a, const Sync *b)
{
	SyncOptions one;
	SyncOptions other;

	parse_text(a->options_text, a->on_removed, &one);
	parse_text(b->options_text, b->on_removed, &other);
	for (int i = 0; i < lengthof(known_options); i++)
	{
		if (strcmp(meaning(&known_options[i], &one), meaning(&known_options[i], &other)) != 0)
			return false;
	}
	return true;
}

/* The options that keep says, as they were given. */
static char *
options_text(Jsonb *options, bool (*keep) (const char *name, const JsonbValue *value, const void *arg), const void *arg)
{
	JsonbIterator *iterator = JsonbIteratorInit(&options->root);
	JsonbParseState *state = NULL;
	JsonbIteratorToken token;
	JsonbValue	value;
	JsonbValue	name;
	Jsonb	   *kept;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			name = value;
		if (token != WJB_VALUE ||
			!keep(pnstrdup(name.val.string.val, name.val.string.len), &value, arg))
			continue;
		pushJsonbValue(&state, WJB_KEY, &name);
		pushJsonbValue(&state, WJB_VALUE, &value);
	}
	kept = JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
	return JsonbToCString(NULL, &kept->root, VARSIZE(kept));
}

static bool
is_given(const char *name, const JsonbValue *value, const void *arg)
{
	return value->type != jbvNull;
}

char *
act_sync_options_given(Jsonb *options)
{
	return options_text(options, is_given, NULL);
}

static bool
is_set(const char *name, const JsonbValue *value, const void *arg)
{
	const Sync *sync = arg;
	const KnownOption *option = find_option(name);
	SyncOptions parsed;
	SyncOptions defaults;

	parse_text(sync->options_text, sync->on_removed, &parsed);
	parse_text("{}", sync->on_removed, &defaults);
	return strcmp(meaning(option, &parsed), meaning(option, &defaults)) != 0;
}

char *
act_sync_options_set(const Sync *sync)
{
	return options_text(DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(sync->options_text))),
						is_set, sync);
}
