/*-------------------------------------------------------------------------
 *
 * model_text.h
 *	  Relations by the names that users write; the rest is in model.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_MODEL_TEXT_H
#define ACT_MODEL_TEXT_H

#include "model.h"

/*
 * The relation of a name, of a kind that has rows, with AccessShareLock.
 * ERROR 42P01 with the nearest name, 42501 without USAGE of its schema, 42809.
 * The current role is the owner or has its rights: it is the owner's GRANT
 * that lacks.
 */
extern Oid	act_model_find_relation(const char *name, Oid owner);

/* 42501 with the owner's GRANT unless the current role may use the schema. */
extern void act_model_require_schema(const char *name, Oid owner);
extern char *act_model_relation_name(Oid relation);	/* quoted, qualified */

#endif							/* ACT_MODEL_TEXT_H */
