/*-------------------------------------------------------------------------
 *
 * registry.h
 *	  Connectors as stored in activate.connector.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_REGISTRY_H
#define ACT_REGISTRY_H

#include "connector.h"

/*
 * The document as UTF-8, with all that it extends, or NULL where there is none
 * of that name.  ERROR where what it extends is not there.
 */
extern char *act_registry_spec(const char *name);

extern bool act_registry_missing(const char *name);	/* there is none of that name */

/* The same of a text that is not stored, or not yet. */
extern char *act_registry_extend(const char *name, const char *spec);

/*
 * Compiled, in the current memory context; ERROR 42704 where there is none.
 * The second is for the object of a sync, in the server's encoding; NULL: it
 * names none.
 */
extern Connector *act_registry_connector(const char *name);
extern Connector *act_registry_connector_object(const char *name, const char *object);

#endif							/* ACT_REGISTRY_H */
