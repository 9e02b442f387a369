/*-------------------------------------------------------------------------
 *
 * apply.c
 *	  SQL-callable: apply(), which makes the syncs be what a spec says.
 *
 * As the caller, in his transaction, by what create_sync(), alter_sync() and
 * their like are made of: all of it or nothing.  A dry run does the same in a
 * subtransaction that is rolled back, and counts in it what the next run of
 * each sync would do: only there are a new table, another owner or a renamed
 * key what they will be.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/json.h"

#include "compat.h"
#include "definition.h"
#include "identity.h"
#include "preview.h"
#include "schedule.h"
#include "spec.h"
#include "transaction.h"

PG_FUNCTION_INFO_V1(act_apply);

#define APPLY_COLUMNS 5

/* What became, or would become, of one sync. */
typedef struct Change
{
	char	   *name;
	const char *pointer;		/* in the spec; NULL: it is not there */
	const char *action;
	char	   *changes;		/* JSON, or NULL */
	char	   *plan;			/* JSON, or NULL */
	bool		touched;		/* its definition is another one */
} Change;

typedef struct Application
{
	List	   *syncs;			/* of SpecSync, in order */
	bool		prune;
	bool		dry_run;
	List	   *changes;		/* of Change, in the order in which they are made */
} Application;

/* ----------------------------------------------------------------
 *		One sync
 * ----------------------------------------------------------------
 */

static void
name_sync(void *arg)
{
	const SpecSync *sync = arg;

	errcontext("sync \"%s\", in the spec at %s", sync->input.name, sync->pointer);
}

static void
push_context(ErrorContextCallback *callback, SpecSync *sync)
{
	callback->callback = name_sync;
	callback->arg = sync;
	callback->previous = error_context_stack;
	error_context_stack = callback;
}

static void
append_change(StringInfo buf, const char *name, const char *old, const char *new)
{
	appendStringInfo(buf, "%s\"%s\": {\"old\": %s, \"new\": %s}", buf->len > 1 ? ", " : "", name, old, new);
}

static char *
json_string(const char *text)
{
	StringInfoData buf;

	if (text == NULL)
		return "null";
	initStringInfo(&buf);
	escape_json(&buf, text);
	return buf.data;
}

/* Whether it is paused, and why, is not part of the definition.  Returns what was done. */
static const char *
apply_pause(const SpecSync *wanted, const Sync *sync, StringInfo changes)
{
	const char *old_reason = sync->pause_reason ? sync->pause_reason : "";
	const char *reason = wanted->pause_reason ? wanted->pause_reason : "";

	if (!wanted->has_paused || (!wanted->paused && !sync->paused))
		return NULL;
	if (wanted->paused != sync->paused)
		append_change(changes, "paused", sync->paused ? "true" : "false", wanted->paused ? "true" : "false");
	if (wanted->paused && strcmp(old_reason, reason) != 0)
		append_change(changes, "pause_reason", json_string(sync->pause_reason), json_string(wanted->pause_reason));
	if (!wanted->paused)
	{
		act_definition_resume(sync);
		return "resume";
	}
	if (sync->paused && strcmp(old_reason, reason) == 0)
		return NULL;
	act_definition_pause(sync, wanted->pause_reason);
	return "pause";
}

static void
apply_settings(const SpecSync *sync)
{
	if (sync->search_path != NULL)
		act_identity_set("search_path", sync->search_path);
	if (sync->time_zone != NULL)
		act_identity_set("TimeZone", sync->time_zone);
}

static Change *
apply_sync(SpecSync *wanted)
{
	Change	   *change = palloc0(sizeof(Change));
	ErrorContextCallback callback;
	StringInfoData changes;
	Sync	   *sync;
	const char *paused;
	int			guc_nest;

	initStringInfo(&changes);
	appendStringInfoChar(&changes, '{');
	push_context(&callback, wanted);
	guc_nest = NewGUCNestLevel();
	apply_settings(wanted);
	change->name = wanted->input.name;
	change->pointer = wanted->pointer;
	change->action = "none";
	sync = act_sync_load_locked(wanted->input.name, true, true);
	if (sync == NULL)
	{
		sync = act_definition_create(&wanted->input);
		change->action = "create";
	}
	else
	{
		ListCell   *cell;

		foreach(cell, act_definition_replace(sync, &wanted->input))
		{
			const DefinitionChange *one = lfirst(cell);

			append_change(&changes, one->name, one->old, one->new);
			change->action = "alter";
		}
	}
	change->touched = strcmp(change->action, "none") != 0;
	paused = apply_pause(wanted, sync, &changes);
	if (paused != NULL && !change->touched)
		change->action = paused;
	AtEOXact_GUC(false, guc_nest);
	error_context_stack = callback.previous;

	appendStringInfoChar(&changes, '}');
	/* All of a new one is in the spec. */
	if (changes.len > 2 && strcmp(change->action, "create") != 0)
		change->changes = changes.data;
	return change;
}

