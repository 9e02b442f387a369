/*-------------------------------------------------------------------------
 *
 * compat.h
 *	  What differs between PostgreSQL 15 and 18, in one place.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_COMPAT_H
#define ACT_COMPAT_H

#include "storage/latch.h"
#include "storage/lock.h"
#include "storage/proc.h"
#if PG_VERSION_NUM >= 170000
#include "storage/procarray.h"
#endif
#if PG_VERSION_NUM < 170000
#include "storage/sinvaladt.h"
#endif
#include "utils/wait_event.h"

/* 18 renamed it and put it first; both compilers know the attribute itself. */
#define ACT_NORETURN __attribute__((noreturn))

/*
 * A WaitEventSet that outlives transactions: up to 16 it belongs to a memory
 * context, from 17 on to a resource owner, here to none.
 */
static inline WaitEventSet *
act_compat_wait_event_set(int events)
{
#if PG_VERSION_NUM >= 170000
	return CreateWaitEventSet(NULL, events);
#else
	return CreateWaitEventSet(CurrentMemoryContext, events);
#endif
}

/*
 * What pg_stat_activity shows while we wait: our own name from 17 on.  Each
 * caller keeps the number it got, since names are registered but once.
 */
static inline uint32
act_compat_wait_event(uint32 *kept, const char *name)
{
	if (*kept == 0)
	{
#if PG_VERSION_NUM >= 170000
		*kept = WaitEventExtensionNew(name);
#else
		*kept = PG_WAIT_EXTENSION;
#endif
	}
	return *kept;
}

/* Number of this process's PGPROC; needs miscadmin.h from 17 on. */
#if PG_VERSION_NUM >= 170000
#define act_compat_my_proc() ((int) MyProcNumber)
#else
#define act_compat_my_proc() (MyProc->pgprocno)
#endif

/* datconnlimit of a database that DROP DATABASE left half done; since 15.4. */
#define ACT_COMPAT_INVALID_DATABASE (-2)

/* Whether this very lock is held: 17 can be asked for a stronger one, too. */
static inline bool
act_compat_lock_held(const LOCKTAG *tag, LOCKMODE mode)
{
#if PG_VERSION_NUM >= 170000
	return LockHeldByMe(tag, mode, false);
#else
	return LockHeldByMe(tag, mode);
#endif
}

/* A function that returns a set, all of it at once; needs funcapi.h. */
#if PG_VERSION_NUM >= 160000
#define act_compat_materialize(fcinfo) InitMaterializedSRF(fcinfo, 0)
#define act_compat_materialize_scalar(fcinfo) InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC)
#else
#define act_compat_materialize(fcinfo) SetSingleFuncCall(fcinfo, 0)
#define act_compat_materialize_scalar(fcinfo) SetSingleFuncCall(fcinfo, SRF_SINGLE_USE_EXPECTED)
#endif

/*
 * Rights on a foreign server; 16 has one function for all kinds of objects.
 * A macro, so that only who uses it includes what it needs (utils/acl.h).
 */
#if PG_VERSION_NUM < 160000
#define act_compat_server_aclcheck(server, role, mode) \
	pg_foreign_server_aclcheck(server, role, mode)
#else
#define act_compat_server_aclcheck(server, role, mode) \
	object_aclcheck(ForeignServerRelationId, server, role, mode)
#endif

/* The same on a foreign-data wrapper. */
#if PG_VERSION_NUM < 160000
#define act_compat_wrapper_aclcheck(wrapper, role, mode) \
	pg_foreign_data_wrapper_aclcheck(wrapper, role, mode)
#else
#define act_compat_wrapper_aclcheck(wrapper, role, mode) \
	object_aclcheck(ForeignDataWrapperRelationId, wrapper, role, mode)
#endif

/* Whether a role owns a database; needs utils/acl.h and catalog/pg_database.h. */
#if PG_VERSION_NUM < 160000
#define act_compat_database_ownercheck(database, role) \
	pg_database_ownercheck(database, role)
#else
#define act_compat_database_ownercheck(database, role) \
	object_ownercheck(DatabaseRelationId, database, role)
#endif

/*
 * Columns that a query reads of a relation: 16 moved permissions from the
 * range table to a list beside it (parser/parse_relation.h).
 */
#if PG_VERSION_NUM < 160000
#define act_compat_selected_columns(query, rte) ((rte)->selectedCols)
#else
#define act_compat_selected_columns(query, rte) \
	(getRTEPermissionInfo((query)->rteperminfos, rte)->selectedCols)
#endif

/* Rights on a database; needs utils/acl.h and catalog/pg_database.h. */
#if PG_VERSION_NUM < 160000
#define act_compat_database_aclcheck(database, role, mode) \
	pg_database_aclcheck(database, role, mode)
#else
#define act_compat_database_aclcheck(database, role, mode) \
	object_aclcheck(DatabaseRelationId, database, role, mode)
#endif

/* Rights on a schema; needs utils/acl.h and catalog/pg_namespace.h. */
#if PG_VERSION_NUM < 160000
#define act_compat_schema_aclcheck(schema, role, mode) \
	pg_namespace_aclcheck(schema, role, mode)
#else
#define act_compat_schema_aclcheck(schema, role, mode) \
	object_aclcheck(NamespaceRelationId, schema, role, mode)
#endif

/* "schema.table" as a list; needs utils/regproc.h. 16 can report errors softly. */
#if PG_VERSION_NUM < 160000
#define act_compat_name_list(text) stringToQualifiedNameList(text)
#else
#define act_compat_name_list(text) stringToQualifiedNameList(text, NULL)
#endif

/* A lexer for JSON in the database's encoding; 17 can reuse one given to it. */
#if PG_VERSION_NUM < 170000
#define act_compat_json_lexer(text, len) \
	makeJsonLexContextCstringLen(text, len, GetDatabaseEncoding(), true)
#else
#define act_compat_json_lexer(text, len) \
	makeJsonLexContextCstringLen(NULL, text, len, GetDatabaseEncoding(), true)
#endif

/* JSON_OBJECT() and its like have nodes since 16. */
#if PG_VERSION_NUM >= 160000
#define act_compat_is_json_constructor(node) \
	(IsA(node, JsonConstructorExpr) || IsA(node, JsonValueExpr))
#else
#define act_compat_is_json_constructor(node) false
#endif

/* What GROUP BY names stands in an item of FROM of its own since 18. */
#if PG_VERSION_NUM >= 180000
#define act_compat_group_expressions(rte) ((rte)->groupexprs)
#else
#define act_compat_group_expressions(rte) NIL
#endif

#endif							/* ACT_COMPAT_H */
