/*
 * What a text means: the thirteen types of the schema. Each refusal names the key, the value, the
 * place and what would be right. Rules that join two keys are check.c's.
 */
#include "config/value.h"

#include "base/cleanup.h"
#include "base/parse.h"
#include "base/signame.h"
#include "config/report.h"
#include "config/url.h"

#include <arpa/inet.h>
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

static_assert(sizeof(enum delivery) == sizeof(int) && sizeof(enum log_level) == sizeof(int),
              "enums are stored as int");

/* One check in progress. */
struct value_case {
    const struct config_row *row;
    const struct value_in *in;
    struct config_report *report;
    char key[CONFIG_KEY_MAX];
};

static void *member(struct config *c, const struct config_row *row)
{
    assert(row->offset != ROW_NO_MEMBER);
    return (char *)c + row->offset;
}

char **value_string(struct config *c, const struct config_row *row)
{
    return member(c, row);
}

int64_t *value_number(struct config *c, const struct config_row *row)
{
    return member(c, row);
}

/* "key is VALUE (place): why"; a secret's value is left out. */
static int refuse_text(const struct value_case *v, struct slice text, const char *why)
{
    if (v->row->flags & (ROW_SECRET | ROW_MASK_VALUES | ROW_URL_USER))
        return report_error(v->report, "%s (%s): %s", v->key, v->in->place, why);
    if (text.n == 0)
        return report_error(v->report, "%s is empty (%s): %s", v->key, v->in->place, why);
    return report_error(v->report, "%s is %s (%s): %s", v->key, value_shown(text).z, v->in->place,
                        why);
}

static int refuse(const struct value_case *v, const char *why)
{
    return refuse_text(v, v->in->text, why);
}

static int refuse_range(const struct value_case *v)
{
    CLEANUP(str_release) struct str why = {0};

    str_addz(&why, "must be ");
    schema_add_range(&why, v->row);
    return refuse(v, str_z(&why));
}

static bool is_all_digits(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
    }
    return s.n > 0;
}

/* Control characters, NUL and broken UTF-8 have no place in any value. */
static const char *text_problem(const struct config_row *row, struct slice text)
{
    size_t max = row->max > 0 && row->type == TYPE_STRING ? (size_t)row->max : CONFIG_STRING_MAX;

    if (text.n > max)
        return "is too long";
    for (struct slice rest = text; rest.n > 0;) {
        size_t step = slice_utf8_next(rest);
        unsigned char ch = (unsigned char)rest.p[0];

        if (step == 0)
            return "is not valid UTF-8";
        if ((ch < 0x20 || ch == 0x7F) &&
            !((row->flags & ROW_MULTILINE) && (ch == '\n' || ch == '\t')))
            return ch == '\n' ? "holds a line break" : "holds a control character";
        rest.p += step;
        rest.n -= step;
    }
    return NULL;
}

static int parse_number(const struct value_case *v, int64_t *ret)
{
    const struct config_row *row = v->row;
    int64_t min = row->flags & ROW_ZERO_OFF ? 0 : row->min;
    int rc;

    switch (row->type) {
    case TYPE_DURATION:
        rc = parse_duration_ms(v->in->text, min, row->max, ret);
        if (rc == -EINVAL && is_all_digits(v->in->text))
            return refuse(v, "a duration needs a unit, for example 10s");
        if (rc == -EINVAL)
            return refuse(v, "must be a whole number with ms, s, m, h or d, for example 30s");
        break;
    case TYPE_SIZE:
        rc = parse_size_bytes(v->in->text, min, row->max, ret);
        if (rc == -EINVAL)
            return refuse(v, "must be a whole number with KiB, MiB or GiB, for example 64KiB");
        break;
    default:
        rc = parse_int64(v->in->text, min, row->max, ret);
        if (rc == -EINVAL)
            return refuse(v, "must be a whole number without a unit");
        break;
    }
    if (rc == 0 && (row->flags & ROW_ZERO_OFF) && *ret != 0 && *ret < row->min)
        rc = -ERANGE;
    return rc < 0 ? refuse_range(v) : 0;
}

/*
 * YAML writers of the older kind turn the word off into the boolean false; where false could mean
 * nothing else, it means off.
 */
static bool is_word(struct slice text, const char *word)
{
    return slice_eq(text, slice_of(word)) ||
           (strcmp(word, "off") == 0 && slice_eq(text, SLICE("false")));
}

