/*-------------------------------------------------------------------------
 *
 * secret.h
 *	  Files under pg_activate.secrets_directory.
 *
 * Who may name a file is decided where options are checked (option.c).
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_SECRET_H
#define ACT_SECRET_H

/*
 * Absolute path of a regular file under pg_activate.secrets_directory;
 * private: nobody but owner and group may do anything with it.  ERROR where
 * it is missing, leads elsewhere or is open to everybody.
 */
extern char *act_secret_path(const char *name, bool private);

/*
 * What a private file holds, without the newline at its end, as UTF-8 text
 * in the current memory context; read anew by each call.
 */
extern char *act_secret_read(const char *name);

#endif							/* ACT_SECRET_H */
