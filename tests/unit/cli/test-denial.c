/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/denial.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* What journald writes in front when it hears audit itself, what the kernel's log has, and what auditd writes. */
#define HEARD "AVC "
#define KERNEL "audit: type=1400 audit(1796000000.243:24287): "
#define LOGGED "type=AVC msg=audit(1796000000.243:24287): "

#define OPEN                                                          \
        "avc:  denied  { read open } for  pid=812 comm=\"rawviewd\" " \
        "path=\"/data/vm/web.qcow2\" dev=\"dm-0\" ino=131 "           \
        "scontext=system_u:system_r:rawviewd_t:s0 "                   \
        "tcontext=unconfined_u:object_r:default_t:s0 tclass=file permissive=0"
#define OPEN_SAID                                                                         \
        "has refused rawviewd (pid 812) read open of /data/vm/web.qcow2: the process is " \
        "system_u:system_r:rawviewd_t:s0, and the file is unconfined_u:object_r:default_t:s0"
#define OPEN_MEND                                                                    \
        "semanage fcontext -a -t rawview_image_t /data/vm/web.qcow2; restorecon -v " \
        "/data/vm/web.qcow2"
#define ALLOW_BY_LOG                                                                        \
        "ausearch -m AVC -ts today --raw | grep rawview | audit2allow -M rawview-local && " \
        "semodule -i rawview-local.pp"
#define ALLOW_BY_JOURNAL                                                                      \
        "journalctl -b -o cat -g 'avc:.*rawview' | audit2allow -M rawview-local && semodule " \
        "-i rawview-local.pp"
#define IMAGES_MEND                                                                         \
        "mkdir -p /etc/apparmor.d/tunables/rawview.d; echo '@{rawview_images}+=/data/vm/' " \
        ">>/etc/apparmor.d/tunables/rawview.d/local; apparmor_parser -r /etc/apparmor.d/rawview"
#define RULE_MEND                                                                   \
        "a rule for it in /etc/apparmor.d/local/rawview, then: apparmor_parser -r " \
        "/etc/apparmor.d/rawview"

static const struct {
        const char *name, *text, *said, *mend;
        bool has_log, was_let_pass;
} denials[] = {
        { "journald heard it", HEARD OPEN, OPEN_SAID, OPEN_MEND, false, false },
        { "the kernel said it", KERNEL OPEN, OPEN_SAID, OPEN_MEND, false, false },
        { "auditd wrote it", LOGGED OPEN "\n", OPEN_SAID, OPEN_MEND, true, false },
        { "a name alone, in digits",
          LOGGED "avc:  denied  { search } for  pid=813 comm=7261777669657764 "
                 "name=6D79206469736B73 dev=\"dm-0\" ino=7 "
                 "scontext=system_u:system_r:rawviewd_t:s0 "
                 "tcontext=system_u:object_r:home_root_t:s0 tclass=dir permissive=0",
          "has refused rawviewd (pid 813) search of my disks: the process is "
          "system_u:system_r:rawviewd_t:s0, and the dir is system_u:object_r:home_root_t:s0",
          ALLOW_BY_LOG, true, false },
        { "a capability, permissive",
          HEARD "avc:  denied  { sys_ptrace } for  pid=814 comm=\"rawviewd\" capability=19  "
                "scontext=system_u:system_r:rawviewd_t:s0 "
                "tcontext=system_u:system_r:rawviewd_t:s0 tclass=capability permissive=1",
          "is permissive, and would refuse rawviewd (pid 814) sys_ptrace (capability): the "
          "process is system_u:system_r:rawviewd_t:s0, and the capability is "
          "system_u:system_r:rawviewd_t:s0",
          ALLOW_BY_JOURNAL, false, true },
        { "an image with a name that no pattern takes",
          HEARD "avc:  denied  { write } for  pid=815 comm=\"rawview-worker\" "
                "path=\"/data/vm/web(1).qcow2\" dev=\"dm-0\" ino=9 "
                "scontext=system_u:system_r:rawview_worker_t:s0 "
                "tcontext=system_u:object_r:default_t:s0 tclass=file permissive=0",
          "has refused rawview-worker (pid 815) write of /data/vm/web(1).qcow2: the process is "
          "system_u:system_r:rawview_worker_t:s0, and the file is system_u:object_r:default_t:s0",
          ALLOW_BY_JOURNAL, false, false },
        { "a guest that is not let into a view",
          HEARD "avc:  denied  { read } for  pid=900 comm=\"qemu-kvm\" "
                "path=\"/run/rawview/web\" dev=\"fuse\" ino=1 "
                "scontext=system_u:system_r:svirt_t:s0:c1,c2 "
                "tcontext=system_u:object_r:fusefs_t:s0 tclass=file permissive=0",
          "has refused qemu-kvm (pid 900) read of /run/rawview/web: the process is "
          "system_u:system_r:svirt_t:s0:c1,c2, and the file is system_u:object_r:fusefs_t:s0",
          "setsebool -P virt_use_fusefs 1", false, false },
        { "AppArmor, an image elsewhere",
          KERNEL "apparmor=\"DENIED\" operation=\"open\" class=\"file\" profile=\"rawviewd\" "
                 "name=\"/data/vm/web.qcow2\" pid=816 comm=\"rawviewd\" requested_mask=\"r\" "
                 "denied_mask=\"r\" fsuid=0 ouid=0",
          "has refused rawviewd (pid 816) open of /data/vm/web.qcow2, by the profile rawviewd",
          IMAGES_MEND, false, false },
        { "AppArmor, no image",
          HEARD "apparmor=\"DENIED\" operation=\"open\" profile=\"rawviewd\" "
                "name=\"/etc/shadow\" pid=817 comm=\"rawviewd\" requested_mask=\"r\"",
          "has refused rawviewd (pid 817) open of /etc/shadow, by the profile rawviewd", RULE_MEND,
          false, false },
        { "AppArmor, a capability",
          HEARD "apparmor=\"DENIED\" operation=\"capable\" profile=\"rawview-worker\" pid=818 "
                "comm=\"rawview-worker\" capability=12  capname=\"net_admin\"",
          "has refused rawview-worker (pid 818) capable of net_admin, by the profile "
          "rawview-worker",
          RULE_MEND, false, false },
        { "AppArmor, fusermount3",
          HEARD "apparmor=\"DENIED\" operation=\"mount\" profile=\"fusermount3\" "
                "name=\"/home/u/web.qcow2\" pid=819 comm=\"fusermount3\" "
                "fstype=\"fuse.rawview\" srcname=\"/home/u/web.qcow2\"",
          "has refused fusermount3 (pid 819) mount of /home/u/web.qcow2, by the profile "
          "fusermount3",
          "mkdir -p /etc/apparmor.d/local; cat /usr/share/rawview/apparmor/fusermount3 "
          ">>/etc/apparmor.d/local/fusermount3; apparmor_parser -r "
          "/etc/apparmor.d/fusermount3",
          false, false },
        { "AppArmor, a guest",
          HEARD "apparmor=\"DENIED\" operation=\"open\" profile=\"libvirt-0d12\" "
                "name=\"/run/rawview/web\" pid=820 comm=\"qemu-system-x86\"",
          "has refused qemu-system-x86 (pid 820) open of /run/rawview/web, by the profile "
          "libvirt-0d12",
          "a rule for it where the profile libvirt-0d12 is kept", false, false },
};

