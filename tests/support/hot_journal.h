/*
 * A rollback journal as somebody hostile makes one: SQLite replays it, and then deletes the file
 * that it names as its super-journal (sqlite.org/fileformat2.html section 3, and the pager).
 */
#ifndef SUPPORT_HOT_JOURNAL_H
#define SUPPORT_HOT_JOURNAL_H

/* Beside the database at path, with its first page as it is; -journal is added to path. */
void hot_journal_make(const char *path, const char *victim);

#endif
