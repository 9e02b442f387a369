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

typedef enum MappingNodeKind
{
	NODE_LEAF,
	NODE_CONSTANT,
	NODE_OBJECT,
	NODE_ARRAY
} MappingNodeKind;

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
} MappingNode;

typedef struct MappingLeaf
{
	char	   *path;			/* JSON pointer in the payload */
	char	   *label;			/* for people: health.score */
	char	   *expression;		/* as written, without its name */
	int			start;			/* where the expression begins in select */
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

/*
 * What the payload looks like but for the values: the tree as JSON in which
 * '\1' signature '\1' stands for each leaf.  Enters the fingerprint's seed.
 */
extern void act_mapping_append_shape(StringInfo buf, const Mapping *mapping, ValueType *const *types);

/* WARNING for each name that was folded to lower case. */
extern void act_mapping_warn_folded(const Mapping *mapping);

/*
 * The text without what means nothing: blanks around a select list, and
 * between the parts of JSON.  Equal texts are equal mappings.
 */
extern char *act_mapping_compact(const char *text);

/* mapping_json.c: a mapping written as a JSON object. */
extern Mapping *act_mapping_parse_json(const char *text);

extern MappingNode *act_mapping_node(MappingNodeKind kind, const char *member);
extern void act_mapping_node_adopt(MappingNode *node, List *children);
/* Builds the rest from root and the leaves' expressions (List of char *). */
extern void act_mapping_finish(Mapping *mapping, List *expressions);

#endif							/* ACT_MAPPING_H */
