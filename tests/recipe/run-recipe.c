/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * run-recipe FOLDER: opens the image that mkimage.py made there, as FOLDER/expect says, and compares what it shows
 * with FOLDER/model. Ends with 0 when all is as expected; else says what is not and ends with 1.
 */
#include "base/bits.h"
#include "base/cleanup.h"
#include "block/cache.h"
#include "block/chain.h"
#include "block/info.h"
#include "block/limits.h"
#include "block/opener.h"
#include "format/formats.h"
#include "store/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum {
        TEXT_MAX = 512,
        WORDS_MAX = 16,
        FAULTS_MAX = 16,
        SECTOR = 512,
        STEP_MAX = 1 << 20,
};

/* Disks up to this size are read whole; of larger ones what lies around the model's data, and both ends. */
#define WHOLE_MAX (UINT64_C(64) << 20)

/* No image may keep us busy for longer than this, in processor time. */
#define OPEN_SECONDS 1.0

typedef struct Fault {
        int code;
        uint64_t off, len;
} Fault;

typedef struct Expectation {
        char image[TEXT_MAX], format[TEXT_MAX], snapshot[TEXT_MAX], passphrase[TEXT_MAX];
        int code;
        char words[WORDS_MAX][TEXT_MAX];
        int word_count;
        Fault faults[FAULTS_MAX];
        int fault_count;
} Expectation;

typedef struct Run {
        int folder, model;
        Expectation expected;
        uint64_t size;
        Node *node;
} Run;

/* Opens what lies in the folder of the image and nothing else. */
typedef struct FolderOpener {
        Opener opener;
        int folder;
        const char *passphrase; /* "": nobody has one */
        int asked;
} FolderOpener;

static int complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static int complain(const char *fmt, ...)
{
        va_list args;

        va_start(args, fmt);
        vfprintf(stderr, fmt, args);
        va_end(args);
        fputc('\n', stderr);
        return 1;
}

static int folder_open(
        Opener *o, Store *namer, const char *name, StoreMode mode, Store **ret, Err *err)
{
        FolderOpener *f = (FolderOpener *)o;

        if (strchr(name, '/') || strcmp(name, "..") == 0)
                return err_set(err, EACCES, "'%s' does not lie beside the image", name);
        _cleanup_close_ int fd =
                openat(f->folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0)
                return err_set(err, errno, "'%s': %m", name);
        int r = store_open_fd(fd, STORE_READ_ONLY, ret, err);
        if (r < 0)
                return r;
        fd_take(&fd);
        return 0;
}

static int folder_get_secret(Opener *o, Store *of, const char *what, Secret **ret, Err *err)
{
        FolderOpener *f = (FolderOpener *)o;

        if (!*f->passphrase)
                return err_set(err, ENOKEY, "nobody has a passphrase");
        if (f->asked++ > 0)
                return err_set(err, EKEYREJECTED, "wrong passphrase");
        Secret *s = secret_new();
        if (!s)
                return err_set(err, ENOMEM, "%m");
        s->len = strlen(f->passphrase);
        memcpy(s->bytes, f->passphrase, s->len);
        *ret = s;
        return 0;
}

/* What is expected: lines "KEY TEXT". */

static int expectation_take(Expectation *e, const char *key, const char *text)
{
        if (strcmp(key, "image") == 0)
                snprintf(e->image, TEXT_MAX, "%s", text);
        else if (strcmp(key, "format") == 0)
                snprintf(e->format, TEXT_MAX, "%s", text);
        else if (strcmp(key, "snapshot") == 0)
                snprintf(e->snapshot, TEXT_MAX, "%s", text);
        else if (strcmp(key, "passphrase") == 0)
                snprintf(e->passphrase, TEXT_MAX, "%s", text);
        else if (strcmp(key, "errno") == 0)
                e->code = atoi(text);
        else if (strcmp(key, "word") == 0 && e->word_count < WORDS_MAX)
                snprintf(e->words[e->word_count++], TEXT_MAX, "%s", text);
        else if (strcmp(key, "fault") == 0 && e->fault_count < FAULTS_MAX) {
                Fault *f = &e->faults[e->fault_count++];
                if (sscanf(text, "%d %" SCNu64 " %" SCNu64, &f->code, &f->off, &f->len) != 3)
                        return complain("expect: cannot read fault '%s'", text);
        } else
                return complain("expect: cannot take '%s'", key);
        return 0;
}

static int expectation_read(int folder, Expectation *e)
{
        char line[2 * TEXT_MAX];
        int fd = openat(folder, "expect", O_RDONLY | O_CLOEXEC);
        FILE *file = fd < 0 ? NULL : fdopen(fd, "r");
        int status = 0;

        if (!file)
                return complain("expect: %m");
        while (status == 0 && fgets(line, sizeof(line), file)) {
                line[strcspn(line, "\n")] = '\0';
                char *text = line + strcspn(line, " ");
                if (*text)
                        *text++ = '\0';
                status = expectation_take(e, line, text);
        }
        fclose(file);
        return status;
}

