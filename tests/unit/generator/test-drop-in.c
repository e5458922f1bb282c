/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "generator/drop-in.h"

#include "base/cleanup.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define HEAD "# Made by rawview-generator from the descriptor, see rawview.image(5).\n[Unit]\n"
#define SOURCE "SourcePath=/etc/rawview/web.image\n"

typedef struct Case {
        const char *name, *path, *mount_point, *key_file, *overlay;
        char *allowed[3];
        bool no_fail, writable, loop;
        DropIn more; /* all but config and source */
        const char *source;
        int r;
        const char *text, *warning;
} Case;

static const Case cases[] = {
        { "a file over itself", "/srv/images/web.qcow2",
          .text = HEAD SOURCE "Before=rawview.target\nRequiresMountsFor=\"/srv/images\"\n" },
        { "everything",
          "/srv/a/web.qcow2",
          "/run/rawview/web",
          "/etc/keys/web",
          "/var/o/x.qcow2",
          { "/base/1", "/base/2" },
          .no_fail = true,
          .text = HEAD SOURCE "RequiresMountsFor=\"/srv/a\"\nRequiresMountsFor=\"/run/rawview\"\n"
                              "RequiresMountsFor=\"/etc/keys\"\nRequiresMountsFor=\"/var/o\"\n"
                              "RequiresMountsFor=\"/base/1\"\nRequiresMountsFor=\"/base/2\"\n" },
        { "right below the root, and no folder twice", "/web.qcow2", "/web.raw", .no_fail = true,
          .text = HEAD SOURCE "RequiresMountsFor=\"/\"\n" },
        { "a volatile overlay", "/srv/web.qcow2", .overlay = "volatile", .no_fail = true,
          .text = HEAD SOURCE "RequiresMountsFor=\"/srv\"\nRequiresMountsFor=\"/var/tmp\"\n" },
        { "signs that mean something to systemd", "/a b/\"q\" \\%i/x", .no_fail = true,
          .source = "/etc/raw%view/\\ web.image",
          .text = HEAD "SourcePath=/etc/raw%%view/\\ web.image\n"
                       "RequiresMountsFor=\"/a b/\\\"q\\\" \\\\%%i\"\n" },
        { "a path that no unit can say", "/srv/a\n[Service]\nExecStart=/bad/x", "/srv/web",
          .no_fail = true, .text = HEAD SOURCE "RequiresMountsFor=\"/srv\"\n",
          .warning = "/etc/rawview/web.image: Path= has characters that no unit can have" },
        { "a descriptor that no unit can say", "/x", .source = "/home/a\nb/web.image",
          .r = -EINVAL },
        { "a device, in a container", "/dev/vg0/web", "/run/rawview/web", .no_fail = true,
          .more = { .has_device_policy = true },
          .text = HEAD SOURCE "RequiresMountsFor=\"/run/rawview\"\n\n[Service]\n"
                              "DeviceAllow=\"/dev/vg0/web\" r\n" },
        { "a device that is written", "/dev/disk/by-id/virtio-q", "/run/rawview/web",
          .writable = true, .more = { .has_device_policy = true, .has_device_units = true },
          .text = HEAD SOURCE "Before=rawview.target\n"
                              "BindsTo=dev-disk-by\\x2did-virtio\\x2dq.device\n"
                              "After=dev-disk-by\\x2did-virtio\\x2dq.device\n"
                              "RequiresMountsFor=\"/run/rawview\"\n\n[Service]\n"
                              "DeviceAllow=\"/dev/disk/by-id/virtio-q\" rw\n" },
        { "a device that an overlay keeps from being written", "/dev/vda", "/run/rawview/web",
          .writable = true, .overlay = "/srv/o.qcow2", .no_fail = true,
          .more = { .has_device_policy = true },
          .text = HEAD SOURCE "RequiresMountsFor=\"/run/rawview\"\nRequiresMountsFor=\"/srv\"\n"
                              "\n[Service]\nDeviceAllow=\"/dev/vda\" r\n" },
        { "a loop device", "/srv/web.qcow2", "/run/rawview/web", .no_fail = true, .loop = true,
          .more = { .has_device_policy = true },
          .text = HEAD SOURCE "RequiresMountsFor=\"/srv\"\nWants=modprobe@loop.service\n"
                              "After=modprobe@loop.service\nRequiresMountsFor=\"/run/rawview\"\n"
                              "\n[Service]\nDeviceAllow=/dev/loop-control rw\n"
                              "DeviceAllow=block-loop rw\n" },
        { "a loop device, for a user", "/srv/web.qcow2", .no_fail = true, .loop = true,
          .text = HEAD SOURCE "RequiresMountsFor=\"/srv\"\n" },
        { "a device, for a user", "/dev/vda", "/run/user/1/web", .no_fail = true,
          .more = { .has_device_units = true },
          .text = HEAD SOURCE "BindsTo=dev-vda.device\nAfter=dev-vda.device\n"
                              "RequiresMountsFor=\"/run/user/1\"\n" },
        { "no device after all", "/dev/shm/web.qcow2", .no_fail = true,
          .more = { .has_device_policy = true, .has_device_units = true },
          .text = HEAD SOURCE "RequiresMountsFor=\"/dev/shm\"\n" },
        { "a device by a path that names nothing", "/dev/../srv/x", "/srv/x", .no_fail = true,
          .more = { .has_device_units = true }, .text = HEAD SOURCE "RequiresMountsFor=\"/srv\"\n",
          .warning = "/etc/rawview/web.image: Path= '/dev/../srv/x' has '..' in it" },
        { "a device that no unit can say", "/dev/a\nb", "/srv/x", .no_fail = true,
          .more = { .has_device_policy = true, .has_device_units = true },
          .text = HEAD SOURCE "RequiresMountsFor=\"/srv\"\n",
          .warning = "Path= has characters that no unit can have" },
        { "a passphrase", "/x/web.qcow2", .no_fail = true,
          .more = { .credential = "/etc/credstore/rawview.a b%.passphrase" },
          .text = HEAD SOURCE "RequiresMountsFor=\"/x\"\n\n[Service]\nLoadCredential="
                              "rawview.passphrase:/etc/credstore/rawview.a b%%.passphrase\n" },
        { "an encrypted passphrase", "/x/web.qcow2", .no_fail = true,
          .more = { .credential = "/c/rawview.web.passphrase", .credential_is_encrypted = true },
          .text = HEAD SOURCE "RequiresMountsFor=\"/x\"\n\n[Service]\nLoadCredentialEncrypted="
                              "rawview.passphrase:/c/rawview.web.passphrase\n" },
};

