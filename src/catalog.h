/*-------------------------------------------------------------------------
 *
 * catalog.h
 *	  What is known of a destination's objects and of their fields: what its
 *	  connector's document lists, and what it told when it was asked.
 *
 * Texts are in the server's encoding, unless something else is said.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_CATALOG_H
#define ACT_CATALOG_H

#include "connector_discover.h"
#include "connector_object.h"
#include "datatype/timestamp.h"
#include "fmgr.h"
#include "run.h"

typedef struct CatalogField
{
	char	   *name;
	char	   *title;			/* or NULL */
	char	   *type;			/* of the document's vocabulary, or as it was told; or NULL */
	bool		required;
	bool		writable;
	bool		is_unique;
	bool		listed;			/* the document has it, */
	List	   *values;			/* of char *; NIL: any */
	char	   *document;		/* JSON, as it was told; or NULL */
} CatalogField;

typedef struct Catalog
{
	const char *destination;
	const char *object;
	char	   *title;			/* or NULL */
	bool		discovers;		/* its fields can be asked for */
	TimestampTz asked_at;		/* they were; 0: never */
	bool		complete;		/* it has no others than these */
	bool		tells_unique;	/* which of them are unique is known */
	List	   *fields;			/* of CatalogField: those of the document first */
} Catalog;

typedef struct CatalogObject
{
	char	   *object;
	char	   *title;			/* or NULL */
	char	   *kind;			/* or NULL */
} CatalogObject;

/*
 * catalog.c: where the document's list and what was told meet.  In a
 * transaction with SPI connected, as whoever; in the current memory context.
 * connector: compiled for that object.
 */
extern Catalog *act_catalog_load(const char *destination, const Connector *connector, const char *object);
extern const CatalogField *act_catalog_field(const Catalog *catalog, const char *name);
extern const char *act_catalog_nearest(const Catalog *catalog, const char *name, bool writable);

/*
 * By what the object's records are found (List of char *, a combination as
 * "a, b"); NIL: it is not known, or the model's key does.
 */
extern List *act_catalog_match_fields(const Catalog *catalog, const Connector *connector);

/*
 * The object of the connector, with the fields that were told besides those
 * that it lists, where any that is unique may be matched by.
 */
extern const ConnectorObject *act_catalog_object(const Sync *sync, const Connector *connector);

/* Those of the document and those that were told (List of CatalogObject), by name. */
extern List *act_catalog_all_objects(const char *destination, const char *connector);

/*
 * catalog_view.c: the same for a destination that the current user may use
 * (42704, 42501); object may be a title.  connector may be NULL.
 */
extern Catalog *act_catalog_of(const char *destination, const char *object, Connector **connector);

/* Something that a sync and its object do not agree about. */
typedef struct CatalogProblem
{
	bool		is_error;		/* rows will be refused, or values not arrive; else it may be meant */
	const char *field;			/* or NULL */
	const char *problem;
	const char *hint;			/* or NULL */
} CatalogProblem;

/*
 * catalog_check.c: all that there are (List of CatalogProblem), as far as the
 * fields are known; in a transaction with SPI connected.
 */
extern List *act_catalog_problems(const Sync *sync, const Model *model, const Connector *connector);

/* A WARNING for each; with option strict an ERROR of the first that names the others. */
extern void act_catalog_warn(const Sync *sync, const Model *model, const Connector *connector);
extern void act_catalog_report(const Sync *sync, const List *problems);

/* The sync's object, where a title stands for it; says so in a NOTICE. */
extern void act_catalog_apply_title(Sync *sync);

/* What can be put into a field of this type (of the document's vocabulary; or NULL): NULL, or why not. */
extern const char *act_catalog_type_problem(const char *field_type, Oid type, const char **cast);

/* "an" or "a": what goes before the type of a field in a sentence. */
extern const char *act_catalog_article(const char *field_type);

/* In a NOTICE, that its fields are not known, and what to call. */
extern void act_catalog_tell_unasked(const Catalog *catalog);

/*
 * What templates, and who writes values, may know of the mapped fields:
 * scope->fields, in the mapping's order, and the object's title as
 * object.title.  In such a transaction.
 */
extern void act_catalog_scope(const Sync *sync, const Model *model, const Connector *connector, ConnectorScope *scope);

/*
 * catalog_table.c: the tables.  Reading and writing in such a transaction;
 * Discovered are UTF-8.
 */
extern List *act_catalog_objects(const char *destination);	/* of CatalogObject, by name */
extern void act_catalog_read_object(Catalog *catalog);
extern void act_catalog_store_objects(const char *destination, const List *objects);
extern void act_catalog_store_fields(const char *destination, const char *object, const List *fields, bool has_unique);
extern void act_catalog_store_failure(const char *destination, const char *object, const char *message);

/* As the extension: destinations that are no more, and one that was renamed. */
extern void act_catalog_forget_gone(void);
extern void act_catalog_rename(const char *destination, const char *new_name);

/*
 * catalog_ask.c: asks a destination that was loaded with its secrets, outside
 * of transactions, for its objects (scope->object NULL) or for the fields of
 * one.  List of Discovered, in UTF-8; *has_unique (of fields): it tells which
 * are unique.  NIL and *problem set where it does not tell; ERROR where it
 * refuses the credentials or cannot be reached.
 */
extern List *act_catalog_ask(Destination *destination, const char *object, bool *has_unique, char **problem);

/*
 * catalog_refresh.c: asks for the fields of one object, and writes them down,
 * in transactions of its own: called with none but an empty one.  NULL, or why
 * they are not told.  role: with whose credentials.
 */
extern char *act_catalog_refresh_fields(const char *destination, Oid role, const char *object);

/* 25001 in a transaction block, 25006 on a standby: of procedures that commit as they go. */
extern void act_catalog_require_own_transactions(FunctionCallInfo fcinfo, const char *procedure);

/*
 * What is meant by an object: itself, or, where there is none of that name,
 * the only one of that title.  NULL: no object of that name or title was told.
 */
extern char *act_catalog_find_object(const char *destination, const char *object);

#endif							/* ACT_CATALOG_H */