static void test_denials(void **state)
{
        for (size_t i = 0; i < sizeof(denials) / sizeof(denials[0]); i++) {
                Denial *d = malloc(sizeof(*d));
                assert_non_null(d);
                if (!denial_parse(denials[i].text, d))
                        fail_msg("%s: is not taken for a refusal", denials[i].name);
                char *said = denial_describe(d), *mend = denial_mend(d, denials[i].has_log);
                if (strcmp(said, denials[i].said) != 0)
                        fail_msg("%s: said: %s", denials[i].name, said);
                if (strcmp(mend, denials[i].mend) != 0)
                        fail_msg("%s: mend: %s", denials[i].name, mend);
                assert_int_equal(d->was_let_pass, denials[i].was_let_pass);
                free(said);
                free(mend);
                free(d);
        }
}

static void test_others(void **state)
{
        static const char *const others[] = {
                "",
                "rawviewd: nothing was denied",
                "avc:  granted  { read } for  pid=1 comm=\"rawviewd\"",
                "avc:  denied",
                HEARD "avc:  denied  { read } for  pid=2 comm=\"httpd\" path=\"/var/www/file1\" "
                      "scontext=system_u:system_r:httpd_t:s0 "
                      "tcontext=unconfined_u:object_r:samba_share_t:s0 tclass=file permissive=0",
                KERNEL "apparmor=\"ALLOWED\" operation=\"open\" profile=\"rawviewd\" "
                       "name=\"/etc/shadow\" pid=3 comm=\"rawviewd\"",
                KERNEL "apparmor=\"DENIED\" operation=\"open\" profile=\"cupsd\" "
                       "name=\"/etc/shadow\" pid=3 comm=\"cupsd\"",
        };
        Denial *d = malloc(sizeof(*d));

        assert_non_null(d);
        for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
                if (denial_parse(others[i], d))
                        fail_msg("'%s' is taken for a refusal of ours", others[i]);
        free(d);
}

/* Lines that somebody else made, with names as long as they like. */
static void test_long(void **state)
{
        static const char begin[] = "avc: denied { read } for comm=\"rawviewd\" path=";
        size_t len = 20000;
        char *text = malloc(len + 1);
        Denial *d = malloc(sizeof(*d));

        assert_non_null(text);
        assert_non_null(d);
        for (int in_quotes = 0; in_quotes < 2; in_quotes++) {
                memset(text, 'A', len);
                memcpy(text, begin, sizeof(begin) - 1);
                if (in_quotes)
                        text[sizeof(begin) - 1] = '"';
                text[len] = '\0';
                assert_true(denial_parse(text, d));
                assert_int_equal(strlen(d->object), DENIAL_OBJECT_MAX - 1);
        }
        free(text);
        free(d);
}

static void test_time(void **state)
{
        uint64_t when = 0;

        assert_true(denial_find_time(LOGGED OPEN, &when));
        assert_int_equal(when, 1796000000243000);
        assert_false(denial_find_time(HEARD OPEN, &when));
        assert_false(denial_find_time("audit(x.y:z)", &when));
}

static void test_equal(void **state)
{
        Denial *a = malloc(sizeof(*a)), *b = malloc(sizeof(*b));

        assert_non_null(a);
        assert_non_null(b);
        assert_true(denial_parse(HEARD OPEN, a));
        assert_true(denial_parse(LOGGED OPEN, b));
        assert_true(denial_equal(a, b));
        strcpy(b->operation, "write");
        assert_false(denial_equal(a, b));
        free(a);
        free(b);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_denials), cmocka_unit_test(test_others),
                cmocka_unit_test(test_long),    cmocka_unit_test(test_time),
                cmocka_unit_test(test_equal),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
