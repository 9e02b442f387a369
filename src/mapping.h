/*-------------------------------------------------------------------------
 *
 * mapping.h
 *	  A mapping from the inside: shared by its two parsers and the model.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_MAPPING_H
#define ACT_MAPPING_H

#include "model.h"
#include "value_form.h"

typedef enum MappingNodeKind
{
	NODE_LEAF,
	NODE_CONSTANT,
	NODE_OBJECT,
	NODE_ARRAY
} MappingNodeKind;

/* When a top-level field is sent. */
typedef enum FieldOn
{
	ON_ALWAYS,
	ON_INSERT,					/* only while the destination never accepted the row */
	ON_UPDATE					/* only after it did */
} FieldOn;

/* A part of the payload; the root is an object. */
typedef struct MappingNode
{
	MappingNodeKind kind;
	char	   *member;			/* name in its object, NULL in an array */
	char	   *prefix;			/* '"member":' in UTF-8, "" in an array */
	char	   *constant;		/* NODE_CONSTANT: JSON as it was written */
	int			leaf;			/* NODE_LEAF */
	int			nchildren;
	struct MappingNode **children;

	/* of leaves */
	bool		required;		/* null makes the row invalid */
	bool		null_named;		/* null_given is what the mapping says */
	NullPolicy	null_given;
	NullPolicy	nulls;			/* what holds, with option nulls */

	/* of top-level fields */
	FieldOn		on;
	bool		ignored;		/* option ignore_fields: not compared */
	struct MappingNode *insert; /* option insert_mapping: stands for it on insert */
} MappingNode;

typedef struct MappingLeaf
{
	char	   *path;			/* JSON pointer in the payload */
	char	   *label;			/* for people: health.score */
	char	   *expression;		/* as written, without its name */
	int			start;			/* where the expression begins in select */
	bool		uncompared;		/* does not enter the fingerprint */
	NullPolicy	nulls;			/* as of its node */
	FieldForm	form;			/* mapping_form.h */
} MappingLeaf;

struct Mapping
{
	StringInfoData select;		/* all leaves as a select list */
	MappingNode *root;
	int			nleaves;
	MappingLeaf *leaves;
	List	   *folded;			/* of char *: names written with capitals and no quotes */
};

/* The leaf whose expression a byte of mapping->select belongs to. */
extern int	act_mapping_leaf_at(const Mapping *mapping, int offset);

/* WARNING for each name that was folded to lower case. */
extern void act_mapping_warn_folded(const Mapping *mapping);

/*
 * The text without what means nothing: blanks around a select list, and
 * between the parts of JSON.  Equal texts are equal mappings.
 */
extern char *act_mapping_compact(const char *text);

/* The top-level field of that name, or NULL. */
extern MappingNode *act_mapping_find_field(const Mapping *mapping, const char *name);

/* mapping_json.c: a mapping written as a JSON object; constants: it may be of those alone. */
extern Mapping *act_mapping_parse_json(const char *text, bool constants);

extern MappingNode *act_mapping_node(MappingNodeKind kind, const char *member);
extern void act_mapping_node_adopt(MappingNode *node, List *children);
/* Builds the rest from root and the leaves' expressions (List of char *). */
extern void act_mapping_finish(Mapping *mapping, List *expressions);

#endif							/* ACT_MAPPING_H */
