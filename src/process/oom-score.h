#pragma once

/* The calling process's oom_score_adj, 0 if it cannot be read. */
int oom_score_get(void);

/* Sets it. Lowering needs CAP_SYS_RESOURCE; failure is not an error. Async-signal-safe. */
void oom_score_set(int value);
