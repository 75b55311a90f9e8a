#include "harness/load/html_chart.h"

#include <math.h>
#include <stdint.h>

#include "harness/escape.h"
#include "harness/load/wording.h"

/* The sheet, and the plot on it. */
enum { WIDTH = 640, HEIGHT = 250, LEFT = 68, RIGHT = 28, TOP = 22, BOTTOM = 34, INNER_WIDTH = WIDTH - LEFT - RIGHT, INNER_HEIGHT = HEIGHT - TOP - BOTTOM };

/* Okabe and Ito's colours, which nobody confuses; lighter ones on black. */
const char html_chart_style[] =
	":root{--c0:#0072b2;--c1:#d55e00;--c2:#009e73;--c3:#cc79a7;--c4:#8a6d00;--c5:#3b8fc4;--c6:#8c4a9e;--c7:#555}\n"
	"@media screen and (prefers-color-scheme:dark){:root{--c0:#56b4e9;--c1:#ff9d4d;--c2:#2fd3a0;--c3:#ee9fca;--c4:#f0e442;--c5:#8ecbf0;--c6:#c99ad8;--c7:#bbb}}\n"
	"figure{margin:0 0 1rem;break-inside:avoid}figure svg{width:100%;height:auto;max-width:760px;display:block}\n"
	"figcaption{font-size:.85rem}.key{white-space:nowrap;margin-right:1.1em}.key svg{display:inline;width:26px;height:10px;vertical-align:baseline}\n"
	"svg text{font:11px system-ui,sans-serif;fill:var(--soft)}svg .grid{stroke:var(--line);stroke-width:1}svg .mark{stroke:var(--soft);stroke-width:1;stroke-dasharray:2 3}\n"
	"svg .l{fill:none;stroke-width:1.6;stroke-linejoin:round;stroke-linecap:round}svg .d{stroke-dasharray:5 4}\n"
	".k0{stroke:var(--c0)}.k1{stroke:var(--c1)}.k2{stroke:var(--c2)}.k3{stroke:var(--c3)}.k4{stroke:var(--c4)}.k5{stroke:var(--c5)}.k6{stroke:var(--c6)}.k7{stroke:var(--c7)}\n";

struct axis {
	enum chart_scale scale;
	double low, high;		/* of CHART_DURATION: powers of ten */
};

static double positive(double value)
{
	return value > 0 && isfinite(value) ? value : 1;
}

/* The part of the axis that lies before the value, 0 to 1. */
static double place(const struct axis *axis, double value)
{
	double part = axis->scale == CHART_DURATION ? (log10(value > 1 ? value : 1) - axis->low) / (axis->high - axis->low) : (value - axis->low) / (axis->high - axis->low);

	return part > 0 ? part < 1 ? part : 1 : 0;
}

static double x_of(const struct axis *x, double value)
{
	return LEFT + place(x, value) * INNER_WIDTH;
}

static double y_of(const struct axis *y, double value)
{
	return TOP + (1 - place(y, value)) * INNER_HEIGHT;
}

/* ---- ticks ---- */

/* The least of 1, 2, 5, 10, 20 ... that makes at most n of the whole. */
static double nice_step(double whole, int n)
{
	static const double steps[] = { 1, 2, 5 };
	double power = pow(10, floor(log10(whole / n)));

	for (size_t i = 0; i < 3; i++)
		if (steps[i] * power * n >= whole * 0.9999999)
			return steps[i] * power;
	return 10 * power;
}

static double time_step(double seconds)
{
	static const double steps[] = { 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400 };

	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++)
		if (seconds / steps[i] <= 8)
			return steps[i];
	return nice_step(seconds / 86400, 8) * 86400;
}

static void say_time(double s, double step, char *text, size_t cap)
{
	uint64_t whole = s < 1e15 ? (uint64_t)(s + 0.5) : (uint64_t)1e15;

	if (step >= 3600 && whole % 3600 == 0)
		snprintf(text, cap, "%llu h", (unsigned long long)whole / 3600);
	else if (whole >= 3600)
		snprintf(text, cap, "%llu:%02llu:%02llu", (unsigned long long)whole / 3600, (unsigned long long)whole / 60 % 60, (unsigned long long)whole % 60);
	else if (step >= 15 && whole >= 60)
		snprintf(text, cap, "%llu:%02llu", (unsigned long long)whole / 60, (unsigned long long)whole % 60);
	else
		snprintf(text, cap, "%llu s", (unsigned long long)whole);
}

static void x_tick(FILE *out, const struct axis *x, double value, const char *text)
{
	double at = x_of(x, value);

	fprintf(out, "<path class=\"grid\" d=\"M%.1f %dV%d\"/><text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>\n", at, TOP, HEIGHT - BOTTOM + 4, at, HEIGHT - BOTTOM + 18, text);
}

