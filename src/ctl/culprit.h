#pragma once

/* conwardctl culprit: names the container that makes trouble. A Command's run. */
int culprit_run(int argc, char **argv);
