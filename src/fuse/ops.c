/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuse/ops.h"

#include "base/bits.h"
#include "base/cleanup.h"
#include "base/fuse-newer.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fuse.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>

enum {
        /* Where nobody but us changes the image, what the kernel knows of the view stays true. Seconds. */
        OPS_ATTR_TIMEOUT = 365 * 86400,
        OPS_STATFS_BLOCK = 4096,
        OPS_NAME_MAX = 255,
        OPS_READ_BITS = 0444,
};

static OpsThread *ops_thread(fuse_req_t req)
{
        return fuse_req_userdata(req);
}

/* NULL: it is the one file, or the folder. */
static const FolderEntry *ops_entry(fuse_req_t req, fuse_ino_t ino)
{
        const Folder *f = ops_thread(req)->folder;

        return f && ino >= OPS_FIRST_FILE && ino - OPS_FIRST_FILE < f->count
                       ? &f->entries[ino - OPS_FIRST_FILE]
                       : NULL;
}

static bool ops_is_folder(fuse_req_t req, fuse_ino_t ino)
{
        return ops_thread(req)->folder && ino == FUSE_ROOT_ID;
}

static View *ops_view(fuse_req_t req, fuse_ino_t ino)
{
        const FolderEntry *e = ops_entry(req, ino);
        return e ? e->view : ops_thread(req)->view;
}

static void ops_reply(fuse_req_t req, int r)
{
        fuse_reply_err(req, r < 0 ? -r : 0);
}

static void ops_init(void *userdata, struct fuse_conn_info *conn)
{
        OpsThread *t = userdata;

        conn->max_write = t->max_write;
        t->user.ready = true;
}

/* A folder has what the disk in it has, but that nobody makes files in it. */
static int ops_get_stat(fuse_req_t req, fuse_ino_t ino, struct stat *ret)
{
        ViewStat s;
        int r = view_get_stat(ops_view(req, ino), &s);
        if (r < 0)
                return r;

        *ret = (struct stat){
                .st_ino = ino,
                .st_mode = S_IFREG | s.mode,
                .st_nlink = 1,
                .st_uid = s.uid,
                .st_gid = s.gid,
                .st_size = (off_t)s.size,
                .st_blksize = (blksize_t)s.block_size,
                .st_blocks = (blkcnt_t)div_round_up(s.allocated, 512),
                .st_atim = s.atime,
                .st_mtim = s.mtime,
                .st_ctim = s.ctime,
        };
        if (ops_is_folder(req, ino)) {
                ret->st_mode = S_IFDIR | (s.mode & OPS_READ_BITS) | (s.mode & OPS_READ_BITS) >> 2;
                ret->st_nlink = 2;
                ret->st_blocks = 0;
        }
        return 0;
}

/* Of what is written into a mapped view the kernel tells nobody but the file. */
static double ops_attr_timeout(const View *v)
{
        return view_is_written_past_us(v) ? 0 : OPS_ATTR_TIMEOUT;
}

static void ops_reply_stat(fuse_req_t req, fuse_ino_t ino)
{
        struct stat st;
        int r = ops_get_stat(req, ino, &st);

        if (r < 0)
                ops_reply(req, r);
        else
                fuse_reply_attr(req, &st, ops_attr_timeout(ops_view(req, ino)));
}

static void ops_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
        ops_reply_stat(req, ino);
}

static void ops_setattr(
        fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set, struct fuse_file_info *fi)
{
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);

        ViewChange change = {
                .has_size = to_set & FUSE_SET_ATTR_SIZE,
                .by_path = fi == NULL,
                .has_mode = to_set & FUSE_SET_ATTR_MODE,
                .has_uid = to_set & FUSE_SET_ATTR_UID,
                .has_gid = to_set & FUSE_SET_ATTR_GID,
                .has_atime = to_set & (FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_ATIME_NOW),
                .has_mtime = to_set & (FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW),
                .size = (uint64_t)attr->st_size,
                .mode = attr->st_mode & 07777,
                .uid = attr->st_uid,
                .gid = attr->st_gid,
                .atime = to_set & FUSE_SET_ATTR_ATIME_NOW ? now : attr->st_atim,
                .mtime = to_set & FUSE_SET_ATTR_MTIME_NOW ? now : attr->st_mtim,
        };
        int r = ops_is_folder(req, ino)                ? -EPERM
                : attr->st_size < 0 && change.has_size ? -EINVAL
                                                       : view_change(ops_view(req, ino), &change);

        if (r < 0)
                ops_reply(req, r);
        else
                ops_reply_stat(req, ino);
}