static void y_tick(FILE *out, const struct axis *y, double value, const char *text)
{
	double at = y_of(y, value);

	fprintf(out, "<path class=\"grid\" d=\"M%d %.1fH%d\"/>", LEFT, at, WIDTH - RIGHT);
	fprintf(out, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n", LEFT - 6, at + 4, text);
}

static void x_ticks(FILE *out, const struct axis *x)
{
	static const char *const percents[] = { "0 %", "90 %", "99 %", "99.9 %", "99.99 %", "99.999 %", "99.9999 %" };
	double step = x->scale == CHART_TIME ? time_step(x->high) : 1;
	char text[40];

	if (x->scale == CHART_PERCENTILE) {
		for (int i = 0; i < 7 && i <= x->high; i++)
			x_tick(out, x, i, percents[i]);
		if (x->high < 4)
			x_tick(out, x, log10(2), "50 %");
		return;
	}
	for (int i = 0; i <= 10 && i * step <= x->high; i++) {
		say_time(i * step, step, text, sizeof(text));
		x_tick(out, x, i * step, text);
	}
}

/* 1, 2 or 5 times a power of ten of nanoseconds. */
static void duration_tick(FILE *out, const struct axis *y, int times, int power)
{
	static const char *const units[] = { "ns", "us", "ms", "s" };
	int unit = power / 3 < 3 ? power / 3 : 3;
	char text[40];

	snprintf(text, sizeof(text), "%.0f %s", times * pow(10, power - 3 * unit), units[unit]);
	y_tick(out, y, times * pow(10, power), text);
}

static void y_ticks(FILE *out, const struct axis *y)
{
	if (y->scale == CHART_DURATION) {
		for (int power = (int)y->low; power <= y->high; power++) {
			duration_tick(out, y, 1, power);
			if (y->high - y->low <= 2 && power < y->high) {
				duration_tick(out, y, 2, power);
				duration_tick(out, y, 5, power);
			}
		}
		return;
	}
	double step = nice_step(y->high, 6);
	for (int i = 0; i <= 10 && i * step <= y->high * 1.0000001; i++)
		y_tick(out, y, i * step, i ? say_rate(i * step) : "0");
}

/* ---- lines ---- */

static void write_line(FILE *out, const struct axis *x, const struct axis *y, const struct chart_line *line)
{
	bool begun = false, moved = false;

	for (size_t i = 0; i < line->n; i++) {
		if (isnan(line->y[i]) || isnan(line->x[i])) {
			begun = false;
			continue;
		}
		if (!moved)
			fprintf(out, "<path class=\"l k%u%s\" d=\"", line->color % CHART_COLORS, line->dashed ? " d" : "");
		fprintf(out, "%s%.1f %.1f", begun ? "L" : "M", x_of(x, line->x[i]), y_of(y, line->y[i]));
		/* One that stands alone would not be seen. */
		if (!begun && (i + 1 == line->n || isnan(line->y[i + 1]) || isnan(line->x[i + 1])))
			fputs("h0.1", out);
		begun = moved = true;
	}
	if (moved)
		fputs("\"/>\n", out);
}

static void write_key(FILE *out, const struct chart_line *line)
{
	fprintf(out, "<span class=\"key\"><svg viewBox=\"0 0 26 10\" aria-hidden=\"true\"><path class=\"l k%u%s\" d=\"M2 5H24\"/></svg> ", line->color % CHART_COLORS, line->dashed ? " d" : "");
	escape_xml(out, line->name);
	fputs("</span>", out);
}

static const char *say_value(enum chart_scale scale, double value)
{
	return scale == CHART_DURATION ? say_ns(value < 1e18 ? (uint64_t)value : (uint64_t)1e18) : say_rate(value);
}

/* For those who cannot see it: what each line comes to. */
static void describe(FILE *out, const struct chart *chart, const struct chart_line *lines, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		double low = INFINITY, high = -INFINITY;

		for (size_t k = 0; k < lines[i].n; k++)
			if (!isnan(lines[i].y[k])) {
				low = fmin(low, lines[i].y[k]);
				high = fmax(high, lines[i].y[k]);
			}
		fputs(i ? "; " : "", out);
		escape_xml(out, lines[i].name);
		if (low <= high)
			fprintf(out, ": %s to %s", say_value(chart->y_scale, low), say_value(chart->y_scale, high));
		else
			fputs(": nothing", out);
	}
}

void chart_write(FILE *out, const struct chart *chart, const struct chart_line *lines, size_t n)
{
	struct axis x = { .scale = chart->x_scale, .high = positive(chart->x_max) };
	struct axis y = { .scale = chart->y_scale, .high = positive(chart->y_max) };

	if (x.scale == CHART_PERCENTILE)
		x.high = x.high < 1 ? 1 : x.high > 6 ? 6 : x.high;
	if (y.scale == CHART_DURATION) {
		y.low = floor(log10(fmax(positive(chart->y_min), 1)));
		y.high = fmax(ceil(log10(fmax(y.high, 1))), y.low + 1);
	} else {
		double step = nice_step(y.high, 5);

		y.high = ceil(y.high / step * 1.02) * step;	/* a line along the edge is not seen */
	}
	fprintf(out, "<figure>\n<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-labelledby=\"t%u d%u\">\n<title id=\"t%u\">", WIDTH, HEIGHT, chart->id, chart->id, chart->id);
	escape_xml(out, chart->title);
	fprintf(out, "</title>\n<desc id=\"d%u\">", chart->id);
	describe(out, chart, lines, n);
	fputs("</desc>\n", out);
	x_ticks(out, &x);
	y_ticks(out, &y);
	for (size_t i = 0; i < chart->n_marks; i++) {
		double at = x_of(&x, chart->marks[i].x);
		bool right = at > WIDTH - 90;

		fprintf(out, "<path class=\"mark\" d=\"M%.1f %dV%d\"/><text x=\"%.1f\" y=\"%d\" text-anchor=\"%s\">", at, TOP - 4, HEIGHT - BOTTOM, right ? at - 3 : at + 3, TOP - 8, right ? "end" : "start");
		escape_xml(out, chart->marks[i].name);
		fputs("</text>\n", out);
	}
	for (size_t i = 0; i < n; i++)
		write_line(out, &x, &y, &lines[i]);
	fputs("</svg>\n<figcaption><b>", out);
	escape_xml(out, chart->title);
	fputs("</b><br/>", out);
	for (size_t i = 0; i < n; i++)
		write_key(out, &lines[i]);
	fputs("</figcaption>\n</figure>\n", out);
}