/* Failing to open. */

static int check_refusal(const Expectation *e, int r, const Err *err)
{
        if (e->code == 0)
                return complain("does not open: %s (%s)", err->text, strerrorname_np(-r));
        if (r != -e->code)
                return complain("fails with %s where %s is expected: %s", strerrorname_np(-r),
                                strerrorname_np(e->code), err->text);
        for (int i = 0; i < e->word_count; i++)
                if (!strcasestr(err->text, e->words[i]))
                        return complain("'%s' is missing in the message: %s", e->words[i],
                                        err->text);
        for (const char *c = err->text; *c; c++)
                if ((unsigned char)*c < 0x20 || *c == 0x7f)
                        return complain("a control character stands in the message");
        return 0;
}

/* Reading. */

static int model_read(Run *run, void *buf, size_t len, uint64_t off)
{
        ssize_t n = pread(run->model, buf, len, (off_t)off);
        if (n < 0 || (size_t)n != len)
                return complain("model: cannot read %zu bytes at %" PRIu64, len, off);
        return 0;
}

static const Fault *find_fault(const Run *run, uint64_t off, uint64_t len)
{
        for (int i = 0; i < run->expected.fault_count; i++) {
                const Fault *f = &run->expected.faults[i];
                if (off < f->off + f->len && f->off < off + len)
                        return f;
        }
        return NULL;
}

static int check_read(Run *run, uint64_t off, size_t len)
{
        _cleanup_free_ uint8_t *ours = malloc(len), *wanted = malloc(len);
        const Fault *fault = find_fault(run, off, len);

        if (!ours || !wanted)
                return complain("out of memory");
        memset(ours, 0xdd, len);
        int r = node_read(run->node, ours, len, off);
        if (fault && r != -fault->code)
                return complain("reading %zu bytes at %" PRIu64 " gives %s where %s is expected",
                                len, off, r < 0 ? strerrorname_np(-r) : "success",
                                strerrorname_np(fault->code));
        if (fault)
                return 0;
        if (r < 0)
                return complain("reading %zu bytes at %" PRIu64 " fails: %s", len, off,
                                strerrorname_np(-r));
        if (model_read(run, wanted, len, off) != 0)
                return 1;
        for (size_t i = 0; i < len; i++)
                if (ours[i] != wanted[i])
                        return complain("byte %" PRIu64 " is 0x%02x where the model has 0x%02x "
                                        "(reading %zu bytes at %" PRIu64 ")",
                                        off + i, ours[i], wanted[i], len, off);
        return 0;
}

/* The range in pieces of `step` bytes, the last one shorter. */
static int check_range(Run *run, uint64_t off, uint64_t end, size_t step)
{
        int status = 0;

        for (; status == 0 && off < end; off += step)
                status = check_read(run, off, (size_t)u64_min(step, end - off));
        return status;
}

/* Whole sectors, pages, odd lengths that cross every border, and as much as the kernel ever asks for. */
static int check_window(Run *run, uint64_t off, uint64_t end)
{
        static const size_t steps[] = { STEP_MAX, 65536, 4096, SECTOR, 65537, 997 };
        int status = 0;

        for (size_t i = 0; status == 0 && i < sizeof(steps) / sizeof(steps[0]); i++) {
                /* Small steps over a lot of bytes would only repeat themselves. */
                uint64_t stop = steps[i] <= 4096 ? u64_min(end, off + (UINT64_C(4) << 20)) : end;
                status = check_range(run, off, stop, steps[i]);
        }
        return status;
}

static int check_contents(Run *run)
{
        if (run->size <= WHOLE_MAX)
                return check_window(run, 0, run->size);

        int status = check_window(run, 0, STEP_MAX);
        if (status == 0)
                status = check_window(run, run->size - STEP_MAX, run->size);
        off_t off = lseek(run->model, 0, SEEK_DATA);
        while (status == 0 && off >= 0) {
                off_t end = lseek(run->model, off, SEEK_HOLE);
                uint64_t from = (uint64_t)off > 4096 ? (uint64_t)off - 4096 : 0;
                status = check_window(run, from, u64_min((uint64_t)end + 4096, run->size));
                off = lseek(run->model, end, SEEK_DATA);
        }
        return status;
}

/* What is called a hole reads as zeroes. */

static int check_zero(Run *run, uint64_t off, uint64_t end)
{
        _cleanup_free_ uint8_t *buf = malloc(STEP_MAX);

        if (!buf)
                return complain("out of memory");
        while (off < end) {
                off_t next = lseek(run->model, (off_t)off, SEEK_DATA);
                if (next < 0 || (uint64_t)next >= end)
                        return 0;
                off = (uint64_t)next;
                size_t len = (size_t)u64_min(STEP_MAX, end - off);
                if (model_read(run, buf, len, off) != 0)
                        return 1;
                for (size_t i = 0; i < len; i++)
                        if (buf[i] != 0)
                                return complain("byte %" PRIu64 " is called a hole", off + i);
                off += len;
        }
        return 0;
}

