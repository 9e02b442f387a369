/*-------------------------------------------------------------------------
 *
 * connector_object.h
 *	  What a connector knows of an object: how its records are found, which
 *	  fields they have.
 *
 * An entry of the document's "objects" (doc/connectors.md), compiled.  Plain
 * data in UTF-8, in the connector's memory context.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_CONNECTOR_OBJECT_H
#define ACT_CONNECTOR_OBJECT_H

#include "connector.h"
#include "connector_type.h"

/* The order is that of the names. */
typedef enum ObjectKind
{
	OBJECT_RECORD,
	OBJECT_MEMBERSHIP,
	OBJECT_ASSOCIATION,
	OBJECT_EVENT,
	OBJECT_FILE
} ObjectKind;
#define OBJECT_KIND_COUNT (OBJECT_FILE + 1)

/* A field that is known without asking; or, the same, as a destination told it. */
typedef struct ObjectField
{
	const char *name;
	const char *title;			/* or NULL */
	FieldType	type;
	bool		required;
	bool		writable;
	bool		unique;
	const char *const *values;	/* the only ones, NULL-ended; NULL: any */
	const struct Template *filters; /* what each value goes through on its way; NULL: nothing */
	bool		has_null;		/* null_form is the field's own */
	NullForm	null_form;
	const char *null_text;
} ObjectField;

/* One or several fields that a record is found by. */
typedef struct ObjectMatch
{
	int			nfields;
	const char **fields;
} ObjectMatch;

typedef struct ConnectorObject
{
	const char *pattern;		/* as the document has it */
	const char *title;			/* or NULL */
	ObjectKind	kind;
	bool		takes_key;
	int			nmatches;		/* 0: the document does not say */
	ObjectMatch *matches;
	const ObjectMatch *match_default;	/* or NULL */
	bool		match_any;
	const char *match_id;		/* the field that is the destination's own id, or NULL */
	const struct Filter **match_compare;	/* NULL-ended */
	const char *const *key_fields;	/* NULL-ended; NULL: none */
	int			nfields;
	ObjectField *fields;
	bool		more_fields;	/* others than those are taken, too */
	const char *const *any_of;	/* NULL-ended: a row has a value of one of them at least; NULL: need not */
	int			nfiltered;		/* fields that have filters */
	const char *const *field_names; /* of fields, NULL-ended: ConnectorScope.listed_fields; NULL: it lists none */
	const ConnectorOperation *operations[ROW_OP_COUNT]; /* by what a sync asks for; NULL: cannot be */
} ConnectorObject;

extern const char *act_object_kind_name(ObjectKind kind);

/* Of that name, or NULL. */
extern const ObjectField *act_object_field(const ConnectorObject *object, const char *name);

/*
 * What the pattern's {name} stand for in an object (List of HttpHeader), in
 * *parts; false: it does not fit.  The pattern is one that was compiled.
 */
extern bool act_object_fits(const char *pattern, const char *object, List **parts);

/* What is wrong with a pattern, or NULL. */
extern const char *act_object_pattern_problem(const char *pattern);

/* The same fields, in whatever order. */
extern bool act_object_same_match(const ObjectMatch *a, const ObjectMatch *b);

/* All of a document, compiled with no object; NULL-ended; NULL: any text is an object. */
extern const ConnectorObject *const *act_connector_objects(const Connector *connector);

/*
 * The one it was compiled for, with its parts; one without a pattern where
 * the document has none.  NULL: it has, and was compiled for none.
 */
extern const ConnectorObject *act_connector_object(const Connector *connector);
extern List *act_connector_object_parts(const Connector *connector);

/* How values are written, the object's own over the document's; never NULL. */
extern const ValueForms *act_connector_value_forms(const Connector *connector);

/*
 * The row as it is sent: its operation as the document names it, its fields
 * through their filters.  The row itself, or a copy in the current memory
 * context that shares all else with it.  Throws 22023 where a filter cannot
 * do with a value; the last says so before, or NULL.
 */
extern Row *act_connector_sent_row(const Connector *connector, const ConnectorScope *scope, Row *row);
extern Row **act_connector_sent_rows(const Connector *connector, const ConnectorScope *scope, Row **rows, int nrows);

/* What the object makes of a row must have a value of one of these fields: why it has not, or NULL. */
extern char *act_connector_any_of_problem(const Connector *connector, const Row *row);
extern char *act_connector_filter_problem(const Connector *connector, const ConnectorScope *scope, const Row *row);

#endif							/* ACT_CONNECTOR_OBJECT_H */
