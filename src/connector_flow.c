/*-------------------------------------------------------------------------
 *
 * connector_flow.c
 *	  Which way a row goes: what is asked for it, by what is known of it.
 *
 * Operations say it by their members by_id, needs, lookup, missing, large and
 * remember.  Compiled with the rest of the document; asked by whoever makes
 * batches, renders requests and reads answers.  Touches neither database nor
 * network; throws only while it compiles.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "connector_private.h"

const Operation *
act_flow_operation(const Connector *connector, const Row *row)
{
	return connector->operations[row->op];
}

const ConnectorOperation *
act_connector_row_operation(const Connector *connector, const Row *row)
{
	const Operation *operation = act_flow_operation(connector, row);

	return operation == NULL ? NULL : &operation->public;
}
