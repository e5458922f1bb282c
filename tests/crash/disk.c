/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "disk.h"

#include "base/cleanup.h"
#include "block/cache.h"
#include "block/chain.h"
#include "block/limits.h"
#include "block/opener.h"
#include "fake/fake.h"
#include "fake/secret.h"
#include "format/formats.h"
#include "store/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

enum {
        PATH_LEN = 4096,
};

static const Format *const disk_fake_formats[] = { &format_fake, NULL };

/* Gives the data file away once, and a copy of the base each time. */
typedef struct DiskOpener {
        Opener opener;
        const Disk *disk;
        Files *files;
} DiskOpener;

static int disk_opener_open(
        Opener *o, Store *namer, const char *name, StoreMode mode, Store **ret, Err *err)
{
        DiskOpener *opener = (DiskOpener *)o;

        if (strcmp(name, DISK_DATA) == 0 && opener->files->data) {
                *ret = TAKE(opener->files->data);
                return 0;
        }
        if (strcmp(name, DISK_BASE) == 0 && opener->disk->base) {
                int r = mem_store_copy(opener->disk->base, ret);
                return r < 0 ? err_set(err, -r, "cannot copy it: %m") : 0;
        }
        return err_set(err, ENOENT, "'%s' is not beside the image", name);
}

/* NULL when there is no such file. */
static int disk_load_file(const char *folder, const char *name, Store **ret, Err *err)
{
        _cleanup_store_ Store *s = NULL;
        char path[PATH_LEN];

        snprintf(path, sizeof(path), "%s/%s", folder, name);
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 && errno == ENOENT)
                return 0;
        if (fd < 0)
                return err_set(err, errno, "%s: %m", path);
        int r = store_open_fd(fd, STORE_READ_ONLY, &s, err);
        if (r < 0)
                return err_prefix(err, r, "%s", path);
        fd_take(&fd);
        r = mem_store_copy(s, ret);
        return r < 0 ? err_set(err, -r, "%s: cannot load it: %m", path) : 0;
}

int disk_load(const char *folder, const char *format, Disk *ret, Err *err)
{
        *ret = (Disk){ .format = format };
        int r = disk_load_file(folder, DISK_IMAGE, &ret->files.image, err);
        if (r == 0)
                r = disk_load_file(folder, DISK_DATA, &ret->files.data, err);
        if (r == 0)
                r = disk_load_file(folder, DISK_BASE, &ret->base, err);
        if (r == 0 && !ret->files.image)
                r = err_set(err, ENOENT, "%s/%s: %m", folder, DISK_IMAGE);
        if (r < 0)
                disk_done(ret);
        return r;
}

void disk_done(Disk *d)
{
        files_done(&d->files);
        d->base = store_free(d->base);
}

int files_copy(const Files *f, Files *ret)
{
        _cleanup_files_ Files copy = { 0 };

        int r = mem_store_copy(f->image, &copy.image);
        if (r == 0 && f->data)
                r = mem_store_copy(f->data, &copy.data);
        if (r < 0)
                return r;
        *ret = (Files){ TAKE(copy.image), TAKE(copy.data) };
        return 0;
}

void files_done(Files *f)
{
        f->image = store_free(f->image);
        f->data = store_free(f->data);
}

int store_save(Store *s, const char *folder, const char *name)
{
        char path[PATH_LEN];
        uint64_t size = 0;

        snprintf(path, sizeof(path), "%s/%s", folder, name);
        int r = store_get_size(s, &size);
        if (r < 0)
                return r;
        _cleanup_free_ uint8_t *bytes = malloc((size_t)size + 1);
        if (!bytes)
                return -ENOMEM;
        r = store_read(s, bytes, (size_t)size, 0);
        if (r < 0)
                return r;
        /* Written over rather than made anew: half the work on a tmpfs. */
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
                return -errno;
        for (uint64_t done = 0; done < size;) {
                ssize_t n = pwrite(fd, bytes + done, (size_t)(size - done), (off_t)done);
                if (n < 0)
                        return -errno;
                done += (uint64_t)n;
        }
        return 0;
}

int disk_open(const Disk *d, Files *files, bool writable, OpenDisk *ret, Err *err)
{
        _cleanup_files_ Files mine = { TAKE(files->image), TAKE(files->data) };
        _cleanup_open_disk_ OpenDisk o = { 0 };
        DiskOpener opener = {
                .opener.open = disk_opener_open,
                .opener.get_secret = fake_get_secret,
                .disk = d,
                .files = &mine,
        };

        int r = cache_new(LIMIT_CACHE_MIN, &o.cache);
        if (r < 0)
                return err_set(err, -r, "cannot make a cache: %m");
        ChainRequest request = {
                .formats =
                        strcmp(d->format, format_fake.name) == 0 ? disk_fake_formats : all_formats,
                .raw = &format_raw,
                .format_name = d->format,
                .writable = writable,
                .opener = &opener.opener,
                .cache = o.cache,
        };
        r = chain_open(&request, mine.image, &o.node, err);
        if (r < 0)
                return err_prefix(err, r, "cannot open it %s", writable ? "writable" : "read-only");
        TAKE(mine.image);
        *ret = (OpenDisk){ TAKE(o.cache), TAKE(o.node) };
        return 0;
}

void open_disk_done(OpenDisk *o)
{
        o->node = node_close(o->node);
        o->cache = cache_free(o->cache);
}
