/*-------------------------------------------------------------------------
 *
 * value_form.h
 *	  Values in the form that a destination wants them in.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_VALUE_FORM_H
#define ACT_VALUE_FORM_H

#include "connector_type.h"
#include "value.h"

/* What is known of the field that a value is sent as. */
typedef struct FieldForm
{
	FieldType	type;
	const ValueForms *forms;	/* NULL: as PostgreSQL has it */

	/* what null is, where neither the mapping nor the sync's options say */
	bool		says_null;
	NullForm	null_form;
	const char *null_text;		/* UTF-8 */
} FieldForm;

/*
 * act_value_append_json() in that form.  Besides what that answers it answers
 * why the value is none of the field's type; buf then holds a part of it.
 * form may be NULL.
 */
extern const char *act_value_append_formed(StringInfo buf, const ValueType *type, Datum value, bool isnull,
										   const FieldForm *form);

/* What such a field's null is, as JSON; NULL: its member is left out. */
extern char *act_value_null_json(const FieldForm *form);

#endif							/* ACT_VALUE_FORM_H */
