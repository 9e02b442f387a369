/*-------------------------------------------------------------------------
 *
 * definition_object.h
 *	  A definition against what the connector knows of its object.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_DEFINITION_OBJECT_H
#define ACT_DEFINITION_OBJECT_H

#include "connector_object.h"
#include "definition.h"
#include "destination.h"

/* What syncs with the object can do, which follows from its operations and its kind. */
extern bool act_object_serves_mode(const ConnectorObject *object, SyncMode mode);
extern bool act_object_serves_removal(const ConnectorObject *object, OnRemoved on_removed);

/*
 * What on_removed is where nothing is said, and whether the object can do what
 * mode and on_removed ask for: 22023 with what it can.
 */
extern void act_definition_apply_object(Sync *sync, const DefinitionInput *input, bool was_mirror,
										const Destination *destination);

/*
 * Each mapped field is one that the document lets the object take, and none
 * that makes its rows is missing: else 22023.  What else is known of fields,
 * catalog_check.c looks at.
 */
extern void act_definition_check_fields(const Sync *sync, const Mapping *mapping, const Destination *destination);

/*
 * definition_match.c: by what records are found, as given or by default:
 * 22023 with what the object can be matched by.
 */
extern void act_definition_apply_match(Sync *sync, const char *match, const Model *model,
									   const Destination *destination);

/* The object for messages: its title, else the name of the sync's object in quotes. */
extern char *act_definition_object_title(const Sync *sync, const ConnectorObject *object);

/* The top-level field of that name (UTF-8), or -1. */
extern int	act_definition_find_field(const Mapping *mapping, const char *utf8);

#endif							/* ACT_DEFINITION_OBJECT_H */
