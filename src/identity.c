/*-------------------------------------------------------------------------
 *
 * identity.c
 *	  On whose behalf the engine works.
 *
 * The only file that changes the current user.  A switched identity must
 * never live across a commit: an error afterwards would restore the identity
 * of the *next* transaction's start, which is then the switched one for the
 * rest of the session.  SECURITY_RESTRICTED_OPERATION keeps deferred
 * triggers, temporary tables and SET ROLE of user code out.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "catalog/indexing.h"
#include "catalog/pg_extension.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/rel.h"

#include "identity.h"

/* Settings that change what SQL of ours means or how values print. */
static const struct
{
	const char *name;
	const char *value;
}			fixed_settings[] =
{
	{"DateStyle", "ISO, YMD"},
	{"IntervalStyle", "postgres"},
	{"extra_float_digits", "1"},
	{"bytea_output", "hex"},
	{"lc_monetary", "C"},
	{"lc_numeric", "C"},
	{"lc_time", "C"},
	{"timezone_abbreviations", "Default"},
	{"default_text_search_config", "pg_catalog.simple"},
	{"xmloption", "content"},
	{"xmlbinary", "base64"},
	{"array_nulls", "on"},
	{"standard_conforming_strings", "on"},
	{"backslash_quote", "safe_encoding"},
	{"gin_fuzzy_search_limit", "0"},
	{"transform_null_equals", "off"},
	{"quote_all_identifiers", "off"},
	{"row_security", "on"},
	{"default_tablespace", ""},
	{"default_table_access_method", "heap"},
	{"check_function_bodies", "on"},
};

/* Of everything that is done in either identity. */
static int	lock_timeout_ms = 0;

int
act_identity_patience(int milliseconds)
{
	int			before = lock_timeout_ms;

	lock_timeout_ms = milliseconds;
	return before;
}

void
act_identity_set(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

/*
 * Most of them are what they are to be already, and to set them again is not
 * cheap: abbreviations of time zones are read from a file.  Whatever is set
 * in here goes back with the nest level, whether or not it was set by us.
 */
static void
settle_setting(const char *name, const char *value)
{
	const char *current = GetConfigOption(name, false, false);

	if (current == NULL || strcmp(current, value) != 0)
		act_identity_set(name, value);
}

static void
enter(Identity *identity, Oid role, const char *search_path, const char *time_zone)
{
	GetUserIdAndSecContext(&identity->user, &identity->security_context);
	identity->guc_nest = NewGUCNestLevel();

	for (int i = 0; i < lengthof(fixed_settings); i++)
		settle_setting(fixed_settings[i].name, fixed_settings[i].value);
	settle_setting("lock_timeout", psprintf("%d", lock_timeout_ms));
	settle_setting("TimeZone", time_zone);

	SetUserIdAndSecContext(role, identity->security_context |
						   SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_RESTRICTED_OPERATION);
	/* After the switch: "$user" and schema rights are those of the role. */
	act_identity_set("search_path", search_path);
}

void
act_identity_owner(Identity *identity, Oid owner,
				   const char *search_path, const char *time_zone)
{
	enter(identity, owner,
		  search_path != NULL ? search_path : "pg_catalog, pg_temp",
		  time_zone != NULL ? time_zone : "UTC");
}

void
act_identity_leave(Identity *identity)
{
	AtEOXact_GUC(false, identity->guc_nest);
	SetUserIdAndSecContext(identity->user, identity->security_context);
}

/*
 * Looked up each time: ALTER EXTENSION has no OWNER, but REASSIGN and drop
 * and create do change it, and nothing cached here would be told.  False: it
 * is not installed.
 */
static bool
find_extension(Oid *extension, Oid *owner)
{
	Relation	rel;
	SysScanDesc scan;
	ScanKeyData key;
	HeapTuple	tuple;

	*extension = *owner = InvalidOid;
	rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ,
				CStringGetDatum("pg_activate"));
	scan = systable_beginscan(rel, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		*extension = ((Form_pg_extension) GETSTRUCT(tuple))->oid;
		*owner = ((Form_pg_extension) GETSTRUCT(tuple))->extowner;
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return OidIsValid(*extension);
}

/* Whether DROP EXTENSION could come to wait for us: a query of a view has such. */
static bool
holds_relations(void)
{
	LockData   *data = GetLockStatusData();

	for (int i = 0; i < data->nelements; i++)
	{
		const LockInstanceData *lock = &data->locks[i];

		if (lock->pid == MyProcPid && lock->holdMask != 0 &&
			lock->locktag.locktag_type == LOCKTAG_RELATION &&
			lock->locktag.locktag_field1 == MyDatabaseId &&
			lock->locktag.locktag_field2 >= FirstNormalObjectId)
			return true;
	}
	return false;
}

/* Never waits with a lock in hand that DROP EXTENSION may want next. */
static LockAcquireResult
lock_patiently(const LOCKTAG *tag)
{
	LockAcquireResult result = LockAcquire(tag, AccessShareLock, false, true);

	if (result != LOCKACQUIRE_NOT_AVAIL)
		return result;
	if (holds_relations())
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("extension \"pg_activate\" is being dropped"),
				 errhint("Try again when that has ended.")));
	return LockAcquire(tag, AccessShareLock, false, false);
}

