#ifndef HARNESS_SHELL_H
#define HARNESS_SHELL_H

#include <stdio.h>

/*
 * A word of a command line that we print, quoted so that a shell reads back the same bytes: as it is, in '...', or, with bytes
 * that may not reach a terminal, as $'...' (bash, ksh, zsh). What is written needs no further escaping.
 */
void shell_word(FILE *out, const char *word);

#endif
