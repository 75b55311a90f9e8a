#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "codec/lex.h"
#include "harness/capture_script.h"
#include "harness/cli.h"
#include "harness/conform.h"
#include "harness/conform_options.h"
#include "harness/console.h"
#include "harness/file.h"
#include "harness/replay_file.h"
#include "harness/suite.h"
#include "harness/tls_options.h"

/*
 * mqassay replay: plays a capture or a finding, or the test of an artifacts folder again. The folder may come from a stranger: it chooses the test
 * and how it is played, and names the target, but starts no program, and nothing outside it is read.
 */

extern const struct command replay_command;

static struct {
	struct string_list broker;
	int way;
	const char *user;
	uint64_t timeout_ns;
} given;
static bool given_target;

static struct conform_options *const conf = &conform_options;

/* ---- what is no folder ---- */

/* The first word of a file in the notation. */
static struct span first_word(struct span text)
{
	struct lexer lexer;
	struct token t;

	lex_init(&lexer, text);
	do
		t = lex_next(&lexer);
	while (t.kind == TOKEN_LINE);
	return t.kind == TOKEN_WORD ? t.text : (struct span){ 0 };
}

static int not_played(const char *path, struct span word)
{
	if (span_is(word, "fault"))
		console_error("%s: a fault cannot be replayed", console_safe(path));
	else if (span_is(word, "workload"))
		console_error("%s is a workload: `mqassay load FILE TARGET` plays it", console_safe(path));
	else if (span_is(word, "scenario"))
		console_error("%s is a scenario: `mqassay conform --scenarios FILE` plays it", console_safe(path));
	else
		console_error("%s: expected a finding, a capture, or a folder that --artifacts made", console_safe(path));
	return EXIT_USAGE;
}

/* Options of the rows below that one file has no use for, or not the one that a folder has. */
static int apply_to_file(int n_args)
{
	if (conf->artifacts)
		return cli_usage(&replay_command, "--artifacts keeps tests that fail; of one file, --pcap FILE keeps all");
	if ((given.broker.n || conf->broken.n) && (n_args > 1 || conf->exec))
		return cli_usage(&replay_command, "--%s is about the built-in broker; name no target", given.broker.n ? "broker" : "break");
	if (given.broker.n)
		conf->broker = given.broker;
	if (given.way)
		conf->way = given.way;
	if (given.user)
		conf->user = given.user;
	if (given.timeout_ns)
		conf->timeout_ns = given.timeout_ns;
	return 0;
}

/* Each of its connections takes a descriptor. */
static void allow_descriptors(uint32_t n_connections)
{
	rlim_t wanted = n_connections + 256;
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) || files.rlim_cur >= wanted)
		return;
	files.rlim_cur = wanted < files.rlim_max ? wanted : files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
}

/* A capture or a finding. */
static int play_file(const char *path, struct span text, int n_args, char **args)
{
	struct suite suite = { 0 };
	int code = apply_to_file(n_args);

	if (!code)
		code = suite_take(&suite, path, text);
	if (!code) {
		suite_choose(&suite, UINT_MAX, NULL, 0);
		allow_descriptors(suite.tests[0]->n_actors);
		code = conform_replay(&suite, n_args - 1, args + 1);
	}
	return code;
}

static int replay_text(int n_args, char **args)
{
	const char *path = args[0];
	struct span text;
	int code = file_read(path, MAX_CAPTURE_TEXT, &text);

	if (code)
		return code;
	struct span word = first_word(text);
	code = span_is(word, "capture") || span_is(word, "finding") ? play_file(path, text, n_args, args) : not_played(path, word);
	free((void *)text.at);
	return code;
}

/* ---- reading the folder ---- */

/* The file's own path, free of links, when it is a regular one below the folder; else NULL with errno. Given. */
static char *inside(const char *folder, const char *name)
{
	size_t size = strlen(folder) + strlen(name) + 2;
	char *path = malloc(size), *real, *root = realpath(folder, NULL);
	struct stat st;

	if (!path)
		abort();
	snprintf(path, size, "%s/%s", folder, name);
	real = root ? realpath(path, NULL) : NULL;
	int error = real ? 0 : errno;
	size_t len = root ? strlen(root) : 0;
	if (real && (strncmp(real, root, len) || (len > 1 && real[len] != '/')))
		error = EXDEV;		/* a link that leads out of it */
	else if (real && (stat(real, &st) || !S_ISREG(st.st_mode)))
		error = EINVAL;
	free(root);
	free(real);
	if (!error)
		return path;
	free(path);
	errno = error;
	return NULL;
}

