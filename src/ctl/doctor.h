#pragma once

/* conwardctl doctor: looks at the settings of this node's engines. A Command's run. */
int doctor_run(int argc, char **argv);
