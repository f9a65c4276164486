#include "process/exit-command.h"

#include <glib.h>
#include <unistd.h>

static char **make_argv(const char *file, const char *const *arguments)
{
    GPtrArray *words = g_ptr_array_new();

    g_ptr_array_add(words, (gpointer)file);
    for (; arguments != NULL && *arguments != NULL; arguments++)
        g_ptr_array_add(words, (gpointer)*arguments);
    g_ptr_array_add(words, NULL);
    return (char **)g_ptr_array_free(words, FALSE);
}

static char **make_environment(void)
{
    GPtrArray *words = g_ptr_array_new();

    for (char **word = environ; *word != NULL; word++) {
        if (!g_str_has_prefix(*word, "_OCI_"))
            g_ptr_array_add(words, *word);
    }
    g_ptr_array_add(words, NULL);
    return (char **)g_ptr_array_free(words, FALSE);
}

pid_t exit_command_start(const char *file, const char *const *arguments,
                         const ChildSignals *signals, int oom_score_adj, uint64_t file_limit,
                         int32_t *committed, Error *error)
{
    g_autofree char **argv = make_argv(file, arguments);
    g_autofree char **environment = make_environment();
    const Spawn what = {
        .file = file,
        .argv = argv,
        .environment = environment,
        .stdio = {-1, -1, -1},
        .close_others = true,
        .signals = signals,
        .oom_score_adj = oom_score_adj,
        .file_limit = file_limit,
        .pid = committed,
        .gate_fd = -1,
        .failure_fd = -1,
        .cgroup_fd = -1,
    };

    return spawn(&what, error);
}
