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

/* Names of arguments in that order, for errors. */
#define DEFINITION_ARGUMENTS 12

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

/* 2BP01 while others run after it. */
extern void act_definition_refuse_followed(const Sync *sync);

/* 22004 with what to type. */
extern void act_require_argument(bool isnull, const char *name, const char *hint);

#endif							/* ACT_DEFINITION_H */
