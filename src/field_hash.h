/*-------------------------------------------------------------------------
 *
 * field_hash.h
 *	  A digest of each field of a payload (option changed_fields_only).
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_FIELD_HASH_H
#define ACT_FIELD_HASH_H

#include "lib/stringinfo.h"

/* Those of a payload that was accepted. */
typedef struct FieldHashes
{
	int			count;
	uint64	   *values;			/* sorted */
} FieldHashes;

/* field: its name and value as they are sent, "name":value. */
extern void act_field_hash_append(StringInfo buf, const char *field, size_t len);

/* As they were appended one after the other; false: that is no such text. */
extern bool act_field_hashes_read(const char *text, size_t len, FieldHashes *hashes);

/* Whether this very field was among them. */
extern bool act_field_hashes_hold(const FieldHashes *hashes, const char *field, size_t len);

#endif							/* ACT_FIELD_HASH_H */
