#ifndef HARNESS_PASSWORD_H
#define HARNESS_PASSWORD_H

enum { MAX_CREDENTIAL = 65535 };	/* bytes of a user name or password: what a string of MQTT holds */

/* --password-file: the first line of a file, kept as long as the program. 0, or an exit code after one line on stderr. */
int password_read(const char *path, const char **password);

#endif
