#ifndef HARNESS_ESCAPE_H
#define HARNESS_ESCAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/*
 * Bytes that somebody else chose, as text. What may not stand in a report of any format is the same for all and is decided
 * here: control characters, ESC, DEL, C1 and bidi controls, line separators, invisible and non-characters, and
 * what is not UTF-8 become \n \t \r \xHH or \u{...}. On top of that each format quotes what has a meaning in it.
 */

/* That decision, for a character by its number: it must not reach a report as it is. */
bool escape_dangerous(uint32_t character);

/*
 * Any bytes; a backslash becomes \\, so that the text tells exactly what they were. Returns the length of the whole
 * escaped text, as snprintf does; out holds what fits, whole escapes only, terminated (if cap is not 0).
 */
size_t escape_bytes(const void *bytes, size_t len, char *out, size_t cap);

/* Nothing in text has to be escaped; a backslash may stand in it. */
bool escape_needless(const char *text);

/*
 * Texts of reports. They are in the notation, in which foreign bytes stand escaped already: a backslash stays what it is,
 * and the rules above hold for whatever was missed.
 */
void escape_text(FILE *out, const char *text);		/* plain: a terminal, a log */
void escape_text_n(FILE *out, const char *text, size_t len);
void escape_json(FILE *out, const char *text);		/* a JSON string with its quotes, also one of YAML; NULL is null */
void escape_json_n(FILE *out, const char *text, size_t len);
void escape_xml(FILE *out, const char *text);		/* character data, and values of attributes in "..." */
void escape_tap(FILE *out, const char *text);		/* a description or reason: no directive can begin in it */

/*
 * One component of a path: letters, digits and . _ - + = , stay, everything else becomes _, a dot in front too; long names are
 * cut. Where something was lost, eight hexadecimal digits of a hash follow, so that different texts have different names and
 * the same text the same one. Returns out, of at least ESCAPE_FILE_NAME bytes.
 */
enum { ESCAPE_FILE_NAME = 128 };
char *escape_file_name(const char *text, char *out);

#endif
