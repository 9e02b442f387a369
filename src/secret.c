/*-------------------------------------------------------------------------
 *
 * secret.c
 *	  Files under pg_activate.secrets_directory.
 *
 * Called with names out of options; errors quote the name and never what a
 * file holds.  Links are followed as long as they stay inside the directory
 * (mounted secrets are made of such links).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mb/pg_wchar.h"
#include "storage/fd.h"

#include "secret.h"
#include "settings.h"

/* A private key with its chain is a few kilobytes. */
#define SECRET_MAX_BYTES (64 * 1024)

static void
report_missing(const char *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_FILE),
			 errmsg("secret file \"%s\" not found in pg_activate.secrets_directory", name),
			 errhint("Put the file there, readable by the operating system user of the server only.")));
}

static char *
secrets_directory(void)
{
	char		path[PATH_MAX];

	if (act_secrets_directory == NULL || act_secrets_directory[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("pg_activate.secrets_directory is not set"),
				 errdetail("Options that name a file are relative to it."),
				 errhint("LOAD 'pg_activate'; ALTER SYSTEM SET pg_activate.secrets_directory = '/etc/pg_activate'; SELECT pg_reload_conf();")));
	if (realpath(act_secrets_directory, path) == NULL)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not open pg_activate.secrets_directory: %m"),
				 errhint("Create the directory, readable by the operating system user of the server only.")));
	return pstrdup(path);
}

/* Where the name leads, links followed; ERROR unless inside the directory. */
static char *
resolve(const char *name)
{
	char	   *directory = secrets_directory();
	char	   *prefix = strcmp(directory, "/") == 0 ? directory : psprintf("%s/", directory);
	char		path[PATH_MAX];

	if (realpath(psprintf("%s%s", prefix, name), path) == NULL)
	{
		if (errno == ENOENT || errno == ENOTDIR)
			report_missing(name);
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not open secret file \"%s\": %m", name)));
	}
	if (strncmp(path, prefix, strlen(prefix)) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("secret file \"%s\" leads out of pg_activate.secrets_directory", name),
				 errhint("Put the file itself into the directory.")));
	return pstrdup(path);
}

static void
check_file(const char *name, const struct stat *status, bool private)
{
	if (!S_ISREG(status->st_mode))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("secret file \"%s\" is not a regular file", name)));
	if (private && (status->st_mode & S_IRWXO) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("secret file \"%s\" is open to everybody", name),
				 errdetail("Its permissions are %04o.", (unsigned int) (status->st_mode & 07777)),
				 errhint("chmod 0600 (or 0640), then try again.")));
	if (status->st_size > SECRET_MAX_BYTES)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("secret file \"%s\" is larger than %d bytes", name, SECRET_MAX_BYTES)));
}

char *
act_secret_path(const char *name, bool private)
{
	char	   *path = resolve(name);
	struct stat status;

	if (stat(path, &status) != 0)
		report_missing(name);
	check_file(name, &status, private);
	return path;
}

/* As much as there is, up to the limit. */
static char *
read_whole(int fd, const char *name, size_t *len)
{
	char	   *contents = palloc(SECRET_MAX_BYTES + 1);

	*len = 0;
	for (;;)
	{
		ssize_t		n = read(fd, contents + *len, SECRET_MAX_BYTES + 1 - *len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			ereport(ERROR,
					(errcode_for_file_access(),
					 errmsg("could not read secret file \"%s\": %m", name)));
		if (n == 0)
			break;
		*len += n;
		if (*len > SECRET_MAX_BYTES)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("secret file \"%s\" is larger than %d bytes", name, SECRET_MAX_BYTES)));
	}
	return contents;
}

char *
act_secret_read(const char *name)
{
	char	   *path = resolve(name);
	int			fd;
	struct stat status;
	char	   *contents;
	size_t		len;

	/* Not blocking: a pipe is told apart by what was opened, not before. */
	fd = OpenTransientFile(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW);
	if (fd < 0)
	{
		if (errno == ENOENT)
			report_missing(name);
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not open secret file \"%s\": %m", name)));
	}
	if (fstat(fd, &status) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not open secret file \"%s\": %m", name)));
	check_file(name, &status, true);
	contents = read_whole(fd, name, &len);
	CloseTransientFile(fd);

	if (len > 0 && contents[len - 1] == '\n')
		len--;
	if (len > 0 && contents[len - 1] == '\r')
		len--;
	contents[len] = '\0';
	if (len == 0 || strlen(contents) != len ||
		!pg_verify_mbstr(PG_UTF8, contents, len, true))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("secret file \"%s\" %s", name,
						len == 0 ? "is empty" : "is not UTF-8 text")));
	return contents;
}