static int cannot_read(const char *folder, const char *name)
{
	const char *why = errno == EXDEV ? "leads out of the folder" : errno == EINVAL ? "not a regular file" : strerror(errno);

	console_error("read %s/%s: %s", console_safe(folder), console_safe(name), why);
	return EXIT_UNABLE;
}

static int read_options(const char *folder, struct replay_file *file)
{
	static const char name[] = "replay.options";
	char *path = inside(folder, name), *text = malloc(REPLAY_MAX_FILE + 1);
	FILE *f = path ? fopen(path, "rb") : NULL;
	struct fault fault;
	int code = 0;

	if (!text)
		abort();
	size_t len = f ? fread(text, 1, REPLAY_MAX_FILE + 1, f) : 0;
	if (!f || ferror(f)) {
		code = cannot_read(folder, name);
	} else if (!replay_parse(file, span_of(text, len), &fault)) {
		if (fault.line)
			console_error("%s/%s:%u: %s", console_safe(folder), name, fault.line, fault.text);
		else
			console_error("%s/%s: %s", console_safe(folder), name, fault.text);
		code = EXIT_USAGE;
	}
	if (f)
		fclose(f);
	free(text);
	free(path);
	return code;
}

/* ---- as it was played ---- */

/* The words of a command line that say what the file says; they live as long as it. */
static char **words_of(struct replay_file *file)
{
	char **words = region_alloc(&file->region, (file->n_options + 1) * sizeof(*words));
	bool other = conf->exec || file->target, elsewhere = given_target;
	size_t n = 0;

	for (size_t i = 0; i < file->n_options; i++) {
		const struct replay_option *o = &file->options[i];
		const char *value = o->value ? o->value : "";
		size_t size = strlen(o->name) + strlen(value) + 4;

		/* What is about the built-in broker says nothing of another target. */
		if (!strcmp(o->name, "broker") || (other && (!strcmp(o->name, "break") || !strcmp(o->name, "real"))))
			continue;
		/* Nor what is about the one that it was played on of one that is named now. */
		if ((elsewhere && !strcmp(o->name, "also")) || (file->target && !strcmp(o->name, "transport")))
			continue;
		words[n] = region_alloc(&file->region, size);
		snprintf(words[n++], size, "--%s%s%s", o->name, o->value ? "=" : "", value);
	}
	return words;
}

/* The configuration of the built-in broker. Options of it, which could name files, are not taken from a folder. */
static int take_configuration(const char *folder, const struct replay_file *file)
{
	if (conf->exec || file->target)
		return 0;
	if (given.broker.n) {
		conf->broker = given.broker;
		return 0;
	}
	for (size_t i = 0; i < file->n_options; i++) {
		static const char *one[1];

		if (strcmp(file->options[i].name, "broker"))
			continue;
		if (strchr(file->options[i].value, '-'))
			return cli_usage(&replay_command, "%s: give the options of its broker again: --broker '%s'", console_safe(folder),
			                 console_safe(file->options[i].value));
		one[0] = file->options[i].value;
		conf->broker = (struct string_list){ one, 1, 1 };
	}
	return 0;
}

static int apply(const char *folder, struct replay_file *file)
{
	static const char *const versions[] = { "3.1", "3.1.1", "5" };
	static char name[500];
	struct command as_written = { .name = name, .options = conform_option_rows };
	char **words = words_of(file);
	int code;

	snprintf(name, sizeof(name), "%s/replay.options", console_safe(folder));
	if ((code = cli_set(&as_written, words)) || (code = take_configuration(folder, file)))
		return code;
	for (int i = 0; i < 3; i++)
		if (!strcmp(file->version, versions[i]))
			conf->mqtt = i;
	if (given.way)
		conf->way = given.way;
	if (given.user)
		conf->user = given.user;
	if (given.timeout_ns)
		conf->timeout_ns = given.timeout_ns;
	conf->one_case = true;
	conf->only_case = file->case_name;
	return 0;
}

/* A stranger's folder chooses neither whom to trust nor what we show. */
static int check_tls(const char *folder, const struct replay_file *file)
{
	for (const char *const *name = replay_tls_names; *name; name++)
		if (file->tls && !given_target && strstr(file->tls, *name) && !tls_option_given(*name) && !(!strcmp(*name, "ca") && tls_options.insecure))
			return cli_usage(&replay_command, "%s: it was played with --%s; a folder keeps nothing of TLS, give it again", console_safe(folder), *name);
	return 0;
}

