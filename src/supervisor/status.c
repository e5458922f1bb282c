/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/status.h"

#include "base/size.h"
#include "supervisor/manager.h"
#include "supervisor/notify.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const char *status_layer_name(const Manager *m, size_t layer)
{
        const char *path = m->image.layers[layer].path;
        const char *slash = strrchr(path, '/');

        return slash ? slash + 1 : path;
}

const char *status_image_name(const Manager *m)
{
        return status_layer_name(m, 0);
}

const char *status_written_name(const Manager *m)
{
        return status_layer_name(m, m->image.overlay);
}

const char *status_access(const Manager *m, char ret[STATUS_ACCESS_MAX])
{
        const Config *c = m->config;

        if (c->layer_number > 0 || c->layer_alone) {
                snprintf(ret, STATUS_ACCESS_MAX, "read-only, layer %u%s", c->layer_number,
                         c->layer_alone ? " alone" : "");
                return ret;
        }
        if (!c->overlay)
                return c->writable ? "writable" : "read-only";
        if (config_overlay_is_volatile(c))
                return "writable, volatile overlay";
        const char *slash = strrchr(c->overlay, '/');
        snprintf(ret, STATUS_ACCESS_MAX, "writable, overlay %s", slash ? slash + 1 : c->overlay);
        return ret;
}

/* "; 3 readers", ", 1 writer" */
static size_t status_add_count(
        char *ret, size_t size, size_t len, const char *before, uint64_t count, const char *what)
{
        if (count == 0 || len >= size)
                return len;
        return len + (size_t)snprintf(ret + len, size - len, "%s%" PRIu64 " %s%s", before, count,
                                      what, count == 1 ? "" : "s");
}

void status_format(const Manager *m, char *ret, size_t size)
{
        char disk[SIZE_TEXT_MAX], access[STATUS_ACCESS_MAX];
        const LookUse *use = &m->pulse.use;

        size_t len = (size_t)snprintf(ret, size, "%s (%s, %s, %s) as %s", status_image_name(m),
                                      m->sealed.format, size_format(m->sealed.size, disk),
                                      status_access(m, access), m->target.path);
        len = status_add_count(ret, size, len, "; ", use->readers, "reader");
        len = status_add_count(ret, size, len, use->readers > 0 ? ", " : "; ", use->writers,
                               "writer");
        if (use->errors > 0 && len < size) {
                len = status_add_count(ret, size, len, "; ", use->errors, "I/O error");
                if (len < size)
                        len += (size_t)snprintf(ret + len, size - len, ", see the journal");
        }
        char node[32];
        if (loop_holder_get_node(&m->loop, 0, node) && len < size)
                len += (size_t)snprintf(ret + len, size - len, "; %s", node);
        if (m->loop_lost && len < size)
                len += (size_t)snprintf(ret + len, size - len,
                                        "; its loop device is lost, see the journal");
        if (m->pulse.late && len < size)
                len += (size_t)snprintf(ret + len, size - len, "; does not answer");
        if (m->reload_note[0] && len < size)
                snprintf(ret + len, size - len, "; %s", m->reload_note);
}

static void status_send(Manager *m, const char *statements, const char *text)
{
        if (!*statements && strcmp(text, m->status) == 0)
                return;
        snprintf(m->status, sizeof(m->status), "%s", text);
        notify_status(statements, "%s", text);
}

void status_ready(Manager *m)
{
        char text[STATUS_TEXT_MAX];

        status_format(m, text, sizeof(text));
        status_send(m, "READY=1", text);
}

void status_reloading(Manager *m)
{
        char statements[64];
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        snprintf(statements, sizeof(statements), "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
                 (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000);
        status_send(m, statements, "Reading the descriptor again");
}

void status_update(Manager *m)
{
        char text[STATUS_TEXT_MAX];

        if (m->ending)
                return;
        status_format(m, text, sizeof(text));
        status_send(m, "", text);
}

void status_ending(Manager *m, const char *fmt, ...)
{
        char text[STATUS_TEXT_MAX];
        va_list args;

        va_start(args, fmt);
        int n = vsnprintf(text, sizeof(text), fmt, args);
        va_end(args);
        if (n < 0)
                return;
        status_send(m, m->ending ? "" : "STOPPING=1", text);
        m->ending = true;
}
