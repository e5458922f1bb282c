/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Any bytes as something packed. The first byte says by what, the next two how much room there is for what comes out, in units
 * of 16 bytes; the buffers are exactly as long as is said, so that a byte beyond is seen.
 */
#include "base/cleanup.h"
#include "codec/adc.h"
#include "codec/bunzip2.h"
#include "codec/inflate.h"
#include "codec/lzfse.h"
#include "codec/lzvn.h"
#include "codec/unxz.h"
#include "fuzz.h"

enum {
        INPUT_MAX = 256 << 10,
        UNIT = 16,
};

typedef int (*Unpack)(
        const void *packed, size_t packed_len, void *buf, size_t len, size_t *ret_len);

/* It says how much came out of a broken stream, too. */
static int unpack_inflate(
        InflateKind kind, const void *packed, size_t packed_len, void *buf, size_t len, size_t *ret)
{
        size_t got = 0;
        int r = inflate_all(kind, packed, packed_len, buf, len, &got);

        fuzz_require(got <= len, "what came out of a broken stream fits");
        if (r == 0)
                *ret = got;
        return r;
}

static int unpack_zlib(const void *packed, size_t packed_len, void *buf, size_t len, size_t *ret)
{
        return unpack_inflate(INFLATE_ZLIB, packed, packed_len, buf, len, ret);
}

static int unpack_deflate(const void *packed, size_t packed_len, void *buf, size_t len, size_t *ret)
{
        return unpack_inflate(INFLATE_RAW, packed, packed_len, buf, len, ret);
}

/* Half of the room has something in it that matches may reach back to. */
static int unpack_lzvn(const void *packed, size_t packed_len, void *buf, size_t len, size_t *ret)
{
        memset(buf, 'x', len / 2);
        return lzvn_all(packed, packed_len, buf, len / 2, len, ret);
}

/* The order is that of seeds.py. */
static const Unpack codecs[] = { adc_all,  unpack_lzvn, lzfse_all,     bunzip2_all,
                                 unxz_all, unpack_zlib, unpack_deflate };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
        FuzzInput in = { bytes, len };
        uint64_t codec = fuzz_take_number(&in, 1) % (sizeof(codecs) / sizeof(codecs[0]));
        size_t room = fuzz_take_number(&in, 2) * UNIT, got = SIZE_MAX;
        _cleanup_free_ uint8_t *packed = malloc(in.len > 0 ? in.len : 1);
        _cleanup_free_ uint8_t *out = malloc(room > 0 ? room : 1);

        if (!packed || !out || len > INPUT_MAX)
                return 0;
        if (in.len > 0)
                memcpy(packed, in.bytes, in.len);
        int r = codecs[codec](packed, in.len, out, room, &got);
        fuzz_require(r < 0 || got <= room, "what came out fits");
        fuzz_require(r == 0 || got == SIZE_MAX, "a failure gives no length");
        return 0;
}
