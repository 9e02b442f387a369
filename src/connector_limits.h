/*-------------------------------------------------------------------------
 *
 * connector_limits.h
 *	  What a destination tells of its own limits.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_CONNECTOR_LIMITS_H
#define ACT_CONNECTOR_LIMITS_H

#include "connector.h"

/* 0: not told. */
typedef struct ConnectorLimits
{
	int			max_rows;		/* in a request */
	int			requests;		/* in the time that the document's rate is for */
	int			concurrency;
	int			rows;			/* of all requests, in the same time */
} ConnectorLimits;

extern bool act_connector_tells_limits(const Connector *connector);
extern void act_connector_render_limits(const Connector *connector, const ConnectorScope *scope, HttpRequest *request);

/* limits: all 0 unless the verdict is VERDICT_ROWS. */
extern void act_connector_read_limits(const Connector *connector, const HttpResponse *response, int64 now_ms,
									  ConnectorAnswer *answer, ConnectorLimits *limits);

#endif							/* ACT_CONNECTOR_LIMITS_H */
