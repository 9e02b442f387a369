/*-------------------------------------------------------------------------
 *
 * key_file.c
 *	  The key that secrets in the database are sealed with.
 *
 * pg_activate.key_file names a file of the server, outside of its data and
 * so of its backups: lines of 64 hexadecimal digits, a key each.  As with a
 * TLS key of the server, it belongs to the server's user and nobody else may
 * read it, or to root and the group may.  Read at each use, so that what is
 * written into it holds at once.  Errors name the file, never what it holds.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/fd.h"

#include "key_file.h"
#include "settings.h"

#define KEY_FILE_MAX_BYTES 4096

bool
act_key_file_is_set(void)
{
	return act_key_file != NULL && act_key_file[0] != '\0';
}

static void
check_status(const struct stat *status)
{
	bool		of_root = status->st_uid == 0;

	if (!S_ISREG(status->st_mode))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("pg_activate.key_file \"%s\" is not a regular file", act_key_file)));
	if (!of_root && status->st_uid != geteuid())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("pg_activate.key_file \"%s\" belongs to another user", act_key_file),
				 errhint("chown it to the operating system user of the server, or to root.")));
	if ((status->st_mode & (S_IRWXO | (of_root ? S_IWGRP | S_IXGRP : S_IRWXG))) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("pg_activate.key_file \"%s\" is open to others", act_key_file),
				 errdetail("Its permissions are %04o.", (unsigned int) (status->st_mode & 07777)),
				 errhint("chmod 0600, then try again.")));
}

static void
parse(KeyRing *ring, const char *text, size_t len)
{
	int			line = 1;

	for (size_t at = 0; at < len; line++)
	{
		size_t		line_len = 0;
		size_t		next;

		while (at + line_len < len && text[at + line_len] != '\n')
			line_len++;
		next = at + line_len + 1;
		while (line_len > 0 && (text[at + line_len - 1] == '\r' || text[at + line_len - 1] == ' '))
			line_len--;
		if (line_len > 0 &&
			(ring->nkeys == KEY_FILE_MAX_KEYS ||
			 !act_sealed_parse_key(text + at, line_len, ring->keys[ring->nkeys++])))
		{
			act_key_file_wipe(ring);
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("line %d of pg_activate.key_file \"%s\" is no key", line, act_key_file),
					 errdetail("A key is 64 hexadecimal digits in a line of its own; there are at most %d.", KEY_FILE_MAX_KEYS),
					 errhint("openssl rand -hex 32")));
		}
		at = next;
	}
	if (ring->nkeys == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("pg_activate.key_file \"%s\" is empty", act_key_file),
				 errhint("openssl rand -hex 32")));
}

void
act_key_file_read(KeyRing *ring, const char *what)
{
	char		text[KEY_FILE_MAX_BYTES];
	struct stat status;
	ssize_t		len;
	int			fd;

	memset(ring, 0, sizeof(KeyRing));
	if (!act_key_file_is_set())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("pg_activate.key_file is not set"),
				 errdetail("It is needed for %s.", what),
				 errhint("openssl rand -hex 32 > /etc/pg_activate/key, readable by the operating system user of the server only; LOAD 'pg_activate'; ALTER SYSTEM SET pg_activate.key_file = '/etc/pg_activate/key'; SELECT pg_reload_conf();")));
	/* Not blocking: a pipe is told apart by what was opened. */
	fd = OpenTransientFile(act_key_file, O_RDONLY | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &status) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not open pg_activate.key_file \"%s\": %m", act_key_file),
				 errdetail("It is needed for %s.", what)));
	check_status(&status);
	len = read(fd, text, sizeof(text));
	CloseTransientFile(fd);
	if (len < 0 || len == sizeof(text))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("pg_activate.key_file \"%s\" cannot be read, or is larger than %d bytes", act_key_file,
						KEY_FILE_MAX_BYTES - 1)));
	parse(ring, text, (size_t) len);
	explicit_bzero(text, sizeof(text));
}

void
act_key_file_wipe(KeyRing *ring)
{
	explicit_bzero(ring, sizeof(KeyRing));
}
