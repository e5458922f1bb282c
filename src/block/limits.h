/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Every number that an image dictates and that costs memory or time has its bound here.
 * Real images: the largest table seen in practice is the 32 MiB L1 table of a qcow2 with 512-byte clusters.
 */
#pragma once

#include <stdint.h>

/* Layers of a chain. Real ones: rarely more than 8; libvirt warns from 200 on; each costs a descriptor. */
#define LIMIT_CHAIN_DEPTH 32

/* Bytes of one table read as a whole (L1, refcount, snapshot table …). */
#define LIMIT_TABLE_SIZE (UINT64_C(32) << 20)

/* Bytes of memory for tables that stay as long as the image is open, of all layers of a chain together; what is needed
 * beyond that takes the place of cached pieces. Real images: 16 KiB for a disk of 1 TiB with 64 KiB clusters. With the
 * default cache the largest L1 table fits just so. */
#define LIMIT_TABLES_SIZE (UINT64_C(20) << 20)

/* Bytes of a file name inside an image: what PATH_MAX and qcow2's own bound (1023) leave. */
#define LIMIT_NAME_LEN 1023

/* Extents of one disk, each a file of its own (VMDK). Real images: pieces of 2 GiB, so this is 1.5 TiB; all files of a chain
 * together may be 900 (broker/broker.h). */
#define LIMIT_DISK_EXTENTS 768

/* Bytes of the text that describes a disk (VMDK): a hundred for each extent, and some. QEMU reads as much. */
#define LIMIT_DESCRIPTOR_LEN (UINT64_C(1) << 20)

/* Further names of one backing file. Real images: a VHD has up to six locators, each of which gives a path and a name. */
#define LIMIT_BACKING_OTHERS 16

/* Bytes that one coded extent unpacks to: the largest qcow2 cluster. */
#define LIMIT_CODED_LEN (UINT64_C(2) << 20)

/* Bytes of memory in which coded extents are being unpacked at one time; a thread that would need more waits. A
 * driver may need twice the extent for what it unpacks from. */
#define LIMIT_DECODING_SIZE (UINT64_C(12) << 20)

/* Bytes of memory for what one image says of itself: so much for each snapshot or bitmap, and its texts. That is enough
 * for as many snapshots as a qcow2 may have. Real images: some tens. */
#define LIMIT_INFO_COST (UINT64_C(24) << 20)
#define LIMIT_INFO_COST_EACH 256

/* The same for all layers of a chain that are shown as JSON, where it takes more than six times as much. */
#define LIMIT_INFO_JSON_COST (UINT64_C(9) << 20)

/* Segments of an E01, each of which stays open: with 2 GiB each that is 1.7 TiB. The broker opens some more files for an image
 * than that, whatever its format. */
#define LIMIT_EWF_SEGMENTS 890

/* Sections of all segments together, each of which is looked at when the image is opened. Real images: three for each 16375
 * chunks, which is some 6200 in an image of 1 TiB, and five for a segment. */
#define LIMIT_EWF_SECTIONS (1 << 18)

/* Parts of a raw disk, each of which stays open. Real ones: parts of 2 GiB, which is 1.7 TiB then. */
#define LIMIT_SPLIT_PARTS 890

/* Partitions of a disk, so many as Linux shows of one; links of a chain of logical ones; and entries of a GPT, used or not, and the
 * bytes of one, which is a power of two. Real disks: 128 entries of 128 bytes. */
#define LIMIT_PARTITIONS 256
#define LIMIT_EBR_CHAIN 256
#define LIMIT_GPT_ENTRIES 1024
#define LIMIT_GPT_ENTRY_SIZE 4096

/* Guest disk size: what off_t can say, less room for rounding up. */
#define LIMIT_DISK_SIZE ((UINT64_C(1) << 63) - (UINT64_C(1) << 22))

/* Extents that node_find looks at before it calls the rest data. */
#define LIMIT_FIND_STEPS 65536

/* Host clusters whose references a check counts at a time: 32 MiB of counters, 512 GiB of a file with 64 KiB clusters. */
#define LIMIT_CHECK_WINDOW (UINT64_C(8) << 20)

/* How often a check goes through all tables, once for each window in which anything lies; and how much it looks at in all
 * of them: an entry that is 0 counts once, another one as often as it takes longer, a finding, which is told, much more.
 * That is some minutes. Real images: a full disk of 1 TiB with 64 KiB clusters and 100 snapshots needs a fifth. */
#define LIMIT_CHECK_WINDOWS 4096
#define LIMIT_CHECK_ENTRIES (UINT64_C(1) << 35)
#define LIMIT_CHECK_ENTRY_USED 4
#define LIMIT_CHECK_FINDING 256

/* Bounds of the cache, whatever a descriptor asks for. */
#define LIMIT_CACHE_MIN (UINT64_C(4) << 20)
#define LIMIT_CACHE_DEFAULT (UINT64_C(16) << 20)
#define LIMIT_CACHE_MAX (UINT64_C(4) << 30)
