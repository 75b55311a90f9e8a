#ifndef LOAD_HTML_PAGE_H
#define LOAD_HTML_PAGE_H

#include <stdio.h>

#include "harness/load/figures.h"

/* The inside of figures_html(), shared by its files. All texts are escaped here. */

struct html_page {
	FILE *out;
	const struct figures *const *runs;
	size_t n;
	unsigned charts;		/* so far: each has an id */
};

void html_text(struct html_page *p, const char *text);		/* NULL: nothing */
void html_run(struct html_page *p, size_t run);			/* what it is called beside others */

/* A table: html_table(), heads, html_body(), rows, html_table_ends(). words: from the left, may be broken. */
void html_table(struct html_page *p, const char *caption);
void html_head(struct html_page *p, const char *text, bool words);
void html_run_heads(struct html_page *p, bool words);		/* a column for each run */
void html_run_head(struct html_page *p);			/* a column that says of which run a row is: only where there are several */
void html_body(struct html_page *p);
void html_row(struct html_page *p, const char *name);		/* NULL: its first cell is none that names it */
void html_run_cell(struct html_page *p, size_t run);
void html_cell(struct html_page *p, const char *text);
void html_words(struct html_page *p, const char *text);
void html_row_ends(struct html_page *p);
void html_table_ends(struct html_page *p);

const struct figures_role *html_role_in(const struct figures *f, const char *name);	/* NULL: there is none of that name */
void html_role(struct html_page *p, const char *name);		/* html_role.c: all about it */

#endif
