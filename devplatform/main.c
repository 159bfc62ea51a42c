/*
 * molecule-devplatform: a local control plane for development and tests. Arguments, signals, the
 * loop; the rest is devplatform.c.
 */
#include "devplatform/check.h"
#include "devplatform/devplatform.h"

#include "base/version.h"
#include "log/log.h"
#include "loop/signals.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>

enum { EXIT_OK = 0, EXIT_NO = 1, EXIT_USAGE = 2, EXIT_INTERNAL = 70 };

static void on_signal(void *arg, const struct signalfd_siginfo *info)
{
    if (info->ssi_signo == SIGTERM || info->ssi_signo == SIGINT)
        loop_stop(arg);
}

static int print_help(void)
{
    struct str text = {0};

    options_print_help(&text);
    fputs(str_z(&text), stdout);
    str_release(&text);
    return EXIT_OK;
}

static int print_version(void)
{
    printf("molecule-devplatform %s (%s, %s, %s)\n", build_facts.version, build_facts.revision,
           build_facts.compiler, build_facts.type);
    return EXIT_OK;
}

static void print_start(const struct devplatform *dp)
{
    const struct options *o = dp->options;
    char mask[16];

    printf("molecule-devplatform is listening on %s\n", dp->base_url);
    for (size_t i = 0; i < o->workspace_count && !o->is_quiet; i++) {
        const struct workspace_option *ws = &o->workspaces[i];
        printf("  workspace %s, %s%s\n", ws->id,
               ws->token ? "token " : "no token: the first register mints one",
               ws->token ? token_mask(slice_of(ws->token), mask) : "");
    }
    if (!o->is_quiet && o->workspace_count == 0)
        printf("  no workspaces: give some with --workspace, or POST %s/workspaces\n",
               dp->base_url);
    if (!o->is_quiet && !o->admin_token[0])
        printf("  no admin token: calls without a bearer may create, pause and delete\n");
    fflush(stdout);
}

static int serve(const struct options *options, struct err *err)
{
    struct signals *signals = NULL;
    struct curl_io *curl = NULL;
    struct devplatform dp;
    struct loop *l = NULL;
    int code;

    code = loop_new(&l, err);
    if (code == 0)
        code = signals_new(l, on_signal, l, &signals, err);
    if (code == 0)
        code = curl_io_new(l, &curl, err);
    if (code == 0)
        code = devplatform_open(&dp, l, curl, options, err);
    if (code == 0) {
        print_start(&dp);
        loop_run(l);
        if (dp.failure[0])
            code = err_set(err, -EIO, "%s", dp.failure);
        devplatform_close(&dp);
    }
    if (curl)
        curl_io_free(curl);
    if (signals)
        signals_free(signals);
    loop_free(l);
    return code;
}

int main(int argc, char **argv)
{
    static struct options options; /* 256 workspaces do not belong on the stack */
    struct signals_origin origin;
    struct err err = {0};

    signals_block_all(&origin);
    log_init(LOG_WARNING, LOG_FORMAT_AUTO);
    if (options_parse(argc, argv, &options, &err) < 0) {
        fprintf(stderr, "molecule-devplatform: %s\n", err.msg);
        return EXIT_USAGE;
    }
    if (options.wants_help)
        return print_help();
    if (options.wants_version)
        return print_version();
    if (options.wants_check)
        return check_health(&options.listen) ? EXIT_OK : EXIT_NO;
    if (serve(&options, &err) < 0) {
        fprintf(stderr, "molecule-devplatform: %s\n", err.msg);
        return err.code == -ENOMEM || err.code == -EIO ? EXIT_INTERNAL : EXIT_USAGE;
    }
    return EXIT_OK;
}