static int check_target(const char *folder, const struct replay_file *file)
{
	if (file->exec && !file->target && !conf->exec)
		return cli_usage(&replay_command, "%s: a folder starts no program; give the command again, --exec '%s', or name a TARGET", console_safe(folder),
		                 console_safe(file->exec));
	if (file->password && !conf->password_file)
		return cli_usage(&replay_command, "%s: a folder keeps no password; give it again, --password-file FILE", console_safe(folder));
	return check_tls(folder, file);
}

static int run(int n_args, char **args)
{
	static struct replay_file file;		/* options borrow from it */
	static const char *scenario[1];
	struct stat st;
	int code;

	if (stat(args[0], &st)) {
		console_error("read %s: %s", console_safe(args[0]), strerror(errno));
		return EXIT_UNABLE;
	}
	if (n_args > 1 && conf->exec)
		return cli_usage(&replay_command, "--exec starts the target; name no other");
	if (!S_ISDIR(st.st_mode))
		return replay_text(n_args, args);
	if ((code = read_options(args[0], &file)))
		return code;
	given_target = n_args > 1;
	if (given_target)
		file.target = args[1];
	if (conf->exec)
		file.target = NULL;
	if ((code = check_target(args[0], &file)) || (code = apply(args[0], &file)))
		return code;
	if (!(scenario[0] = inside(args[0], file.scenario)))
		return cannot_read(args[0], file.scenario);
	conf->scenarios = (struct string_list){ scenario, 1, 1 };
	char *target[] = { (char *)file.target, NULL };
	return conform_command.run(file.target ? 1 : 0, target);
}

static const struct cli_option rows[] = {
	OPT_HEADING("The target"),
	OPT_STRING(0, "exec", conform_options.exec, "CMD", "start the target: {port} {tls_port} {ws_port} {dir} are filled in"),
	OPT_DURATION(0, "start-timeout", conform_options.start_timeout_ns, "D", "how long it may take until it answers a CONNECT"),
	OPT_ENUM(0, "transport", given.way, way_names, "over which the built-in broker, or one that --exec starts, is played"),
	OPT_COUNT(0, "pid", conform_options.pid, 1, 1 << 30, "N", "the target's process, on this machine, where `target lives` asks about it"),
	OPT_STRING('u', "user", given.user, "NAME", "user name given in every CONNECT, in place of the folder's"),
	OPT_STRING(0, "password-file", conform_options.password_file, "FILE", "file whose first line is the password"),
	OPT_LIST(0, "broker", given.broker, "NAME|OPTIONS", "the built-in broker as it was configured"),
	OPT_LIST(0, "break", conform_options.broken, "RULE", "have the built-in broker break a rule (`mqassay broker --break list`)"),
	OPT_GROUP(tls_option_rows),
	OPT_HEADING("How"),
	OPT_DURATION(0, "timeout", given.timeout_ns, "D", "longest wait of a step that names none, in place of the folder's"),
	OPT_COUNT(0, "repeat", conform_options.repeat, 1, 100000, "N", "play it N times"),
	OPT_GROUP(conform_output_rows),
	OPT_END
};

const struct command replay_command = {
	.name = "replay", .arguments = "PATH [TARGET]",
	.summary = "play a finding, a capture, or again what `conform --artifacts` left behind",
	.details = "PATH is a finding, as `fuzz` writes it: its packets are sent to TARGET, or without one to the built-in broker, and it is told\n"
	           "whether it shows. With --exec each repetition has a process of its own.\n"
	           "Or PATH is a capture, as `decode --format scenario` writes it: its clients' packets are sent to TARGET, or without one to the\n"
	           "built-in broker. What the broker does otherwise than the one that was captured is listed; only a broken rule is a failure.\n"
	           "Or PATH is a folder that --artifacts made: its test is played as it was, on TARGET, or where it was played then.\n"
	           "Either may come from anybody: it starts no program (give --exec again), and nothing else is read.\n"
	           "Exit code 0: the finding does not show, no rule was broken, the test passes or warns; 1: it shows, one was, it fails;\n"
	           "2: a mistake in the file, the folder or on the command line; 3: it could not be played.",
	.example = "mqassay replay findings/NAME/finding.scn --exec 'mosquitto -p {port}' --repeat 10\n"
	           "mqassay decode traffic.pcap --format scenario >traffic.scn\nmqassay replay traffic.scn localhost:1883\n"
	           "mqassay conform localhost:1883 --artifacts failed\nmqassay replay failed/NAME -v",
	.options = rows, .min_args = 1, .max_args = 2, .run = run,
};
