/*
 * One answer of the feed, cut into its rows without reading them: a row that no parser takes (too
 * deep, bad UTF-8, cut) must not hide its neighbours, or one hostile message would stop the feed.
 * Pure; no recursion, no allocation.
 */
#ifndef INBOX_PAGE_H
#define INBOX_PAGE_H

#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

/* A list, or {"items": a list} (P section 10.3). ret_rows is for page_next. 0 or -EBADMSG. */
int page_begin(struct slice body, struct slice *ret_rows);
/* 1 and the next element's bytes; 0 at the end of the list; -EBADMSG: no list any more. */
int page_next(struct slice *rows, struct slice *ret_row);

/* The value of a member of an object, by its plain name, without looking into any other. */
bool page_member(struct slice object, const char *name, struct slice *ret_value);
/* A string without escapes: what ids and times are. False: it is none. */
bool page_plain_text(struct slice value, struct slice *ret_text);

#endif