/* What DROP EXTENSION locks first; it may be another one once it is locked. */
static Oid
lock_extension(bool conditional, Oid *owner)
{
	Oid			extension;

	while (find_extension(&extension, owner))
	{
		Oid			locked = extension;
		LOCKTAG		tag;
		LockAcquireResult result;

		SET_LOCKTAG_OBJECT(tag, MyDatabaseId, ExtensionRelationId, extension, 0);
		result = conditional ? LockAcquire(&tag, AccessShareLock, false, true) : lock_patiently(&tag);
		if (result == LOCKACQUIRE_NOT_AVAIL)
			return InvalidOid;
		AcceptInvalidationMessages();
		if (result != LOCKACQUIRE_OK ||
			(find_extension(&extension, owner) && extension == locked))
			return locked;
		(void) LockRelease(&tag, AccessShareLock, false);
	}
	return InvalidOid;
}

Oid
act_extension_lock(bool conditional)
{
	Oid			owner;

	return lock_extension(conditional, &owner);
}

static void
report_no_extension(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("extension \"pg_activate\" is not installed in this database"),
			 errhint("CREATE EXTENSION pg_activate;")));
}

Oid
act_extension_owner(void)
{
	Oid			extension;
	Oid			owner;

	if (!find_extension(&extension, &owner))
		report_no_extension();
	return owner;
}

void
act_identity_extension(Identity *identity)
{
	Oid			owner;

	if (!OidIsValid(lock_extension(false, &owner)))
		report_no_extension();
	enter(identity, owner, "pg_catalog, pg_temp", "UTC");
}

/*
 * What gives the current user the rights of a role: a GRANT, or for a member
 * that does not inherit SET ROLE.
 */
char *
act_membership_hint(Oid role)
{
	const char *name = quote_identifier(GetUserNameFromId(role, false));

	if (superuser_arg(role))
		return pstrdup("Let a superuser do it, or let a role that you are a member of own the sync.");
	if (is_member_of_role(GetUserId(), role))
		return psprintf("SET ROLE %s; first, as a member that does not inherit its rights.", name);
	return psprintf("GRANT %s TO %s;", name, quote_identifier(GetUserNameFromId(GetUserId(), false)));
}

void
act_require_membership(Oid owner, const char *sync_name)
{
	if (!has_privs_of_role(GetUserId(), owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for sync \"%s\"", sync_name),
				 errdetail("It belongs to role \"%s\".", GetUserNameFromId(owner, false)),
				 errhint("%s", act_membership_hint(owner))));
}