static int parse_word(const struct value_case *v, int *ret)
{
    const struct config_row *row = v->row;
    struct slice later = slice_of(row->later_words), word;

    for (int i = 0; row->words[i]; i++) {
        if (is_word(v->in->text, row->words[i])) {
            *ret = i;
            return 0;
        }
    }
    while (later.n > 0 && slice_next(&later, ' ', &word)) {
        if (slice_eq(v->in->text, word)) {
            CLEANUP(str_release) struct str why = {0};

            str_addz(&why, "that is not in this version, use ");
            schema_add_range(&why, row);
            return refuse(v, str_z(&why));
        }
    }
    return refuse_range(v);
}

int signal_of_name(struct slice name)
{
    int number = signal_parse(name);

    return number == SIGKILL || number == SIGSTOP || number == SIGCHLD || number == SIGPIPE
               ? 0
               : number;
}

/* Checks the URL and makes its one spelling: scheme and host in lower case, no slash at the end. */
static int parse_url(const struct value_case *v, char **ret)
{
    unsigned flags = v->row->flags;
    struct slice text = v->in->text;
    struct err err = {0};
    struct url u;
    size_t authority_end;
    char *copy;

    if (url_parse(text, &u, &err) < 0)
        return refuse(v, err.msg);
    if (u.userinfo.p && !(flags & ROW_URL_USER))
        return report_error(v->report,
                            "%s (%s): a user name or password does not belong into this URL; "
                            "remove everything up to the @",
                            v->key, v->in->place);
    if (u.has_fragment || (u.has_query && !(flags & ROW_URL_QUERY)))
        return refuse(v, "must not have a query (?) or a fragment (#); paths are added to it");
    if ((flags & ROW_URL_NO_PATH) && u.path.n > 0 && !slice_eq(u.path, SLICE("/")))
        return refuse(v,
                      "must be scheme and authority only, for example https://host.example:8443");
    authority_end = (size_t)(u.host.p - text.p) + u.host.n;
    if (!u.has_query) {
        while (text.n > authority_end && text.p[text.n - 1] == '/')
            text.n--;
    }
    copy = slice_dup(text);
    if (!copy)
        return -ENOMEM;
    for (size_t i = 0; i < authority_end; i++) {
        if (i < (u.is_https ? 8U : 7U) || &text.p[i] >= u.host.p)
            copy[i] = (char)tolower((unsigned char)copy[i]);
    }
    *ret = copy;
    return 0;
}

static int parse_path(const struct value_case *v, char **ret)
{
    CLEANUP(str_release) struct str s = {0};
    struct slice text = v->in->text;

    if (slice_starts_with(text, SLICE("~/"))) {
        if (!v->in->home || !*v->in->home)
            return refuse(v, "~ needs HOME, which is not set; write the whole path");
        str_addz(&s, v->in->home);
        text = (struct slice){text.p + 1, text.n - 1};
    }
    str_add(&s, text);
    while (s.len > 1 && s.p[s.len - 1] == '/')
        str_truncate(&s, s.len - 1);
    *ret = str_take(&s);
    return *ret ? 0 : -ENOMEM;
}

static int parse_string(const struct value_case *v, char **ret)
{
    const struct config_row *row = v->row;
    struct slice text = v->in->text;
    const char *problem = text_problem(row, text);

    if (problem)
        return refuse(v, problem);
    if (text.n > 0) {
        switch (row->type) {
        case TYPE_URL:
            return parse_url(v, ret);
        case TYPE_PATH:
            return parse_path(v, ret);
        case TYPE_UUID:
            if (!is_uuid(text))
                return refuse(v, "must be the workspace's UUID, such as "
                                 "123e4567-e89b-42d3-a456-426614174000; it is the id that POST "
                                 "/workspaces answers, and the canvas shows it");
            break;
        default:
            if ((row->flags & ROW_FROM_SLASH) && text.p[0] != '/')
                return refuse(v, "must begin with /");
            break;
        }
    }
    *ret = slice_dup(text);
    if (*ret && row->type == TYPE_UUID && text.n > 0)
        uuid_lower(*ret);
    return *ret ? 0 : -ENOMEM;
}

static void list_release(struct string_list *l, bool is_secret)
{
    for (size_t i = 0; i < l->n; i++) {
        if (is_secret)
            explicit_bzero(l->v[i], strlen(l->v[i]));
        free(l->v[i]);
    }
    free(l->v);
    *l = (struct string_list){0};
}

