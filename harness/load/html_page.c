#include "harness/load/html_page.h"

#include <string.h>

#include "harness/escape.h"

void html_text(struct html_page *p, const char *text)
{
	escape_xml(p->out, text ? text : "");
}

void html_run(struct html_page *p, size_t i)
{
	if (p->n > 1)
		fprintf(p->out, "%zu ", i + 1);
	html_text(p, p->runs[i]->target);
}

/* ---- tables ---- */

void html_table(struct html_page *p, const char *caption)
{
	fputs("<div class=\"wide\"><table>\n<caption>", p->out);
	html_text(p, caption);
	fputs("</caption>\n<thead><tr>", p->out);
}

void html_head(struct html_page *p, const char *text, bool words)
{
	fprintf(p->out, "<th scope=\"col\"%s>", words ? " class=\"w\"" : "");
	html_text(p, text);
	fputs("</th>", p->out);
}

void html_run_heads(struct html_page *p, bool words)
{
	for (size_t i = 0; i < p->n; i++) {
		fprintf(p->out, "<th scope=\"col\"%s>", words ? " class=\"w\"" : "");
		html_run(p, i);
		fputs("</th>", p->out);
	}
}

void html_run_head(struct html_page *p)
{
	if (p->n > 1)
		html_head(p, "Run", true);
}

void html_body(struct html_page *p)
{
	fputs("</tr></thead>\n<tbody>\n", p->out);
}

void html_row(struct html_page *p, const char *name)
{
	fputs("<tr>", p->out);
	if (!name)
		return;
	fputs("<th scope=\"row\">", p->out);
	html_text(p, name);
	fputs("</th>", p->out);
}

void html_cell(struct html_page *p, const char *text)
{
	fputs("<td>", p->out);
	html_text(p, text);
	fputs("</td>", p->out);
}

void html_words(struct html_page *p, const char *text)
{
	fputs("<td class=\"w\">", p->out);
	html_text(p, text);
	fputs("</td>", p->out);
}

void html_row_ends(struct html_page *p)
{
	fputs("</tr>\n", p->out);
}

void html_table_ends(struct html_page *p)
{
	fputs("</tbody></table></div>\n", p->out);
}

void html_run_cell(struct html_page *p, size_t i)
{
	if (p->n < 2)
		return;
	fputs("<th scope=\"row\">", p->out);
	html_run(p, i);
	fputs("</th>", p->out);
}

/* ---- runs ---- */

const struct figures_role *html_role_in(const struct figures *f, const char *name)
{
	for (uint32_t i = 0; i < f->n_roles; i++)
		if (strcmp(f->roles[i].name, name) == 0)
			return &f->roles[i];
	return NULL;
}

