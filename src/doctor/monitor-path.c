#include "doctor/monitor-path.h"

#include <string.h>

bool path_is_conward(const char *path)
{
    return strstr(path, "/conward/") != NULL || g_str_has_suffix(path, "/conward");
}
