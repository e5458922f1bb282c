/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A name as it stands in an image: taken apart, then opened under each policy. Nothing outside the folder is ever opened. */
#include "base/cleanup.h"
#include "block/limits.h"
#include "block/name.h"
#include "folder.h"
#include "fuzz.h"

static void open_name(FuzzInput *choices, const char *name)
{
        uint64_t choice = fuzz_take_number(choices, 1);
        ReferenceRules rules = fuzz_folder_rules(choice);
        _cleanup_close_ int fd = -1;
        _cleanup_free_ char *path = NULL;
        Err err;

        if (!fuzz_folder_may_ask(&rules, name))
                return;
        int r = reference_open(&rules, fuzz_folder_namer(choice >> 4), name, choice & 8, &fd, &path,
                               &err);
        fuzz_require((r >= 0) == (fd >= 0) && (r >= 0) == (path != NULL),
                     "a failure leaves what is returned alone");
        if (r >= 0)
                fuzz_folder_require(&rules, fd, path);
        else
                fuzz_require(err.text[0] != '\0', "a refusal says why");
}

/* One byte says how it is asked for, the rest is the name. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
        FuzzInput in = { bytes, len };
        FuzzInput choices = fuzz_take_bytes(&in, 1);
        _cleanup_free_ char *text = fuzz_text(in);
        FileName name = { 0 };
        Err err;

        if (len > 8192)
                return 0;
        FuzzInput again = choices;
        /* As it stands there, for whoever forgets to take it apart. */
        open_name(&again, text);
        if (file_name_parse(text, &name, &err) < 0) {
                fuzz_require(!name.path && !name.format && err.text[0], "a refusal says why");
                return 0;
        }
        fuzz_require(name.path && name.path[0] && strlen(text) <= LIMIT_NAME_LEN,
                     "a name is not empty and not too long");
        open_name(&choices, name.path);
        file_name_done(&name);
        return 0;
}