static void warnings_keep(void *arg, const char *text)
{
        snprintf(arg, sizeof(Err), "%s", text);
}

static void case_run(const Case *t)
{
        Config c = {
                .path = (char *)t->path,
                .mount_point = (char *)t->mount_point,
                .key_file = (char *)t->key_file,
                .overlay = (char *)t->overlay,
                .allowed_paths = t->allowed[0] ? (char **)t->allowed : NULL,
                .no_fail = t->no_fail,
                .writable = t->writable,
                .loop = t->loop,
        };
        _cleanup_free_ char *text = NULL;
        Err warning = { "" }, err = { "" };
        DropIn d = t->more;
        size_t len = 0;

        d.config = &c;
        d.source = t->source ?: "/etc/rawview/web.image";
        FILE *out = open_memstream(&text, &len);
        assert_non_null(out);
        int r = drop_in_put(out, &d, warnings_keep, &warning, &err);
        assert_int_equal(fclose(out), 0);
        if (r != t->r || strcmp(text, t->text ?: "") != 0)
                fail_msg("%s: %d '%s'\n%s", t->name, r, err.text, text);
        if (!strstr(warning.text, t->warning ?: "") || !t->warning != !warning.text[0])
                fail_msg("%s: warning '%s'", t->name, warning.text);
}

static void test_cases(void **state)
{
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
                case_run(&cases[i]);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_cases),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
