#pragma once

/* The command `logs`: shows what a container wrote, from its log. */
int logs_run(int argc, char **argv);
