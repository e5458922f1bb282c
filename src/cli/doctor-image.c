/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/attempt.h"
#include "base/cleanup.h"
#include "base/mountinfo.h"
#include "block/node.h"
#include "cli/cli.h"
#include "cli/daemon.h"
#include "cli/doctor.h"
#include "cli/image.h"
#include "cli/own-place.h"
#include "lock/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
        IMAGE_LIMIT_MS = 20000, /* a slow disk, a long chain */
        IMAGE_TEXT_MAX = 2048,
};

typedef enum ImageStep {
        IMAGE_OPEN,  /* the file itself */
        IMAGE_LOCK,  /* nobody writes to it */
        IMAGE_WRITE, /* nobody uses it at all, which only a writable view needs */
        IMAGE_TOP,   /* its format */
        IMAGE_CHAIN, /* what it names */
        IMAGE_PLACE, /* can it be covered? */
        IMAGE_STEPS,
} ImageStep;

/* What the attempt has found out, in memory that both share: what is there when it gets stuck counts. */
typedef struct ImageFound {
        int results[IMAGE_STEPS]; /* 0 well, else a negative errno */
        int done;                 /* steps */
        mode_t mode;
        char texts[IMAGE_STEPS][IMAGE_TEXT_MAX];
} ImageFound;

typedef struct ImageAttempt {
        const char *file;
        ImageFound *found;
} ImageAttempt;

static int image_say_format(Image *image, void *arg)
{
        char *text = arg;
        Node *n = image->node;

        snprintf(text, IMAGE_TEXT_MAX, "is %s%s", n->format->name,
                 n->guessed ? " as it seems, since no format is recognised" : "");
        return CLI_OK;
}

/* Runs the confined child that `rawview info` runs, and takes down what that says on stderr, which is one line. */
static int image_try(const char *file, bool with_chain, char *text)
{
        ImageRequest request = {
                .file = file,
                .references = REFERENCES_DIRECTORY,
                .force_share = true,
                .stay_locked = true,
                .with_chain = with_chain,
        };
        int said = memfd_create("doctor", MFD_CLOEXEC), own = dup(STDERR_FILENO);

        if (said < 0 || own < 0)
                return -errno;
        dup2(said, STDERR_FILENO);
        int status = image_run(&request, image_say_format, text);
        dup2(own, STDERR_FILENO);
        close(own);
        if (status != CLI_OK) {
                ssize_t n = pread(said, text, IMAGE_TEXT_MAX - 1, 0);
                text[n > 0 ? n : 0] = '\0';
                text[strcspn(text, "\n")] = '\0';
        }
        close(said);
        return status == CLI_OK ? 0 : -EBADMSG;
}

static int image_open_file(const char *file, ImageFound *f)
{
        struct stat st;

        int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        f->mode = st.st_mode & S_IFMT;
        return fd;
}

static void image_try_lock(int fd, ImageFound *f, ImageStep step, LockRole role)
{
        Err err = { "" };

        int r = lock_take(fd, role, &err);
        f->results[step] = r < 0 ? r : 0;
        snprintf(f->texts[step], IMAGE_TEXT_MAX, "%s", err.text);
        f->done = (int)step + 1;
}

/* In the child. */
static int image_attempt(const void *arg, int folder, void *result)
{
        const ImageAttempt *a = arg;
        ImageFound *f = a->found;

        int fd = image_open_file(a->file, f);
        f->results[IMAGE_OPEN] = fd < 0 ? fd : 0;
        f->done = IMAGE_OPEN + 1;
        if (fd < 0)
                return 0;
        image_try_lock(fd, f, IMAGE_LOCK, LOCK_READER);
        if (f->results[IMAGE_LOCK] == 0) {
                /* A lock belongs to the open file. */
                close(fd);
                fd = image_open_file(a->file, f);
                image_try_lock(fd, f, IMAGE_WRITE, LOCK_WRITER);
        }
        close(fd);
        for (ImageStep step = IMAGE_TOP; step <= IMAGE_CHAIN; step++) {
                f->results[step] = image_try(a->file, step == IMAGE_CHAIN, f->texts[step]);
                f->done = (int)step + 1;
                if (f->results[step] < 0)
                        return 0;
        }
        f->results[IMAGE_PLACE] = own_place_is_needed(a->file) ? -EACCES : 0;
        f->done = IMAGE_STEPS;
        return 0;
}

/* Is the path covered already? By the mount table alone; the last entry is on top. */
static bool image_find_cover(const char *file, char **ret_type)
{
        _cleanup_mount_table_ MountTable t = { 0 };
        _cleanup_free_ char *path = NULL;
        Err err;

        if (daemon_make_absolute(file, &path, &err) < 0 || mount_table_read(&t, &err) < 0)
                return false;
        for (size_t i = t.count; i-- > 0;)
                if (strcmp(t.entries[i].target, path) == 0) {
                        *ret_type = strdup(t.entries[i].type);
                        return *ret_type != NULL;
                }
        return false;
}

