/*
 * What would become of state.dir: the kernel's word for its file system, and what that means for a
 * token kept there.
 */
#include "config/config.h"

#include "base/cleanup.h"

#include <errno.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/vfs.h>

#include "base/banned.h"

enum fs_kind { FS_DISK = 0, FS_MEMORY, FS_LAYER, FS_NETWORK };

struct fs_type {
    unsigned long magic; /* 32 bits of statfs(2)'s f_type */
    const char *name;
    enum fs_kind kind;
};

static const struct fs_type fs_types[] = {
    {EXT4_SUPER_MAGIC, "ext4", FS_DISK},   {XFS_SUPER_MAGIC, "xfs", FS_DISK},
    {BTRFS_SUPER_MAGIC, "btrfs", FS_DISK}, {0x2FC12FC1UL, "zfs", FS_DISK},
    {F2FS_SUPER_MAGIC, "f2fs", FS_DISK},   {TMPFS_MAGIC, "tmpfs", FS_MEMORY},
    {RAMFS_MAGIC, "ramfs", FS_MEMORY},     {OVERLAYFS_SUPER_MAGIC, "overlay", FS_LAYER},
    {NFS_SUPER_MAGIC, "nfs", FS_NETWORK},  {0xFF534D42UL, "cifs", FS_NETWORK},
    {0xFE534D42UL, "smb", FS_NETWORK},     {0x00C36400UL, "ceph", FS_NETWORK},
    {V9FS_MAGIC, "9p", FS_NETWORK},        {0x01161970UL, "gfs2", FS_NETWORK},
};

/* Nearest directory at or above `path` that exists. */
static int find_fs(const char *path, struct statfs *ret)
{
    CLEANUP(str_release) struct str at = {0};

    str_addz(&at, path);
    while (statfs(str_z(&at), ret) < 0) {
        if (errno != ENOENT || at.len <= 1)
            return -errno;
        while (at.len > 1 && at.p[at.len - 1] != '/')
            str_truncate(&at, at.len - 1);
        if (at.len > 1)
            str_truncate(&at, at.len - 1);
    }
    return 0;
}

static const struct fs_type *find_type(const struct statfs *fs)
{
    for (size_t i = 0; i < sizeof(fs_types) / sizeof(fs_types[0]); i++) {
        if (((unsigned long)fs->f_type & 0xFFFFFFFFUL) == fs_types[i].magic)
            return &fs_types[i];
    }
    return NULL;
}

const char *config_network_fs(const char *dir)
{
    struct statfs fs;
    const struct fs_type *type = find_fs(dir, &fs) < 0 ? NULL : find_type(&fs);

    return type && type->kind == FS_NETWORK ? type->name : NULL;
}

void config_describe_state(const struct config *c, struct str *out, bool *ret_is_lasting)
{
    const struct fs_type *type = NULL;
    struct statfs fs;
    bool is_lasting = true;

    str_addf(out, "state.dir %s", c->state.dir);
    if (find_fs(c->state.dir, &fs) < 0) {
        str_addz(out, " is on a file system we cannot ask about");
    } else {
        type = find_type(&fs);
        str_addf(out, " is on %s", type ? type->name : "a file system we do not know");
        switch (type ? type->kind : FS_DISK) {
        case FS_DISK:
            break;
        case FS_MEMORY:
            is_lasting = false;
            str_addz(out, ": memory, so the token is lost when the machine or the pod goes");
            break;
        case FS_LAYER:
            is_lasting = !c->facts.is_container;
            if (!is_lasting)
                str_addz(out,
                         ": the container's own layer, so the token is lost with the container; "
                         "mount a volume there");
            break;
        case FS_NETWORK:
            str_addz(out, ": a network file system; only one sidecar may use this directory");
            break;
        }
    }
    if (ret_is_lasting)
        *ret_is_lasting = is_lasting;
}
