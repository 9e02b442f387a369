/*-------------------------------------------------------------------------
 *
 * mapping_form.h
 *	  In which form the values of a model are sent.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_MAPPING_FORM_H
#define ACT_MAPPING_FORM_H

#include "connector.h"
#include "model.h"

/*
 * The destination is known: a run or preview tells the model of it, which
 * decides for each leaf of the mapping, and of what removed rows are sent
 * with, how it is written.  scope->fields says what is known of the fields.
 * Fingerprints do not depend on any of it.
 */
extern void act_model_set_destination(Model *model, const Connector *connector, const ConnectorScope *scope);

#endif							/* ACT_MAPPING_FORM_H */