/* ----------------------------------------------------------------
 *		Those that the spec does not name
 * ----------------------------------------------------------------
 */

typedef struct Unnamed
{
	char	   *name;
	Oid			owner;
	int64		sync_id;
	List	   *after;			/* of char *: what it runs after or refers to */
} Unnamed;

static bool
is_named(const Application *application, const char *name)
{
	ListCell   *cell;

	foreach(cell, application->syncs)
	{
		if (strcmp(((SpecSync *) lfirst(cell))->input.name, name) == 0)
			return true;
	}
	return false;
}

/*
 * A superuser has the rights of everybody, and does not mean everybody's
 * syncs: only those of roles that he is a member of, or that the spec's own
 * syncs belong to.
 */
static bool
may_prune(Oid owner, List *owners)
{
	return is_member_of_role_nosuper(GetUserId(), owner) || list_member_oid(owners, owner);
}

/* As the extension. */
static void
add_references(Unnamed *sync, MemoryContext context)
{
	SqlArgument args[] = {SQL_INT8(sync->sync_id)};
	uint64		count = act_sql(SPI_OK_SELECT,
								"SELECT referenced_sync FROM activate.sync_reference WHERE sync_id = $1"
								" AND referenced_sync <> (SELECT s.name FROM activate.sync AS s WHERE s.sync_id = $1)",
								lengthof(args), args);
	MemoryContext inside = MemoryContextSwitchTo(context);

	for (uint64 i = 0; i < count; i++)
		sync->after = lappend(sync->after, act_sql_text(i, 1));
	MemoryContextSwitchTo(inside);
}

static List *
find_unnamed(const Application *application)
{
	MemoryContext context = CurrentMemoryContext;
	MemoryContext inside;
	Identity	identity;
	List	   *owners = NIL;
	List	   *unnamed = NIL;
	List	   *chosen = NIL;
	ListCell   *cell;
	SqlArgument args[] = {{OIDOID, ObjectIdGetDatum(GetUserId()), false}};
	uint64		count;

	act_identity_extension(&identity);
	count = act_sql(SPI_OK_SELECT,
					"SELECT s.name, c.relowner, s.schedule, s.sync_id FROM activate.sync s"
					" JOIN pg_catalog.pg_class c ON c.relname = s.name"
					" AND c.relnamespace = 'activate_data'::pg_catalog.regnamespace"
					" WHERE pg_catalog.pg_has_role($1, c.relowner, 'USAGE') ORDER BY s.name",
					lengthof(args), args);
	inside = MemoryContextSwitchTo(context);
	for (uint64 i = 0; i < count; i++)
	{
		Unnamed    *sync = palloc0(sizeof(Unnamed));

		CHECK_FOR_INTERRUPTS();
		sync->name = act_sql_text(i, 1);
		sync->owner = (Oid) act_sql_int64(i, 2);
		if (is_named(application, sync->name))
		{
			owners = list_append_unique_oid(owners, sync->owner);
			continue;
		}
		sync->after = act_schedule_parse(act_sql_text(i, 3), "UTC")->after;
		sync->sync_id = act_sql_int64(i, 4);
		unnamed = lappend(unnamed, sync);
	}
	MemoryContextSwitchTo(inside);
	foreach(cell, unnamed)
		add_references(lfirst(cell), context);
	act_identity_leave(&identity);

	foreach(cell, unnamed)
	{
		if (may_prune(((Unnamed *) lfirst(cell))->owner, owners))
			chosen = lappend(chosen, lfirst(cell));
	}
	return chosen;
}

static bool
is_followed(const Unnamed *sync, List *others)
{
	ListCell   *cell;
	ListCell   *name;

	foreach(cell, others)
	{
		foreach(name, ((Unnamed *) lfirst(cell))->after)
		{
			if (strcmp(lfirst(name), sync->name) == 0)
				return true;
		}
	}
	return false;
}

