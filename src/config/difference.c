/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config/difference.h"

#include "base/cleanup.h"

#include <errno.h>
#include <string.h>

void config_keep_defaults(const Config *shown, Config *wanted)
{
        if (wanted->mode_is_default)
                wanted->mode = config_default_mode(shown->writable);
}

static const char *difference_source(char *const *sources)
{
        size_t last = 0;

        if (!sources || !sources[0])
                return NULL;
        while (sources[last + 1])
                last++;
        return sources[last];
}

int config_compare(const Config *shown,
                   const Config *wanted,
                   ConfigDifference ret[CONFIG_KEYS_MAX],
                   size_t *ret_count)
{
        size_t count = 0;

        for (size_t i = 0;; i++) {
                ConfigSetting is = { 0 }, should = { 0 };
                int r = config_get_setting(shown, i, &is);
                if (r == 0)
                        break;
                _cleanup_free_ char *is_text = is.text;
                if (r > 0)
                        r = config_get_setting(wanted, i, &should);
                _cleanup_free_ char *should_text = should.text;
                if (r < 0)
                        return r;
                if ((!is.sources && !should.sources) || strcmp(is_text, should_text) == 0)
                        continue;
                ret[count++] = (ConfigDifference){
                        .index = i,
                        .section = is.section,
                        .key = is.key,
                        .effect = is.effect,
                        .source = difference_source(should.sources),
                };
        }
        *ret_count = count;
        return 0;
}

void config_adopt(Config *shown, Config *wanted, const ConfigDifference *d)
{
        config_move_setting(shown, d->index, wanted);
}
