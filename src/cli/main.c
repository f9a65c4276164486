#include "cli/options.h"
#include "monitor/monitor.h"

int main(int argc, char **argv)
{
    Config config = CONFIG_NULL;
    int status;

    status = options_parse(argc, argv, &config);
    if (status < 0)
        status = monitor_main(&config);
    config_deinit(&config);
    return status;
}
