#include "cli/options.h"
#include "monitor/monitor.h"
#include "util/fd.h"

int main(int argc, char **argv)
{
    Config config = CONFIG_NULL;
    int status;

    fd_fill_stdio();
    status = options_parse(argc, argv, &config);
    if (status < 0)
        status = monitor_main(&config);
    config_deinit(&config);
    return status;
}
