/*-------------------------------------------------------------------------
 *
 * aws_signature.h
 *	  AWS Signature Version 4 of a request.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_AWS_SIGNATURE_H
#define ACT_AWS_SIGNATURE_H

#include "http.h"

typedef struct AwsSigning
{
	const char *service;		/* s3, es, aoss, ... */
	const char *region;
	const char *access_key;
	const char *secret_key;
	const char *time;			/* as act_aws_time() has it */
} AwsSigning;

/* 20150830T123600Z, for header x-amz-date */
extern char *act_aws_time(int64 now_s);

/* Hexadecimal SHA-256 of the body, for header x-amz-content-sha256. */
extern char *act_aws_body_hash(const HttpRequest *request);

/* host, with the port where it is not the scheme's own: as the transport sends it. */
extern char *act_aws_host(const char *url);

/*
 * The value of header Authorization.  headers (of HttpHeader): what is
 * signed besides method, URL and body; host must be among them.
 */
extern char *act_aws_signature(const AwsSigning *signing, const HttpRequest *request, List *headers);

#endif							/* ACT_AWS_SIGNATURE_H */
