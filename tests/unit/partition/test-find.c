/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "disk.h"

static void add(PartitionTable *t, uint32_t number, const char *name, const char *uuid)
{
        Partition *p = &t->partitions[t->count++];

        *p = (Partition){ .number = number, .len = 512 };
        snprintf(p->name, sizeof(p->name), "%s", name);
        snprintf(p->uuid, sizeof(p->uuid), "%s", uuid);
}

static void test_what_is_meant(void **state)
{
        static const struct {
                const char *text;
                int r; /* else the number */
                const char *words;
        } cases[] = {
                { "1", 1, "" },
                { "001", 1, "" },
                { "5", 5, "" },
                { "boot", 1, "" },
                { "Boot", -ENOENT, "there is no partition 'Boot'; there are 1, 2, 5, 6 and 7" },
                { "1234ABCD-02", 2, "" },
                { "1234abcd-02", 2, "" },
                { "42", 6, "" },
                { "7", 7, "" },
                { "4", -EINVAL,
                  "partition 4 is an extended one, which only holds others; there are 1, 2, 5, 6 and 7" },
                { "frame", -ENOENT, "there is no partition 'frame'" },
                { "9", -ENOENT, "there is no partition 9; there are 1, 2, 5, 6 and 7" },
                { "99999999999999999999999", -ENOENT, "there is no partition 9999999" },
                { "data", -ENOTUNIQ,
                  "'data' are several partitions: 2 and 5; say which by its number" },
                { "PARTLABEL=1", 7, "" },
                { "PARTLABEL=boot", 1, "" },
                { "PARTLABEL=data", -ENOTUNIQ, "'data' are several partitions: 2 and 5" },
                { "PARTLABEL=2", -ENOENT, "there is no partition '2'" },
                { "PARTLABEL=1234abcd-02", -ENOENT, "there is no partition '1234abcd-02'" },
                { "PARTLABEL=", -ENOENT, "there is no partition ''" },
                { "PARTUUID=1234ABCD-02", 2, "" },
                { "PARTUUID=boot", -ENOENT, "there is no partition 'boot'" },
                { "LABEL=boot", -EINVAL,
                  "'LABEL=boot' is about a file system; a partition is meant by its number, its name "
                  "(PARTLABEL=) or its UUID (PARTUUID=)" },
                { "UUID=1234abcd-02", -EINVAL, "'UUID=1234abcd-02' is about a file system" },
                { "8dd0c1f5-0000-4000-8000-0123456789ab", -ENOENT,
                  "there are 1, 2, 5, 6 and 7 (PARTUUID is meant, not the UUID of a file system)" },
                { "1A2B-3C4D", -ENOENT, "(PARTUUID is meant" },
                { "cafe", -ENOENT, "there are 1, 2, 5, 6 and 7" },
                { "", -ENOENT, "there is no partition ''" },
                { " 1", -ENOENT, "there is no partition ' 1'" },
                { "-1", -ENOENT, "there is no partition '-1'" },
        };
        PartitionTable t = { .scheme = PARTITION_SCHEME_MBR };

        add(&t, 1, "boot", "1234abcd-01");
        add(&t, 2, "data", "1234abcd-02");
        add(&t, 4, "frame", "");
        t.partitions[2].kind = PARTITION_EXTENDED;
        add(&t, 5, "data", "");
        /* Called what a number could be, and called what another's number is. */
        add(&t, 6, "42", "");
        add(&t, 7, "1", "");
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                const Partition *p = NULL;
                Err err = { "" };
                int r = partition_find(&t, cases[i].text, &p, &err);
                if (r >= 0)
                        r = (int)p->number;
                if (r != cases[i].r || !strstr(err.text, cases[i].words))
                        fail_msg("'%s': %d '%s'", cases[i].text, r, err.text);
        }
}

static void test_how_many_there_are(void **state)
{
        PartitionTable t = { .scheme = PARTITION_SCHEME_NONE };
        const Partition *p = NULL;
        Err err = { "" };

        assert_int_equal(partition_find(&t, "1", &p, &err), -ENOENT);
        assert_string_equal(err.text, "there is no partition 1; the disk has no partition table");
        t.scheme = PARTITION_SCHEME_GPT;
        assert_int_equal(partition_find(&t, "1", &p, &err), -ENOENT);
        assert_string_equal(err.text, "there is no partition 1; the partition table is empty");
        add(&t, 3, "", "");
        assert_int_equal(partition_find(&t, "1", &p, &err), -ENOENT);
        assert_string_equal(err.text, "there is no partition 1; there is 3");
        while (t.count < LIMIT_PARTITIONS)
                add(&t, (uint32_t)t.count + 1000, "same", "");
        assert_int_equal(partition_find(&t, "1", &p, &err), -ENOENT);
        assert_non_null(strstr(err.text, "there are 3, 1001, "));
        assert_non_null(strstr(err.text, " more"));
        assert_int_equal(partition_find(&t, "same", &p, &err), -ENOTUNIQ);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what_is_meant),
                cmocka_unit_test(test_how_many_there_are),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
