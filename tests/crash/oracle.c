/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "oracle.h"

#include "base/cleanup.h"
#include "block/probe.h"
#include "format/formats.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

extern char **environ;

enum {
        /* What qemu-img check ends with when it found leaks and nothing worse. */
        ORACLE_STATUS_LEAKS = 3,
        /* And when it could open the image, and has no check for the format. */
        ORACLE_STATUS_NONE = 63,
        ORACLE_WORDS = 300,
};

static int oracle_init_slot(OracleSlot *slot, const Disk *disk, const char *folder, size_t i)
{
        int r = 0;

        *slot = (OracleSlot){ 0 };
        snprintf(slot->folder, sizeof(slot->folder), "%s/slot-%zu", folder, i);
        if (mkdir(slot->folder, 0755) < 0 && errno != EEXIST)
                return -errno;
        if (disk->base)
                r = store_save(disk->base, slot->folder, DISK_BASE);
        if (r == 0 && disk->files.data)
                r = store_save(disk->files.data, slot->folder, DISK_DATA);
        return r;
}

int oracle_init(Oracle *o, const Disk *disk, const char *folder, Err *err)
{
        const Format *format = format_find(all_formats, disk->format);

        *o = (Oracle){ .format = format ? format_qemu_name(format) : disk->format };
        for (size_t i = 0; i < ORACLE_SLOTS; i++) {
                int r = oracle_init_slot(&o->slots[i], disk, folder, i);
                if (r < 0)
                        return err_set(err, -r, "cannot prepare %s/slot-%zu: %m", folder, i);
        }
        return 0;
}

/* The beginning of what qemu-img has said, in one line. */
static void slot_read_words(const OracleSlot *slot, char words[ORACLE_WORDS])
{
        char path[ORACLE_PATH + 8];

        snprintf(path, sizeof(path), "%s/words", slot->folder);
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t len = fd < 0 ? 0 : read(fd, words, ORACLE_WORDS - 1);
        words[len > 0 ? len : 0] = '\0';
        for (char *c = words; *c; c++)
                if (*c == '\n')
                        *c = ' ';
}

static int slot_wait(OracleSlot *slot, Err *err)
{
        char words[ORACLE_WORDS];
        int status = 0;

        if (slot->pid == 0)
                return 0;
        if (waitpid(slot->pid, &status, 0) < 0)
                return err_set(err, errno, "cannot wait for qemu-img: %m");
        slot->pid = 0;
        if (WIFEXITED(status) &&
            (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == ORACLE_STATUS_LEAKS ||
             WEXITSTATUS(status) == ORACLE_STATUS_NONE))
                return 0;
        slot_read_words(slot, words);
        return err_set(err, EIO, "qemu-img check of %s in %s ends with %d: %s", slot->label,
                       slot->folder, WIFEXITED(status) ? WEXITSTATUS(status) : -1, words);
}

static int slot_spawn(OracleSlot *slot, const char *format)
{
        char *argv[] = { "qemu-img", "check", "-f", (char *)format, DISK_IMAGE, NULL, NULL, NULL };
        posix_spawn_file_actions_t actions;

        /* QEMU opens no VHDX whose log waits, unless it may put it into its place. */
        if (strcmp(format, "vhdx") == 0) {
                argv[5] = "-r";
                argv[6] = "all";
        }
        /* QEMU looks for a data file in the folder that it was started in. */
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_addchdir_np(&actions, slot->folder);
        posix_spawn_file_actions_addopen(&actions, 1, "words", O_WRONLY | O_CREAT | O_TRUNC, 0644);
        posix_spawn_file_actions_adddup2(&actions, 1, 2);
        int r = posix_spawnp(&slot->pid, argv[0], &actions, NULL, argv, environ);
        posix_spawn_file_actions_destroy(&actions);
        if (r != 0)
                slot->pid = 0;
        return -r;
}

int oracle_ask(Oracle *o, Store *image, const char *label, Err *err)
{
        OracleSlot *slot = &o->slots[o->asked % ORACLE_SLOTS];

        int r = slot_wait(slot, err);
        if (r < 0)
                return r;
        r = store_save(image, slot->folder, DISK_IMAGE);
        if (r < 0)
                return err_set(err, -r, "%s/%s: cannot write it: %m", slot->folder, DISK_IMAGE);
        snprintf(slot->label, sizeof(slot->label), "%s", label);
        r = slot_spawn(slot, o->format);
        if (r < 0)
                return err_set(err, -r, "cannot start qemu-img: %m");
        o->asked++;
        return 0;
}

int oracle_wait(Oracle *o, Err *err)
{
        int worst = 0;

        for (size_t i = 0; i < ORACLE_SLOTS; i++) {
                int r = slot_wait(&o->slots[i], worst < 0 ? NULL : err);
                worst = worst < 0 ? worst : r;
        }
        return worst;
}
