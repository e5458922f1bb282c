/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/terminal.h"

#include "base/utf8.h"

#include <locale.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#define ELLIPSIS "…"

enum {
        TERMINAL_WIDTH_UNKNOWN = 80,
        TERMINAL_SIZE_MAX = 10000,
};

void terminal_prepare(void)
{
        setlocale(LC_CTYPE, "C.UTF-8");
}

/* From a variable of the environment, where the terminal does not know. */
static size_t terminal_size_from(const char *variable, size_t otherwise)
{
        const char *text = getenv(variable);
        unsigned long size = text ? strtoul(text, NULL, 10) : 0;

        return size > 0 && size <= TERMINAL_SIZE_MAX ? size : otherwise;
}

size_t terminal_width(int fd)
{
        struct winsize size = { 0 };

        if (!isatty(fd))
                return 0;
        if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
                return size.ws_col;
        return terminal_size_from("COLUMNS", TERMINAL_WIDTH_UNKNOWN);
}

size_t terminal_height(int fd)
{
        struct winsize size = { 0 };

        if (!isatty(fd))
                return 0;
        if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_row > 0)
                return size.ws_row;
        return terminal_size_from("LINES", 0);
}

bool terminal_has_colour(int fd)
{
        const char *none = getenv("NO_COLOR"), *kind = getenv("TERM");

        return isatty(fd) && !(none && *none) && kind && *kind && strcmp(kind, "dumb") != 0;
}

/* The character at `text` and how many columns it takes; one that nobody knows takes one. */
static size_t terminal_step(const char *text, size_t *ret_width)
{
        uint32_t c = 0;
        size_t len = utf8_length(text, &c);
        int width = len > 0 ? wcwidth((wchar_t)c) : 1;

        *ret_width = width < 0 ? 1 : (size_t)width;
        return len > 0 ? len : 1;
}

size_t terminal_text_width(const char *text)
{
        size_t sum = 0, width = 0;

        while (*text) {
                text += terminal_step(text, &width);
                sum += width;
        }
        return sum;
}

/* Bytes of the beginning that fits into `width` columns. */
static size_t terminal_head(const char *text, size_t width)
{
        size_t len = 0, used = 0, one = 0;

        while (text[len]) {
                size_t step = terminal_step(text + len, &one);
                if (used + one > width)
                        break;
                used += one;
                len += step;
        }
        return len;
}

/* The end that fits. What belongs to the character before, and takes no column, is not torn from it. */
static const char *terminal_tail(const char *text, size_t width)
{
        size_t left = terminal_text_width(text), one = 0;

        while (*text && left > width) {
                text += terminal_step(text, &one);
                left -= one;
        }
        while (*text) {
                size_t step = terminal_step(text, &one);
                if (one > 0)
                        break;
                text += step;
        }
        return text;
}

char *terminal_shorten(const char *text, size_t width)
{
        if (terminal_text_width(text) <= width)
                return strdup(text);
        if (width == 0)
                return strdup("");
        size_t head_width = (width - 1) / 3;
        size_t head = terminal_head(text, head_width);
        const char *tail = terminal_tail(text + head, width - 1 - head_width);
        char *short_text = malloc(head + strlen(ELLIPSIS) + strlen(tail) + 1);

        if (short_text)
                stpcpy(stpcpy(mempcpy(short_text, text, head), ELLIPSIS), tail);
        return short_text;
}