bool is_cidr(struct slice text)
{
    const char *slash = text.n > 0 ? memchr(text.p, '/', text.n) : NULL;
    struct slice host = text;
    char z[INET6_ADDRSTRLEN];
    unsigned char addr[sizeof(struct in6_addr)];
    int64_t bits;
    bool is_v6;

    if (slash)
        host.n = (size_t)(slash - text.p);
    if (host.n == 0 || host.n >= sizeof(z))
        return false;
    memcpy(z, host.p, host.n);
    z[host.n] = '\0';
    is_v6 = strchr(z, ':') != NULL;
    if (inet_pton(is_v6 ? AF_INET6 : AF_INET, z, addr) != 1)
        return false;
    return !slash || parse_int64((struct slice){slash + 1, text.n - host.n - 1}, 0,
                                 is_v6 ? 128 : 32, &bits) == 0;
}

static int parse_list(const struct value_case *v, struct string_list *ret)
{
    const struct value_in *in = v->in;
    struct string_list l = {0};

    if (in->item_count > CONFIG_LIST_MAX)
        return report_error(v->report, "%s (%s) has %zu items, the most is %d", v->key, in->place,
                            in->item_count, CONFIG_LIST_MAX);
    l.v = calloc(in->item_count + 1, sizeof(*l.v));
    if (!l.v)
        return -ENOMEM;
    for (size_t i = 0; i < in->item_count; i++) {
        struct slice item = in->items[i];
        const char *problem = item.n == 0 ? "an item is empty" : text_problem(v->row, item);

        if (!problem) {
            l.v[l.n] = slice_dup(item);
            if (l.v[l.n])
                l.n++;
            else
                problem = "no memory";
        }
        if (problem) {
            list_release(&l, true);
            return refuse_text(v, item, problem);
        }
    }
    *ret = l;
    return 0;
}

/* A list is read as the text that its items make with commas between them. */
static int parse_signals(const struct value_case *v, struct stop_sequence *ret)
{
    CLEANUP(str_release) struct str joined = {0};
    struct err err = {0};
    struct slice text = v->in->text;

    for (size_t i = 0; v->in->is_list && i < v->in->item_count; i++) {
        str_addz(&joined, i > 0 ? ", " : "");
        str_add(&joined, v->in->items[i]);
    }
    if (v->in->is_list)
        text = slice_of(str_z(&joined));
    if (!str_ok(&joined))
        return -ENOMEM;
    if (text.n > CONFIG_STRING_MAX)
        return refuse_text(v, text, "is too long");
    return stop_sequence_parse(text, ret, &err) < 0 ? refuse_text(v, text, err.msg) : 0;
}

static int set_signals(struct config *c, const struct value_case *v)
{
    struct stop_sequence sequence = {0};
    int rc = parse_signals(v, &sequence);

    if (rc == 0 && c)
        *(struct stop_sequence *)member(c, v->row) = sequence;
    return rc;
}

/* Everything but lists: the text decides. */
static int set_scalar(struct config *c, const struct value_case *v)
{
    const struct config_row *row = v->row;
    struct endpoint at;
    struct err err = {0};
    char *text = NULL;
    int64_t number = 0;
    unsigned octal = 0;
    bool flag = false;
    int word = 0;
    int rc = 0;

    switch (row->type) {
    case TYPE_BOOL:
        if (parse_bool(v->in->text, &flag) < 0)
            return refuse_range(v);
        if (c)
            *(bool *)member(c, row) = flag;
        break;
    case TYPE_INT:
    case TYPE_DURATION:
    case TYPE_SIZE:
        rc = parse_number(v, &number);
        if (rc == 0 && c)
            *value_number(c, row) = number;
        break;
    case TYPE_ENUM:
        rc = parse_word(v, &word);
        if (rc == 0 && c)
            memcpy(member(c, row), &word, sizeof(word));
        break;
    case TYPE_SIGNAL:
        word = signal_of_name(v->in->text);
        if (word == 0)
            return refuse(v, "must be a signal that can be caught, such as TERM, INT, HUP or USR1");
        if (c)
            *(int *)member(c, row) = word;
        break;
    case TYPE_OCTAL:
        if (v->in->text.n > 0 && parse_octal(v->in->text, (unsigned)row->max, &octal) < 0)
            return refuse_range(v);
        if (c)
            *(int *)member(c, row) = v->in->text.n > 0 ? (int)octal : -1;
        break;
    case TYPE_ENDPOINT:
        if (endpoint_parse(v->in->text, &at, &err) < 0)
            return report_error(v->report, "%s (%s): %s", v->key, v->in->place, err.msg);
        if (c)
            *(struct endpoint *)member(c, row) = at;
        break;
    case TYPE_STRING:
    case TYPE_PATH:
    case TYPE_URL:
    case TYPE_UUID:
        rc = parse_string(v, &text);
        if (rc == 0 && c) {
            value_release(c, row);
            *value_string(c, row) = ptr_take(&text);
        }
        free(text);
        break;
    case TYPE_LIST:
    case TYPE_SIGNALS:
        assert(false);
        break;
    }
    return rc;
}

