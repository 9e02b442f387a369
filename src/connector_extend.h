/*-------------------------------------------------------------------------
 *
 * connector_extend.h
 *	  Documents that extend another one.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_CONNECTOR_EXTEND_H
#define ACT_CONNECTOR_EXTEND_H

/* The stored document of that name (UTF-8), as it is; NULL: there is none. */
typedef char *(*DocumentFinder) (void *arg, const char *name);

/*
 * The document as it stands with all that it extends: spec itself, or a text
 * of its own.  ERROR: 42704 for one that is not there, 22023 for circles and
 * for more than five steps.
 */
extern char *act_connector_extend(const char *name, const char *spec, DocumentFinder find, void *arg);

#endif							/* ACT_CONNECTOR_EXTEND_H */
