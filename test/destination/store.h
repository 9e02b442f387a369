/*
 * store.h
 *	  What the test destination holds: records by object and key, and the
 *	  tokens (request keys, change ids) it has already applied.
 */
#ifndef STORE_H
#define STORE_H

#include "json.h"

typedef struct Record
{
	char	   *object;
	char	   *key;			/* canonical JSON */
	char	   *fields;			/* JSON object */
	char	   *external_id;
	bool		archived;
	long		writes;
	unsigned long hash;
	struct Record *next;		/* in its bucket */
} Record;

extern Record *store_find(const char *object, const char *key);
extern Record *store_find_id(const char *object, const char *external_id);

/* Carries out one operation; NULL, or why there is no such record ("absent"),
 * or why the row is refused.  *record is what it is about, NULL if gone. */
extern const char *store_apply(const char *op, const char *object, const char *key,
							   Span fields, Record **record);

/* All records of an object are gone. */
extern void store_forget(const char *object);

/* true: the token is new, and is known from now on. */
extern bool store_token_add(const char *token);
extern bool store_token_known(const char *token);

/* Records of one object (NULL: of all) in key order; the caller frees the array. */
extern Record **store_list(const char *object, size_t *n);
extern void store_reset(void);

#endif
