/*-------------------------------------------------------------------------
 *
 * value.h
 *	  Values of any type, hashed and printed (design decisions 3 and 10).
 *
 * A ValueType is built once per query from the catalogs (inside a
 * transaction) and says how a type's values enter the fingerprint and how
 * they are written as JSON: enums by label, OID aliases by text, domains as
 * their base, containers element by element, int2, int4 and int8 alike.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_VALUE_H
#define ACT_VALUE_H

#include "lib/stringinfo.h"
#include "row.h"

typedef struct ValueType ValueType;

/* In the current memory context; throws for types that no row can send. */
extern ValueType *act_value_type(Oid type_oid);

/*
 * The type by name, as it enters the seed of the fingerprint: what is equal
 * here hashes and prints equal values alike.  Composites name attributes.
 */
extern const char *act_value_type_signature(const ValueType *type);

/*
 * Appends the bytes that stand for the value to buf, unambiguously: two
 * lists of values of one list of signatures give the same bytes only when
 * they print the same JSON.  The buffer is not kept NUL-terminated; what is
 * big enters as its digest.
 */
extern void act_value_append_image(StringInfo buf, const ValueType *type, Datum value, bool isnull);

/*
 * Appends the value as JSON in UTF-8.  Returns NULL, or in a few words why it
 * cannot be sent (NaN, infinity, bytes that are no text, more than 256 MB);
 * buf then holds a part of it.  The caller fixes the settings that output
 * functions obey: DateStyle, IntervalStyle, TimeZone, bytea_output,
 * extra_float_digits, lc_monetary.
 */
extern const char *act_value_append_json(StringInfo buf, const ValueType *type, Datum value, bool isnull);

/* 128 bits over the bytes. */
extern void act_digest(const void *data, size_t len, uint8 *digest);

/* A member's name as JSON in UTF-8, with its colon; NULL: it is not valid UTF-8. */
extern char *act_value_json_label(const char *name);

#endif							/* ACT_VALUE_H */
