/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/memory-trim.h"

#include <link.h>
#include <malloc.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

/* What cannot be written to is as the file has it. What the linker has written to and made read-only then is part of a segment
 * that could be written to, and is left alone. */
static int memory_trim_object(struct dl_phdr_info *info, size_t size, void *arg)
{
        uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

        for (size_t i = 0; i < info->dlpi_phnum; i++) {
                const ElfW(Phdr) *h = &info->dlpi_phdr[i];
                uintptr_t start = info->dlpi_addr + h->p_vaddr;
                uintptr_t skip = start % page;

                if (h->p_type == PT_LOAD && !(h->p_flags & PF_W))
                        (void)madvise((void *)(start - skip), h->p_memsz + skip, MADV_DONTNEED);
        }
        return 0;
}

void memory_trim(void)
{
        malloc_trim(0);
        dl_iterate_phdr(memory_trim_object, NULL);
}
