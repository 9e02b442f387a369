/*-------------------------------------------------------------------------
 *
 * compat.h
 *	  What differs between PostgreSQL 15 and later versions.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_COMPAT_H
#define ACT_COMPAT_H

#include "catalog/pg_namespace.h"
#include "common/jsonapi.h"
#include "mb/pg_wchar.h"
#include "nodes/parsenodes.h"
#include "utils/acl.h"
#if PG_VERSION_NUM >= 160000
#include "parser/parse_relation.h"
#endif

/* 16: permissions moved from the range table to a list beside it. */
static inline Bitmapset *
act_selected_columns(Query *query, RangeTblEntry *rte)
{
#if PG_VERSION_NUM >= 160000
	return getRTEPermissionInfo(query->rteperminfos, rte)->selectedCols;
#else
	return rte->selectedCols;
#endif
}

/* 16: one function for all kinds of objects. */
static inline bool
act_has_schema_usage(Oid schema, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_aclcheck(NamespaceRelationId, schema, role, ACL_USAGE) == ACLCHECK_OK;
#else
	return pg_namespace_aclcheck(schema, role, ACL_USAGE) == ACLCHECK_OK;
#endif
}

/* 17: a caller may bring the structure. */
static inline JsonLexContext *
act_json_lexer(char *text, int len)
{
#if PG_VERSION_NUM >= 170000
	return makeJsonLexContextCstringLen(NULL, text, len, GetDatabaseEncoding(), true);
#else
	return makeJsonLexContextCstringLen(text, len, GetDatabaseEncoding(), true);
#endif
}

#endif							/* ACT_COMPAT_H */