/* Is it opened to be read and written past the page cache? Then the kernel lets several write at one time, if it is told that
 * it may, but sends requests of more than its limit part by part: that is for disks and databases, not for streams, which
 * are opened for one of the two. */
static bool ops_is_direct(const OpsThread *t, int flags)
{
        return t->may_be_direct && (flags & O_DIRECT) && (flags & O_ACCMODE) == O_RDWR;
}

/* libfuse 3.14 has no word for parallel writes. */
static void ops_reply_direct(fuse_req_t req, uint64_t fh)
{
        struct fuse_open_out out = {
                .fh = fh,
                .open_flags = FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES | FOPEN_KEEP_CACHE |
                              FOPEN_NOFLUSH,
        };
        fuse_reply_buf(req, (const char *)&out, sizeof(out));
}

/* The kernel reads, writes and maps the file that it was handed. All opens are answered like that, since it refuses them beside
 * others whose contents it keeps. libfuse 3.14 has no word for it. */
static void ops_reply_backed(fuse_req_t req, uint64_t id)
{
        FuseNewerOpenOut out = {
                .fh = id,
                .open_flags = FUSE_NEWER_OPEN_PASSTHROUGH | FOPEN_NOFLUSH,
                .backing_id = ops_thread(req)->backing_id,
        };
        fuse_reply_buf(req, (const char *)&out, sizeof(out));
}

/* Where the kernel was promised that we see to O_TRUNC (FUSE_ATOMIC_O_TRUNC, which it should not be: view.h), it
 * arrives here and means nothing. Without flush requests close() never waits for us: what must be on disk is asked
 * for by fsync. */
static void ops_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
        int r = view_open(ops_view(req, ino), fi->flags, fuse_req_ctx(req)->pid, &fi->fh);
        if (r < 0) {
                ops_reply(req, r);
                return;
        }
        if (ops_thread(req)->backing_id > 0) {
                ops_reply_backed(req, fi->fh);
                return;
        }
        if (ops_is_direct(ops_thread(req), fi->flags)) {
                ops_reply_direct(req, fi->fh);
                return;
        }
        const FolderEntry *e = ops_entry(req, ino);
        fi->direct_io = e && e->is_uncached;
        fi->keep_cache = !fi->direct_io;
        fi->noflush = 1;
        fuse_reply_open(req, fi);
}

static void ops_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
        view_close(ops_view(req, ino), fi->flags, fi->fh);
        ops_reply(req, 0);
}

static void ops_read(
        fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
        OpsThread *t = ops_thread(req);
        size_t done = 0;

        if (size > t->answer_len || off < 0) {
                ops_reply(req, -EINVAL);
                return;
        }
        int r = view_read(ops_view(req, ino), t->answer, size, (uint64_t)off, &done);
        if (r < 0)
                ops_reply(req, r);
        else
                fuse_reply_buf(req, t->answer, done);
}

static void ops_write(fuse_req_t req,
                      fuse_ino_t ino,
                      const char *buf,
                      size_t size,
                      off_t off,
                      struct fuse_file_info *fi)
{
        size_t done = 0;

        if (off < 0) {
                ops_reply(req, -EINVAL);
                return;
        }
        int r = view_write(ops_view(req, ino), buf, size, (uint64_t)off, &done);
        if (r < 0)
                ops_reply(req, r);
        else
                fuse_reply_write(req, done);
}

static void ops_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
        ops_reply(req, view_flush(ops_view(req, ino)));
}

static void ops_fallocate(
        fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len, struct fuse_file_info *fi)
{
        View *v = ops_view(req, ino);
        uint64_t from = (uint64_t)off, count = (uint64_t)len;
        ViewEnd end = mode & FALLOC_FL_KEEP_SIZE ? VIEW_END_KEEP : VIEW_END_MOVE;
        int r = -EOPNOTSUPP;

        if (off < 0 || len <= 0)
                r = -EINVAL;
        else if ((mode & ~FALLOC_FL_KEEP_SIZE) == 0)
                r = view_allocate(v, from, count, end);
        else if ((mode & ~FALLOC_FL_KEEP_SIZE) == FALLOC_FL_ZERO_RANGE)
                r = view_zero(v, from, count, end);
        else if (mode == (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE))
                r = view_punch(v, from, count);
        ops_reply(req, r);
}

static void ops_lseek(
        fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi)
{
        uint64_t found = 0;
        int r = -EINVAL;

        if (off < 0)
                r = -ENXIO;
        else if (whence == SEEK_DATA)
                r = view_find(ops_view(req, ino), VIEW_FIND_DATA, (uint64_t)off, &found);
        else if (whence == SEEK_HOLE)
                r = view_find(ops_view(req, ino), VIEW_FIND_HOLE, (uint64_t)off, &found);

        if (r < 0)
                ops_reply(req, r);
        else
                fuse_reply_lseek(req, (off_t)found);
}

