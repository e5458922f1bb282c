/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * rawview-id LOOP: what 61-rawview.rules imports. Prints RAWVIEW_NAME=… for a loop device over a view of root's, encoded so that
 * it is one property and nothing else; prints nothing and exits with 1 for any other device.
 */
#include "base/cleanup.h"
#include "base/inherited.h"
#include "base/log.h"
#include "base/loop-device.h"
#include "udev/loop.h"
#include "udev/view-name.h"

#include <errno.h>
#include <stdio.h>

/* The path comes first: for a loop device over anything else no file system is asked anything. */
static int main_find(const char *loop, char name[VIEW_NAME_MAX + 1], Err *err)
{
        _cleanup_free_ char *path = NULL;
        _cleanup_mount_table_ MountTable table = { 0 };
        dev_t device = 0;

        int r = loop_device_read_path("/sys/class/block", loop, &path, err);
        if (r >= 0)
                r = mount_table_read(&table, err);
        if (r < 0)
                return r;
        if (!view_name_may_be(&table, path))
                return -ENOENT;
        r = loop_backing_device(loop, &device, err);
        if (r < 0)
                return r;
        return view_name_find(&table, path, device, name, err);
}

int main(int argc, char **argv)
{
        char name[VIEW_NAME_MAX + 1];
        Err err = { 0 };

        if (inherited_fill_stdio() < 0)
                return 1;
        log_open("rawview-id", LOG_LEVEL_INFO);
        if (argc != 2) {
                log_line(LOG_LEVEL_ERROR,
                         "rawview-id LOOP: wants the name of one loop device, as loop0");
                return 2;
        }
        if (main_find(argv[1], name, &err) < 0) {
                if (err.text[0])
                        log_line(LOG_LEVEL_WARNING, "%s", err.text);
                return 1;
        }
        printf("RAWVIEW_NAME=%s\n", name);
        return fflush(stdout) == 0 ? 0 : 1;
}
