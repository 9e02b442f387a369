/*-------------------------------------------------------------------------
 *
 * value_type.h
 *	  The inside of a ValueType, for value*.c alone.
 *
 * A ValueType is a tree: a node for each type, children for elements, bounds
 * and attributes.  What a query needs again for each row (labels, layouts,
 * function lookups) hangs off the nodes behind pointers, so that users of a
 * tree may hold it const.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_VALUE_TYPE_H
#define ACT_VALUE_TYPE_H

#include "access/htup.h"
#include "access/tupdesc.h"
#include "fmgr.h"
#include "utils/typcache.h"
#include "connector_type.h"
#include "value.h"

/* How a type's values enter the image. */
typedef enum ValueKind
{
	VALUE_INT2,
	VALUE_INT4,
	VALUE_INT8,
	VALUE_BYTE1,				/* passed by value, by width */
	VALUE_BYTE2,
	VALUE_BYTE4,
	VALUE_BYTE8,
	VALUE_FIXED,				/* passed by reference, fixed length */
	VALUE_VARLENA,
	VALUE_CSTRING,				/* name, cstring, unknown: text that ends in NUL */
	VALUE_NUMERIC,
	VALUE_ENUM,
	VALUE_OID_ALIAS,			/* regclass and the like: an OID that prints a name */
	VALUE_ARRAY,
	VALUE_COMPOSITE,
	VALUE_RECORD,				/* columns known with the value only */
	VALUE_RANGE,
	VALUE_MULTIRANGE
} ValueKind;

/* How they are written as JSON. */
typedef enum JsonKind
{
	JSON_BOOL,
	JSON_INT,					/* by the ValueKind's width */
	JSON_FLOAT4,
	JSON_FLOAT8,
	JSON_NUMERIC,
	JSON_DATE,
	JSON_TIMESTAMP,
	JSON_TIMESTAMPTZ,
	JSON_INTERVAL,
	JSON_JSON,					/* json: embedded as it is */
	JSON_JSONB,
	JSON_CAST,					/* by the type's cast to json */
	JSON_ARRAY,
	JSON_ROW,
	JSON_ENUM,
	JSON_OID_ALIAS,
	JSON_TEXT,					/* the bytes of the varlena are the text */
	JSON_CSTRING,
	JSON_OUTPUT					/* a string, by the output function */
} JsonKind;

/*
 * Labels of an enum, direct-mapped by OID: labels made together have OIDs
 * close to each other, so that enums of usual size never collide.
 */
#define ENUM_CACHE_SLOTS 64

typedef struct EnumLabel
{
	Oid			oid;
	int			len;
	char		label[NAMEDATALEN];
} EnumLabel;

typedef struct EnumCache
{
	uint64		generation;		/* of pg_enum when the slots were filled */
	EnumLabel	slots[ENUM_CACHE_SLOTS];
} EnumCache;

/* The columns of a composite or record, and room to take a value apart. */
typedef struct RowLayout
{
	MemoryContext context;		/* of all that follows; reset when it changes */
	uint64		identifier;		/* the type cache's, of this version of the type */
	TupleDesc	desc;
	ValueType **types;			/* by attribute number; NULL: dropped */
	char	  **labels;			/* "name": in UTF-8; NULL: not valid UTF-8 */
	char	   *signature;
	Datum	   *values;
	bool	   *nulls;
} RowLayout;

struct ValueType
{
	ValueKind	kind;
	JsonKind	json;
	Oid			oid;			/* the type; a domain's base */
	int16		len;
	bool		byval;
	char		align;
	char	   *signature;
	FmgrInfo   *output;			/* output function, or cast to json */
	ValueType  *element;		/* of arrays; of ranges and multiranges the bound */
	TypeCacheEntry *range;		/* ranges and multiranges */
	EnumCache  *enums;
	RowLayout  *row;			/* composites and records */
};

/* value_json.c, and what value_form.c makes of what is within a value */
extern const char *act_value_append_container(StringInfo buf, const ValueType *type, Datum value,
											  const ValueForms *forms);
extern const char *act_value_form_element(StringInfo buf, int start, const ValueType *type, Datum value,
										  const ValueForms *forms);

/* value.c: what images and JSON both need to read a value */
extern const EnumLabel *act_value_enum_label(const ValueType *type, Oid value);
extern char *act_value_oid_alias(const ValueType *type, Datum value);
extern RowLayout *act_value_deform(const ValueType *type, HeapTupleHeader header);

/* value_json.c: for building the tree */
extern void act_value_json_prepare(ValueType *type);

#endif							/* ACT_VALUE_TYPE_H */
