/*-------------------------------------------------------------------------
 *
 * model_wait.h
 *	  A sync whose model cannot be read waits until it can (design decision 11).
 *
 * Where it waits stands in activate.sync_state: model_problem_since since when,
 * model_problem why, null while nobody was told yet.  All inside a transaction
 * with SPI connected that the caller commits; the sync's state is locked.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_MODEL_WAIT_H
#define ACT_MODEL_WAIT_H

#include "model.h"
#include "sync_state_private.h"

/* What a model that worked before fails with now, and who did it, where known. */
typedef struct ModelProblem
{
	int			sqlstate;
	char	   *message;		/* without the sync's name; for a missing right with its GRANT */
	bool		grant;			/* a right is missing, as after a rebuild that brings it back */
	char	   *field;			/* of the mapping; NULL: it is not one field */
	char	   *column;			/* NULL: it is not one column */
	const char *command;		/* tag of the command that did it; NULL: not known */
	const char *relation;		/* that it was about */
	const char *role;			/* that ran it */
	bool		cascade;		/* the relation went with another one */
} ModelProblem;

/*
 * The model, resolved as a run would, with a key that the sync's table can
 * take; ERROR as act_model_resolve() and act_snapshot_check_key().
 */
extern Model *act_model_check(const Sync *sync);

/*
 * NULL: the error is none of the model, as it was found by resolving it or by
 * reading it, and none that waiting helps against.  In the current memory
 * context.
 */
extern ModelProblem *act_model_problem(const Sync *sync, const ErrorData *error);

/* The same in one line, with who did it. */
extern char *act_model_problem_text(const ModelProblem *problem);

/* The error of a run, in words for who called it, or reads of it. */
extern void act_model_explain(const Sync *sync, ErrorData *error);

/*
 * The sync waits from now on, or still does: sets the state's columns and
 * when it is tried again, and tells of it once.  The caller stores the state.
 */
extern void act_model_wait(const Sync *sync, SyncState *state, const ModelProblem *problem, int64 run_id);

/*
 * The model can be read: keeps what it reads, and ends the wait.  Writes only
 * where something differs.  patient: waits for whoever has the sync's state
 * locked, else leaves it to the next one who comes by.  tell: by events.
 * True: it waited until now.
 */
extern bool act_model_works(const Model *model, bool patient, bool tell);

/*
 * For a worker that is to run a sync which waits; before: its state as it was
 * before the worker took what makes it due.  True: the run may go on.  False:
 * the model cannot be read yet, which is written down; *ended: and those who
 * asked for the run get that for an answer (NULL: they go on waiting).
 * asked_for: that run is due however often it is tried, so the scheduler has it
 * tried later each time, as long as the state stays what it was.
 */
extern bool act_model_wait_over(const Sync *sync, SyncState *state, const SyncState *before,
								bool asked_for, char **ended);

#endif							/* ACT_MODEL_WAIT_H */
