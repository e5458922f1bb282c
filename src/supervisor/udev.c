/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/udev.h"

#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <systemd/sd-device.h>
#include <unistd.h>

bool udev_is_running(void)
{
        return access("/run/udev/control", F_OK) == 0;
}

UdevMark udev_mark(dev_t device)
{
        char path[64];
        struct stat st;

        snprintf(path, sizeof(path), "/run/udev/data/b%u:%u", major(device), minor(device));
        if (stat(path, &st) < 0)
                return (UdevMark){ 0 };
        return (UdevMark){
                .inode = st.st_ino,
                .seconds = st.st_mtim.tv_sec,
                .nanoseconds = st.st_mtim.tv_nsec,
        };
}

bool udev_has_moved(dev_t device, const UdevMark *mark)
{
        UdevMark now = udev_mark(device);

        return now.inode != 0 && (now.inode != mark->inode || now.seconds != mark->seconds ||
                                  now.nanoseconds != mark->nanoseconds);
}

bool udev_knows(const char *node)
{
        sd_device *device = NULL;

        bool known = sd_device_new_from_devname(&device, node) >= 0 &&
                     sd_device_get_is_initialized(device) > 0;
        sd_device_unref(device);
        return known;
}
