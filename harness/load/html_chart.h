#ifndef LOAD_HTML_CHART_H
#define LOAD_HTML_CHART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/*
 * A figure of an HTML page: lines in an inline SVG, with a legend in words, drawn by the page's style
 * (html_chart_style), so that it follows dark mode and paper. No script, nothing from elsewhere.
 */

enum chart_scale {
	CHART_TIME,			/* seconds since time 0, linear, from 0 */
	CHART_RATE,			/* a second, linear, from 0 */
	CHART_DURATION,			/* nanoseconds, logarithmic */
	CHART_PERCENTILE,		/* log10(1 / (1 - q)): 0 is 0 %, 1 is 90 %, 2 is 99 % */
};

struct chart_line {
	const char *name;
	unsigned color;			/* 0 to 7 */
	bool dashed;
	size_t n;
	const double *x, *y;		/* y NaN: a gap */
};

struct chart_mark {			/* a moment, as an upright line */
	double x;
	const char *name;
};

struct chart {
	unsigned id;			/* of its own in the page */
	const char *title;		/* one line; escaped here, as all names */
	enum chart_scale x_scale, y_scale;
	double x_max, y_min, y_max;	/* y_min: CHART_DURATION only. Nothing to show, or NaN: as if 1 */
	const struct chart_mark *marks;
	size_t n_marks;
};

enum { CHART_COLORS = 8 };

void chart_write(FILE *out, const struct chart *chart, const struct chart_line *lines, size_t n);

extern const char html_chart_style[];

#endif
