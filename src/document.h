/*-------------------------------------------------------------------------
 *
 * document.h
 *	  Reading a connector's document: members, types, and errors that name
 *	  the JSON pointer of what is wrong.
 *
 * Whatever these return is a copy in the current memory context; the tree
 * is gone once the connector is compiled.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_DOCUMENT_H
#define ACT_DOCUMENT_H

#include "compat.h"
#include "connector.h"
#include "json.h"

typedef struct Document
{
	const char *connector;		/* its name, for messages */
	const cJSON *root;
	const cJSON *operations;	/* those being compiled: what "like" names is one of them */
	/* what templates may name; NULL-name ended, known once they were read */
	const ConnectorOption *options;
	const char *const *secrets;
	ConnectorProblem *problem;	/* where an error leaves its parts, or NULL */
} Document;

/* ERROR 22023: connector "x": <what> at <pointer>. hint may be NULL. */
ACT_NORETURN extern void act_document_error(const Document *document, const cJSON *at, const char *hint,
							   const char *what,...) pg_attribute_printf(4, 5);

/* ERROR 0A000: what a later version will know. */
ACT_NORETURN extern void act_document_unsupported(const Document *document, const cJSON *at,
									 const char *what,...) pg_attribute_printf(3, 4);

/* ERROR 22023 for an unknown name, with the nearest one of the known. */
ACT_NORETURN extern void act_document_unknown(const Document *document, const cJSON *at, const char *kind,
								 const char *name, const char *const *known);

/*
 * Throws unless at is an object whose members all are in known, none twice.
 * Members in later (NULL: none) are refused as not supported yet.
 */
extern void act_document_check(const Document *document, const cJSON *at,
							   const char *const *known, const char *const *later);

/* NULL where there is none, for all that return pointers. */
extern const cJSON *act_document_member(const cJSON *object, const char *name);
extern const cJSON *act_document_array(const Document *document, const cJSON *object, const char *name);
extern char *act_document_string(const Document *document, const cJSON *object, const char *name);
extern JsonPointer *act_document_pointer(const Document *document, const cJSON *object, const char *name);
extern bool act_document_bool(const Document *document, const cJSON *object, const char *name, bool fallback);
extern int	act_document_int(const Document *document, const cJSON *object, const char *name,
							 int min, int max, int fallback);

/* The index of a string among names, fallback where the member is absent. */
extern int	act_document_choice(const Document *document, const cJSON *object, const char *name,
								const char *const *names, const char *const *later, int fallback);

/* Throws where the object lacks the member. */
extern const cJSON *act_document_need(const Document *document, const cJSON *object, const char *name);
extern const char *act_document_pointer_to(const Document *document, const cJSON *at);

#endif							/* ACT_DOCUMENT_H */
