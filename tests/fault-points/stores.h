#pragma once

/* What a system call has brought is stored: see stores.c. */
void stores_done(void);
