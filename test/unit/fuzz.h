/*-------------------------------------------------------------------------
 *
 * fuzz.h
 *	  Random JSON for the fuzzers: trees made by a schema, and trees and bytes
 *	  made other.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <cjson/cJSON.h>

/*
 * Reads SEED (default 1), FUZZ (rounds) and FUZZ_SECONDS from the environment.
 * FUZZ=0: no rounds.
 */
extern void fuzz_begin(const char *name, int rounds, int seconds);

/* Whether there is another round; frees what the last one palloc()ed. */
extern bool fuzz_next(void);

/* What the round is about: shown where it crashes, hangs or fails. */
extern void fuzz_subject(const char *text);
extern void fuzz_fail(const char *what, const char *which);
extern int	fuzz_end(void);		/* what main() returns */

extern uint32 fuzz_random(uint32 below);
extern const char *fuzz_pick(const char *const *from, int count);

/* An instance of a definition of the schema, seldom a good one. */
extern cJSON *fuzz_instance(const cJSON *schema, const cJSON *definition, int depth);

/* Makes a tree other in one place or a few; schema may be NULL. */
extern void fuzz_tree(cJSON *tree, const cJSON *schema);

/* Bytes made other, exactly as long as they are; malloc()ed for one round. */
extern char *fuzz_bytes(const char *from, size_t *len);

extern char *fuzz_read_file(const char *path);

#endif							/* FUZZ_H */