/* Rows of later versions: a text that means the default is harmless, anything else would silently
 * do nothing. */
static bool is_the_default(const struct value_case *v)
{
    const struct config_row *row = v->row;
    const char *fallback = row->fallback ? row->fallback : "";
    struct config_report ignored = {0};
    struct value_in other = {.text = slice_of(fallback), .place = ""};
    struct value_case a = {.row = row, .in = v->in, .report = &ignored}, b = a;
    int64_t x = 0, y = 1;
    bool p = false, q = true, equal = false;

    b.in = &other;
    if (v->in->is_list)
        return v->in->item_count == 0 && row->type == TYPE_LIST;
    if (slice_eq(v->in->text, slice_of(fallback)))
        return true;
    if (row->type == TYPE_INT || row->type == TYPE_DURATION || row->type == TYPE_SIZE)
        equal = parse_number(&a, &x) == 0 && parse_number(&b, &y) == 0 && x == y;
    if (row->type == TYPE_BOOL)
        equal = parse_bool(v->in->text, &p) == 0 && parse_bool(other.text, &q) == 0 && p == q;
    config_report_release(&ignored);
    return equal;
}

int value_set(struct config *c, const struct config_row *row, const struct value_in *in,
              struct config_report *report)
{
    struct value_case v = {.row = row, .in = in, .report = report};
    struct string_list list = {0};
    int rc;

    (void)schema_dotted(row, v.key);
    if (row->reserved.what) {
        if (is_the_default(&v))
            return 0;
        {
            CLEANUP(str_release) struct str why = {0};

            schema_add_reserved(&why, row);
            return report_error(report, "%s (%s): %s", v.key, in->place, str_z(&why));
        }
    }
    if (row->type == TYPE_LIST) {
        if (!in->is_list && in->text.n > 0)
            return refuse(&v, "must be a list, for example [a, b]");
        rc = parse_list(&v, &list);
        if (rc == 0 && c) {
            value_release(c, row);
            *(struct string_list *)member(c, row) = list;
        } else {
            list_release(&list, true);
        }
    } else if (row->type == TYPE_SIGNALS) {
        rc = set_signals(c, &v);
    } else if (in->is_list) {
        rc = report_error(report, "%s (%s) is a list, must be %s", v.key, in->place, "one value");
    } else {
        rc = set_scalar(c, &v);
    }
    if (rc == -ENOMEM)
        rc = report_error(report, "%s (%s): no memory", v.key, in->place);
    return rc;
}

int value_init(struct config *c, const struct config_row *row)
{
    if (row->offset == ROW_NO_MEMBER)
        return 0;
    if (row->type == TYPE_STRING || row->type == TYPE_PATH || row->type == TYPE_URL ||
        row->type == TYPE_UUID) {
        *value_string(c, row) = strdup("");
        return *value_string(c, row) ? 0 : -ENOMEM;
    }
    return 0;
}

void value_release(struct config *c, const struct config_row *row)
{
    char **s;

    if (row->offset == ROW_NO_MEMBER)
        return;
    switch (row->type) {
    case TYPE_STRING:
    case TYPE_PATH:
    case TYPE_URL:
    case TYPE_UUID:
        s = value_string(c, row);
        if (*s && (row->flags & (ROW_SECRET | ROW_URL_USER)))
            explicit_bzero(*s, strlen(*s));
        free(ptr_take(s));
        break;
    case TYPE_LIST:
        list_release(member(c, row), (row->flags & ROW_MASK_VALUES) != 0);
        break;
    default:
        break;
    }
}
