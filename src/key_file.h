/*-------------------------------------------------------------------------
 *
 * key_file.h
 *	  The key that secrets in the database are sealed with.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_KEY_FILE_H
#define ACT_KEY_FILE_H

#include "sealed.h"

#define KEY_FILE_MAX_KEYS 16

/* The first is what is sealed with; the others open what is older. */
typedef struct KeyRing
{
	int			nkeys;
	uint8		keys[KEY_FILE_MAX_KEYS][SEALED_KEY_LEN];
} KeyRing;

/* Whether there is a setting; not whether the file can be read. */
extern bool act_key_file_is_set(void);

/*
 * Reads pg_activate.key_file, in a transaction.  ERROR 55000, 58P01 or 22023
 * where there is none, or where it is not what it should be; what: what it is
 * needed for, as a sentence's object.  The caller wipes it.
 */
extern void act_key_file_read(KeyRing *ring, const char *what);
extern void act_key_file_wipe(KeyRing *ring);

#endif							/* ACT_KEY_FILE_H */
