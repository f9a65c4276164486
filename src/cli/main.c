#include "cli/options.h"
#include "monitor/monitor.h"

#include <string.h>
#include <sys/stat.h>

int main(int argc, char **argv)
{
    Config config = CONFIG_NULL;
    int status;

    /* Engines pass on a umask of their own. A wrapped process keeps its caller's. */
    if (argc < 2 || strcmp(argv[1], "run") != 0)
        umask(0022);
    status = options_parse(argc, argv, &config);
    if (status < 0)
        status = monitor_main(&config);
    config_deinit(&config);
    return status;
}
