/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the journal knows each kind of message by (MESSAGE_ID=). units/rawview.catalog explains each of them, and suite
 * `lint` compares the two. They never change: others filter by them. A new one comes from `systemd-id128 new`.
 */
#pragma once

#define EVENT_ID_READY "031ffa0822e9479180c1f9a25ca16ea8"
#define EVENT_ID_STOPPED "1c4dd1f295a14a00873a2aba2c72e429"
#define EVENT_ID_ALLOW_OTHER "be3ee1aa57ae4daaa73d276ebeb30b6b"
#define EVENT_ID_REPAIRED "5b1739dfb31b4d9693bdfe0297162b55"
#define EVENT_ID_NEEDS_REPAIR "f745561c8a6d4a8aa210b8af2fee8a84"
#define EVENT_ID_CORRUPT "1e6e2c7a227547988310b96efdbab937"
#define EVENT_ID_UNSUPPORTED "5da7aa2574fa4191a46150399904a5bb"
#define EVENT_ID_IO_ERROR "c54cc0d265344d38bc1bdf37431f1ed6"
#define EVENT_ID_WORKER_DIED "4e56f928c3d845f2aa271b5b1b8064f3"
#define EVENT_ID_LOCKED "f14de815dfb34b71a8dc46998effc04a"
#define EVENT_ID_OCCUPIED "425d3d00692744198dd2de0bbc2f2dd3"
#define EVENT_ID_FORBIDDEN "110474cc4c764a159b33352b4c3213ff"
#define EVENT_ID_PASSPHRASE "3b89d77b2dc14425a27963ea21928f7d"
#define EVENT_ID_MISSING "6059b7ec1a0841b1919e73f0134f8ff3"
#define EVENT_ID_DESCRIPTOR "594a047dad984385bf38ff112afe6bbb"
#define EVENT_ID_DIGEST "37f348ea224c49c4a0a273b2fe3eb383"
#define EVENT_ID_UNCHANGED "be9bd1d43fb240d6b313d187d14882b5"
#define EVENT_ID_CHANGED "e68791ffc20844e5aca01523d5a7788a"
#define EVENT_ID_LOOP_LOST "de32845639d149269d50edca27c8cd87"
#define EVENT_ID_FAILED "6d6d818999e040509abc66e7455f3caa"
