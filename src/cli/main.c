#include "cli/options.h"
#include "monitor/monitor.h"
#include "state/image.h"
#include "util/fd.h"

int main(int argc, char **argv)
{
    Config config = CONFIG_NULL;
    char id[PAGE_ID_MAX];
    int page_fd;
    bool resumed;
    int status;

    fd_fill_stdio();
    resumed = image_is_resumed(&page_fd, id);
    status = options_parse(argc, argv, resumed ? id : NULL, &config);
    if (status < 0)
        status = resumed ? monitor_resume(&config, argv, page_fd) : monitor_main(&config, argv);
    config_deinit(&config);
    return status;
}
