/*-------------------------------------------------------------------------
 *
 * compat.h
 *	  What differs between PostgreSQL 15 and later releases.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_COMPAT_H
#define ACT_COMPAT_H

#include "catalog/pg_foreign_server.h"
#include "utils/acl.h"

/* 16 has one function for the rights on all kinds of objects. */
#if PG_VERSION_NUM < 160000
#define act_server_aclcheck(server, role, mode) pg_foreign_server_aclcheck(server, role, mode)
#else
#define act_server_aclcheck(server, role, mode) object_aclcheck(ForeignServerRelationId, server, role, mode)
#endif

#endif							/* ACT_COMPAT_H */
