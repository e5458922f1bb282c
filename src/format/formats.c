/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/formats.h"

extern const Format format_dmg;
extern const Format format_sparseimage;
extern const Format format_qcow;
extern const Format format_qed;
extern const Format format_cloop;
extern const Format format_ewf;
extern const Format format_qcow2;
extern const Format format_split;
extern const Format format_vmdk;
extern const Format format_vdi;
extern const Format format_luks;
extern const Format format_vhd;
extern const Format format_bochs;
extern const Format format_vhdx;
extern const Format format_parallels;

const Format *const all_formats[] = {
        &format_dmg,   &format_sparseimage, &format_qcow,      &format_qed,
        &format_cloop, &format_ewf,         &format_qcow2,     &format_split,
        &format_vmdk,  &format_vdi,         &format_luks,      &format_vhd,
        &format_bochs, &format_vhdx,        &format_parallels, NULL,
};
