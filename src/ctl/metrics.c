#include "ctl/metrics.h"

#include "ctl/command.h"
#include "ctl/metrics-text.h"
#include "ctl/text.h"
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* Writes all to a new file at `path`. Returns 0 or -errno. */
static int write_file(const Monitors *monitors, const char *path)
{
    CLEANUP_FD int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    FILE *file = fd >= 0 ? fdopen(fd, "w") : NULL;
    int r = 0;

    if (file == NULL)
        return -errno;
    fd_steal(&fd);
    metrics_write(monitors, file);
    if (fflush(file) != 0 || fchmod(fileno(file), 0644) < 0)
        r = -errno;
    if (fclose(file) != 0 && r == 0)
        r = -errno;
    return r;
}

/* Replaces the file, so that a reader sees all of the old one or all of the new one. The name that
 * it has until then must not end in .prom, or the collector would read it, too. */
static int replace_file(const Monitors *monitors, const char *path)
{
    g_autofree char *temporary = g_strdup_printf("%s.%d.tmp", path, (int)getpid());
    int r;

    unlink(temporary);
    r = write_file(monitors, temporary);
    if (r == 0 && rename(temporary, path) < 0)
        r = -errno;
    if (r < 0) {
        unlink(temporary);
        ctl_say("Cannot write the metrics to %s: %s; the old file is unchanged", path,
                g_strerror(-r));
        return CTL_FAILED;
    }
    return CTL_OK;
}

static int print(const char *directory, const char *output)
{
    g_autoptr(Monitors) monitors = monitors_read(directory);
    int status = CTL_OK;

    if (output != NULL)
        status = replace_file(monitors, output);
    else
        metrics_write(monitors, stdout);
    return monitors->unread > 0 ? CTL_FAILED : status;
}

int metrics_run(int argc, char **argv)
{
    g_autofree char *directory = NULL;
    g_autofree char *output = NULL;
    const GOptionEntry entries[] = {
        {"output", 0, 0, G_OPTION_ARG_FILENAME, &output,
         "Replace this file, all at once, instead of printing", "FILE"},
        {"state-dir", 0, 0, G_OPTION_ARG_FILENAME, &directory,
         "Look for monitors there and nowhere else", "DIR"},
        G_OPTION_ENTRY_NULL,
    };

    if (!ctl_options(&argc, &argv, NULL,
                     "Prints all figures of all monitors in the Prometheus text format, for "
                     "node_exporter's textfile collector.",
                     entries))
        return CTL_WRONG;
    if (argc > 1) {
        ctl_say("metrics takes no arguments, but there is '%s'; --output FILE writes to a file",
                argv[1]);
        return CTL_WRONG;
    }
    return print(directory, output);
}
