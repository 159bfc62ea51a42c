/*
 * The schema: one row per configuration key. Everything else in config/ reads this table: the
 * sources (file, environment, flags), the checks, the texts. Private to config/ and its tests.
 * Source: design section 5, P section 2.1.
 */
#ifndef CONFIG_SCHEMA_H
#define CONFIG_SCHEMA_H

#include "base/slice.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a value is, and the type of its member in struct config. */
enum config_type {
    TYPE_BOOL = 0, /* bool */
    TYPE_INT,      /* int64_t */
    TYPE_DURATION, /* int64_t, milliseconds */
    TYPE_SIZE,     /* int64_t, bytes */
    TYPE_STRING,   /* char * */
    TYPE_PATH,     /* char *; a leading "~/" is the home directory */
    TYPE_URL,      /* char *; no trailing slash, scheme and host in lower case */
    TYPE_UUID,     /* char *; lower case */
    TYPE_ENDPOINT, /* struct endpoint */
    TYPE_ENUM,     /* an enum; the words are in its numeric order */
    TYPE_LIST,     /* struct string_list */
    TYPE_SIGNAL,   /* int */
    TYPE_OCTAL,    /* int; -1 = not set */
    TYPE_SIGNALS,  /* struct stop_sequence; one text, or a list of its parts */
};
enum { CONFIG_TYPE_COUNT = TYPE_SIGNALS + 1 };

/* How the text of an environment variable that others defined becomes a value of the row. */
enum env_form {
    ENV_TEXT = 0, /* as it would stand in the file */
    ENV_SECONDS,  /* a number of seconds, fractions allowed */
    ENV_MS,       /* a number of milliseconds */
    ENV_PORT,     /* a port number; the address is chosen by where we run */
    ENV_DIR,      /* a directory, used only if it is writable */
    ENV_LEVEL,    /* a log level as other programs spell it; what we do not know is ignored with a
                     warning */
};

struct env_name {
    const char *name; /* NULL ends the list */
    enum env_form form;
};

enum {                        /* row flags */
       ROW_SECRET = 1 << 0,   /* never shown */
       ROW_NO_FLAG = 1 << 10, /* never on the command line */
       ROW_ZERO_OFF = 1 << 1, /* 0 is allowed below min and means off or no limit */
       ROW_WHOLE_ITEMS =
           1 << 2, /* list items may hold commas: one flag or one line of the variable each */
       ROW_MULTILINE = 1 << 3, /* line feeds and tabs are allowed */
       ROW_COMPUTED =
           1
           << 4, /* without a value of its own; load.c finds the default, fallback_words tells it */
       ROW_URL_USER = 1 << 5,    /* user-info is allowed (a proxy's) */
       ROW_URL_QUERY = 1 << 6,   /* a query is allowed */
       ROW_URL_NO_PATH = 1 << 7, /* scheme and authority only */
       ROW_FROM_SLASH = 1 << 8,  /* not empty: begins with '/' */
       ROW_MASK_VALUES = 1 << 9, /* NAME=value items: only the name is shown */
};

enum { ROW_ENV_MAX = 4 };      /* names of others per row, with the end mark */
#define ROW_NO_MEMBER SIZE_MAX /* reserved rows have no place in struct config */

struct config_row {
    const char *section;
    const char *key;
    enum config_type type;
    unsigned flags;
    size_t offset;        /* of the member in struct config */
    bool is_live;         /* may change while we run: a reload takes it over. Nobody keeps a pointer
                             into such a member (config/reload.h) */
    const char *fallback; /* default as text, by the row's own rules; NULL only with ROW_COMPUTED */
    const char
        *fallback_words; /* the default in words, where the text alone does not tell; NULL = none */
    int64_t min,
        max; /* numbers: range; strings: max is the longest in bytes, 0 = CONFIG_STRING_MAX */
    const char *const *words; /* enums: NULL-terminated, index = value */
    const char *later_words;  /* enums: words of later versions, separated by blanks; NULL = none */
    const char *unit;         /* integers: what is counted; NULL = nothing to say */
    struct env_name env[ROW_ENV_MAX];
    /*
     * Known, not built: "<what> is not in this version; remove the key[ and <instead>]". NULL =
     * built.
     */
    struct {
        const char *what;
        const char *instead;
    } reserved;
    const char *help; /* one line, no full stop */
};

enum {
    CONFIG_STRING_MAX = 4096,             /* bytes of one string value */
    CONFIG_KEY_MAX = 64,                  /* bytes of "section.key" with its NUL */
    CONFIG_ENV_MAX = CONFIG_KEY_MAX + 16, /* bytes of a variable's name with its NUL */
    CONFIG_LIST_MAX = 256,                /* items of one list */
    CONFIG_FILE_MAX = 256 * 1024,         /* bytes of the file; a complete one has 10 KiB */
    CONFIG_CARD_FILE_MAX = 64 * 1024,     /* bytes of card.file: P section 7.1 asks for no more */
};

extern const struct config_row config_rows[];
extern const size_t config_row_count;

#define CONFIG_ENV_PREFIX "MOLECULE_SIDECAR_"

/* Index of "section.key", or -1. */
int schema_find(const char *section, const char *key);
int schema_find_dotted(struct slice dotted);
bool schema_has_section(const char *section);

/* The names of a row in the three sources. */
const char *schema_dotted(const struct config_row *row, char buf[CONFIG_KEY_MAX]);
const char *schema_flag(const struct config_row *row, char buf[CONFIG_KEY_MAX]); /* with "--" */
const char *schema_env(const struct config_row *row,
                       char buf[CONFIG_ENV_MAX]); /* MOLECULE_SIDECAR_... */

/* Nearest known name, or NULL when nothing is near. The answer is one of the buffers or a static
 * string. */
const char *schema_nearest_key(struct slice dotted, char buf[CONFIG_KEY_MAX]);
const char *schema_nearest_section(struct slice name);
const char *schema_nearest_flag(struct slice flag, char buf[CONFIG_KEY_MAX]);
const char *schema_nearest_env(struct slice name, char buf[CONFIG_ENV_MAX]);

/* What may stand there: "true or false", "500ms to 1h", "auto, push or poll". */
void schema_add_range(struct str *out, const struct config_row *row);
/* Of a reserved row: why it is refused and what to do. */
void schema_add_reserved(struct str *out, const struct config_row *row);
/* The default for people: "30s", "(computed: ...)". */
void schema_add_default(struct str *out, const struct config_row *row);

#endif
