/*-------------------------------------------------------------------------
 *
 * connector_path.h
 *	  Places in an answer that a JSON pointer alone cannot name.
 *
 * A path is written as a JSON pointer.  A token "*" is each member of what is
 * there, be it an array or an object, and a token may have expressions in it:
 * "/definitions/{{sync.object}}/properties".
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_CONNECTOR_PATH_H
#define ACT_CONNECTOR_PATH_H

#include "document.h"
#include "template.h"

typedef struct Path Path;

/* A member that is a path; NULL where there is none. */
extern const Path *act_path_compile_member(const Document *document, const cJSON *object, const char *name);
extern const Path *act_path_compile(const Document *document, const cJSON *at);

/* All that it names (List of cJSON, not copied); NIL: nothing, or an expression without a value. */
extern List *act_path_find(const Path *path, const ConnectorScope *scope, const cJSON *root);
/* The first of them, or NULL. */
extern const cJSON *act_path_first(const Path *path, const ConnectorScope *scope, const cJSON *root);
/* The text of that, or NULL where there is none or it is empty; objects and arrays have none. */
extern char *act_path_text(const Path *path, const ConnectorScope *scope, const cJSON *root);

#endif							/* ACT_CONNECTOR_PATH_H */
