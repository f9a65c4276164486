#pragma once

#include "foreign/look.h"

/*
 * Finds the names and log files of a look's containers, and looks at the files: as their monitors'
 * command lines, the kubelet's links and Docker's directories tell.
 */
void find_logs(Look *look, const Node *node);
