/*-------------------------------------------------------------------------
 *
 * definition.h
 *	  From the arguments of create_sync() and alter_sync() to a definition.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_DEFINITION_H
#define ACT_DEFINITION_H

#include "model.h"
#include "sync.h"

/* Arguments; NULL and InvalidOid: not given. */
typedef struct DefinitionInput
{
	char	   *name;
	char	   *model;
	char	   *key;
	char	   *destination;
	char	   *object;
	char	   *match;
	char	   *mapping;
	char	   *mode;
	char	   *on_removed;
	char	   *schedule;
	Oid			owner;
	Jsonb	   *options;
} DefinitionInput;

/* What a definition consists of, in the order in which it is written down. */
typedef enum DefinitionArgument
{
	ARGUMENT_MODEL,
	ARGUMENT_KEY,
	ARGUMENT_DESTINATION,
	ARGUMENT_OBJECT,
	ARGUMENT_MATCH,
	ARGUMENT_MAPPING,
	ARGUMENT_MODE,
	ARGUMENT_ON_REMOVED,
	ARGUMENT_SCHEDULE,
	ARGUMENT_OWNER,
	ARGUMENT_OPTIONS,
	ARGUMENT_SEARCH_PATH,
	ARGUMENT_TIME_ZONE
} DefinitionArgument;
#define DEFINITION_ARGUMENT_COUNT (ARGUMENT_TIME_ZONE + 1)

extern const char *act_definition_argument_name(DefinitionArgument argument);
extern char *act_definition_argument_json(const Sync *sync, DefinitionArgument argument);
/* Left out it would be the same; never true of what only was a default once. */
extern bool act_definition_argument_is_default(const Sync *sync, DefinitionArgument argument);

/* An argument by which two definitions differ; values as JSON. */
typedef struct DefinitionChange
{
	const char *name;
	char	   *old;
	char	   *new;
} DefinitionChange;

/* List of DefinitionChange: what differs in meaning, name and pause apart. */
extern List *act_definition_changes(const Sync *old, const Sync *new);

/* new was just defined: its search_path becomes old's where that makes no difference. */
extern void act_definition_keep_search_path(const Sync *old, Sync *new, const Model *new_model);

/*
 * create_sync(): a new sync; or to exactly these arguments the one that is
 * there, which is locked.  Everything that has no default must be given.
 * Returns what changed (List of DefinitionChange; NIL: nothing was done).
 */
extern Sync *act_definition_create(const DefinitionInput *input);
extern List *act_definition_replace(Sync *old, const DefinitionInput *input);

/* 42622, 42602, 42939: a sync's name is its table's, too. */
extern void act_definition_check_name(const char *name);

/*
 * Puts what is given over what stands in sync (zeroed: everything must be
 * given or has a default), checks all of it as a whole, and resolves the
 * model as the sync's owner.  Relations and settings are the caller's now.
 */
extern Model *act_definition_apply(Sync *sync, const DefinitionInput *input);

/*
 * definition_mode.c: what mode, on_removed and the options that go with them
 * must say together, 22023; of the match once it is known; and what is over
 * and not done again, the first run and removals, in a NOTICE.
 */
extern void act_definition_check_mode(const Sync *sync);
extern void act_definition_check_removed_match(const Sync *sync);
extern void act_definition_tell_past(const Sync *old, const Sync *new);

/* 55000 where rows are muted and all are to go as one. */
extern void act_definition_refuse_muted(const Sync *old, const Sync *new);

/* In a NOTICE: the next run will take the rows as sent. */
extern void act_definition_tell_baseline(const Sync *sync);

/*
 * Whether a change may make accepted rows go out again; says so in a NOTICE
 * where a person may expect it and they do not.
 */
extern bool act_definition_sends_again(const Sync *new, bool moved, bool resend_all);

/* act_model_resolve(), but NULL where the definition no longer works. */
extern Model *act_definition_try_resolve(const Sync *old);

/*
 * What a user should know of a definition that is otherwise all right.
 * mapping: as given, where it was.
 */
extern void act_definition_tell(const Sync *sync, const Model *model, const char *mapping);

/* When it runs, in a NOTICE; it is stored already. */
extern void act_definition_tell_schedule(const Sync *sync);

/*
 * The syncs that it is to run after exist, the current user has the rights of
 * their owners, and none of them runs after it: 42704, 42501, 22023.
 * stored_name: NULL for a new sync.
 */
extern void act_definition_check_schedule(const Sync *sync, const char *stored_name);

/* The schedules of syncs that run after a renamed one. */
extern void act_definition_rename_followed(const char *old_name, const char *new_name);

/* What alter_sync() is told of rows that were accepted. */
typedef enum Resend
{
	RESEND_CHANGED,				/* what differs */
	RESEND_ALL,
	RESEND_NONE
} Resend;

/*
 * NOTICE of the rows that a change sends again, or removes.  why: of all of
 * them; NULL: of those whose values are others, if not same_values.
 */
extern void act_definition_tell_resend(const Sync *old, const Sync *new, const char *why,
									   Resend resend, bool same_values);

/* pause_sync() and so on, of a sync that is locked. */
extern void act_definition_pause(const Sync *sync, const char *reason);
extern void act_definition_resume(const Sync *sync);

/*
 * drop_sync() of one that is not locked yet; false: it is gone.  A rehearsal,
 * which is rolled back, leaves its run and its table alone.
 */
extern bool act_definition_drop(const char *name, bool missing_ok, bool rehearsal);

/* 2BP01 while others run after it. */
extern void act_definition_refuse_followed(const Sync *sync);

/* 22004 with what to type. */
extern void act_require_argument(bool isnull, const char *name, const char *hint);

#endif							/* ACT_DEFINITION_H */
