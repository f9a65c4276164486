#include "monitor/config.h"

#include <glib.h>

static void free_words(const char **words)
{
    g_strfreev((char **)words);
}

void config_deinit(Config *config)
{
    g_free((char *)config->cid);
    g_free((char *)config->cuuid);
    g_free((char *)config->name);
    g_free((char *)config->bundle);
    g_free((char *)config->runtime);
    free_words(config->runtime_args);
    free_words(config->runtime_opts);
    g_free((char *)config->process_spec);
    g_free((char *)config->checkpoint);
    g_strfreev(config->command);
    g_free((char *)config->cgroup);
    g_free((char *)config->container_pidfile);
    g_free((char *)config->monitor_pidfile);
    g_free((char *)config->exit_dir);
    g_free((char *)config->persist_dir);
    g_free((char *)config->exit_command);
    free_words(config->exit_command_args);
    g_free((char *)config->socket_dir);
    g_free((char *)config->sdnotify_socket);
    g_free((char *)config->log_path);
    g_free((char *)config->settings);
    free_words(config->log_allowed);
    g_free((char *)config->log_tag);
    g_strfreev((char **)config->log_labels);
    *config = (Config)CONFIG_NULL;
}