/* Who runs after another one, or refers to it, goes first; of a circle of references the first. */
static Unnamed *
next_unnamed(List *rest)
{
	ListCell   *cell;

	foreach(cell, rest)
	{
		if (!is_followed(lfirst(cell), rest))
			return lfirst(cell);
	}
	return linitial(rest);
}

static void
prune(Application *application)
{
	List	   *rest = find_unnamed(application);

	while (rest != NIL)
	{
		Unnamed    *sync = next_unnamed(rest);
		Change	   *change = palloc0(sizeof(Change));

		CHECK_FOR_INTERRUPTS();
		rest = list_delete_ptr(rest, sync);
		ereport(NOTICE,
				(errmsg("sync \"%s\" is not in the spec and is dropped", sync->name)));
		if (!act_definition_drop(sync->name, true, application->dry_run))
			continue;
		change->name = sync->name;
		change->action = "drop";
		application->changes = lappend(application->changes, change);
	}
}

/* ----------------------------------------------------------------
 *		All of them
 * ----------------------------------------------------------------
 */

static SpecSync *
find_spec(const Application *application, const char *name)
{
	ListCell   *cell;

	foreach(cell, application->syncs)
	{
		if (strcmp(((SpecSync *) lfirst(cell))->input.name, name) == 0)
			return lfirst(cell);
	}
	return NULL;
}

/* touched: those whose plan is only to be seen before it is rolled back. */
static void
plan(Application *application, bool touched)
{
	ListCell   *cell;

	foreach(cell, application->changes)
	{
		Change	   *change = lfirst(cell);
		ErrorContextCallback callback;

		if (change->pointer == NULL || change->touched != touched)
			continue;
		CHECK_FOR_INTERRUPTS();
		push_context(&callback, find_spec(application, change->name));
		change->plan = act_plan_json(act_sync_load(change->name, false));
		error_context_stack = callback.previous;
	}
}

static void
apply_all(void *arg)
{
	Application *application = arg;
	ListCell   *cell;

	foreach(cell, application->syncs)
	{
		CHECK_FOR_INTERRUPTS();
		application->changes = lappend(application->changes, apply_sync(lfirst(cell)));
	}
	if (application->prune)
		prune(application);
	if (application->dry_run)
		plan(application, true);
}

/* Nobody is told of what does not happen; the plan says it all. */
static void
rehearse(Application *application)
{
	int			guc_nest = NewGUCNestLevel();

	act_identity_set("client_min_messages", "warning");
	act_transaction_rehearse(apply_all, application);
	plan(application, false);
	AtEOXact_GUC(false, guc_nest);
}

static void
put_change(ReturnSetInfo *result, const Change *change)
{
	Datum		values[APPLY_COLUMNS] = {0};
	bool		nulls[APPLY_COLUMNS] = {false, false, false, change->changes == NULL, change->plan == NULL};

	values[0] = CStringGetTextDatum("sync");
	values[1] = CStringGetTextDatum(change->name);
	values[2] = CStringGetTextDatum(change->action);
	if (change->changes != NULL)
		values[3] = DirectFunctionCall1(jsonb_in, CStringGetDatum(change->changes));
	if (change->plan != NULL)
		values[4] = DirectFunctionCall1(jsonb_in, CStringGetDatum(change->plan));
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* activate.apply(spec jsonb, prune boolean, dry_run boolean, vars jsonb) */
Datum
act_apply(PG_FUNCTION_ARGS)
{
	Application application = {0};
	ListCell   *cell;

	act_require_argument(PG_ARGISNULL(0), "spec",
						 "SELECT * FROM activate.apply('{\"syncs\": {\"customer_health\": {\"model\": ...}}}');");
	act_require_argument(PG_ARGISNULL(1), "prune", "prune => true drops syncs that the spec does not name; the default is false.");
	act_require_argument(PG_ARGISNULL(2), "dry_run", "dry_run => true only says what would happen; the default is false.");
	act_require_argument(PG_ARGISNULL(3), "vars", "Leave it out where the spec has no variables.");
	act_compat_materialize(fcinfo);
	application.prune = PG_GETARG_BOOL(1);
	application.dry_run = PG_GETARG_BOOL(2);

	SPI_connect();
	application.syncs = act_spec_read(PG_GETARG_JSONB_P(0), PG_GETARG_JSONB_P(3));
	if (application.dry_run)
		rehearse(&application);
	else
		apply_all(&application);
	foreach(cell, application.changes)
		put_change((ReturnSetInfo *) fcinfo->resultinfo, lfirst(cell));
	SPI_finish();
	return (Datum) 0;
}
