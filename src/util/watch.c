#include "util/watch.h"

guint watch_fd(int fd, GIOCondition condition, GUnixFDSourceFunc arrived, gpointer data)
{
    GSource *source = g_unix_fd_source_new(fd, condition);
    guint id;

    g_source_set_can_recurse(source, TRUE);
    g_source_set_callback(source, G_SOURCE_FUNC(arrived), data, NULL);
    id = g_source_attach(source, NULL);
    g_source_unref(source);
    return id;
}
