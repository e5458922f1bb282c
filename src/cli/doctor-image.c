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
#include "cli/text.h"
#include "lock/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
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

/* Takes away what `text` begins with. */
static void image_drop(char *text, const char *beginning)
{
        size_t len = strlen(beginning);

        if (strncmp(text, beginning, len) == 0)
                memmove(text, text + len, strlen(text + len) + 1);
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
                /* Who says it of which file stands in front of it here, too. */
                image_drop(text, "rawview: ");
                image_drop(text, file);
                image_drop(text, ": ");
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

/* As little as is needed: for this user alone, where the file system and the machine have lists. */
static void image_mend_closed(const char *path, char letter, bool is_own, char ret[PATH_MAX])
{
        _cleanup_free_ char *word = text_shell_word(path);
        const struct passwd *user = getpwuid(geteuid());

        if (is_own)
                snprintf(ret, PATH_MAX, "chmod u+%c %s", letter, word ? word : path);
        else if (user && access("/usr/bin/setfacl", X_OK) == 0)
                snprintf(ret, PATH_MAX, DOCTOR_ROOT "setfacl -m u:%s:%c %s", user->pw_name, letter,
                         word ? word : path);
        else
                snprintf(ret, PATH_MAX, DOCTOR_ROOT "chmod o+%c %s", letter, word ? word : path);
}

/* Which of the folders on the way, or the file itself, is closed to this user? */
static void image_say_closed(Doctor *d, const char *file)
{
        _cleanup_free_ char *path = NULL;
        char mend[PATH_MAX];
        struct stat st;
        Err err;

        if (daemon_make_absolute(file, &path, &err) < 0)
                return;
        for (char *slash = path; (slash = strchr(slash + 1, '/'));) {
                *slash = '\0';
                bool is_closed = access(path, X_OK) < 0 && errno == EACCES;
                if (is_closed && stat(path, &st) == 0) {
                        image_mend_closed(path, 'x', st.st_uid == geteuid(), mend);
                        doctor_say(d, DOCTOR_BAD, file, mend,
                                   "may not be reached by this user: the folder %s is closed (mode "
                                   "%04o)",
                                   path, (unsigned)st.st_mode & 07777);
                        return;
                }
                *slash = '/';
        }
        bool is_own = stat(path, &st) == 0 && st.st_uid == geteuid();
        image_mend_closed(path, 'r', is_own, mend);
        doctor_say(d, DOCTOR_BAD, file, mend, "may not be read by this user (mode %04o)",
                   (unsigned)st.st_mode & 07777);
}

static void image_say_open(Doctor *d, const char *file, const ImageFound *f)
{
        int error = -f->results[IMAGE_OPEN];

        if (error == EACCES)
                image_say_closed(d, file);
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

/* What mends it has the file in its middle, as a shell takes it. */
static void image_say(Doctor *d,
                      DoctorGrade grade,
                      const char *file,
                      const char *text,
                      const char *before,
                      const char *after)
{
        _cleanup_free_ char *word = text_shell_word(file), *mend = NULL;

        if (asprintf(&mend, "%s%s%s", before, word ? word : file, after) < 0)
                mend = NULL;
        doctor_say(d, grade, file, mend, "%s", text);
}

static void image_say_locks(Doctor *d, const char *file, const ImageFound *f)
{
        if (f->done > IMAGE_LOCK && f->results[IMAGE_LOCK] < 0)
                image_say(d, DOCTOR_BAD, file, f->texts[IMAGE_LOCK],
                          "the end of that program, or, to read what may be inconsistent: rawview "
                          "mount --force-share ",
                          "");
        else if (f->done > IMAGE_WRITE && f->results[IMAGE_WRITE] < 0)
                doctor_say(d, DOCTOR_NOTE, file, "the end of that program",
                           "can be shown, but not writable: it %s", f->texts[IMAGE_WRITE]);
        else if (f->done > IMAGE_WRITE)
                doctor_say(d, DOCTOR_OK, file, NULL, "is used by nobody");
}

static void image_say_contents(Doctor *d, const char *file, const ImageFound *f)
{
        char text[IMAGE_TEXT_MAX + 64];

        if (f->done <= IMAGE_TOP)
                return;
        if (f->results[IMAGE_TOP] < 0) {
                snprintf(text, sizeof(text), "cannot be opened: %s", f->texts[IMAGE_TOP]);
                image_say(d, DOCTOR_BAD, file, text, "rawview check ",
                          "   (where the format was guessed wrong: --format=FORMAT)");
        } else {
                doctor_say(d, DOCTOR_OK, file, NULL, "%s", f->texts[IMAGE_TOP]);
        }
        if (f->done > IMAGE_CHAIN && f->results[IMAGE_CHAIN] < 0) {
                snprintf(text, sizeof(text), "what it names cannot be had: %s",
                         f->texts[IMAGE_CHAIN]);
                image_say(d, DOCTOR_BAD, file, text,
                          "the file that it names put there; where it lies in another folder that "
                          "you trust: rawview mount --references=chain --allowed-paths=FOLDER ",
                          "");
        }
        if (f->done > IMAGE_PLACE && f->results[IMAGE_PLACE] < 0)
                image_say(d, DOCTOR_NOTE, file,
                          "cannot be covered by this user: its view goes into the run-time folder",
                          "rawview mount ", " MOUNTPOINT   (a file of your own)");
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
        _cleanup_free_ char *type = NULL, *text = NULL;
        Attempt attempt;

        if (image_find_cover(file, &type)) {
                if (strcmp(type, MOUNT_TYPE_VIEW) == 0)
                        image_say(d, DOCTOR_NOTE, file,
                                  "is covered by a view already, and what is seen there is the "
                                  "disk",
                                  "rawview umount ", "");
                else if (asprintf(&text, "is covered by a mount of the type %s", type) >= 0)
                        image_say(d, DOCTOR_BAD, file, text, DOCTOR_ROOT "umount ", "");
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
