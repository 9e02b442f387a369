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
#include "datatype/timestamp.h"
#include "run.h"

typedef struct CatalogField
{
	char	   *name;
	char	   *title;			/* or NULL */
	char	   *type;			/* of the document's vocabulary, or as it was told; or NULL */
	bool		required;
	bool		writable;
	bool		is_unique;
	bool		listed;			/* the document has it */
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

/* The only object of that title, or NULL. */
extern char *act_catalog_object_titled(const char *destination, const char *title);

#endif							/* ACT_CATALOG_H */
