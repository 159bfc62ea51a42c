/*
 * An SQLite VFS over the default one, named "fault", in which calls fail as told, and which knows
 * what would be on the disk after a power cut.
 *
 * A failed sync is as Linux has it: what was written before is taken for clean and never written
 * again, so that a later sync which succeeds does not bring it to the disk.
 */
#ifndef SUPPORT_FAULT_VFS_H
#define SUPPORT_FAULT_VFS_H

#include <stdbool.h>

enum fault_call {
    FAULT_OPEN = 0,
    FAULT_READ,
    FAULT_WRITE,
    FAULT_SHORT_WRITE, /* half of it is written */
    FAULT_SYNC,
    FAULT_TRUNCATE,
    FAULT_DELETE,
    FAULT_FILE_SIZE,
    FAULT_LOCK,
    FAULT_ACCESS,
};
enum { FAULT_CALL_COUNT = FAULT_ACCESS + 1 };

void fault_vfs_register(void);
/* From the n-th call of this kind on (1 = the next), `times` calls return rc; no other fault. */
void fault_vfs_plan(enum fault_call call, unsigned n, unsigned times, int rc);
/* All calls that write return rc until fault_vfs_clear(). */
void fault_vfs_refuse(int rc);
void fault_vfs_clear(void);
unsigned fault_vfs_hits(void); /* calls that failed since the plan was made */

/* What follows is noted from here on, for files opened later. */
void fault_vfs_remember(void);
/* The files below dir become what was synced; files nobody synced are empty. Nothing is open. */
void fault_vfs_power_cut(const char *dir);

#endif
