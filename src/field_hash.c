/*-------------------------------------------------------------------------
 *
 * field_hash.c
 *	  A digest of each field of a payload (option changed_fields_only).
 *
 * Name and value together make one number of 64 bits, so that a field which
 * has gone elsewhere in the payload is still known, and a list of them is
 * all that the snapshot keeps: 16 hexadecimal digits for each, in the order
 * of the fields.  Two values that share a number would leave a change out;
 * with 64 bits that is not to be expected.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "field_hash.h"
#include "value.h"

#define HASH_DIGITS 16

static uint64
field_hash(const char *field, size_t len)
{
	uint8		digest[ACT_DIGEST_LEN];
	uint64		hash = 0;

	act_digest(field, len, digest);
	for (int i = 0; i < HASH_DIGITS / 2; i++)
		hash = hash << 8 | digest[i];
	return hash;
}

void
act_field_hash_append(StringInfo buf, const char *field, size_t len)
{
	uint64		hash = field_hash(field, len);

	/* In halves: how 64 bits are printed is not written alike from 15 to 18. */
	appendStringInfo(buf, "%08x%08x", (uint32) (hash >> 32), (uint32) hash);
}

static int
digit_value(char digit)
{
	if (digit >= '0' && digit <= '9')
		return digit - '0';
	if (digit >= 'a' && digit <= 'f')
		return digit - 'a' + 10;
	return -1;
}

static int
compare(const void *a, const void *b)
{
	uint64		left = *(const uint64 *) a;
	uint64		right = *(const uint64 *) b;

	return left < right ? -1 : left > right;
}

/* The owner can write his table: anything may stand there. */
bool
act_field_hashes_read(const char *text, size_t len, FieldHashes *hashes)
{
	hashes->count = len / HASH_DIGITS;
	if (len % HASH_DIGITS != 0)
		return false;
	hashes->values = palloc0(sizeof(uint64) * Max(hashes->count, 1));
	for (size_t i = 0; i < len; i++)
	{
		int			digit = digit_value(text[i]);

		if (digit < 0)
			return false;
		hashes->values[i / HASH_DIGITS] = hashes->values[i / HASH_DIGITS] << 4 | digit;
	}
	qsort(hashes->values, hashes->count, sizeof(uint64), compare);
	return true;
}

bool
act_field_hashes_hold(const FieldHashes *hashes, const char *field, size_t len)
{
	uint64		hash = field_hash(field, len);

	return bsearch(&hash, hashes->values, hashes->count, sizeof(uint64), compare) != NULL;
}