static void image_say_open(Doctor *d, const char *file, const ImageFound *f)
{
        int error = -f->results[IMAGE_OPEN];

        if (error == EACCES)
                doctor_say(d, DOCTOR_BAD, file,
                           "chmod +r on it, +x on its folders, or as its owner",
                           "may not be read by this user");
        else if (error == ENOENT || error == ENOTDIR)
                doctor_say(d, DOCTOR_BAD, file, "another name", "does not exist");
        else if (error != 0)
                doctor_say(d, DOCTOR_BAD, file, NULL, "cannot be opened: %s", strerror(error));
        else if (f->mode != S_IFREG && f->mode != S_IFBLK)
                doctor_say(d, DOCTOR_BAD, file, "the name of a file or block device",
                           "is neither a regular file nor a block device");
        else
                doctor_say(d, DOCTOR_OK, file, NULL, "can be read");
}

static void image_say_locks(Doctor *d, const char *file, const ImageFound *f)
{
        if (f->done > IMAGE_LOCK && f->results[IMAGE_LOCK] < 0)
                doctor_say(d, DOCTOR_BAD, file,
                           "the end of that program, or, to read what may be inconsistent: rawview "
                           "mount --force-share",
                           "%s", f->texts[IMAGE_LOCK]);
        else if (f->done > IMAGE_WRITE && f->results[IMAGE_WRITE] < 0)
                doctor_say(d, DOCTOR_NOTE, file, "the end of that program",
                           "can be shown, but not writable: it %s", f->texts[IMAGE_WRITE]);
        else if (f->done > IMAGE_WRITE)
                doctor_say(d, DOCTOR_OK, file, NULL, "is used by nobody");
}

static void image_say_contents(Doctor *d, const char *file, const ImageFound *f)
{
        if (f->done <= IMAGE_TOP)
                return;
        if (f->results[IMAGE_TOP] < 0)
                doctor_say(
                        d, DOCTOR_BAD, file,
                        "rawview check looks for damage; --format=FORMAT where it was guessed wrong",
                        "cannot be opened: %s", f->texts[IMAGE_TOP]);
        else
                doctor_say(d, DOCTOR_OK, file, NULL, "%s", f->texts[IMAGE_TOP]);
        if (f->done > IMAGE_CHAIN && f->results[IMAGE_CHAIN] < 0)
                doctor_say(
                        d, DOCTOR_BAD, file,
                        "the file that it names put there; where it lies in another folder that you "
                        "trust: --references=chain --allowed-paths=FOLDER",
                        "what it names cannot be had: %s", f->texts[IMAGE_CHAIN]);
        if (f->done > IMAGE_PLACE && f->results[IMAGE_PLACE] < 0)
                doctor_say(
                        d, DOCTOR_NOTE, file, "rawview mount IMAGE MOUNTPOINT, a file of your own",
                        "cannot be covered by this user: its view goes into the run-time folder");
}

/* The confined child has that memory, too, and may do with it what it likes, even now: so it is looked at once, and texts end. */
static void image_say_all(Doctor *d, const char *file, const ImageFound *shared)
{
        _cleanup_free_ ImageFound *found = malloc(sizeof(*found));

        if (!found)
                return;
        memcpy(found, shared, sizeof(*found));
        for (size_t i = 0; i < IMAGE_STEPS; i++)
                found->texts[i][IMAGE_TEXT_MAX - 1] = '\0';
        if (found->done <= IMAGE_OPEN)
                return;
        image_say_open(d, file, found);
        image_say_locks(d, file, found);
        image_say_contents(d, file, found);
}

void doctor_look_at_image(Doctor *d, const char *file)
{
        _cleanup_free_ char *type = NULL;
        Attempt attempt;

        if (image_find_cover(file, &type)) {
                if (strcmp(type, MOUNT_TYPE_VIEW) == 0)
                        doctor_say(d, DOCTOR_NOTE, file, "rawview umount ends it",
                                   "is covered by a view already, and what is seen there is the "
                                   "disk");
                else
                        doctor_say(d, DOCTOR_BAD, file, "umount of what covers it",
                                   "is covered by a mount of the type %s", type);
                return;
        }
        ImageFound *found = mmap(NULL, sizeof(*found), PROT_READ | PROT_WRITE,
                                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        ImageAttempt order = { .file = file, .found = found };
        if (found == MAP_FAILED)
                return;
        fflush(stdout);
        int r = attempt_start(image_attempt, &order, -1, 0, &attempt);
        if (r >= 0)
                r = attempt_finish(&attempt, IMAGE_LIMIT_MS, NULL);
        image_say_all(d, file, found);
        if (r == -ETIMEDOUT)
                doctor_say(d, DOCTOR_BAD, file,
                           "journalctl -k, for what the disk or the network says",
                           "gives no answer within %d seconds", IMAGE_LIMIT_MS / 1000);
        else if (r < 0)
                doctor_say(d, DOCTOR_BAD, file, NULL, "cannot be looked at: %s", strerror(-r));
        munmap(found, sizeof(*found));
}
