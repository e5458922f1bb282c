/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The text of a LUKS2 header as cryptsetup 2.6 wrote it, with lower costs. Constant. */
#pragma once

#define LUKS2_SAMPLE_SLOT                                                                  \
        "{\"type\":\"luks2\",\"key_size\":64,\"af\":{\"type\":\"luks1\",\"stripes\":4000," \
        "\"hash\":\"sha256\"},\"area\":{\"type\":\"raw\",\"offset\":\"32768\","            \
        "\"size\":\"258048\",\"encryption\":\"aes-xts-plain64\",\"key_size\":64},"         \
        "\"kdf\":{\"type\":\"argon2id\",\"time\":4,\"memory\":32768,\"cpus\":2,"           \
        "\"salt\":\"nWbVrFoXCwfzgRo/Pel/rrLwGVFmpSX329cZSXcL3C8=\"}}"
#define LUKS2_SAMPLE_SEGMENT                                                                   \
        "{\"type\":\"crypt\",\"offset\":\"16777216\",\"size\":\"dynamic\",\"iv_tweak\":\"0\"," \
        "\"encryption\":\"aes-xts-plain64\",\"sector_size\":4096}"
#define LUKS2_SAMPLE_DIGEST                                                                   \
        "{\"type\":\"pbkdf2\",\"keyslots\":[\"0\"],\"segments\":[\"0\"],\"hash\":\"sha256\"," \
        "\"iterations\":1000,\"salt\":\"Z/zU+FOVr3d6S5Z6hUmlUSiAh19XZVnTwxyIqbugyoM=\","      \
        "\"digest\":\"Bj0dubis/6gHumT9WpXqBDZF+XJZyukz9l71KALHUxA=\"}"
#define LUKS2_SAMPLE                                                 \
        "{\"keyslots\":{\"0\":" LUKS2_SAMPLE_SLOT "},\"tokens\":{}," \
        "\"segments\":{\"0\":" LUKS2_SAMPLE_SEGMENT "},"             \
        "\"digests\":{\"0\":" LUKS2_SAMPLE_DIGEST "},"               \
        "\"config\":{\"json_size\":\"12288\",\"keyslots_size\":\"16744448\"}}"
