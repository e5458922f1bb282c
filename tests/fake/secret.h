/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The passphrase of all encrypted images of tests, and whom to ask for it. Any thread. */
#pragma once

#include "block/opener.h"

#define FAKE_PASSPHRASE "rawview"

/* One that has the passphrase and opens nothing. */
extern Opener fake_key_opener;

/* For Opener.get_secret. */
int fake_get_secret(Opener *o, Store *of, const char *what, Secret **ret, Err *err);
