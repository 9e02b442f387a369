/*-------------------------------------------------------------------------
 *
 * json_equal.h
 *	  Whether what a destination has is what a row would send it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_JSON_EQUAL_H
#define ACT_JSON_EQUAL_H

#include "json.h"

/*
 * Whether each member of an object of ours (JSON text) has the same value in
 * the other one, which was read as JSON_ANSWER: numbers by their value, true
 * and "true" alike, null as missing.  Members of the other one that ours does
 * not have are nothing to us.
 */
extern bool act_json_contains(const cJSON *other, const char *ours, size_t len);

/* A number's value as text, one for each value; false: the text is no number. */
extern bool act_json_append_number(StringInfo buf, const char *text);

/* Whether both texts are numbers, and of one value. */
extern bool act_json_same_number(const char *ours, const char *other);

#endif							/* ACT_JSON_EQUAL_H */
