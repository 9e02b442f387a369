/*-------------------------------------------------------------------------
 *
 * connector_identity.h
 *	  Whose record is it?  By what rows are known in answers.
 *
 * Lookups and results name rows by values: those of the match fields, of the
 * key, of the external id.  Both sides go through the same filters, and
 * numbers are compared as numbers, of any length.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_CONNECTOR_IDENTITY_H
#define ACT_CONNECTOR_IDENTITY_H

#include "connector.h"
#include "document.h"
#include "filter.h"

typedef enum IdentityKind
{
	IDENTITY_MATCH,				/* the match fields; of a sync without any, the key */
	IDENTITY_KEY,
	IDENTITY_EXTERNAL_ID
} IdentityKind;

typedef struct Identity
{
	IdentityKind kind;
	int			npointers;		/* 0: an item is the value itself */
	const JsonPointer **pointers;	/* in an item: one, or in the order of the sync's match fields */
	const Filter *const *compare;	/* what both values go through before, NULL-ended; NULL: nothing */
} Identity;

/* A member that is one pointer or an array of them; a token {{sync.match}} stands for the field's name. */
extern void act_identity_compile(const Document *document, const cJSON *member, Identity *identity);

/* Whether a sync with so many match fields finds each of them in an item. */
extern bool act_identity_serves(const Identity *identity, int nmatch);

/* What the row is known by, or NULL: something of it is missing. */
extern char *act_identity_of_row(const Identity *identity, const ConnectorScope *scope, const Row *row);

/* Rows, to be found by what items say.  In the current memory context. */
typedef struct KnownRows KnownRows;

extern KnownRows *act_known_rows(const Identity *identity, const ConnectorScope *scope, Row **rows, int nrows);

/*
 * The rows that an item is about: how many they are (several may be known by
 * the same), and their numbers.  The item's value at its only pointer may
 * also be given by itself, as a scalar.
 */
extern int	act_known_rows_find(const KnownRows *known, const cJSON *item, const int **rows);
extern int	act_known_rows_find_value(const KnownRows *known, const cJSON *value, const int **rows);

/* The value at the only pointer of an item, or NULL. */
extern const cJSON *act_identity_value(const Identity *identity, const ConnectorScope *scope, const cJSON *item);

#endif							/* ACT_CONNECTOR_IDENTITY_H */
