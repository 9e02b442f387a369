/*-------------------------------------------------------------------------
 *
 * model.h
 *	  The model and the mapping over it: from text to SQL and to JSON.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_MODEL_H
#define ACT_MODEL_H

#include "access/attnum.h"
#include "row.h"
#include "sync.h"
#include "value.h"

/*
 * A mapping, parsed.  Its leaves are SQL expressions over the model, in
 * order; the payload is a tree of objects, arrays, constants and leaves.
 */
typedef struct Mapping Mapping;

/*
 * Parses a select list, or JSON text (starts with '{').  Needs no catalogs,
 * so it may run in any transaction.  Everything wrong is ERROR with the
 * field, what is wrong and what to type.
 */
extern Mapping *act_mapping_parse(const char *text);
/* Of options insert_mapping and removed_mapping: it may be of constants alone. */
extern Mapping *act_mapping_parse_part(const char *text);

extern const char *act_mapping_leaf_path(const Mapping *mapping, int leaf); /* JSON pointer in the payload */
extern const char *act_mapping_leaf_label(const Mapping *mapping, int leaf); /* for people: health.score */

/* Top-level fields, in order: what a match field must be among. */
extern int	act_mapping_nfields(const Mapping *mapping);
extern const char *act_mapping_field_name(const Mapping *mapping, int field);
/* The leaf that is the whole of the top-level field, or -1 (constant, object, array). */
extern int	act_mapping_field_leaf(const Mapping *mapping, int field);

/* All leaves as a select list, without names, never empty: "(expr), (expr), ...". */
extern void act_mapping_append_select(StringInfo buf, const Mapping *mapping);
/* One of them; like those it may end in a comment, so a newline must follow. */
extern const char *act_mapping_leaf_expression(const Mapping *mapping, int leaf);

/* Whether the leaf's value enters the fingerprint. */
extern bool act_mapping_leaf_compared(const Mapping *mapping, int leaf);
/* Whether the field is sent as it is with every row, and compared. */
extern bool act_mapping_field_is_plain(const Mapping *mapping, int field);

/*
 * mapping_policy.c: what the options insert_mapping, ignore_fields and nulls
 * make of a mapping.  ERROR 22023 for fields that there are not.
 */
extern void act_mapping_apply_options(Mapping *mapping, const Sync *sync);
/* Of it what depends on the match fields, which may be known later only. */
extern void act_mapping_apply_nulls(Mapping *mapping, const Sync *sync);
/* 22023 for match fields that are not sent and compared always. */
extern void act_mapping_check_match(const Mapping *mapping, const Sync *sync);
/* WARNING for each policy that can never act. */
extern void act_mapping_warn_idle(const Mapping *mapping, const Sync *sync);
/*
 * A field that is always sent now and was on update only: what an insert left
 * out, or set to something else, is to be sent.  NULL: there is none.
 */
extern const char *act_mapping_sent_more(const Sync *old, const Mapping *mapping);
/* Whether the options that act_mapping_apply_options() looks at are the same. */
extern bool act_mapping_same_options(const Sync *a, const Sync *b);

/* A column of the model that leaves are computed from. */
typedef struct ModelColumn
{
	AttrNumber	number;			/* below zero: a system column */
	char	   *name;
	Oid			type;
	Oid			collation;
} ModelColumn;

/*
 * A sync's model, resolved as it is now.  Made inside a transaction, in the
 * current memory context.
 */
typedef struct Model
{
	const Sync *sync;
	Mapping    *mapping;
	Oid			relation;		/* InvalidOid: a query */
	char		relkind;		/* RELKIND_*; 0 for a query */
	char	   *from;			/* what stands behind FROM: a quoted qualified name, or (query) */

	/*
	 * A query is always followed by AS MODEL_ALIAS, a relation by nothing:
	 * these are the names by which mappings can qualify columns.
	 */
#define MODEL_ALIAS "model"

	Oid		   *key_types;		/* as in the model */
	Oid		   *key_collations;
	char	  **key_type_names; /* format_type with modifiers, qualified */

	int			nleaves;
	Oid		   *leaf_types;
	ValueType **leaf_values;	/* how to hash and print each */
	char	  **leaf_type_names;	/* for people */
	bool	   *leaf_is_key;	/* the leaf is an expression over key columns alone */
	int		   *leaf_key;		/* the key column that is the whole of the leaf, or -1 */
	bool	   *leaf_is_clock;	/* the leaf is the time of the run: every row changes */

	int			ncolumns;		/* that the leaves read, subqueries included */
	ModelColumn *columns;
	bool		whole_row;		/* a leaf is of the row as a whole: columns are all of them */
	int			careful;		/* its rows are those of this careful diff; 0: of the model itself */
	struct Removal *removal;	/* what rows that left are sent with (removal.h); NULL: no fields */
	struct Query *query;		/* key and leaves of it, as analysed */

	uint8		seed[ACT_DIGEST_LEN];	/* of the fingerprint: format, paths, types */
	List	   *references;		/* of char *: syncs whose ids it asks for */
	List	   *relations;		/* OIDs of all that it reads, views and what is behind them */
	/* of the destination, as far as who made the model knows it; NULL: not */
	const struct Connector *connector;
	const struct ConnectorScope *scope;

	bool		key_ordered;	/* the table lies in key order and has an index for it */
} Model;

/*
 * Resolves a sync's model as its owner (enters and leaves that identity
 * itself).  ERROR: 42P01 model gone, 42703 column gone (sync and field
 * named), 42501 not readable (hint: the GRANT), 22023 what may not stand in
 * a mapping or a model, 42804 a key type without order.
 */
extern Model *act_model_resolve(const Sync *sync);

/* Once more what depends on sync->match, when that became known after the model. */
extern void act_model_apply_match(Model *model);

/* Why the fingerprints of every row differ, in a few words; NULL: they need not. */
extern char *act_model_difference(const Model *old, const Model *new);

/* Names of the model's columns as it is now, NULL-ended.  As the owner. */
extern char **act_model_columns(const Sync *sync, int *count);

/*
 * WARNING for each table of which row security may hide rows from the owner.
 * Enters and leaves that identity itself.
 */
extern void act_model_warn_hidden(const Model *model);

/*
 * Model text as given to a canonical form: a relation is stored schema
 * qualified, a query without its final semicolon.  Runs under the caller's
 * search_path.
 */
extern char *act_model_canonical(const char *model, Oid owner, bool *is_query);

/* 'a, "B"' to names. */
extern char **act_identifier_list(const char *what, const char *text, int *count);
extern char *act_identifier_join(int count, char **names);	/* quoted where needed */

/*
 * Mapping text as given to what is stored: NULL, '*' and '* EXCEPT (a, b)'
 * become the columns as they are now, everything else stays.  As the owner.
 */
extern char *act_mapping_canonical(const Sync *sync, const char *mapping);

#endif							/* ACT_MODEL_H */
