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

/* The document as UTF-8, or NULL where there is none of that name. */
extern char *act_registry_spec(const char *name);

/* Compiled, in the current memory context; ERROR 42704 where there is none. */
extern Connector *act_registry_connector(const char *name);

#endif							/* ACT_REGISTRY_H */
