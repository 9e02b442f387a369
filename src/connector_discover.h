/*-------------------------------------------------------------------------
 *
 * connector_discover.h
 *	  What a destination tells of itself: objects, their fields, and whose
 *	  account it is (doc/connectors.md, "discover" and "account").
 *
 * Requests are rendered and answers read here; who asks is catalog_ask.c.
 * Strings are UTF-8, in the current memory context.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_CONNECTOR_DISCOVER_H
#define ACT_CONNECTOR_DISCOVER_H

#include "connector.h"

/* An object or a field, as a destination tells it. */
typedef struct Discovered
{
	char	   *name;
	char	   *title;			/* or NULL */
	char	   *kind;			/* of an object, or NULL */
	char	   *type;			/* of a field: of the document's vocabulary, else as it was told; or NULL */
	bool		required;
	bool		writable;
	bool		is_unique;
	bool		has_unique;		/* the document says where that is told */
	List	   *values;			/* of char *: the only ones; NIL: any */
	char	   *document;		/* the record itself: JSON */
} Discovered;

/* One answer of several. */
typedef struct DiscoveredPage
{
	List	   *items;			/* of Discovered */
	int			passed_over;	/* without a name, or with one that is too long */
	char	   *next;			/* address or cursor of the next page; NULL: it is the last */
} DiscoveredPage;

typedef struct ConnectorAccount
{
	char	   *id;				/* NULL: it did not say */
	char	   *name;			/* or NULL */
	char	   *environment;	/* or NULL */
	bool		has_scopes;
	List	   *scopes;			/* of char * */
	List	   *missing;		/* of char *: those that the document needs */
} ConnectorAccount;

/* How many requests tell the objects; 0: they cannot be asked for. */
extern int	act_connector_discover_count(const Connector *connector);
extern bool act_connector_discovers_fields(const Connector *connector);

/*
 * A request for the objects (number 0 and on), or for the fields of
 * scope->object (number DISCOVER_FIELDS).  next: what the page before said,
 * or NULL.  ERROR 22023 where the next page is said to be elsewhere.
 */
#define DISCOVER_FIELDS (-1)
extern void act_connector_render_discovery(const Connector *connector, const ConnectorScope *scope,
										   int number, const char *next, HttpRequest *request);

/* page is written when the verdict is VERDICT_ROWS. */
extern void act_connector_read_discovery(const Connector *connector, const ConnectorScope *scope, int number,
										 const HttpResponse *response, int64 now_ms,
										 ConnectorAnswer *answer, DiscoveredPage *page);

/* connector_account.c */
extern bool act_connector_tells_account(const Connector *connector);
extern void act_connector_render_account(const Connector *connector, const ConnectorScope *scope, HttpRequest *request);
/* account is written when the verdict is VERDICT_ROWS. */
extern void act_connector_read_account(const Connector *connector, const ConnectorScope *scope,
									   const HttpResponse *response, int64 now_ms,
									   ConnectorAnswer *answer, ConnectorAccount *account);

#endif							/* ACT_CONNECTOR_DISCOVER_H */
