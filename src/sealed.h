/*-------------------------------------------------------------------------
 *
 * sealed.h
 *	  Bytes that are sealed with a key: AES-256-GCM.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_SEALED_H
#define ACT_SEALED_H

#include "lib/stringinfo.h"

#define SEALED_KEY_LEN 32
#define SEALED_KEY_ID_LEN 8
#define SEALED_NONCE_LEN 12
#define SEALED_TAG_LEN 16

/* 64 hexadecimal digits. */
extern bool act_sealed_parse_key(const char *text, size_t len, uint8 *key);

/* What may be shown of a key, to tell it from others. */
extern void act_sealed_key_id(const uint8 *key, uint8 *id);

/*
 * Appends nonce, ciphertext and tag.  The same nonce must never be used twice
 * with a key; bound is not part of it, and must be the same when it is opened.
 */
extern void act_sealed_make(const uint8 *key, const uint8 *nonce, const char *bound, size_t bound_len,
							const char *text, size_t len, StringInfo sealed);

/* Appends the text; false, with nothing appended: another key, or not as it was made. */
extern bool act_sealed_open(const uint8 *key, const char *bound, size_t bound_len,
							const char *sealed, size_t len, StringInfo text);

#endif							/* ACT_SEALED_H */