static void ops_statfs(fuse_req_t req, fuse_ino_t ino)
{
        ViewStat s;
        int r = view_get_stat(ops_view(req, ino), &s);
        if (r < 0) {
                ops_reply(req, r);
                return;
        }

        struct statvfs st = {
                .f_bsize = OPS_STATFS_BLOCK,
                .f_frsize = OPS_STATFS_BLOCK,
                .f_blocks = div_round_up(s.size, OPS_STATFS_BLOCK),
                .f_files = ops_thread(req)->folder ? ops_thread(req)->folder->count : 1,
                .f_namemax = OPS_NAME_MAX,
        };
        fuse_reply_statfs(req, &st);
}

/* `size` 0 asks how much there is. */
static void ops_reply_xattr(fuse_req_t req, const char *bytes, size_t len, size_t size)
{
        if (size == 0)
                fuse_reply_xattr(req, len);
        else if (size < len)
                ops_reply(req, -ERANGE);
        else
                fuse_reply_buf(req, bytes, len);
}

/* Never ENOSYS: the kernel would not ask again for any name. */
static void ops_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
        _cleanup_free_ char *text = NULL;
        int r = view_get_attribute(ops_view(req, ino), name, &text);

        if (r < 0)
                ops_reply(req, r);
        else
                ops_reply_xattr(req, text, strlen(text), size);
}

static void ops_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
        ops_reply_xattr(req, view_attribute_names, view_attribute_names_len, size);
}

static void ops_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
        const Folder *f = ops_thread(req)->folder;
        ssize_t i = f ? folder_find(f, name) : -1;
        if (i < 0) {
                ops_reply(req, f ? -ENOENT : -ENOTDIR);
                return;
        }

        struct fuse_entry_param e = {
                .ino = OPS_FIRST_FILE + (fuse_ino_t)i,
                .attr_timeout = OPS_ATTR_TIMEOUT,
                .entry_timeout = OPS_ATTR_TIMEOUT,
        };
        int r = ops_get_stat(req, e.ino, &e.attr);
        if (r < 0)
                ops_reply(req, r);
        else
                fuse_reply_entry(req, &e);
}

static void ops_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
        if (!ops_is_folder(req, ino)) {
                ops_reply(req, -ENOTDIR);
                return;
        }
        fi->keep_cache = 1;
        fi->cache_readdir = 1;
        fuse_reply_open(req, fi);
}

/* "." and "..", then the files: what stands at `off`, and is followed by `off` + 1. */
static size_t ops_add_name(fuse_req_t req, char *to, size_t room, off_t off)
{
        static const char *const dots[] = { ".", ".." };
        const Folder *f = ops_thread(req)->folder;
        struct stat st = { .st_ino = FUSE_ROOT_ID, .st_mode = S_IFDIR };
        const char *name = off < 2 ? dots[off] : f->entries[off - 2].name;

        if (off >= 2)
                st = (struct stat){ .st_ino = (ino_t)(OPS_FIRST_FILE + off - 2),
                                    .st_mode = S_IFREG };
        return fuse_add_direntry(req, to, room, name, &st, off + 1);
}

static void ops_readdir(
        fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
        OpsThread *t = ops_thread(req);
        size_t used = 0;

        if (!ops_is_folder(req, ino) || off < 0) {
                ops_reply(req, -EINVAL);
                return;
        }
        size = size < t->answer_len ? size : t->answer_len;
        for (; (uint64_t)off < t->folder->count + 2; off++) {
                size_t len = ops_add_name(req, (char *)t->answer + used, size - used, off);
                if (len > size - used)
                        break;
                used += len;
        }
        fuse_reply_buf(req, t->answer, used);
}

static void ops_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
        ops_reply(req, 0);
}

/* What is not here libfuse answers with ENOSYS, and the kernel does it alone or refuses it: locks and
 * copy_file_range are its own business, flush is not wanted. */
const struct fuse_lowlevel_ops ops_table = {
        .init = ops_init,
        .lookup = ops_lookup,
        .opendir = ops_opendir,
        .readdir = ops_readdir,
        .releasedir = ops_releasedir,
        .getattr = ops_getattr,
        .setattr = ops_setattr,
        .open = ops_open,
        .release = ops_release,
        .read = ops_read,
        .write = ops_write,
        .fsync = ops_fsync,
        .fallocate = ops_fallocate,
        .lseek = ops_lseek,
        .statfs = ops_statfs,
        .getxattr = ops_getxattr,
        .listxattr = ops_listxattr,
};