static int check_holes(Run *run)
{
        uint64_t off = 0;

        while (off < run->size) {
                uint64_t start = 0, end = 0;
                int r = node_find(run->node, NODE_FIND_DATA, off, &start);
                if (r == -ENXIO)
                        return check_zero(run, off, run->size);
                if (r < 0)
                        return complain("looking for data from %" PRIu64 " on fails: %s", off,
                                        strerrorname_np(-r));
                if (start < off || start >= run->size)
                        return complain("data from %" PRIu64 " on is said to be at %" PRIu64, off,
                                        start);
                if (check_zero(run, off, start) != 0)
                        return 1;
                r = node_find(run->node, NODE_FIND_HOLE, start, &end);
                if (r < 0)
                        return complain("looking for a hole from %" PRIu64 " on fails: %s", start,
                                        strerrorname_np(-r));
                if (end <= start || end > run->size)
                        return complain("the data at %" PRIu64 " is said to end at %" PRIu64, start,
                                        end);
                off = end;
        }
        return 0;
}

static int check_disk(Run *run)
{
        struct stat st;

        run->model = openat(run->folder, "model", O_RDONLY | O_CLOEXEC);
        if (run->model < 0 || fstat(run->model, &st) < 0)
                return complain("model: %m");
        run->size = node_get_size(run->node);
        if (run->size != (uint64_t)st.st_size)
                return complain("the disk has %" PRIu64 " bytes where the model has %" PRIu64,
                                run->size, (uint64_t)st.st_size);

        int status = check_contents(run);
        /* Where a table is broken, looking for holes may fail as reading does. */
        if (status == 0 && run->expected.fault_count == 0)
                status = check_holes(run);
        close(run->model);
        return status;
}

/* What the image says of itself, for `rawview info`. */
static int check_description(const Run *run)
{
        Info info = { 0 };
        int r = run->node->format->describe ? run->node->format->describe(run->node, &info) : 0;

        info_done(&info);
        return r < 0 ? complain("cannot be described: %s", strerrorname_np(-r)) : 0;
}

/* Opening. */

static int open_chain(Run *run, FolderOpener *opener, Cache *cache, Err *err)
{
        const Expectation *e = &run->expected;
        _cleanup_store_ Store *s = NULL;
        _cleanup_close_ int fd = openat(run->folder, e->image, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

        if (fd < 0)
                return err_set(err, errno, "%s: %m", e->image);
        int r = store_open_fd(fd, STORE_READ_ONLY, &s, err);
        if (r < 0)
                return r;
        fd_take(&fd);

        ChainRequest request = {
                .formats = all_formats,
                .raw = &format_raw,
                .format_name = *e->format ? e->format : NULL,
                .file_name = e->image,
                .snapshot = *e->snapshot ? e->snapshot : NULL,
                .opener = &opener->opener,
                .cache = cache,
        };
        r = chain_open(&request, s, &run->node, err);
        if (r >= 0)
                TAKE(s);
        return r;
}

static double processor_seconds(void)
{
        struct timespec t;
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
        return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int run_recipe(Run *run)
{
        FolderOpener opener = {
                .opener.open = folder_open,
                .opener.get_secret = folder_get_secret,
                .folder = run->folder,
                .passphrase = run->expected.passphrase,
        };
        _cleanup_cache_ Cache *cache = NULL;
        Err err = { 0 };

        if (expectation_read(run->folder, &run->expected) != 0)
                return 1;
        if (cache_new(LIMIT_CACHE_DEFAULT, &cache) < 0)
                return complain("out of memory");

        double start = processor_seconds();
        int r = open_chain(run, &opener, cache, &err);
        double taken = processor_seconds() - start;
        int status = 0;
        if (r < 0)
                status = check_refusal(&run->expected, r, &err);
        else if (run->expected.code != 0)
                status = complain("opens, where %s is expected",
                                  strerrorname_np(run->expected.code));
        else if (check_description(run) != 0 || check_disk(run) != 0)
                status = 1;
        run->node = node_close(run->node);
        if (taken > OPEN_SECONDS)
                status = complain("opening took %.1f s", taken);
        return status;
}

static int count_descriptors(void)
{
        DIR *dir = opendir("/proc/self/fd");
        int count = 0;

        while (dir && readdir(dir))
                count++;
        if (dir)
                closedir(dir);
        return count;
}

int main(int argc, char **argv)
{
        if (argc != 2)
                return complain("usage: run-recipe FOLDER");
        Run run = { .expected.passphrase = "rawview",
                    .folder = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
        if (run.folder < 0)
                return complain("%s: %m", argv[1]);

        int before = count_descriptors();
        int status = run_recipe(&run);
        if (count_descriptors() != before)
                status = complain("a file was left open");
        close(run.folder);
        return status;
}
