/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "generator/unit-text.h"

#include "base/cleanup.h"
#include "base/unit-name.h"
#include "base/utf8.h"

#include <errno.h>
#include <string.h>

bool unit_text_is_sayable(const char *text)
{
        uint32_t c = 0;

        for (size_t len; *text; text += len) {
                len = utf8_length(text, &c);
                if (len == 0 || utf8_is_control(c))
                        return false;
        }
        return true;
}

void unit_text_put(FILE *out, const char *text)
{
        for (; *text; text++) {
                if (*text == '%')
                        fputc('%', out);
                fputc(*text, out);
        }
}

/* systemd.syntax(7): within quotes a backslash takes the next sign as it is. */
void unit_text_put_word(FILE *out, const char *text)
{
        fputc('"', out);
        for (; *text; text++) {
                if (*text == '"' || *text == '\\')
                        fputc('\\', out);
                if (*text == '%')
                        fputc('%', out);
                fputc(*text, out);
        }
        fputc('"', out);
}

/* Parts of a path that are nothing or "." do not count. A folder of devices alone is none. */
static int unit_text_put_device(FILE *out, const char *path, Err *err)
{
        unsigned count = 0;

        for (const char *part = path + strspn(path, "/"); *part; part += strspn(part, "/")) {
                size_t len = strcspn(part, "/");
                if (len == 2 && strncmp(part, "..", 2) == 0)
                        return err_set(err, EINVAL, "'%s' has '..' in it", path);
                if (len != 1 || part[0] != '.') {
                        if (count > 0)
                                fputc('-', out);
                        for (size_t i = 0; i < len; i++)
                                unit_name_put(out, part[i], count == 0 && i == 0);
                        count++;
                }
                part += len;
        }
        if (count < 2)
                return err_set(err, EINVAL, "'%s' is no device", path);
        fputs(".device", out);
        return 0;
}

int unit_text_name_device(const char *path, char **ret, Err *err)
{
        _cleanup_free_ char *name = NULL;
        size_t len = 0;
        {
                _cleanup_stream_ FILE *out = open_memstream(&name, &len);
                if (!out)
                        return err_set(err, ENOMEM, "%m");
                int r = unit_text_put_device(out, path, err);
                if (r < 0)
                        return r;
        }
        if (!name)
                return err_set(err, ENOMEM, "%m");
        *ret = TAKE(name);
        return 0;
}
