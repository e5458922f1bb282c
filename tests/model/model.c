/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "model.h"

#include "base/bits.h"
#include "base/cleanup.h"
#include "block/node.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum {
        PIECE = 1 << 20,
        /* What is all zeroes in one of these is left out of files. */
        SPARSE = 64 * 1024,
};

int model_init(Model *m, uint64_t size, uint64_t room)
{
        void *bytes = mmap(NULL, (size_t)room, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (bytes == MAP_FAILED)
                return -errno;
        *m = (Model){ .bytes = bytes, .room = room, .size = size };
        return 0;
}

void model_done(Model *m)
{
        if (m->bytes)
                munmap(m->bytes, (size_t)m->room);
        m->bytes = NULL;
}

static bool is_zero(const uint8_t *bytes, size_t len)
{
        return len == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, len - 1) == 0);
}

/* Writes only what is not zero already: memory that was never touched stays away. */
static void model_put(Model *m, const uint8_t *bytes, size_t len, uint64_t off)
{
        for (size_t done = 0; done < len; done += SPARSE) {
                size_t part = (size_t)u64_min(SPARSE, len - done);
                if (!is_zero(bytes + done, part))
                        memcpy(m->bytes + off + done, bytes + done, part);
        }
}

int model_load(Model *m, const char *path)
{
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        _cleanup_free_ uint8_t *buf = malloc(PIECE);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        if (!buf)
                return -ENOMEM;
        if ((uint64_t)st.st_size != m->size) {
                fprintf(stderr, "%s has %" PRIu64 " bytes, the disk %" PRIu64 "\n", path,
                        (uint64_t)st.st_size, m->size);
                return -EBADMSG;
        }
        for (uint64_t off = 0; off < m->size; off += PIECE) {
                size_t part = (size_t)u64_min(PIECE, m->size - off);
                if (pread(fd, buf, part, (off_t)off) != (ssize_t)part)
                        return -EIO;
                model_put(m, buf, part, off);
        }
        return 0;
}

int model_save(const Model *m, const char *path)
{
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        if (fd < 0 || ftruncate(fd, (off_t)m->size) < 0)
                return -errno;
        for (uint64_t off = 0; off < m->size; off += SPARSE) {
                size_t part = (size_t)u64_min(SPARSE, m->size - off);
                if (!is_zero(m->bytes + off, part) &&
                    pwrite(fd, m->bytes + off, part, (off_t)off) != (ssize_t)part)
                        return -EIO;
        }
        return 0;
}

int model_copy(Model *m, Node *n)
{
        _cleanup_free_ uint8_t *buf = malloc(PIECE);

        if (!buf)
                return -ENOMEM;
        for (uint64_t off = 0; off < m->size; off += PIECE) {
                size_t part = (size_t)u64_min(PIECE, m->size - off);
                int r = node_read(n, buf, part, off);
                if (r < 0)
                        return r;
                model_put(m, buf, part, off);
        }
        return 0;
}

void model_zero(Model *m, uint64_t off, uint64_t len)
{
        memset(m->bytes + off, 0, (size_t)len);
}

void model_resize(Model *m, uint64_t size)
{
        if (size < m->size)
                model_zero(m, size, m->size - size);
        m->size = size;
}

bool model_holds(
        const Model *m, const uint8_t *found, uint64_t off, uint64_t len, uint64_t *ret_off)
{
        uint64_t i = 0;

        if (memcmp(m->bytes + off, found, (size_t)len) == 0)
                return true;
        while (m->bytes[off + i] == found[i])
                i++;
        *ret_off = off + i;
        return false;
}

int model_compare(const Model *m, Node *n)
{
        _cleanup_free_ uint8_t *buf = malloc(PIECE);
        uint64_t wrong = 0;

        if (!buf)
                return -ENOMEM;
        if (node_get_size(n) != m->size) {
                fprintf(stderr, "the disk has %" PRIu64 " bytes, the model %" PRIu64 "\n",
                        node_get_size(n), m->size);
                return -EBADMSG;
        }
        for (uint64_t off = 0; off < m->size; off += PIECE) {
                size_t part = (size_t)u64_min(PIECE, m->size - off);
                int r = node_read(n, buf, part, off);
                if (r < 0) {
                        fprintf(stderr, "reading at %" PRIu64 ": %s\n", off, strerror(-r));
                        return r;
                }
                if (!model_holds(m, buf, off, part, &wrong)) {
                        fprintf(stderr, "byte %" PRIu64 " is %#x, not %#x\n", wrong,
                                buf[wrong - off], m->bytes[wrong]);
                        return -EBADMSG;
                }
        }
        return 0;
}
