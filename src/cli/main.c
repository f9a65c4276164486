#include "cli/options.h"
#include "monitor/monitor.h"
#include "state/image.h"
#include "util/fd.h"

int main(int argc, char **argv)
{
    Config config = CONFIG_NULL;
    Resumed resumed;
    bool is_resumed;
    int status;

    fd_fill_stdio();
    is_resumed = image_is_resumed(&resumed);
    status = options_parse(argc, argv, is_resumed ? &resumed : NULL, &config);
    if (status < 0)
        status = is_resumed ? monitor_resume(&config, argv, resumed.page_fd)
                            : monitor_main(&config, argv);
    config_deinit(&config);
    return status;
}
