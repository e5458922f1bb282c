/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the command and the supervisor read of the system and others have written: the mount table, whose names any user
 * may choose, and what a view says of itself, which may be anybody's.
 */
#include "base/cleanup.h"
#include "base/mountinfo.h"
#include "base/size.h"
#include "cli/view-look.h"
#include "fuzz.h"
#include "udev/view-name.h"

#include <sys/sysmacros.h>

static void look_at_text(const char *text, const char *begin, size_t len)
{
        fuzz_require(
                text && (text[0] == '\0' || (text >= begin && text + strlen(text) <= begin + len)),
                "an entry's texts are of the table");
}

static void look_at_entry(const MountTable *t, const MountEntry *e, size_t len)
{
        const char *const texts[] = { e->root, e->target, e->options,
                                      e->type, e->source, e->super_options };
        const char *value = NULL;

        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
                look_at_text(texts[i], t->text, len);
        const MountEntry *found = mount_table_find(t, e->id);
        fuzz_require(found && found->id == e->id, "what is in the table is found");
        if (mount_options_have(e->super_options, "user_id", &value) && value)
                look_at_text(value, t->text, len);
        (void)mount_options_have(e->options, "ro", NULL);
}

/* Whatever a view is called, its name is one word to udev, and stays in its folder. */
static void look_for_name(const MountTable *t, const MountEntry *e)
{
        char name[VIEW_NAME_MAX + 1];

        if (view_name_find(t, e->target, makedev(e->device_major, e->device_minor), name, NULL) < 0)
                return;
        fuzz_require(view_name_may_be(t, e->target), "what has a name may have one");
        fuzz_require(name[0] && strlen(name) <= VIEW_NAME_MAX, "a name has a length");
        fuzz_require(!strpbrk(name, " \t\n\"'/$%*?[];"), "a name is one word");
}

static void use_mounts(FuzzInput in)
{
        char *text = fuzz_text(in);
        size_t len = strlen(text);
        _cleanup_mount_table_ MountTable table = { 0 };

        if (mount_table_parse(text, &table) < 0) {
                free(text);
                return;
        }
        for (size_t i = 0; i < table.count; i++)
                look_at_entry(&table, &table.entries[i], len);
        for (size_t i = 0; i < table.count; i++)
                look_for_name(&table, &table.entries[i]);
        (void)mount_table_find(&table, UINT64_MAX);
}

static void use_state(FuzzInput in)
{
        ViewLook look = { .condition = VIEW_SERVING };
        size_t len = in.len < sizeof(look.state) ? in.len : sizeof(look.state) - 1;

        if (len > 0)
                memcpy(look.state, in.bytes, len);
        fuzz_require(view_look_pid(&look) >= 0, "a pid is never negative: that would be a group");
}

static void use_size(FuzzInput in)
{
        _cleanup_free_ char *text = fuzz_text(in);
        char shown[SIZE_TEXT_MAX];
        uint64_t size = 0;

        if (size_parse(text, &size) >= 0)
                fuzz_require(strlen(size_format(size, shown)) < SIZE_TEXT_MAX, "a size fits");
}

/* The first byte says what the rest is. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
        FuzzInput in = { bytes, len };

        switch (fuzz_take_number(&in, 1)) {
        case 's':
                use_state(in);
                break;
        case 'z':
                use_size(in);
                break;
        default:
                use_mounts(in);
        }
        return 0;
}
