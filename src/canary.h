/*-------------------------------------------------------------------------
 *
 * canary.h
 *	  Option canary: a few rows go first, and the others when all of them pass.
 *
 * Once after a definition was made or changed.  None of it touches the
 * database or the network; no transaction need be open.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_CANARY_H
#define ACT_CANARY_H

#include "run.h"

typedef struct Canary Canary;

/* Why nothing is sent while rows of it wait with their refusal. */
#define CANARY_REFUSED "rows of its canary were refused"

/* Chooses the rows and sets run->canary; nothing where the run has no canary. */
extern void act_canary_choose(Run *run);

/* The next row to send, of the canary or of the rest; NULL: no more of these. */
extern Row *act_canary_next(Run *run);

/* Its rows are under way: what they come to is for act_canary_passed(). */
extern bool act_canary_under_way(const Run *run);

/* What became of one row; of those of the rest it does not want to know. */
extern void act_canary_note(Run *run, const Row *row);

/*
 * All rows of the canary have been dealt with.  True: the rest may go, and is
 * what act_canary_next() returns from now on.  Else run->stop says why not,
 * and what is held is the rest.
 */
extern bool act_canary_passed(Run *run);

/* How many rows of a canary wait with their refusal, and hold what is to be sent; 0: none does. */
extern int64 act_canary_refused(const Run *run);

/*
 * Before anything is sent: where a canary was refused and nobody has said what
 * then, sets run->stop as long as rows wait with their refusal.
 */
extern void act_canary_guard(Run *run);

#endif							/* ACT_CANARY_H */
