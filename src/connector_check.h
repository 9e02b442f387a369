/*-------------------------------------------------------------------------
 *
 * connector_check.h
 *	  A document that is tried out: shared by connector_check.c (the call,
 *	  what is looked at) and document_trial.c (requests, answers).
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_CONNECTOR_CHECK_H
#define ACT_CONNECTOR_CHECK_H

#include "nodes/execnodes.h"

#include "connector_job.h"
#include "connector_sample.h"

/* A row of the result, in UTF-8; NULL and -1: null. */
typedef struct CheckLine
{
	const char *kind;
	const char *operation;
	int			row;
	const char *outcome;
	const char *code;
	const char *message;
	const char *hint;
	const char *pointer;
	const char *external_id;
	const char *request;		/* JSON */
} CheckLine;

#define CHECK_COLUMNS 11

typedef struct Check
{
	ReturnSetInfo *result;
	const char *name;
	const char *spec;			/* with all that it extends, once that is known */
	cJSON	   *document;
	Connector  *connector;		/* for the object that is looked at */
	ConnectorSample *sample;
	const char *object;			/* that is looked at */
	const char *operation;		/* only this one; NULL: each */
	HttpResponse *response;		/* NULL: none was given */
	cJSON	   *rows;			/* NULL: made up */
	const char *secret;			/* what each secret is just now */

	/* of the attempt under way */
	RowOp		op;
	bool		is_lookup;
	bool		is_check;
	bool		is_large;		/* the variant for many rows */
	const JobPlan *plan;		/* of a job; NULL: it is none */
	JobPlace	place;			/* its request */
	HttpRequest request;
} Check;

/*
 * connector_check.c
 */
extern void act_check_line(const Check *check, const CheckLine *line);
extern const char *act_check_operation_name(const Check *check);

/*
 * document_trial.c: of the attempt under way.  Both throw what is
 * wrong with the document; render: into check->request, secrets masked.
 */
extern void act_check_render(void *check);
extern void act_check_judge(void *check);
extern const ConnectorOperation *act_check_operation(const Check *check);
extern char *act_check_request_json(const HttpRequest *request);
extern const char *act_check_option(void *check, const char *name);
extern const char *act_check_secret(void *check, const char *name);

#endif							/* ACT_CONNECTOR_CHECK_H */
